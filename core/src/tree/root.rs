//! The root: the future that hosts a whole tree.

use std::fmt;
use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Tree;
use super::abandon;
use super::body_state::BodyState;
use super::cancel_state::ShieldLevel;
use super::drive::{Driver, Step, poll_open};
use super::dump::Dump;
use super::flags::NOTED;
use super::job::Job;
use super::node::{Kind, NodeRef};
use super::observing;
use super::panic::drop_payload;
use crate::observer::{Observer, PrintOrphans};
use crate::reason::Origin;
use crate::runtime::Runtime;
use crate::runtime::budget::with_budget;

/// Makes `future` the body of a new tree on `runtime`. For adapters: an application calls their `run` or `attach`.
///
/// The tree ends only when everything in it has ended (law L2): the returned future is ready no earlier.
///
/// # Cancellation
///
/// *Partial effect*: dropping the returned future drops every body and task of the tree at once; finalizers do not run, and
/// the [`Observer`] is told how many were cut off (law L30).
///
/// # Panics
///
/// Polling resumes the first panic of the body, or of lost work that the root has adopted.
#[track_caller]
pub fn root<F: Future>(runtime: Arc<dyn Runtime>, future: F) -> Root<F, F::Output> {
    Root::new(runtime, Arc::new(PrintOrphans), future)
}

pin_project! {
    /// A tree and its body; made by [`root`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Root<F, T> {
        #[pin]
        body: BodyState<F, T>,
        output: Option<T>,
        node: Option<NodeRef>,
        fresh: bool,
        // Its runtime may end before it, and its sentinel was not spawned yet.
        to_guard: bool,
        over: bool,
        tree: Arc<Tree>,
    }

    impl<F, T> PinnedDrop for Root<F, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(node) = this.node.take() {
                this.tree.begin_shut_down();
                let mut body = this.body;
                let dropped = super::current::enter(&node, || body.as_mut().empty());
                drop_payload(dropped.err());
                abandon::shut_down(&node);
                this.tree.end(true);
            }
        }
    }
}

impl<F, T> Root<F, T> {
    #[track_caller]
    fn new(runtime: Arc<dyn Runtime>, observer: Arc<dyn Observer>, future: F) -> Self {
        let tree = Tree::new(runtime, observer);
        let origin = Origin::new("root", Location::caller());
        let node = NodeRef::unattached(Kind::Root, ShieldLevel::None, origin, Some(tree.clone()));
        tree.set_root(&node);
        Root {
            body: BodyState::Future { future },
            output: None,
            node: Some(node),
            fresh: true,
            to_guard: true,
            over: false,
            tree,
        }
    }

    /// Hands what has no caller to `observer`, instead of printing it.
    ///
    /// Has to be called before the first poll.
    pub fn observe(self, observer: Arc<dyn Observer>) -> Self {
        self.tree.set_observer(observer);
        self
    }

    /// Notes what everybody in the tree waits for, so that [dumps](TreeHandle::dump) can tell. It costs a lock for each
    /// operation.
    ///
    /// Has to be called before the first poll.
    pub fn watch(self) -> Self {
        if let Some(node) = &self.node {
            node.flag(NOTED);
        }
        self
    }

    /// Says that the root is polled by its own runtime, which therefore does not end before it. For adapters' `run`.
    ///
    /// Any other root has a small job wait on the runtime for the end of the tree. If it is dropped before that, the runtime is gone: then
    /// the tree is closed as by a drop of the root (law L30), and the root panics in its next poll, instead of waiting for ever.
    ///
    /// Has to be called before the first poll.
    pub fn polled_by_its_runtime(mut self) -> Self {
        self.to_guard = false;
        self
    }

    /// A handle to the tree, to look at it from outside.
    #[must_use]
    pub fn tree(&self) -> TreeHandle {
        TreeHandle(self.tree.clone())
    }
}

