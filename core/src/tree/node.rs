//! The node: what a scope is on the heap.
//!
//! The user's future holds only the body; everything that has to survive the loss of that future is here. A thread
//! locks one node at a time, and touches nothing but plain data under that lock, so there is no lock order among nodes, and
//! no user code below a lock (L36). The exceptions, and the other locks: Invariant 1.
//!
//! ```text
//!    NodeRef ──▶ block (see foster-cell) ┌ Node ─┬─ kind, origin              never change
//!    (count)                             │       ├─ flags, atomics            read by anyone, without a lock
//!                                        │       └─ Mutex<State> ── Box<Cold> what most scopes never have
//!                                        ├ part: a nursery's errors
//!                                        └ body: a task's future, then its value; of every other scope it is elsewhere
//! ```
//!
//! A node is made before it has a place (`unattached`, `nursery`: there are handles to it, or it has to exist before
//! its first poll), or for a place that its parent has just given it (`attached`, `task`). From then on it has a
//! parent; `reparent` and the move of a `start` exchange that, and a scope that ends by itself gives it up (`close_in`).
//!
//! The file is long because the reference, the node and its state know one another: apart they would be a circle of imports.
//!
//! A field is an atomic, and not part of [`State`], for one of two reasons: it is read in every poll, where a lock
//! would be felt; or wakers write it, which may be called under locks of foreign code.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::binding::Binding;
use super::cancel_state::{CancelState, ShieldLevel};
use super::children::Children;
use super::flags::{ABANDONED, CANCELLED, LATE, LOCAL, PARENT_CANCELLED, PROPAGATED, SHUT_DOWN, TIMED};
use super::panic::Payload;
use super::polled::Polled;
use super::shared::Tree;
use super::timers::TimerKey;
use crate::Instant;
use crate::events::TaskStatus;
use crate::raw::BlockRef;
use crate::reason::{Origin, Reason};
use crate::sys::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::sys::{MutexGuard, OnceLock, PlainMutex};

/// The construct that a scope belongs to: for names in dumps and messages, and where the core treats tasks and roots
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body of `root`, or the installed root, which has none. Has no parent.
    Root,
    /// A child of a nursery of either kind; the only kind with an outcome for a handle.
    Task,
    /// A nursery of either kind: the only kind that can have children and errors.
    Nursery,
    /// `CancelScope` without a shield, a timeout, the scope of a scoped value, or a `DeferGuard`.
    CancelScope,
    /// A full shield, maybe with a handle or a deadline of its own.
    Shield,
    /// A graceful shield.
    Graceful,
    /// A blocking job that is awaited (L21): a full shield without a body. The end of the job, which the core owns, is
    /// run as a finalizer is.
    Thread,
    /// The scope around the body of a bracket, whose last finalizer is the release (L23).
    Bracket,
    /// The scope in which one finalizer runs: a full shield with a deadline (L22).
    Finalizer,
}

impl Kind {
    /// Returns the name that dumps, observers and panic messages use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Root => "root",
            Kind::Task => "task",
            Kind::Nursery => "nursery",
            Kind::CancelScope => "cancel scope",
            Kind::Shield => "shield",
            Kind::Graceful => "graceful shield",
            Kind::Thread => "thread",
            Kind::Bracket => "bracket",
            Kind::Finalizer => "finalizer",
        }
    }

    /// Returns which requests such a scope keeps out (L9, L20).
    pub(crate) fn shield(self) -> ShieldLevel {
        match self {
            Kind::Root | Kind::Task | Kind::Nursery | Kind::CancelScope | Kind::Bracket => ShieldLevel::None,
            Kind::Graceful => ShieldLevel::Graceful,
            Kind::Shield | Kind::Thread | Kind::Finalizer => ShieldLevel::Full,
        }
    }
}

