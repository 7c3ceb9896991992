//! The root: the future that hosts a whole tree, and what the public module `runtime` offers for making one.
//!
//! ```text
//!    root ──▶ first poll ──▶ body ──▶ drain ──▶ Tree::end ──▶ output, or the panic resumes
//!                  │                    │
//!                  │                    └─ the host of the jobs is gone: shut down; Pending once; Tree::end, panic
//!                  └─ Pending: a sentinel is spawned, unless the root's own runtime polls it
//!    dropped before its end: begin_shut_down, all are requested, the body is dropped, shut_down, Tree::end (L30)
//! ```
//!
//! The root is the one scope that has no parent; its driver is [`Root`], polled by whatever thread the user has it
//! polled by: by the adapter's `run`, or inside somebody else's runtime (`attach`). The installed root (`installed.rs`)
//! has neither body nor driver: it is never polled and never ends.

use std::fmt;
use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::abandon;
use super::deadline::Alarm;
use super::drive::{Driver, Step, poll_open};
use super::flags::NOTED;
use super::node::NodeRef;
use super::observing;
use super::panic::drop_payload;
use super::shared::{Job, Tree};
use super::timers::Timers;
use super::waking;
use crate::body::BodyState;
use crate::events::{HostDropped, Observer, PrintOrphans, TaskStatus};
use crate::reason::Origin;
use crate::runtime::Runtime;
use crate::runtime::budget::with_budget;
use crate::sys::PlainMutex;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// Makes `future` the body of a new tree on `runtime`. For adapters: an application calls their `run` or `attach`.
///
/// The tree ends only when everything in it has ended (law L2): the returned future is ready no earlier.
///
/// # Cancellation
///
/// *Partial effect*: dropping the returned future drops every body and task of the tree at once; finalizers do not run,
/// and the [`Observer`] is told how many were cut off (law L30).
///
/// # Panics
///
/// Polling resumes the first panic of the body, or of lost work that the root has adopted.
#[track_caller]
pub fn root<F: Future>(runtime: Arc<dyn Runtime>, future: F) -> Root<F, F::Output> {
    // Nothing is spawned and no clock is read before the first poll.
    let (tree, node) = Tree::with_root(runtime, Origin::new("root", Location::caller()));
    Root { body: BodyState::Future { future }, node: Some(node), to_guard: true, torn_down: false, tree }
}

pin_project! {
    /// A tree and its body; made by [`root`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Root<F, T> {
        #[pin]
        // The body, then its output, until the tree is drained. Neither if the body was dropped or has panicked.
        body: BodyState<F, T>,
        // The root's node; none when the tree has ended.
        node: Option<NodeRef>,
        // Its runtime may end before it, and its sentinel was not spawned yet.
        to_guard: bool,
        // A poll has found that the host of the jobs is gone.
        torn_down: bool,
        // The tree, which outlives its root as long as there are handles.
        tree: Arc<Tree>,
    }

    impl<F, T> PinnedDrop for Root<F, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // L30: dropped before its end. In this order: scopes that are dropped with the body have to find that no
            // reaper will come.
            if let Some(node) = this.node.take() {
                this.tree.begin_shut_down();
                // L11: before the body is dropped, so that tasks that run on other threads do not see what that does.
                let alive = node.all_below(|_| true);
                abandon::request_all(&node);
                drop_payload(super::current::enter(&node, || this.body.empty()).err());
                abandon::shut_down(&node);
                // L30.1: those that other threads have polled to their ends meanwhile were cut off, too.
                let was_cut = |task: &&NodeRef| task.outcome() == Some(TaskStatus::Cancelled) && !task.is_shut_down();
                this.tree.add_cut_off(HostDropped { tasks: alive.iter().filter(was_cut).count(), finalizers: 0 });
                this.tree.end(true);
            }
        }
    }
}

impl<F, T> Root<F, T> {
    /// Hands errors and panics that have no caller to `observer`, instead of printing them.
    ///
    /// Has to be called before the first poll.
    pub fn observe(self, observer: Arc<dyn Observer>) -> Self {
        // The old observer is user code, and is dropped where no lock is held (L36).
        let old = std::mem::replace(&mut *self.tree.observer.lock(), observer);
        drop(old);
        self
    }

    /// Notes the operations that code in the tree waits for, so that [dumps](TreeHandle::dump) can tell. It costs a
    /// lock for each operation.
    ///
    /// Has to be called before the first poll.
    pub fn watch(self) -> Self {
        if let Some(node) = &self.node {
            node.flag(NOTED);
        }
        self
    }

    /// Declares that the root is polled by its own runtime, which therefore does not end before it. For adapters' `run`.
    ///
    /// Any other root has a small job wait on the runtime for the end of the tree. If it is dropped before that, the
    /// runtime is gone: then the tree is closed as by a drop of the root (law L30), and the root panics in the
    /// second poll after that, instead of waiting for ever.
    ///
    /// Has to be called before the first poll.
    pub fn polled_by_its_runtime(mut self) -> Self {
        self.to_guard = false;
        self
    }

    /// Returns a handle to the tree, to look at it from outside.
    #[must_use]
    pub fn tree(&self) -> TreeHandle {
        TreeHandle(self.tree.clone())
    }
}

impl<F: Future<Output = T>, T> Future for Root<F, T> {
    type Output = T;

