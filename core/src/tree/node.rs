//! The node: what a scope is on the heap.
//!
//! The user's future holds only the body; everything that has to survive the loss of that future is here. No two nodes
//! are ever locked at once, and nothing but plain data is touched under a node's lock, so there is no lock order
//! to keep and no user code below a lock (L36).

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::Tree;
use super::attach::Attachment;
use super::binding::Binding;
use super::cancel_state::{CancelState, ShieldLevel};
use super::children::{Children, Role};
use super::finalizer::Finalizer;
use super::flags::{FOLLOWED, LOCAL, NOTED, PARENT_CANCELLED, SHUT_DOWN};
use super::task::{RunTask, TaskOutcome};
use super::timers::TimerKey;
use super::verdict::Polled;
use super::wake;
use crate::Instant;
use crate::raw::{BlockRef, Erase, Head};
use crate::reason::{Origin, Reason};
use crate::sys::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::sys::{Mutex, MutexGuard, OnceLock};

/// What construct a scope belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Root,
    Task,
    Nursery,
    CancelScope,
    /// Of a combinator.
    Branch,
    Shield,
    Graceful,
    Thread,
    Bracket,
    Finalizer,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Root => "root",
            Kind::Task => "task",
            Kind::Nursery => "nursery",
            Kind::CancelScope => "cancel scope",
            Kind::Branch => "branch",
            Kind::Shield => "shield",
            Kind::Graceful => "graceful shield",
            Kind::Thread => "thread",
            Kind::Bracket => "bracket",
            Kind::Finalizer => "finalizer",
        }
    }
}

/// The life cycle of a scope; it only moves forward (L2, L3).
///
/// ```text
///   Open ──1──▶ Draining ──2──▶ Finalizing ──3──▶ Closed
/// ```
///
/// 1. the body is over: `NodeRef::end_body`, or its driver was dropped: `abandon::driver_dropped`
/// 2. no child and no orphan is left: `NodeRef::drain`
/// 3. no finalizer is left: `NodeRef::drain`; from any state when the host is gone: `abandon::shut_down`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Open,
    Draining,
    Finalizing,
    Closed,
}

/// A shared reference to a scope. The block behind it is also where a task has its body and the slot for its value.
pub(crate) type NodeRef = BlockRef<Node>;

/// What a panic carries.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// A future that the core owns: a blocking job's end, a running finalizer.
pub(crate) type Owned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A scope.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) shield: ShieldLevel,
    /// Its name, and where it was made.
    pub(crate) origin: Origin,
    tree: TreeLink,
    /// Called when the scope was closed by a reaper (L29) or with its host (L30): the errors of a nursery have no caller then.
    pub(super) on_orphaned: fn(&NodeRef),
    flags: AtomicU32,
    /// Since the parent's body was last polled: was this scope driven? (L16)
    pub(crate) driven: AtomicBool,
    /// Was it woken since it was last polled?
    pub(crate) woken: AtomicBool,
    /// Was it woken before the current poll of its parent's body began?
    pub(crate) due: AtomicBool,
    /// How often in a row it was due and passed over.
    pub(crate) missed: AtomicU8,
    /// How often the wakers were called that user code was given; of tasks, say: see [`verdict`](super::verdict).
    pub(super) wakes: AtomicU32,
    pub(super) polled: Polled,
    /// The number of the request by which the code directly inside became cancelled.
    pub(super) cancelled_by: AtomicU32,
    /// How a task ended.
    pub(super) outcome: TaskOutcome,
    /// How many requests had been made when the task ended.
    pub(super) ended_after: AtomicU32,
    /// When it was last looked at, a scope inside had to end: see [`had_to_end`](NodeRef::had_to_end).
    pub(super) waits: AtomicBool,
    state: Mutex<State>,
}

// A panic leaves no node half-changed: no user code runs under its lock (L36), and what unwinds through a body is caught and
// recorded (L32). So handles can be used after a panic, and in a `catch_unwind`, whatever the node holds.
impl UnwindSafe for Node {}
impl RefUnwindSafe for Node {}

/// A request that stands (L6).
pub(crate) struct Request {
    pub(crate) reason: Reason,
    pub(crate) soft: Instant,
    pub(crate) hard: Instant,
}

/// The tree of a scope.
enum TreeLink {
    /// Of one that is made for its place.
    Known(Arc<Tree>),
    /// Of one that was made before it had a place: set when it gets that.
    Late(OnceLock<Arc<Tree>>),
}