/// The life cycle of a scope; it only moves forward (L2, L3), and is written under the node's lock.
///
/// ```text
///   Open ──1──▶ Draining ──2──▶ Finalizing ──3──▶ Closed
/// ```
///
/// 1. the body is over: `NodeRef::end_body` or `drain`; or its driver was dropped: `abandon::driver_dropped`
/// 2. no child and no orphan is left: `NodeRef::drain`
/// 3. no finalizer is left: `NodeRef::drain`; from any state when the host is gone: `abandon::shut_down`
///
/// A scope that never had anything below it goes from Open to Closed in one step. A scope without a body (`OwnedScope`)
/// is Finalizing from its entry. The order of the variants is used: a later state is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// The body may be polled, and the scope admits whatever is opened inside.
    Open,
    /// The body is gone. Children and orphans are waited for; a nursery admits further children as long as one is
    /// left (L4).
    Draining,
    /// Nothing is left inside but finalizers, which run one at a time (L22). No child is admitted.
    Finalizing,
    /// Empty, for good: the children table and the list of finalizers are empty (I2), and requests, deadlines and
    /// `defer` are refused (L3).
    Closed,
}

/// A shared reference to a scope, of one word; cloning it counts. The block behind it is also where a task has its
/// body.
///
/// Dropping the last one drops the node with its part and its body, which is user code: so a `NodeRef` that may be
/// the last is dropped where no lock is held.
#[derive(Clone)]
pub(crate) struct NodeRef(pub(super) BlockRef<Node>);

/// Code that waits: the scope that it is directly in; none outside of any tree, where nothing is ever cancelled.
///
/// It may hold the last reference to a scope: it must not be dropped under a lock.
#[derive(Default)]
pub(crate) struct WaitingCode(pub(super) Option<NodeRef>);

impl WaitingCode {
    /// Returns the scope that the code is directly in.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&NodeRef> {
        self.0.as_ref()
    }

    /// Returns whether the code is cancelled; by the flag alone. Once true, it stays true.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.scope().is_some_and(|scope| scope.flagged(CANCELLED))
    }

    /// Returns whether the code may be given something. It will be polled to take it then, whatever is requested from
    /// now on, and is to be woken. Takes no lock, so it may be called under any.
    ///
    /// Not left to the wakers: a combinator hands on a call only once, and may have handed on one that was foster's, which
    /// does not count; and the body around may have been polled since, and have left out this code.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let Some(scope) = self.scope() else { return true };
        if scope.flagged(CANCELLED) {
            return false;
        }
        // Ordering: see `Node::flags_of`.
        scope.given.store(true, Ordering::SeqCst);
        // Once more: see the head of `request.rs`. If it is cancelled by now, it has a poll for nothing.
        !scope.flagged(CANCELLED)
    }
}

/// A future that the core owns and not the user: a finalizer, the release of a bracket, the end of a blocking job. It
/// goes on when the scope's own future is dropped (L27).
pub(crate) type Owned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A scope. Before it gets a place in a tree it has no tree and no parent, is Open, and is reached by nothing but
/// its own request.
pub(crate) struct Node {
    /// The construct that the scope belongs to. Never changes.
    pub(crate) kind: Kind,
    /// Its name, and where it was made.
    pub(crate) origin: Origin,
    /// The tree, once it is known; before the node gets its place (see `keep_tree`), so whatever is linked has a
    /// tree.
    tree: TreeLink,
    /// Called when the scope was closed without a caller: by a reaper, inside the drop of its future (L29), or with
    /// its host (L30). The errors of a nursery go to the observer then; does nothing for other kinds. A function
    /// pointer, because only the nursery knows the type of its errors.
    pub(super) on_orphaned: fn(&NodeRef),
    /// The bits of [`flags`](super::flags). Set by `flag` and `flag_all` alone, never cleared (Invariant 4).
    flags: AtomicU32,
    /// Whether the scope was woken since it was last polled. Set by each wake-up that goes through the node, before
    /// the driver's waker is called; taken back by `touch` when the scope is polled. It has three uses: the parent
    /// tells by it whether the scope was passed over (L16), `register` whether a wake-up went to a waker that is out of
    /// date, and the root whether anybody has asked for this poll.
    pub(crate) woken: AtomicBool,
    /// How many wake-ups of the scope have marked it and not yet called its driver's waker, or not returned from that:
    /// see `wake.rs`. Not counted for tasks and roots, which delay nobody.
    pub(super) calls: AtomicU32,
    /// Whether the scope was woken *before* the current poll of its parent's body began (L16.2), and was not polled since:
    /// `is_due`, as `begin_poll` of the parent has read it. Taken back by `touch`.
    pub(crate) due: AtomicBool,
    /// How often in a row the scope was due and passed over, as `must_wait` of the parent counts it; from `UNDRIVEN` on
    /// it is undriven (L16). Back to 0 by `touch`.
    pub(crate) missed: AtomicU8,
    /// When the body was last polled, whether it is being polled now, and how often it was woken: what the verdict of
    /// L12 is taken from.
    pub(crate) polled: Polled,
    /// Code directly in the scope was given something since the last poll of that began (L14): so it has one more (L12),
    /// whatever the code around does. Set by [`WaitingCode::claim`].
    pub(super) given: AtomicBool,
    /// The number of the request by which the code directly inside became cancelled. 0 if it is not cancelled, or was
    /// opened in cancelled code: nothing was given to that before (L14). Stored once, before `CANCELLED` is set.
    pub(super) cancelled_by: AtomicU32,
    /// How a task has ended, for its handle: the number of its `TaskStatus`, and 0 as long as it has not. Of a root, that its
    /// tree has ended. Set once, by `set_outcome` under the node's lock, and never for other kinds.
    pub(super) ended: AtomicU8,
    /// How many requests had been made in the tree when the task ended: see `ended_before`. Stored before the
    /// outcome, and valid with it.
    pub(super) ended_after: AtomicU32,
    /// The waker of the job that polls this task: set at the end of its first poll that is Pending, or of the
    /// second, if it has woken itself in the first. Any waker of a job wakes it until
    /// it is over (R2), so neither a later poll nor a wake-up locks the node for it: half of the atomic steps of a
    /// turn, whose bar (`tests/bench`) is missed without it. Not set for other kinds, nor for children of local
    /// nurseries. Kept as long as the node, since a wake-up may call it at any time; so it keeps the memory of the
    /// host's task.
    pub(super) job_waker: OnceLock<Waker>,
    /// Whether a scope inside still had to end when it was last looked at: see [`delays`](NodeRef::delays). A
    /// hint that saves walking down the tree once for each level of it; `true` may be out of date until the body around
    /// is polled.
    pub(super) waits: AtomicBool,
    /// Everything else. Poison is ignored: nothing under it can panic half-way.
    state: PlainMutex<State>,
}

