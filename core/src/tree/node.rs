//! The node: what a scope is on the heap.
//!
//! The user's future holds only the body; everything that has to survive the loss of that future is here. No two nodes
//! are ever locked at once, and nothing but plain data is touched under a node's lock, so there is no lock order
//! to keep and no user code below a lock (L36).

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Tree;
use super::binding::Binding;
use super::finalizer::Finalizer;
use super::flags::{BY_CELL, FOLLOWED, NOTED, PARENT_CANCELLED, RAZED};
use super::links::{Links, Role};
use super::marks::{Marks, Mask};
use super::place::Place;
use super::seldom::Seldom;
use super::timers::TimerKey;
use super::verdict::Polled;
use super::wake;
use crate::Instant;
use crate::observer::TaskStatus;
use crate::raw::{self, Calls, Delivery, Lazy, Room, Thin, Woken};
use crate::reason::{Origin, Reason};
use crate::sys::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::sys::{Mutex, MutexGuard};

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
/// 1. the body is over: `NodeRef::body_over`, or it is lost: `loss::driver_lost`
/// 2. no child and no residue is left: `NodeRef::wind_down`
/// 3. no finalizer is left: `NodeRef::wind_down`; from any state when the host is gone: `loss::raze`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Open,
    Draining,
    Finalizing,
    Closed,
}

/// A shared scope of any sort: its node, and its [cell](NodeRef::cell).
pub(crate) type NodeRef = Thin<Node, dyn Cell>;

/// A shared scope whose cell is known to be an `X`.
pub(crate) type Typed<X> = raw::Typed<Node, dyn Cell, X>;

/// A shared scope with a part of its cell.
pub(crate) type Part<Y> = raw::Part<Node, dyn Cell, Y>;

/// The tree of a scope, lent.
pub(crate) type TreeRef<'a> = raw::LentArc<'a, Tree>;

/// The end that gives what a task leaves, with its scope.
pub(crate) type Giver<V> = raw::Giver<NodeRef, V>;

/// The end that takes it.
pub(crate) type Taker<V> = raw::Taker<Node, dyn Cell, V>;

/// What a panic carries.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// A future that the core owns: a blocking job's end, a running finalizer.
pub(crate) type Owned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The typed part of a node: what only nurseries and tasks have.
pub(crate) trait Cell: Send + Sync {
    /// Polls a task that is a job of the runtime, with its node as the current scope.
    fn run(&self, _node: &NodeRef, _cx: &mut Context<'_>) -> Poll<()> {
        unreachable!("only tasks are run")
    }

    /// Drops the body, if nobody is polling it; a body that is being polled is dropped by whoever polls it, as soon as that
    /// poll returns.
    fn cut(&self, _node: &NodeRef) {}

    /// Whoever drives the scope is woken through [`wake`](Cell::wake): no waker is kept with the node.
    fn wakes(&self) -> bool {
        false
    }

    /// Wakes whoever drives the scope.
    fn wake(&self, _node: &NodeRef) {
        unreachable!("only where `wakes` says so")
    }

    /// Its driver is the future of a local nursery.
    fn is_local(&self) -> bool {
        false
    }

    /// The nursery that the task was born in, and which it keeps. So its node has no count of its own of that parent, nor of the tree.
    fn home(&self) -> Option<&NodeRef> {
        None
    }

    /// How the task has ended, if it has.
    fn status(&self) -> Option<TaskStatus> {
        None
    }

    /// The scope was closed by a reaper (L29) or with its host (L30): its errors have no caller, its handle has no value.
    fn orphaned(&self, _node: &NodeRef) {}
}

impl Cell for () {}

/// A scope.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mask: Mask,
    /// Its name, and where it was made.
    pub(crate) origin: Origin,
    /// The tree, from when the scope got its place there; a task's is that of its [home](Cell::home).
    tree: Lazy<Tree>,
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
    /// How many requests had been made when the task ended.
    ended_after: AtomicU32,
    /// When it was last looked at, a scope inside had to end: see [`had_to_end`](NodeRef::had_to_end).
    pub(super) waits: AtomicBool,
    state: Mutex<State>,
}

// A panic leaves no node half-changed: no user code runs under its lock (L36), and what unwinds through a body is caught and
// recorded (L32). So handles can be used after a panic, and in a `catch_unwind`, whatever the node holds.
impl UnwindSafe for NodeRef {}
impl RefUnwindSafe for NodeRef {}
impl<X> UnwindSafe for Typed<X> {}
impl<X> RefUnwindSafe for Typed<X> {}
impl<Y> UnwindSafe for Part<Y> {}
impl<Y> RefUnwindSafe for Part<Y> {}

