//! The part that all scopes of one tree share: the host, the timers, the observer, and how far the tree has come; and
//! [`Job`], what the host is given to poll.
//!
//! Made and ended by `root.rs`. A tree knows its root and its runtime, each scope knows its tree, and a runtime is given
//! jobs, which know their scopes: so this file, `node.rs` and `runtime.rs` refer to one another. They are data, and the
//! contract of the host; what is done with them is in the files that come later in the list of `tree.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use super::node::{NodeRef, WaitingCode};
use super::panic::drop_payload;
use super::timers::{self, Timers};
use crate::Instant;
use crate::events::{HostDropped, Observer, Orphan};
use crate::runtime::Runtime;
use crate::sys::PlainMutex;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// Something to be polled: a task of a nursery, or a reaper that finishes a scope whose future was lost; given to
/// [`Runtime::spawn`](crate::runtime::Runtime::spawn).
///
/// It never panics. Dropping it before it is ready means that the runtime is being torn down: tasks are then dropped
/// as by foreign code (law L26), and what a reaper was to finish is cut off (law L37).
#[must_use = "a job does nothing unless the runtime polls it"]
pub struct Job(pub(super) JobKind);

/// What a job does.
pub(super) enum JobKind {
    /// Polls a task's body, which is in the node's block.
    Task(NodeRef),
    /// The reaper: drives an abandoned scope, whose body is over, to its end, for the parent that waits for it (L27). There
    /// is at most one for a scope (I3).
    Reaper(NodeRef),
    /// Waits for the end of the tree. If it is dropped before that, the runtime is gone (L30). Weak: the runtime may
    /// keep its jobs longer than the tree lives.
    Sentinel(Weak<Tree>),
    /// Nothing: the job was ready, and its node was given up then.
    Over,
}

/// An event that is due at an instant in a tree.
pub(crate) type Target = timers::Target<WaitingCode, NodeRef>;

/// The part that all scopes of one tree share: its runtime, its timers, its observer, and how far it has come.
///
/// Made once for each call of `root` or `install`. Each node refers to it, as do the root's future, a
/// [`TreeHandle`](super::root::TreeHandle) and a sleep that is armed; the root's [sentinel](Job::sentinel)
/// and the alarm of the host's timer do so weakly. No user code runs under the locks in it (L36). Which of them may be
/// taken with which: Invariant 1 of `tree.rs`.
pub(crate) struct Tree {
    /// The host: spawns jobs, reads the clock, runs blocking work. Never changes.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Has the runtime poll a reaper, which drives an abandoned scope to its end; a function of a file that comes later
    /// in the list of `tree.rs`, given by `root.rs`. No lock may be held: a runtime that is gone drops it at once. Never
    /// changes.
    pub(super) reap: fn(&Tree, NodeRef),
    /// All deadlines, hard times and sleeps of the tree.
    pub(crate) timers: Timers<WaitingCode, NodeRef>,
    /// Where errors without a caller go. `Root::observe` replaces it before the first poll; it is cloned out of the
    /// lock to be called.
    pub(super) observer: PlainMutex<Arc<dyn Observer>>,
    /// The root's node, for dumps and for `host_is_gone`. None from the moment at which the tree has ended, or the
    /// tree and its root would refer to each other for ever.
    pub(super) root: PlainMutex<Option<NodeRef>>,
    /// The host is gone (L30): set by `begin_shut_down`, before the first node is closed, and never cleared. From
    /// then on abandoned scopes are closed on the spot instead of being given to a reaper, and no finalizer is
    /// started.
    pub(super) shut_down: AtomicBool,
    /// How many requests were made in the tree: the clock by which [`ended_before`](NodeRef::ended_before) tells
    /// whether a task had ended before the code that awaits it was cancelled (L14).
    pub(super) requests: AtomicU32,
    /// The counts of tasks and finalizers that were cut off with the host, or because a runtime refused a reaper:
    /// added to by `shut_down`, and reported by `end`.
    pub(super) cut_off: PlainMutex<HostDropped>,
    /// Values that higher layers keep once per tree, by type: the limiter of blocking threads, say. There are a
    /// handful, so it is searched in order.
    pub(super) locals: PlainMutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

// As for `Node`: no user code runs under a lock, so a panic leaves nothing half-changed, and poison is ignored.
impl UnwindSafe for Tree {}
impl RefUnwindSafe for Tree {}

impl Tree {
    /// Reads the host's clock (R5). That is code of the adapter, which calls nothing of foster's; so a node may be locked.
    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// Returns whether the host is gone (L30).
    pub(crate) fn is_shut_down(&self) -> bool {
        // Ordering: pairs with `begin_shut_down`. It is enough that a thread that was told by other means (its job
        // was dropped, say) sees the flag; one that does not see it yet spawns a reaper, which the runtime drops at
        // once (R2), and its drop shuts the scope down.
        self.shut_down.load(Ordering::Acquire)
    }

    /// Notes that the host is gone. `abandon::shut_down` of the root has to follow.
    ///
    /// In this order: a body that is dropped by the shut-down abandons the scopes inside it, and these have to find
    /// that no reaper will come.
    pub(super) fn begin_shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    /// Returns the root's node, unless the tree has ended.
    pub(crate) fn root(&self) -> Option<NodeRef> {
        self.root.lock().clone()
    }

    /// Calls the observer. No lock may be held. A panic of the observer ends here: this is called inside `Drop`, too,
    /// where it must not unwind (L37).
    pub(super) fn tell(&self, tell: impl FnOnce(&dyn Observer)) {
        let observer = self.observer.lock().clone();
        drop_payload(catch_unwind(AssertUnwindSafe(|| tell(&*observer))).err());
    }

    /// Hands an error that has no caller to the observer (L29, L35). No lock may be held.
    pub(crate) fn report(&self, orphan: &Orphan<'_>) {
        self.tell(|observer| observer.orphan(orphan));
    }

    /// Returns the one `T` of this tree; calls `make` for it when it is asked for first.
    ///
    /// `make` runs under the lock of `locals`, so that there is one `T` however many threads ask: it has to be code
    /// of foster that locks nothing of the tree.
    pub(crate) fn local<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut locals = self.locals.lock();
        if let Some(found) = locals.iter().find_map(|local| Arc::clone(local).downcast().ok()) {
            return found;
        }
        let made = Arc::new(make());
        locals.push(made.clone());
        made
    }

    /// Adds to the counts that `end` reports as cut off (L30). Several shut-downs may add: that of the root, and
    /// those of single reapers.
    pub(super) fn add_cut_off(&self, more: HostDropped) {
        let mut cut_off = self.cut_off.lock();
        cut_off.tasks += more.tasks;
        cut_off.finalizers += more.finalizers;
    }

    /// Counts a request that is being made, or a hard time that has come, and returns its number, from 1: all code
    /// that it cancels keeps it (`cancelled_by`). It wraps around, in a tree that lives for long, and leaves out 0.
    pub(super) fn next_request(&self) -> u32 {
        // Ordering: pairs with the load in `set_outcome`: a task that ends as a consequence of this request counts it, so
        // that its end is not taken for one that came before.
        let number = self.requests.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        if number == 0 { self.next_request() } else { number }
    }
}