// A panic leaves no node half-changed: no user code runs under its lock (L36), and what unwinds through a body is
// caught and recorded (L32). So handles can be used after a panic, and in a `catch_unwind`, whatever the node holds.
impl UnwindSafe for Node {}
impl RefUnwindSafe for Node {}

/// A scope's place below its parent, with what reaches it there; made under the parent's lock (Invariant 2), and used
/// at once, or right after the lock is released.
pub(crate) struct Attachment {
    /// Below a scope that is not Closed, but for `nowhere`.
    pub(super) place: Place,
    /// All requests that reach the parent's code, those on the parent itself included. The scope's own shield is still
    /// to be applied: see [`behind`](Attachment::behind).
    pub(super) requests: CancelState,
    /// The flags that follow from those of the parent: `PARENT_CANCELLED`, `PROPAGATED`, `TIMED` and
    /// [`KEPT`](super::flags::KEPT); and `DAEMON`.
    pub(super) flags: u32,
}

/// Where a scope is listed.
#[derive(Clone)]
pub(crate) struct Place {
    /// The scope above: the parent of L1, later maybe that of L25, or the target of a `start`.
    pub(crate) parent: NodeRef,
    /// The key in the parent's children table. It is used again when the scope has left; so the table compares the
    /// node, too. `u32::MAX` below a parent that was closed with its host, where the scope was never listed.
    pub(crate) slot: u32,
}

/// A request that stands (L6): the reason and the times never change, but that `hard` may come forward.
pub(crate) struct Request {
    /// Why; that of the first request, whatever comes later.
    pub(crate) reason: Reason,
    /// When it was made. Of a request that came before the scope's entry it is 0 until `entered` makes it the time of
    /// the entry.
    pub(crate) soft: Instant,
    /// When graceful shields stop holding it off: `soft` plus the grace.
    pub(crate) hard: Instant,
}

/// The tree of a scope. Two variants, because most nodes are made when their tree is known, and to make a cell that is
/// set takes a hundred instructions.
enum TreeLink {
    /// Of a scope that is made for its place, or of a root.
    Known(Arc<Tree>),
    /// Of one that was made before it had a place, because there are handles to it: set by `keep_tree` just before it
    /// is attached.
    Late(OnceLock<Arc<Tree>>),
}