/// A request that stands (L6).
pub(crate) struct Request {
    pub(crate) reason: Reason,
    pub(crate) soft: Instant,
    pub(crate) hard: Instant,
}

/// What a node's lock protects.
///
/// There may be millions of these, so what most scopes never have is kept apart.
pub(crate) struct State {
    pub(crate) life: Life,
    pub(crate) role: Role,
    /// See [`parent`](State::parent).
    parent: Option<NodeRef>,
    /// The place among the parent's links.
    pub(crate) slot: u32,
    /// Requests from above that reach this scope.
    pub(crate) inherited: Marks,
    pub(crate) deadline: Instant,
    pub(crate) deadline_timer: Option<TimerKey>,
    pub(crate) links: Links,
    /// Whoever drives the scope.
    pub(crate) waker: Option<Waker>,
    rare: Seldom<Rare>,
}

/// What most scopes never have.
#[derive(Default)]
pub(crate) struct Rare {
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
    /// The scope above the scope `this`, which this is the state of; none above a root, and before the entry.
    #[inline]
    pub(crate) fn parent<'a>(&'a self, this: &'a NodeRef) -> Option<&'a NodeRef> {
        self.parent.as_ref().or_else(|| this.cell().home())
    }

    /// The scope above, unless it is a task's home, which is not counted here.
    #[inline]
    pub(super) fn parent_elsewhere(&self) -> Option<&NodeRef> {
        self.parent.as_ref()
    }

    /// Sets the scope above. What comes back is to be dropped where no lock is held.
    pub(super) fn set_parent(&mut self, parent: Option<NodeRef>) -> Option<NodeRef> {
        std::mem::replace(&mut self.parent, parent)
    }

    /// What most scopes never have; made now if it was not there.
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What most scopes never have, if this one has it.
    pub(crate) fn if_rare(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    #[inline]
    pub(crate) fn has_rare(&self) -> bool {
        self.rare.is_some()
    }

    /// The request that stands.
    pub(crate) fn request(&self) -> Option<&Request> {
        self.rare.as_ref()?.request.as_ref()
    }

    pub(crate) fn grace(&self) -> Duration {
        self.rare.as_ref().map_or(Duration::ZERO, |rare| rare.grace)
    }

    /// Whether finalizers wait or run.
    pub(crate) fn finalizers(&self) -> usize {
        let runs = |rare: &Rare| rare.running.is_some() || rare.polls_finalizer;
        self.rare.as_ref().map_or(0, |rare| rare.finalizers.len() + usize::from(runs(rare)))
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.panic.is_some())
    }

    pub(crate) fn waits_for(&self) -> &[&'static str] {
        self.rare.as_ref().map_or(&[], |rare| &rare.waits_for)
    }

    pub(crate) fn has_owned(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.owned.is_some() || rare.polls_owned)
    }

    /// Everything that reaches the code directly inside, and the lower neighbours.
    #[inline]
    pub(crate) fn marks(&self) -> Marks {
        match self.request() {
            Some(request) => Marks::own(request.hard).join(self.inherited),
            None => self.inherited,
        }
    }

    /// Its body was polled alone: nothing was ever below it, and nothing has to be run at its end.
    #[inline]
    pub(crate) fn had_nothing(&self) -> bool {
        self.life == Life::Open && self.links.is_unused() && !self.has_rare()
    }

    /// L4.
    #[inline]
    pub(crate) fn admits(&self) -> bool {
        match self.life {
            Life::Open => true,
            Life::Draining => self.links.awaited() > 0,
            Life::Finalizing | Life::Closed => false,
        }
    }
}