/// What a node's lock protects.
///
/// There may be millions of these, so what most scopes never have is kept apart.
pub(crate) struct State {
    pub(crate) life: Life,
    pub(crate) role: Role,
    /// The scope above; none above a root, and before the entry.
    pub(crate) parent: Option<NodeRef>,
    /// The place among the parent's links.
    pub(crate) slot: u32,
    /// Requests from above that reach this scope.
    pub(crate) inherited: CancelState,
    pub(crate) deadline: Instant,
    pub(crate) deadline_timer: Option<TimerKey>,
    pub(crate) children: Children,
    /// Wakes whoever drives the scope.
    pub(crate) waker: Option<Waker>,
    /// Wakes whoever awaits the end of a task.
    pub(super) joiner: Option<Waker>,
    cold: Option<Box<Cold>>,
}

/// What most scopes never have.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) request: Option<Request>,
    pub(crate) hard_timer: Option<TimerKey>,
    /// Before the entry: how long the scope may last from there.
    pub(crate) relative: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) finalizers: Vec<Finalizer>,
    pub(crate) running: Option<Owned>,
    /// The running finalizer was taken out to be polled.
    pub(crate) polls_finalizer: bool,
    /// The body of a scope that the core owns.
    pub(crate) owned: Option<Owned>,
    /// That body was taken out to be polled.
    pub(crate) polls_owned: bool,
    pub(crate) panic: Option<Payload>,
    /// Of a nursery of a `start`: the nursery that is kept open for its child, until that is ready or this one is closed (L4).
    pub(crate) start_into: Option<NodeRef>,
    /// The scoped value that this scope is there for.
    pub(crate) binding: Option<Binding>,
    /// The operations that the body waited for when it was last polled; noted only in trees that are watched.
    pub(crate) waits_for: Vec<&'static str>,
}

impl State {
    /// What most scopes never have; made now if it was not there.
    pub(crate) fn cold_mut(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// What most scopes never have, if this one has it.
    pub(crate) fn cold(&mut self) -> Option<&mut Cold> {
        self.cold.as_deref_mut()
    }

    #[inline]
    pub(crate) fn has_cold(&self) -> bool {
        self.cold.is_some()
    }

    /// The request that stands.
    pub(crate) fn request(&self) -> Option<&Request> {
        self.cold.as_ref()?.request.as_ref()
    }

    pub(crate) fn grace(&self) -> Duration {
        self.cold.as_ref().map_or(Duration::ZERO, |cold| cold.grace)
    }

    /// Whether finalizers wait or run.
    pub(crate) fn finalizers(&self) -> usize {
        let runs = |cold: &Cold| cold.running.is_some() || cold.polls_finalizer;
        self.cold.as_ref().map_or(0, |cold| cold.finalizers.len() + usize::from(runs(cold)))
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.panic.is_some())
    }

    pub(crate) fn waits_for(&self) -> &[&'static str] {
        self.cold.as_ref().map_or(&[], |cold| &cold.waits_for)
    }

    pub(crate) fn has_owned(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.owned.is_some() || cold.polls_owned)
    }

    /// Everything that reaches the code directly inside, and the lower neighbours.
    #[inline]
    pub(crate) fn cancel_state(&self) -> CancelState {
        match self.request() {
            Some(request) => CancelState::own(request.hard).join(self.inherited),
            None => self.inherited,
        }
    }

    /// Its body was polled alone: nothing was ever below it, and nothing has to be run at its end.
    #[inline]
    pub(crate) fn had_nothing(&self) -> bool {
        self.life == Life::Open && self.children.is_unused() && !self.has_cold()
    }

    /// L4.
    #[inline]
    pub(crate) fn admits(&self) -> bool {
        match self.life {
            Life::Open => true,
            Life::Draining => self.children.awaited() > 0,
            Life::Finalizing | Life::Closed => false,
        }
    }
}

impl NodeRef {
    /// A scope that has no parent yet.
    pub(crate) fn unattached(kind: Kind, shield: ShieldLevel, origin: Origin, tree: Option<Arc<Tree>>) -> Self {
        BlockRef::with_part(Node::new(kind, shield, origin, tree, None, |_| {}), ())
    }

    /// As [`unattached`](NodeRef::unattached), for a nursery, with its errors.
    pub(crate) fn nursery<S: Send + Sync + 'static>(origin: Origin, errors: S, on_orphaned: fn(&NodeRef)) -> Self {
        let node = Node::new(Kind::Nursery, ShieldLevel::None, origin, None, None, on_orphaned);
        BlockRef::with_part(node, errors)
    }

    /// A scope that is made for its place. Once it is linked there, [`hard_time_may_be_over`](NodeRef::hard_time_may_be_over) has to
    /// follow.
    pub(crate) fn attached(
        place: Attachment,
        kind: Kind,
        shield: ShieldLevel,
        origin: Origin,
        tree: Arc<Tree>,
    ) -> Self {
        BlockRef::with_part(Node::new(kind, shield, origin, Some(tree), Some(place), |_| {}), ())
    }

    /// As [`attached`](NodeRef::attached), for a task with its body, and the slot for its value.
    #[inline]
    pub(crate) fn task<S, B>(place: Attachment, origin: Origin, tree: Arc<Tree>, slot: S, body: B) -> Self
    where
        S: Send + Sync + 'static,
        B: Erase<dyn RunTask> + Send + 'static,
    {
        let node = Node::new(Kind::Task, ShieldLevel::None, origin, Some(tree), Some(place), |_| {});
        BlockRef::with_body(node, slot, body)
    }

    /// The scope above; none above a root, and before the entry.
    pub(crate) fn parent(&self) -> Option<NodeRef> {
        self.lock().parent.clone()
    }
}

