//! Finalizers that run when a value is dropped.

use std::borrow::Cow;
use std::fmt;
use std::panic::{self, Location};

use crate::reason::Origin;
use crate::tree::abandon;
use crate::tree::current;
use crate::tree::node::{Kind, NodeRef};
use crate::tree::scope_future::enter_tree;

/// A value whose drop may await: when it is dropped, the finalizers that were registered with it are run.
///
/// It is an inner scope of the scope around [`new`](DeferGuard::new) that has no code of its own, only finalizers. When
/// the guard is dropped, wherever that is, the scope around runs them as it does those of a future that foreign code
/// has dropped (law L26): they begin at once, and it does not end before them. If the guard has left that scope, or was
/// forgotten, they are run when the scope around ends.
///
/// For types that own something outside of the program, and are no future: a process, a temporary directory, a lock at
/// a server. For the extent of a piece of code there is [`bracket`](crate::bracket()), which also reports how the code
/// ended.
///
/// # Cancellation
///
/// The guard holds nothing up: code that is cancelled while it has one is dropped where it waits, and then the
/// finalizers run, which are shielded.
///
/// # Examples
///
/// ```
/// use foster::cleanup::DeferGuard;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
///
/// /// A session at a server, which wants to hear of its end.
/// struct Session {
///     _end: DeferGuard,
/// }
///
/// impl Session {
///     fn open(ended: Arc<AtomicBool>) -> Self {
///         let _end = DeferGuard::new("session", || {
///             foster::defer(async move {
///                 foster::sleep(Duration::from_millis(10)).await; // as a request to the server would
///                 ended.store(true, Ordering::SeqCst);
///             });
///         });
///         Session { _end }
///     }
/// }
///
/// # foster_sim::run(1, async {
/// let ended = Arc::new(AtomicBool::new(false));
/// foster::move_on_after(Duration::from_secs(1), async {
///     let _session = Session::open(ended.clone());
///     foster::sleep_forever().await;
/// })
/// .await;
/// assert!(ended.load(Ordering::SeqCst));
/// # });
/// ```
#[must_use = "its finalizers run when it is dropped"]
pub struct DeferGuard {
    node: NodeRef,
}

impl DeferGuard {
    /// Calls `register`, and keeps what that [defers](crate::defer()) until the guard is dropped. The name is that of
    /// the scope, for dumps.
    ///
    /// # Panics
    ///
    /// Outside of any scope. A panic of `register` goes through, and what it has deferred by then is run.
    #[track_caller]
    pub fn new(name: impl Into<Cow<'static, str>>, register: impl FnOnce()) -> Self {
        let origin = Origin::new(name, Location::caller());
        let node = NodeRef::unattached(Kind::CancelScope, origin);
        enter_tree(&node);
        let guard = DeferGuard { node };
        // Not a poll: a scope that was never polled does not hold up the code around when that is cancelled (L16.5).
        if let Err(payload) = current::enter(&guard.node, register) {
            drop(guard);
            panic::resume_unwind(payload);
        }
        guard
    }
}

impl Drop for DeferGuard {
    fn drop(&mut self) {
        abandon::driver_dropped(&self.node, || {});
    }
}

impl fmt::Debug for DeferGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferGuard").field("origin", &self.node.origin).finish_non_exhaustive()
    }
}