impl<F: Future<Output = T>, T> Future for Root<F, T> {
    type Output = T;

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
    fn poll_tree(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        let Some(node) = &*this.node else { panic!("a root was polled after it had returned") };
        if std::mem::take(this.fresh) && this.tree.follows_scopes() {
            observing::begin(node);
        }
        if node.is_shut_down() {
            let mut body = this.body;
            let dropped = super::current::enter(node, || body.as_mut().empty());
            drop_payload(dropped.err());
            *this.node = None;
            this.tree.end(true);
            panic!(
                "the {} runtime was torn down while a tree on it was running: the root was polled elsewhere, and its tasks were \
                 dropped with the runtime. Keep the runtime until the root has ended",
                this.tree.runtime.name(),
            );
        }
        if !*this.over {
            match poll_open(node, this.body.as_mut(), cx) {
                Step::Pending => return Poll::Pending,
                Step::Gone => {}
                Step::Ready => *this.output = this.body.as_mut().take(),
            }
            *this.over = true;
        }
        let Poll::Ready(closed) = node.drain(Driver::Own, cx) else { return Poll::Pending };
        *this.node = None;
        this.tree.end(false);
        if let Some(payload) = closed.panic {
            panic::resume_unwind(payload);
        }
        match this.output.take() {
            Some(output) => Poll::Ready(output),
            None => panic!("the {} runtime was torn down while a tree on it was running", this.tree.runtime.name()),
        }
    }
}

impl Tree {
    /// The runtime has dropped jobs, and takes no more: nothing in the tree can end any more (L30). A root that is still polled by
    /// somebody is woken, to find that out.
    pub(super) fn host_is_gone(&self) {
        // A root that was installed is polled by nobody, and never ends.
        let Some(root) = self.root().filter(|root| !root.polled.is_never()) else { return };
        if !self.is_shut_down() {
            self.begin_shut_down();
            abandon::shut_down(&root);
        }
    }
}

impl<F, T> fmt::Debug for Root<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("runtime", &self.tree.runtime.name()).finish_non_exhaustive()
    }
}

/// A handle to a tree that is, or was, running.
#[derive(Clone)]
pub struct TreeHandle(Arc<Tree>);

impl TreeHandle {
    /// What lives in the tree at this moment.
    #[must_use]
    pub fn dump(&self) -> Dump {
        Dump::of(self.0.root().as_ref())
    }
}

impl fmt::Debug for TreeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeHandle").field("runtime", &self.0.runtime.name()).finish_non_exhaustive()
    }
}

/// The runtime of the tree that the calling code stands in, or the installed one; `None` without a context.
///
/// To plant another tree on whatever runtime is there: `root(current()?, future)`.
#[must_use]
pub fn current() -> Option<Arc<dyn Runtime>> {
    super::current::tree().map(|tree| tree.runtime.clone())
}

/// Makes `runtime` the one that serves scopes and operations outside of any tree. For adapters' `install`.
///
/// Such code stands below a root that never ends and is never cancelled.
///
/// # Errors
///
/// A runtime was installed before; it stays.
#[track_caller]
pub fn install(runtime: Arc<dyn Runtime>) -> Result<(), AlreadyInstalled> {
    let tree = Tree::new(runtime, Arc::new(PrintOrphans));
    let origin = Origin::new("installed root", Location::caller());
    let node = NodeRef::unattached(Kind::Root, ShieldLevel::None, origin, Some(tree.clone()));
    tree.set_root(&node);
    super::current::set_default(node).map_err(|_| AlreadyInstalled {
        name: super::current::default_root().and_then(|root| root.tree()).map_or("", |tree| tree.runtime.name()),
    })
}

/// A runtime was installed before.
#[derive(Debug)]
#[non_exhaustive]
pub struct AlreadyInstalled {
    /// The name of the runtime that is installed.
    pub name: &'static str,
}

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} runtime is installed already; a process has one default", self.name)
    }
}

impl std::error::Error for AlreadyInstalled {}