/// The scope's own waker, which a task gives to user code, and a scope in a cancelled one: it counts its calls (L12), and wakes the
/// driver.
impl Head for Node {
    type Body = dyn RunTask;

    fn wake(node: &NodeRef) {
        node.count_wake();
        wake::wake(node);
    }
}

impl Node {
    #[inline(always)]
    fn new(
        kind: Kind,
        shield: ShieldLevel,
        origin: Origin,
        tree: Option<Arc<Tree>>,
        place: Option<Attachment>,
        on_orphaned: fn(&NodeRef),
    ) -> Self {
        super::live_counts::node_made(kind);
        let (flags, inherited) = place.as_ref().map_or((0, CancelState::default()), |place| place.reach(shield));
        let (role, slot) = place.as_ref().map_or((Role::Inner, 0), |place| (place.role, place.slot));
        Node {
            kind,
            shield,
            origin,
            tree: tree.map_or_else(|| TreeLink::Late(OnceLock::new()), TreeLink::Known),
            on_orphaned,
            flags: AtomicU32::new(flags),
            driven: AtomicBool::new(false),
            woken: AtomicBool::new(flags & PARENT_CANCELLED != 0),
            due: AtomicBool::new(false),
            missed: AtomicU8::new(0),
            wakes: AtomicU32::new(0),
            polled: Polled::never(),
            cancelled_by: AtomicU32::new(0),
            outcome: TaskOutcome::default(),
            ended_after: AtomicU32::new(0),
            waits: AtomicBool::new(false),
            state: Mutex::new(State {
                life: Life::Open,
                role,
                parent: place.map(|place| place.parent),
                slot,
                inherited,
                deadline: Instant::NEVER,
                deadline_timer: None,
                children: Children::default(),
                waker: None,
                joiner: None,
                cold: None,
            }),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn flagged(&self, flag: u32) -> bool {
        // Ordering: a request sets the flag under the node's lock before it takes the waker that the driver registered
        // under the same lock; a driver that reads a stale flag is woken by that very waker.
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// The flags that every scope below has, too.
    #[inline]
    pub(super) fn kept_flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed) & (FOLLOWED | NOTED)
    }

    /// Sets a flag; says whether it was not set before.
    pub(crate) fn flag(&self, flag: u32) -> bool {
        self.flag_all(flag) != 0
    }

    /// Sets flags; says which were not set before.
    pub(super) fn flag_all(&self, flags: u32) -> u32 {
        flags & !self.flags.fetch_or(flags, Ordering::AcqRel)
    }

    /// The scope is about to get its place in `tree`.
    pub(crate) fn keep_tree(&self, tree: &Arc<Tree>) {
        if let TreeLink::Late(late) = &self.tree {
            // Of two that enter at the same time, one is the first; both are in the same tree.
            drop(late.set(tree.clone()));
        }
    }

    /// The tree this scope stands in; none before it has a parent.
    #[inline]
    pub(crate) fn tree(&self) -> Option<&Arc<Tree>> {
        match &self.tree {
            TreeLink::Known(tree) => Some(tree),
            TreeLink::Late(late) => late.get(),
        }
    }

    /// Whether it is a local nursery, or a child of one.
    pub(crate) fn is_local(&self) -> bool {
        self.flagged(LOCAL)
    }

    /// Whether the scope was closed because its host, or the runtime, is gone (L30).
    pub(crate) fn is_shut_down(&self) -> bool {
        self.flagged(SHUT_DOWN)
    }

    pub(crate) fn life(&self) -> Life {
        self.lock().life
    }
}

impl Drop for Node {
    /// Gives up the scopes above one after the other: they may be nested as deep as memory reaches.
    fn drop(&mut self) {
        super::live_counts::node_gone(self.kind);
        let mut above = self.take_parent();
        while let Some(mut node) = above {
            above = node.get_mut().and_then(Node::take_parent);
        }
    }
}

impl Node {
    fn take_parent(&mut self) -> Option<NodeRef> {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).parent.take()
    }
}