/// The data that a node's lock protects.
///
/// There may be millions of these, so what most scopes never have is kept apart, in [`Cold`].
pub(crate) struct State {
    /// How far the scope has come. Moved by its driver, by `abandon` and by `shut_down`, under this lock.
    pub(crate) life: Life,
    /// The scope's place. None for a root, before the entry, and once the scope has ended by itself. Where code may still go
    /// up from a scope, it keeps its place, also when it has left the parent's table: see `close_in`.
    pub(crate) place: Option<Place>,
    /// Requests from further out that reach this scope, as far as its own shield lets them. Written by `propagate`,
    /// `inherit` and, for the move of a `start`, anew.
    pub(crate) inherited: CancelState,
    /// The scope's own deadline; `NEVER` if there is none. It stays when it has passed, for dumps and for the reason.
    pub(crate) deadline: Instant,
    /// The entry of the scope among the timers: for that deadline; once there is a request, for the hard time of that.
    /// None before the entry into a tree, and when nothing is to come.
    pub(crate) timer: Option<TimerKey>,
    /// The scopes directly below.
    pub(crate) children: Children<NodeRef>,
    /// Wakes whoever drives the scope, unless that is the job of a task, which `job_waker` wakes. Left by `register` at
    /// the end of a Pending poll; taken (not cloned) by each wake-up, so that it is called once for each poll. None:
    /// nobody has polled the scope yet, or it was woken since, or the scope is Closed.
    pub(crate) waker: Option<Waker>,
    /// Wakes whoever awaits the end of a task through its handle; of a root, the sentinel of its tree. None if nobody does,
    /// and once that has ended.
    pub(super) joiner: Option<Waker>,
    /// The rest. None as long as the scope has had nothing of it: no request, no finalizer and no panic. Never freed before
    /// the node.
    pub(crate) cold: Option<Box<Cold>>,
}

/// The fields that most scopes never use: of a request, of finalizers, of a panic. Protected by the lock of the
/// [`State`] that it belongs to.
#[derive(Default)]
pub(crate) struct Cold {
    /// The scope's own request. Set once, never taken back (L6).
    pub(crate) request: Option<Request>,
    /// Before the entry: how long the scope may last from there. `entered` makes it the deadline.
    pub(crate) relative: Option<Duration>,
    /// The grace of requests that name none of their own, and of the deadline. 0 unless the user has set it, before
    /// the entry.
    pub(crate) grace: Duration,
    /// Finalizers that have not started. The last one runs first (L22); the release of a bracket goes to the front.
    pub(crate) finalizers: Vec<Owned>,
    /// The finalizer that has started, or the end of a blocking job. None as well while it is being polled: then
    /// `polls_finalizer` is set.
    pub(crate) running: Option<Owned>,
    /// The running finalizer was taken out of `running` by a driver that is polling it. A driver that takes over
    /// meanwhile waits until it is put back (I3).
    pub(crate) polls_finalizer: bool,
    /// The first panic that was recorded (L32): of the body, of a child, of an orphan. It resumes when the scope is
    /// Closed; taken by `close_in`.
    pub(crate) panic: Option<Payload>,
    /// Of a nursery of a `start`: the nursery that is kept open for its child, until that is ready or this one is
    /// closed (L4). Whoever takes it calls `start_answered` on it, with no lock held.
    pub(crate) start_into: Option<NodeRef>,
    /// The scoped value that this scope is there for. Set before the entry, dropped when the scope closes.
    pub(crate) binding: Option<Binding>,
    /// Wakes the operations that have stopped here in cancelled code, when the scope is Closed: see `leaf/arrival.rs`.
    pub(crate) stopped: Vec<Waker>,
    /// The operations that the body waited for when it was last polled; noted only in trees that are watched
    /// (`NOTED`).
    pub(crate) waits_for: Vec<&'static str>,
}

