//! The tree of scopes: the mechanism below everything else.
//!
//! Read in this order: [`node`] (what a scope is), [`attach`], [`children`] (its place in the tree), [`cancel_state`] and [`request`] (how it is asked to
//! stop), [`verdict`] (what becomes of its code then), [`drive`] (how it is polled, delivered and drained), [`closing`] (how it ends
//! and leaves), [`abandon`] (how it outlives its future), [`inline`] (its first poll, in which it does without a node), [`scope_future`] (the
//! future that the user awaits), [`task`] and [`job`] (what the runtime polls), [`timers`], [`root`].
//!
//! Numbered invariants, cited in the code as `Invariant n`:
//!
//! 1. No two nodes are locked at once, and under a lock only plain data is moved (L36). So there is no lock order, but that the
//!    queue of timers may be locked below a node. The one exception is a child of `start` that moves to another nursery,
//!    with all that is below it: from parent to child, and nobody else knows the old parent.
//! 2. A node is linked under its parent's lock, which also decides whether the parent still admits it; the marks it
//!    starts with are read under the same lock. A request marks a node under that lock, then reads its links. So a
//!    scope that comes while a request goes down is either marked by it, or starts with its mark.
//! 3. Only the driver moves a scope's life forward, apart from `shut_down`; and there is one at a time: see [`drive::Driver`].
//! 4. What reaches a scope only ever grows; flags are never cleared.

pub(crate) mod abandon;
pub(crate) mod attach;
pub(crate) mod binding;
pub(crate) mod body_state;
pub(crate) mod cancel_state;
pub(crate) mod children;
pub(crate) mod closing;
pub(crate) mod current;
pub(crate) mod drive;
pub(crate) mod dump;
pub(crate) mod finalizer;
pub(crate) mod flags;
pub(crate) mod inline;
pub(crate) mod job;
pub(crate) mod live_counts;
pub(crate) mod node;
pub(crate) mod observing;
pub(crate) mod owned;
pub(crate) mod panic;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod root;
pub(crate) mod scope_future;
pub(crate) mod task;
pub(crate) mod timers;
pub(crate) mod verdict;
pub(crate) mod wake;
pub(crate) mod waking;

use std::any::Any;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Instant;
use crate::observer::{HostDropped, Observer, Orphan};
use crate::runtime::Runtime;
use crate::sys::Mutex;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use node::NodeRef;
use timers::Timers;

pub use dump::{Dump, DumpedRequest, DumpedScope, ScopeState, dump};
pub use job::Job;
pub use live_counts::{LiveCounts, live_counts};
pub use report::report;
pub use root::{AlreadyInstalled, Root, TreeHandle, current, install, root};

/// What all scopes of one tree share.
pub(crate) struct Tree {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) timers: Timers,
    observer: Mutex<Arc<dyn Observer>>,
    /// Until the tree has ended.
    root: Mutex<Option<NodeRef>>,
    /// The host is gone (L30).
    shut_down: AtomicBool,
    /// How many requests were made: see [`ended_before`](NodeRef::ended_before).
    requests: AtomicU32,
    /// The tree has ended.
    ended: AtomicBool,
    /// The waker of the tree's [sentinel](Job::sentinel).
    sentinel: Mutex<Option<Waker>>,
    /// A scoped value was set in it.
    valued: AtomicBool,
    /// The observer follows the tasks.
    followed: AtomicBool,
    cut_off: Mutex<HostDropped>,
    /// What higher layers keep once per tree, by type.
    locals: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

// As for `Node`.
impl UnwindSafe for Tree {}
impl RefUnwindSafe for Tree {}

impl Tree {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, observer: Arc<dyn Observer>) -> Arc<Self> {
        let timers = Timers::new(runtime.timer());
        let followed = AtomicBool::new(observer.follows_tasks());
        Arc::new(Tree {
            runtime,
            timers,
            observer: Mutex::new(observer),
            root: Mutex::default(),
            shut_down: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            sentinel: Mutex::default(),
            valued: AtomicBool::new(false),
            followed,
            cut_off: Mutex::default(),
            locals: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    fn has_values(&self) -> bool {
        // Ordering: whatever passed on the scope that has the value, a poll or a spawn, has passed on this, too.
        self.valued.load(Ordering::Relaxed)
    }

    fn note_value(&self) {
        self.valued.store(true, Ordering::Relaxed);
    }

    fn begin_shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    fn set_root(&self, root: &NodeRef) {
        *lock(&self.root) = Some(root.clone());
    }

    fn root(&self) -> Option<NodeRef> {
        lock(&self.root).clone()
    }

    fn follows_scopes(&self) -> bool {
        lock(&self.observer).follows_scopes()
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        self.followed.store(observer.follows_tasks(), Ordering::Relaxed);
        let old = std::mem::replace(&mut *lock(&self.observer), observer);
        drop(old);
    }

    /// Hands an error that has no caller to the observer.
    pub(crate) fn report(&self, orphan: &Orphan<'_>) {
        let observer = lock(&self.observer).clone();
        let result = catch_unwind(AssertUnwindSafe(|| observer.orphan(orphan)));
        panic::drop_payload(result.err());
    }

    /// The one `T` of this tree; made by `make` when it is asked for first.
    pub(crate) fn local<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut locals = lock(&self.locals);
        if let Some(found) = locals.iter().find_map(|local| Arc::clone(local).downcast().ok()) {
            return found;
        }
        let made = Arc::new(make());
        locals.push(made.clone());
        made
    }

    fn add_cut_off(&self, more: HostDropped) {
        let mut cut_off = lock(&self.cut_off);
        cut_off.tasks += more.tasks;
        cut_off.finalizers += more.finalizers;
    }

    /// The number of a request that is being made.
    fn next_request(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// How many requests were made.
    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Acquire)
    }

    /// Ready when the tree has ended.
    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let old = lock(&self.sentinel).replace(waker);
        drop(old);
        if !self.ended.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        let own = lock(&self.sentinel).take();
        drop(own);
        Poll::Ready(())
    }

    /// The tree has ended; with `dropped` because its host is gone. What was cut off is reported.
    fn end(&self, dropped: bool) {
        self.disarm();
        let root = lock(&self.root).take();
        drop(root);
        // Ordering: the sentinel leaves its waker, then looks; here it is the other way round.
        self.ended.store(true, Ordering::SeqCst);
        let sentinel = lock(&self.sentinel).take();
        if let Some(sentinel) = sentinel {
            crate::tree::waking::wake(sentinel);
        }
        let report = *lock(&self.cut_off);
        // Also where the runtime refused a reaper, and what it was to finish was cut off.
        if dropped || report != HostDropped::default() {
            let observer = lock(&self.observer).clone();
            let result = catch_unwind(AssertUnwindSafe(|| observer.host_dropped(&report)));
            panic::drop_payload(result.err());
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> crate::sys::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
