//! Values that code finds in the scopes around it, without their being passed on by hand.
//!
//! ```text
//!   TENANT.scope("ann", ──┬─ handle ──┬─ query ───── TENANT.get() == Some("ann")
//!                         │           └─ TENANT.scope("bob", …) ── Some("bob")
//!                         ├─ nursery ──── child ──── Some("ann") if the key is `inherited`
//!                         └─ to_thread ───────────── Some("ann")
//!   … outside ────────────────────────────────────── None
//! ```
//!
//! A value is a part of the tree of scopes, and code that asks for it looks upwards. So a child sees what stands
//! around its *nursery*, because that is its parent (law L1); a value that was only set around the call of `spawn` is
//! not around the child. Kotlin, Swift and Java decide it this way; Trio copies the spawner's context, which may belong
//! to code that has long ended. To hand a value to a child of a nursery further out, put the scope around the child:
//! `n.spawn(TENANT.scope(tenant, child))`.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::reason::Origin;
use crate::tree::binding::Binding;
use crate::tree::current;
use crate::tree::node::{Kind, NodeRef};
use crate::tree::scope_future::{Ending, Plain, ScopeFuture};

/// The key of a scoped value; lives in a `static`.
///
/// For what accompanies the work rather than belongs to it: a request's number, a tenant, a switch for tests. A value
/// that a function needs in order to work is better passed as an argument.
///
/// * A key made with [`new`](ScopedValue::new) is seen by the code of the same task, however deep; one made with
///   [`inherited`](ScopedValue::inherited) also by the tasks of nurseries inside the scope, and by theirs.
/// * Blocking jobs see the values of the code that started them: a copy, even if they are abandoned.
/// * Finalizers and releases see what stands around their scope.
/// * A value is never changed, only hidden by a scope further in. It ends with its scope: the next run knows nothing of
///   it.
///
/// Setting one makes a scope; reading one goes up the scopes, and takes a lock at each. Programs that use none pay
/// nothing.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, ScopedValue, nursery, to_thread};
///
/// static TENANT: ScopedValue<&'static str> = ScopedValue::inherited();
///
/// async fn query() -> Option<&'static str> {
///     to_thread(|| TENANT.get()).await
/// }
///
/// # foster_sim::run(1, async {
/// assert_eq!(query().await, None);
/// let seen = TENANT.scope("ann", async {
///     nursery(async |n: Nursery<foster::error::JoinError>| {
///         let child = n.spawn(async { Ok(query().await) });
///         child.await
///     })
///     .await
/// });
/// assert_eq!(seen.await.unwrap(), Some("ann"));
/// # });
/// ```
///
/// A key is no `const`: each use of one would be another key.
///
/// ```compile_fail
/// const TENANT: foster::ScopedValue<u8> = foster::ScopedValue::new();
/// let tenant = TENANT.get();
/// ```
pub struct ScopedValue<T> {
    inherited: bool,
    // Never used. It keeps the compiler from making a `static` of a `const`, whose address, the key, could be
    // another's, too.
    _place: AtomicU8,
    _value: PhantomData<fn() -> T>,
}

/// A value was set somewhere in this process. Until then nobody who asks for one has to look up the tree.
static VALUED: AtomicBool = AtomicBool::new(false);

impl<T> ScopedValue<T> {
    /// A key that is seen in the task that sets it.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a key that is not in a static is of no use")]
    pub const fn new() -> Self {
        ScopedValue { inherited: false, _place: AtomicU8::new(0), _value: PhantomData }
    }

    /// A key that is also seen by the tasks below.
    #[must_use]
    pub const fn inherited() -> Self {
        ScopedValue { inherited: true, _place: AtomicU8::new(0), _value: PhantomData }
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T: Send + Sync + 'static> ScopedValue<T> {
    /// Runs `future` in a scope in which this key has `value`.
    ///
    /// The value is dropped when the scope has ended.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: as `future`. Dropping it cancels what is inside; the scope around waits for it (laws L25–L27).
    ///
    /// # Panics
    ///
    /// Resumes the panic of `future`, when everything inside has ended. When polled outside of any tree, if no adapter
    /// was installed.
    #[track_caller]
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> ScopedValueFuture<F, F::Output> {
        VALUED.store(true, Ordering::Relaxed);
        let origin = Origin::new("scoped value", Location::caller());
        let node = NodeRef::unattached(Kind::CancelScope, origin);
        node.lock().cold_mut().binding =
            Some(Binding { key: self.key(), inherited: self.inherited, value: Arc::new(value) });
        ScopedValueFuture { scoped: ScopeFuture::with_node(node, future, Plain) }
    }

    /// Calls `f` with the value that the code that calls this sees; with `None` if there is none, or outside of any
    /// tree.
    pub fn with<R>(&'static self, f: impl FnOnce(Option<&T>) -> R) -> R {
        let value = self.find();
        f(value.as_deref().and_then(|value| (value as &dyn Any).downcast_ref()))
    }

    /// A copy of the value that the code that calls this sees.
    #[must_use]
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned())
    }

    fn find(&'static self) -> Option<Arc<dyn Any + Send + Sync>> {
        let key = self.key();
        if let Some(carried) = Carried::find(key) {
            return carried;
        }
        let mut found = None;
        look_up(|binding| {
            if binding.key == key {
                found = Some(binding.value.clone());
            }
            found.is_some()
        });
        found
    }
}