impl State {
    /// Returns the cold part; makes it if it was not there. Not for mere questions: a scope that has one is closed on
    /// the slower path.
    pub(crate) fn cold_mut(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// Returns the scope's own request, if there is one.
    pub(crate) fn request(&self) -> Option<&Request> {
        self.cold.as_ref()?.request.as_ref()
    }

    /// Returns the grace of requests that name none.
    pub(crate) fn grace(&self) -> Duration {
        self.cold.as_ref().map_or(Duration::ZERO, |cold| cold.grace)
    }

    /// Returns the scope above; none where there is no [place](State::place).
    pub(crate) fn parent(&self) -> Option<&NodeRef> {
        self.place.as_ref().map(|place| &place.parent)
    }

    /// Returns how many finalizers wait or run, one that was taken out to be polled included.
    pub(crate) fn finalizers(&self) -> usize {
        let runs = |cold: &Cold| cold.running.is_some() || cold.polls_finalizer;
        self.cold.as_ref().map_or(0, |cold| cold.finalizers.len() + usize::from(runs(cold)))
    }

    /// Returns whether a panic was recorded: then the scope still has to end (L15).
    pub(crate) fn has_panicked(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.panic.is_some())
    }

    /// Returns everything that reaches the code directly inside and, before their own shields, the scopes below.
    #[inline]
    pub(crate) fn cancel_state(&self) -> CancelState {
        match self.request() {
            Some(request) => CancelState::own(request.hard).join(self.inherited),
            None => self.inherited,
        }
    }

    /// Returns whether a nursery takes a child now (L4). Under the same lock the child has to be linked, or a drain
    /// comes between that finds nothing left.
    ///
    /// Model: `races/scopes.rs`, `a_spawn_races_with_the_drain`.
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
    /// Makes the root of a tree.
    pub(super) fn root(origin: Origin, tree: Arc<Tree>) -> Self {
        let mut node = Node::new(Kind::Root, origin, None, |_| {});
        node.tree = TreeLink::Known(tree);
        NodeRef(BlockRef::with_part(node, ()))
    }

    /// Makes a scope that has no parent yet, and that there are handles to before it is entered. `enter_tree` has to
    /// follow.
    pub(crate) fn unattached(kind: Kind, origin: Origin) -> Self {
        NodeRef(BlockRef::with_part(Node::new(kind, origin, None, |_| {}), ()))
    }

    /// Does as [`unattached`](NodeRef::unattached), for a nursery of tasks, whose errors become the part of the
    /// block; `on_orphaned` knows their type.
    pub(crate) fn nursery<S: Send + Sync + 'static>(origin: Origin, errors: S, on_orphaned: fn(&NodeRef)) -> Self {
        let node = Node::new(Kind::Nursery, origin, None, on_orphaned);
        NodeRef(BlockRef::with_part(node, errors))
    }

    /// Makes a scope for its place. Under the same lock of the parent it has to be linked there (Invariant 2); once
    /// that lock is released, [`hard_time_may_be_over`](NodeRef::hard_time_may_be_over) has to follow.
    #[inline]
    pub(crate) fn attached(place: Attachment, kind: Kind, origin: Origin) -> Self {
        NodeRef(BlockRef::with_part(Node::new(kind, origin, Some(place), |_| {}), ()))
    }

    /// Sets what an inline scope has from its beginning as a node, which is made for its place, and not linked there yet: its
    /// deadline, with the entry for that, and its driver's waker. Returns so many references to it.
    pub(super) fn begun<const N: usize>(
        mut self,
        at: Instant,
        key: Option<TimerKey>,
        driver: Option<Waker>,
    ) -> [Self; N] {
        let Some(node) = self.0.get_mut() else { unreachable!("nobody knows it as long as it is not linked") };
        *node.flags.get_mut() |= if at == Instant::NEVER { 0 } else { TIMED };
        // L16: it is being polled, or was polled just now, and so not passed over.
        *node.woken.get_mut() = false;
        let state = node.state.get_mut();
        (state.deadline, state.timer, state.waker) = (at, key, driver);
        self.0.split().map(NodeRef)
    }

    /// Returns what was stored beside the node, if it is an `S`: the errors of a nursery.
    #[inline]
    pub(crate) fn part<S: 'static>(&self) -> Option<&S> {
        self.0.part()
    }

    /// Returns this scope and those below it, the outermost first: below each as far as `goes_on` says, which is called
    /// for a scope before its children are looked at. No lock may be held: they are locked one after the other.
    pub(super) fn all_below(&self, goes_on: impl Fn(&NodeRef) -> bool) -> Vec<NodeRef> {
        let mut nodes = vec![self.clone()];
        let mut next = 0;
        while let Some(node) = nodes.get(next).cloned() {
            next += 1;
            if goes_on(&node) {
                nodes.extend(node.lock().children.iter().map(|(_, below)| below.clone()));
            }
        }
        nodes
    }

    /// Returns this scope and those above it, up to the root, or to one that has no place (any more). No lock may be held: they
    /// are locked one after the other, and may get other parents meanwhile.
    pub(crate) fn and_above(&self) -> impl Iterator<Item = NodeRef> {
        std::iter::successors(Some(self.clone()), |node| node.parent())
    }

    /// Returns the scope's place. As [`parent`](NodeRef::parent).
    pub(super) fn place(&self) -> Option<Place> {
        self.lock().place.clone()
    }

    /// Returns the scope above; none where there is no [place](State::place). It may change as soon as the lock is
    /// released.
    pub(crate) fn parent(&self) -> Option<NodeRef> {
        self.lock().parent().cloned()
    }
}