    /// Polls the tree's root with a budget of operations, as jobs are polled (R9). Spawns the sentinel after the
    /// first poll that is Pending, so that a tree that is ready at once needs no job.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let poll = with_budget(|| self.as_mut().poll_tree(cx));
        let this = self.project();
        if poll.is_pending() && std::mem::take(this.to_guard) {
            this.tree.runtime.spawn(Job::sentinel(this.tree));
        }
        poll
    }
}

impl<F: Future<Output = T>, T> Root<F, T> {
    /// Polls the body, then drains the tree, as any driver does.
    fn poll_tree(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        let Some(node) = &*this.node else { panic!("a root was polled after it had returned") };
        let first = node.polled.is_never();
        if first {
            observing::begin(this.tree, node);
        }
        // L30.3: the sentinel, or another job, was dropped, and `host_is_gone` has closed everything.
        if node.is_shut_down() || *this.torn_down {
            // If it is that host which polls the root, it drops it now instead of polling it again, and there is
            // nobody to be told.
            if !std::mem::replace(this.torn_down, true) {
                waking::wake(|| cx.waker().wake_by_ref());
                return Poll::Pending;
            }
            drop_payload(super::current::enter(node, || this.body.empty()).err());
            // From here on the root is no scope any more: dropping the future does nothing.
            *this.node = None;
            this.tree.end(true);
            panic!(
                "the {} runtime was torn down while a tree on it was running: the root was polled elsewhere, and its tasks were \
                 dropped with the runtime. Keep the runtime until the root has ended",
                this.tree.runtime.name(),
            );
        }
        // Nobody has woken it since the last poll. An executor may poll it along with each task that it runs on the same
        // thread, as smol's does. If its body was polled every time, it would be on the stack at many an instant, and no
        // request would find it blocked then (L12). Ordering: what came before a wake-up is seen in the poll that finds it.
        // One that is not seen here calls the waker that was left, or is found by `register`.
        if !first && !node.woken.load(Ordering::Acquire) {
            node.register(Driver::Own, cx.waker());
            return Poll::Pending;
        }
        if !this.body.is_over() && poll_open(node, this.body.as_mut(), cx) == Step::Pending {
            return Poll::Pending;
        }
        let Poll::Ready(closed) = node.drain(Driver::Own, cx) else { return Poll::Pending };
        let result = match (closed.panic, this.body.as_mut().take()) {
            (Some(payload), _) => Err(payload),
            (None, Some(output)) => Ok(output),
            // Shut down during this poll: as above. It may have ended like any other scope, once it was requested.
            (None, None) => {
                *this.torn_down = true;
                waking::wake(|| cx.waker().wake_by_ref());
                return Poll::Pending;
            }
        };
        *this.node = None;
        this.tree.end(false);
        result.map_or_else(|payload| panic::resume_unwind(payload), Poll::Ready)
    }
}

impl Tree {
    /// Makes a tree without a root, which has to be put into it. Asks the runtime for the one timer that the tree will
    /// use.
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new_cyclic(|tree| Tree {
            timers: Timers::new(runtime.timer(), Waker::from(Arc::new(Alarm(tree.clone())))),
            runtime,
            reap: |tree, node| tree.runtime.spawn(Job::reaper(node)),
            observer: PlainMutex::new(Arc::new(PrintOrphans)),
            root: PlainMutex::default(),
            shut_down: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            cut_off: PlainMutex::default(),
            locals: PlainMutex::default(),
        })
    }

    /// Makes a tree with its root.
    pub(crate) fn with_root(runtime: Arc<dyn Runtime>, origin: Origin) -> (Arc<Self>, NodeRef) {
        let tree = Tree::new(runtime);
        let node = NodeRef::root(origin, tree.clone());
        *tree.root.lock() = Some(node.clone());
        (tree, node)
    }

    /// Ends the tree: its root is Closed, or its host is gone (`dropped`). Reports what was cut off, if there was
    /// anything or the host is gone (L30).
    ///
    /// Called once, by the root's future: when it returns, when it finds its host gone, or when it is dropped. No
    /// lock may be held.
    fn end(&self, dropped: bool) {
        self.timers.disarm();
        let root = self.root.lock().take();
        let sentinel = root.and_then(|root| root.set_outcome(TaskStatus::Finished));
        sentinel.into_iter().for_each(|waker| waking::wake(|| waker.wake()));
        let report = *self.cut_off.lock();
        // Also where the runtime refused a reaper, and what it was to finish was cut off.
        if dropped || report != HostDropped::default() {
            self.tell(|observer| observer.host_dropped(&report));
        }
    }
}

impl<F, T> fmt::Debug for Root<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("runtime", &self.tree.runtime.name()).finish_non_exhaustive()
    }
}

/// A handle to a tree that is, or was, running. It keeps the tree's runtime and observer, but no scope of it.
#[derive(Clone)]
pub struct TreeHandle(pub(crate) Arc<Tree>);

impl fmt::Debug for TreeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeHandle").field("runtime", &self.0.runtime.name()).finish_non_exhaustive()
    }
}

/// Returns the runtime of the tree that the calling code is part of, or the installed one; `None` without a context.
///
/// To plant another tree on whatever runtime is there: `root(current()?, future)`.
#[must_use]
pub fn current() -> Option<Arc<dyn Runtime>> {
    super::current::tree().map(|tree| tree.runtime.clone())
}