impl Node {
    /// A scope that has no parent yet.
    pub(crate) fn new<C: Cell + 'static>(
        kind: Kind,
        mask: Mask,
        origin: Origin,
        tree: Option<Arc<Tree>>,
        cell: C,
    ) -> Typed<C> {
        Typed::new(|cell| Node::make(kind, mask, origin, tree, None, cell), cell, |cell| cell)
    }

    /// As [`new`](Node::new), without anything that only some sorts of scopes have.
    pub(crate) fn bare(kind: Kind, mask: Mask, origin: Origin, tree: Option<Arc<Tree>>) -> NodeRef {
        Node::new(kind, mask, origin, tree, ()).into_block()
    }

    /// A scope that is made for its place; a task has the tree of its home. Once it is linked there,
    /// [`hard_time_may_be_over`](NodeRef::hard_time_may_be_over) has to follow.
    pub(crate) fn placed<C: Cell + 'static>(
        place: Place,
        kind: Kind,
        mask: Mask,
        origin: Origin,
        tree: Option<Arc<Tree>>,
        cell: C,
    ) -> Typed<C> {
        Typed::new(|cell| Node::make(kind, mask, origin, tree, Some(place), cell), cell, |cell| cell)
    }

    /// As [`placed`](Node::placed), for a task; with room for a body, and for what that leaves, which may borrow.
    pub(crate) fn lodging<C: Cell + 'static, V, P>(
        place: Place,
        origin: Origin,
        cell: C,
        left: for<'a> fn(&'a C) -> &'a Delivery,
    ) -> (NodeRef, Room<Node, dyn Cell, P>, raw::Giver<Part<C>, V>, Taker<V>) {
        let node = |cell: &C| Node::make(Kind::Task, Mask::None, origin, None, Some(place), cell);
        raw::lodge(node, cell, |cell| cell, left)
    }

    #[inline(always)]
    fn make(
        kind: Kind,
        mask: Mask,
        origin: Origin,
        tree: Option<Arc<Tree>>,
        place: Option<Place>,
        cell: &impl Cell,
    ) -> Self {
        super::census::node_made(kind);
        let (mut flags, inherited) = place.as_ref().map_or((0, Marks::default()), |place| place.reach(mask));
        if cell.wakes() {
            flags |= BY_CELL;
        }
        let (role, slot) = place.as_ref().map_or((Role::Inner, 0), |place| (place.role, place.slot));
        Node {
            kind,
            mask,
            origin,
            tree: tree.map_or_else(Lazy::new, Lazy::of),
            flags: AtomicU32::new(flags),
            driven: AtomicBool::new(false),
            woken: AtomicBool::new(flags & PARENT_CANCELLED != 0),
            due: AtomicBool::new(false),
            missed: AtomicU8::new(0),
            wakes: AtomicU32::new(0),
            polled: Polled::never(),
            cancelled_by: AtomicU32::new(0),
            ended_after: AtomicU32::new(0),
            waits: AtomicBool::new(false),
            state: Mutex::new(State {
                life: Life::Open,
                role,
                parent: place.and_then(|place| place.parent),
                slot,
                inherited,
                deadline: Instant::NEVER,
                deadline_timer: None,
                links: Links::default(),
                waker: None,
                rare: Seldom::default(),
            }),
        }
    }
}

impl Node {
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

    /// The task has ended, and is about to leave its value to its handle.
    pub(crate) fn note_end(&self, tree: &Tree) {
        // Ordering: published with the value.
        self.ended_after.store(tree.requests.load(Ordering::Acquire), Ordering::Relaxed);
    }

    /// Whether the task, which has ended, did so before the code directly in `scope` became cancelled: then its end was given to code
    /// that awaited it there (L14).
    pub(crate) fn ended_before(&self, scope: &Node) -> bool {
        self.ended_after.load(Ordering::Relaxed) < scope.cancelled_by.load(Ordering::Acquire)
    }

    /// The scope is about to get its place in `tree`.
    pub(crate) fn keep_tree(&self, tree: &Arc<Tree>) {
        self.tree.fill_with(tree.clone());
    }

    pub(crate) fn life(&self) -> Life {
        self.lock().life
    }
}

impl<X> Typed<X> {
    /// What only such scopes have.
    #[inline]
    pub(crate) fn cell(&self) -> &X {
        self.tail()
    }
}

impl NodeRef {
    /// What only some sorts of scopes have.
    #[inline]
    pub(crate) fn cell(&self) -> &dyn Cell {
        self.tail()
    }

    /// The tree this scope stands in; none before it has a parent.
    #[inline]
    pub(crate) fn tree(&self) -> Option<TreeRef<'_>> {
        self.tree.lend().or_else(|| self.cell().home()?.tree())
    }

    /// The scope above; none above a root, and before the entry.
    pub(crate) fn parent(&self) -> Option<NodeRef> {
        self.lock().parent(self).cloned()
    }

    /// Whether the scope was closed because its host, or the runtime, is gone (L30).
    pub(crate) fn is_razed(&self) -> bool {
        self.flagged(RAZED)
    }
}

/// The waker that a task gives to user code, and a scope in a cancelled one.
impl Woken<dyn Cell> for Node {
    fn wake(this: &NodeRef) {
        this.count_wake();
        wake::wake(this);
    }

    fn calls() -> &'static Calls<Self, dyn Cell> {
        static CALLS: Calls<Node, dyn Cell> = Calls::NEW;
        &CALLS
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        super::census::node_gone(self.kind);
    }
}