impl<T> fmt::Debug for ScopedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedValue").field("inherited", &self.inherited).finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`ScopedValue::scope`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ScopedValueFuture<F, T> {
        #[pin]
        scoped: ScopeFuture<F, T, T, Plain>,
    }
}

impl<F: Future<Output = T>, T> Future for ScopedValueFuture<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(self.project().scoped.poll(cx)) {
            Ending::Value(value) => Poll::Ready(value),
            Ending::Failed | Ending::Cancelled(_) => unreachable!("nobody has a handle to the scope of a value"),
        }
    }
}

impl<F, T> fmt::Debug for ScopedValueFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedValueFuture").finish_non_exhaustive()
    }
}

/// The values that the code around a blocking job sees, for the job.
///
/// A copy, not the way up the tree: an abandoned job outlives the scopes around it.
pub(crate) struct Carried(Vec<Binding>);

struct OnThread {
    bindings: Vec<Binding>,
    /// How deep in scopes the thread was: a run that the job starts has scopes of its own.
    depth: usize,
}

thread_local! {
    static CARRIED: RefCell<Option<OnThread>> = const { RefCell::new(None) };
}

impl Carried {
    /// Returns the values that the calling code sees.
    pub(crate) fn here() -> Self {
        let mut seen: Vec<Binding> = Vec::new();
        look_up(|binding| {
            if seen.iter().all(|further_in| further_in.key != binding.key) {
                seen.push(binding.clone());
            }
            false
        });
        Carried(seen)
    }

    /// Runs the job.
    pub(crate) fn run<R>(self, job: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also if the job panics.
        struct PutBack(Option<OnThread>);
        impl Drop for PutBack {
            fn drop(&mut self) {
                let mine = CARRIED.with(|carried| carried.replace(self.0.take()));
                // After the borrow: this may be the last of a value.
                drop(mine);
            }
        }
        let mine = OnThread { bindings: self.0, depth: current::depth() };
        let _put_back = PutBack(CARRIED.with(|carried| carried.replace(Some(mine))));
        job()
    }

    /// Returns the value that this thread's job has for the key; `None` if this is no job.
    fn find(key: usize) -> Option<Option<Arc<dyn Any + Send + Sync>>> {
        let find = |carried: &RefCell<Option<OnThread>>| {
            let carried = carried.borrow();
            let on_thread = carried.as_ref().filter(|on_thread| on_thread.depth == current::depth())?;
            let binding = on_thread.bindings.iter().find(|binding| binding.key == key);
            Some(binding.map(|binding| binding.value.clone()))
        };
        CARRIED.try_with(find).ok().flatten()
    }
}

/// Calls `take` with the bindings that the running code sees, the innermost first, until it returns true. No lock is
/// held around the call.
///
/// Inline scopes have no values, so they need not be promoted for this.
fn look_up(mut take: impl FnMut(&Binding) -> bool) {
    // Ordering: whatever has passed on the scope that has the value, a poll or a spawn, has passed on this, too.
    if !VALUED.load(Ordering::Relaxed) {
        return;
    }
    let mut next = current::innermost_node();
    let mut left_task = false;
    while let Some(node) = next {
        let state = node.lock();
        let binding = state.cold.as_ref().and_then(|cold| cold.binding.clone());
        let parent: Option<NodeRef> = state.parent().cloned();
        // No user code below the lock (L36): a binding that is let go of may be the last of its value.
        drop(state);
        if binding.is_some_and(|binding| (binding.inherited || !left_task) && take(&binding)) {
            return;
        }
        // Scopes further out are around the nursery, not around the task: only inherited values come from there (L1).
        left_task |= node.kind == Kind::Task;
        next = parent;
    }
}