impl Attachment {
    /// Returns the flags of a scope with that shield in this place, and what it inherits (L9).
    #[inline]
    pub(super) fn behind(&self, shield: ShieldLevel) -> (u32, CancelState) {
        let inherited = self.requests.through(shield);
        let held_off = if shield == ShieldLevel::Full { TIMED } else { 0 };
        let flags = self.flags & !(held_off | PROPAGATED);
        if inherited.waits_for_hard() {
            // Held off by a graceful shield, the scope's own or one further out: the clock will tell.
            (flags | TIMED, inherited)
        } else if inherited.any() {
            // Opened by code that is cancelled, and is running: it is polled once (L12.4, L13). It may be dropped as
            // soon as the code around it may (L11).
            let when = if self.flags & PROPAGATED != 0 { PROPAGATED } else { LATE };
            (flags | CANCELLED | when, inherited)
        } else {
            (flags, inherited)
        }
    }
}

/// The construct, its name and its place: for messages.
impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.origin)
    }
}

/// Whether both refer to the same scope.
impl PartialEq for NodeRef {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }
}

impl Deref for NodeRef {
    type Target = Node;

    #[inline]
    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Node {
    /// Makes a node; with an attachment, what reaches it there is set from the beginning, so that there is no moment at
    /// which it would not be.
    #[inline(always)]
    pub(super) fn new(kind: Kind, origin: Origin, attachment: Option<Attachment>, on_orphaned: fn(&NodeRef)) -> Self {
        crate::live_counts::node_made(kind == Kind::Task);
        let (flags, inherited) =
            attachment.as_ref().map_or((0, CancelState::default()), |there| there.behind(kind.shield()));
        let place = attachment.map(|there| there.place);
        let tree = place.as_ref().and_then(|place| place.parent.tree().cloned());
        Node {
            kind,
            origin,
            tree: tree.map_or_else(|| TreeLink::Late(OnceLock::new()), TreeLink::Known),
            on_orphaned,
            flags: AtomicU32::new(flags),
            // A scope in a cancelled one counts as woken until it is polled: if nobody does that, it is found to be
            // passed over (L16).
            woken: AtomicBool::new(flags & PARENT_CANCELLED != 0),
            calls: AtomicU32::new(0),
            due: AtomicBool::new(false),
            missed: AtomicU8::new(0),
            polled: Polled::never(),
            given: AtomicBool::new(false),
            cancelled_by: AtomicU32::new(0),
            ended: AtomicU8::new(0),
            ended_after: AtomicU32::new(0),
            job_waker: OnceLock::new(),
            waits: AtomicBool::new(false),
            state: PlainMutex::new(State {
                life: Life::Open,
                place,
                inherited,
                deadline: Instant::NEVER,
                timer: None,
                children: Children::default(),
                waker: None,
                joiner: None,
                cold: None,
            }),
        }
    }

    /// Locks the node. No other node may be locked by this thread, except in the move of a `start` (Invariant 1), and
    /// until the guard is dropped only plain data is moved.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Returns whether one of these flags is set, or was at some moment of this call.
    #[inline]
    pub(crate) fn flagged(&self, flag: u32) -> bool {
        self.flags_of(flag) != 0
    }

    /// Returns those of these flags that are set.
    #[inline]
    pub(super) fn flags_of(&self, flags: u32) -> u32 {
        // Ordering: a request sets the flag under the node's lock before it takes the waker that the driver
        // registered under the same lock; a driver that reads a stale flag is woken by that very waker. It pairs with
        // `flag_all`: what was stored before the flag (`cancelled_by`, say, or a nursery's error) is seen with it.
        //
        // Sequential, and so are `given` and the count of wake-ups. Of the two last loads here at least one sees what the
        // other side has stored:
        //
        //    giver (or waker)                   request (or reaper)
        //    load the flag: not set             set the flag
        //    store `given` (or count)           load `given` (or the count)
        //    load the flag
        self.flags.load(Ordering::SeqCst) & flags
    }

    /// Sets a flag; returns whether it was not set before: of several threads, one is told so.
    pub(crate) fn flag(&self, flag: u32) -> bool {
        self.flag_all(flag) != 0
    }

    /// Sets flags in one step; returns those that were not set before.
    pub(super) fn flag_all(&self, flags: u32) -> u32 {
        // Ordering: sequential, for `flags_of`.
        flags & !self.flags.fetch_or(flags, Ordering::SeqCst)
    }

    /// Notes in which tree the scope is about to get its place. Before it is linked, so that nobody finds a linked
    /// scope without a tree.
    pub(crate) fn keep_tree(&self, tree: &Arc<Tree>) {
        if let TreeLink::Late(late) = &self.tree {
            // Of two that enter at the same time, one is the first; both are in the same tree.
            drop(late.set(tree.clone()));
        }
    }

    /// Returns the tree of the scope; none before it is known. A scope that has a parent has a tree.
    #[inline]
    pub(crate) fn tree(&self) -> Option<&Arc<Tree>> {
        match &self.tree {
            TreeLink::Known(tree) => Some(tree),
            TreeLink::Late(late) => late.get(),
        }
    }

    /// Returns whether the body is all that there is of the scope: nothing is below it, nothing has to be run at its end, and
    /// there is no handle to it, unless it is a task, as it was made when it got its place. (`inherited` is not asked: it is
    /// what `close_in` looks at.)
    pub(super) fn is_bare(&self) -> bool {
        let state = self.lock();
        let is_open = state.life == Life::Open && matches!(self.tree, TreeLink::Known(_));
        is_open && state.children.is_empty() && state.children.awaited() == 0 && state.cold.is_none()
    }

    /// Returns whether the scope gives the code inside a waker of its own, which counts: tasks, the root, local
    /// nurseries, and scopes that a reaper drives. Wake-ups inside other scopes are counted by the nearest of these
    /// further out.
    #[inline]
    pub(super) fn counts_wakes(&self) -> bool {
        matches!(self.kind, Kind::Task | Kind::Root) || self.flagged(LOCAL | ABANDONED)
    }

    /// Returns how the task has ended; none as long as it has not. Whoever sees that it has ended sees what it has left:
    /// its value, `ended_after`.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<TaskStatus> {
        use TaskStatus::{Cancelled, Failed, Finished, Panicked};
        // Ordering: pairs with the store in `set_outcome`.
        let number = self.ended.load(Ordering::Acquire);
        [Finished, Cancelled, Failed, Panicked].into_iter().find(|status| *status as u8 == number)
    }

    /// Returns whether the scope was closed because its host, or the runtime, is gone (L30).
    pub(crate) fn is_shut_down(&self) -> bool {
        self.flagged(SHUT_DOWN)
    }

    /// Returns how many finalizers of the user's wait or run: the end of a blocking job is none. `state` is that of
    /// this scope.
    pub(crate) fn users_finalizers(&self, state: &State) -> usize {
        if self.kind == Kind::Thread { 0 } else { state.finalizers() }
    }

    /// Returns how far the scope has come. It may have moved on as soon as the lock is released; Closed is final.
    pub(crate) fn life(&self) -> Life {
        self.lock().life
    }
}

impl Drop for Node {
    /// Gives up the scopes above one after the other: they may be nested as deep as memory reaches, and a recursive
    /// drop would need a stack as deep (L37).
    ///
    /// Each turn takes the parent out of a node of which this is the last reference, before that node is dropped
    /// itself.
    fn drop(&mut self) {
        crate::live_counts::node_gone(self.kind == Kind::Task);
        // Without locking: nobody else refers to such a node.
        let mut above = self.state.get_mut().place.take();
        while let Some(mut place) = above {
            above = place.parent.0.get_mut().and_then(|node| node.state.get_mut().place.take());
        }
    }
}
