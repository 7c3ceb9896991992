//! Errors and panics without a caller, for combinators outside of the core (L29, L35): errors go to the observer, and
//! panics to the scope around.

use std::fmt::{self, Debug};
use std::panic::{Location, resume_unwind};

use crate::events::{Observer, Orphan, OrphanKind, PrintOrphans};
use crate::reason::Origin;
use crate::sys::PlainMutex;
use crate::tree::current;
use crate::tree::node::NodeRef;
use crate::tree::panic::{Payload, drop_payload};

/// Hands an error that no caller can receive to the [`Observer`] of the tree; the innermost scope is its origin.
/// Outside of any tree it is printed.
///
/// For combinators that have one place for an error, and more errors: each ends in exactly one place (law L35), so what
/// is handed to this is to be dropped.
///
/// # Examples
///
/// ```
/// use foster::observer::{OrphanKind, report};
///
/// # foster_sim::run(1, async {
/// async fn both_fail() -> Result<(), &'static str> {
///     let (first, second) = foster::combine::join((async { Err::<(), _>("no route") }, async { Err::<(), _>("no name") })).await;
///     if let (Err(_), Err(later)) = (first, second) {
///         report(&later, OrphanKind::Later);
///     }
///     first.and(second)
/// }
/// assert_eq!(both_fail().await, Err("no route"));
/// # });
/// ```
#[track_caller]
pub fn report(error: &dyn Debug, kind: OrphanKind) {
    let scope = current::try_scope();
    let tree = scope.as_ref().and_then(|scope| scope.tree());
    match (&scope, tree) {
        (Some(scope), Some(tree)) => tree.report(&Orphan { kind, error, origin: &scope.origin }),
        _ => PrintOrphans.orphan(&Orphan {
            kind,
            error,
            origin: &Origin::new("code without a scope", Location::caller()),
        }),
    }
}

/// A panic that a combinator has caught, and that is to resume when what runs beside it has ended.
///
/// It ends in one place (law L35): it resumes, or if this is dropped, because foreign code drops the combinator before
/// that, it fails the scope around, as the panic of a scope that a reaper has closed does (law L29). That is the scope
/// in which this was made, or the next one further out that has not ended. If there is none, or outside of any tree,
/// the payload is dropped; the panic hook has reported the panic.
///
/// For combinators; dropping it is safe wherever dropping a scope is (law L37).
///
/// # Examples
///
/// A combinator that polls two futures to their ends, also if the first one panics:
///
/// ```
/// use foster::checkpoint;
/// use foster::observer::KeptPanic;
/// use std::panic::{AssertUnwindSafe, catch_unwind};
/// use std::pin::pin;
/// use std::task::Poll;
///
/// async fn both(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
///     let (mut first, mut panic) = (pin!(first), None);
///     std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| first.as_mut().poll(cx))) {
///         Ok(poll) => poll,
///         Err(payload) => {
///             panic = Some(KeptPanic::new(payload));
///             Poll::Ready(())
///         }
///     })
///     .await;
///     // Dropped here, by foreign code, the combinator does not lose the panic: it fails the scope around.
///     second.await;
///     if let Some(panic) = panic {
///         panic.resume();
///     }
/// }
///
/// let mut ended = false;
/// let run = catch_unwind(AssertUnwindSafe(|| {
///     foster_sim::run(1, both(async { panic!("the first") }, async {
///         checkpoint().await;
///         ended = true;
///     }))
/// }));
/// assert!(run.is_err() && ended);
/// ```
pub struct KeptPanic {
    // In a mutex for `Sync` only: a payload is not.
    payload: PlainMutex<Option<Payload>>,
    // The scope in which it was caught, and those around it then: one that has ended does not know them any more.
    scopes: Vec<NodeRef>,
}

impl KeptPanic {
    /// Keeps what `catch_unwind` has caught, in the scope in which that was.
    #[must_use = "dropped, it fails the scope around"]
    pub fn new(payload: Payload) -> Self {
        let scope = if current::depth() > 0 { current::try_scope() } else { None };
        let scopes = scope.iter().flat_map(NodeRef::and_above).collect();
        KeptPanic { payload: PlainMutex::new(Some(payload)), scopes }
    }

    /// Resumes the panic.
    ///
    /// # Panics
    ///
    /// Always: that is what it is for.
    pub fn resume(mut self) -> ! {
        match self.take() {
            Some(payload) => resume_unwind(payload),
            None => unreachable!("a kept panic resumes once"),
        }
    }

    fn take(&mut self) -> Option<Payload> {
        self.payload.get_mut().take()
    }
}

impl Drop for KeptPanic {
    fn drop(&mut self) {
        let mut payload = self.take();
        for scope in &self.scopes {
            let Some(panic) = payload.take() else { break };
            payload = scope.panicked_if_awaited(panic).err();
        }
        drop_payload(payload);
    }
}

impl Debug for KeptPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptPanic").finish_non_exhaustive()
    }
}
