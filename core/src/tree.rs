//! The tree of scopes: the mechanism that all constructs of foster (nurseries, cancel scopes, shields, brackets,
//! blocking jobs, finalizers) are built on.
//!
//! Each scope is a [`node`] on the heap. The future that the user awaits holds only the body; it *drives* the node. A
//! task's node is driven by a job of the runtime, and the node of a scope whose future was dropped by a *reaper*,
//! which is such a job, too.
//!
//! ```text
//!    Runtime ──polls──▶ Job ──▶ task node ◀──parent── inner scope node ◀──drives── ScopeFuture
//!                                   │  children ────────────▲                      (in the task's body)
//!                                   ▼
//!                                 Tree: runtime, timers, observer (one for all nodes)
//! ```
//!
//! A node refers to its parent, and a parent's children table to each node that has not left it. So a scope and its
//! parent refer to each other as long as the scope is linked; `NodeRef::leave` breaks that circle, and
//! `abandon::shut_down` for all scopes at once.
//!
//! Each file knows only those before it in this list: by its imports, and also by the methods that it calls (checked
//! by `tests/tests/ceilings.rs`, which allows circles of up to three). Two circles are left: [`node`], [`shared`] and
//! the contract of the host (`runtime.rs`), which hold the tree together, and [`request`] with [`deadline`], as a request
//! arms the timer of its hard time and a deadline makes a request.
//!
//! 1. plain data: [`flags`] and [`cancel_state`] (what can be asked of a scope without its lock, and how requests
//!    pass shields), [`children`], [`polled`], [`binding`], [`panic`](mod@panic), [`no_context`],
//!    [`timers`] (the queue of instants)
//! 2. [`node`] (what a scope is, and how code that waits in it is given something), [`shared`] (what all scopes of a tree
//!    share, and what the runtime polls)
//! 3. [`observing`] (what observers are told), [`inline`] (the parts
//!    of a scope that does without a node), [`frames`] (the scopes that a thread is in), [`waking`] (how wakers are
//!    called), [`wake`] (whose drivers are woken), [`attach`] (how a scope gets its place)
//! 4. how a scope is asked to stop: [`verdict`] (what becomes of its code), [`request`], [`deadline`] (the clock),
//!    [`current`](mod@current) (what code may ask of the scopes that it is in)
//! 5. how it ends: [`closing`], [`task`], [`abandon`] (how it outlives its future), [`drive`] (how it
//!    is polled, delivered and drained)
//! 6. what drives it: [`job`] (how the runtime polls), [`root`](mod@root), [`scope_future`] (the future that the user
//!    awaits)
//!
//! Where a file has something done by one further down in the list, it was given a function: a tree has `reap` and the
//! waker of its timer from the root, and a node has `on_orphaned` from its nursery.
//!
//! Four threads of control may meet in one node at any moment: its driver, in a poll; a request that comes down from
//! an ancestor, from any thread; the timer of the host; and a `Drop` of its future, also on any thread. The
//! invariants say how they agree.
//!
//! # Words
//!
//! | word | meaning here |
//! |---|---|
//! | driver | whatever polls a scope: its own future, its job, or a reaper; one at a time |
//! | inner scope | a scope that the parent's body has opened in the same task, and that the body polls |
//! | request, propagate | a scope is asked to stop; that is carried down, through shields as far as these let it |
//! | runnable, blocked | whether code has something to do at the instant of a request, and so gets one more poll |
//! | deliver | to drop the body of a cancelled scope |
//! | drain | to wait for children and orphans, then to run finalizers, then to close |
//! | abandon | to take over a scope whose driver is gone |
//! | leaked | abandoned, but the future is not gone: it was forgotten, or has escaped from the scope around |
//! | orphan, reaper | an abandoned scope with something left to finish; the job that drives it then |
//! | park | to stay Pending for ever, because the code around is cancelled and must not go on |
//! | claim, given | code that waits is chosen for something, which is noted on its scope (L14) |
//! | skipped | a waiter that is left out because its code is cancelled |
//! | delay | an inner scope that still has to end delays the drop of the cancelled code around it (L15) |
//! | passed over, undriven | such a scope was woken, and the poll of the code around did not poll it (L16); so often that nobody drives it |
//! | late | opened while a request was marking others |
//! | escaped | a future that is polled outside of the scope in which it was opened |
//! | bare | without anything inside, and without a handle |
//! | inline, promote | a scope without a node, in its first poll; to give it one |
//! | shut down | to close all scopes at once, because their host is gone |
//!
//! # Invariants
//!
//! They are cited in the code as `Invariant n`.
//!
//! 1. A thread locks one node at a time, and under a lock only plain data is moved (L36). So there is no lock order
//!    among nodes. Other locks are taken alone, but for these, each below the one to the left of it:
//!
//!    ```text
//!    marking ──▶ node ──▶ queue of timers              `marking`, `queue`: timers.rs
//!                node ──▶ cut_off                      what a shut-down has cut off: shared.rs
//!                node ──▶ the host's clock             a call of the adapter, which calls nothing of foster's (R5)
//!    incoming ──▶ node, pending, route                 one after the other: a spawn into a local nursery
//!    target ──▶ interim nursery ──▶ child ──▶ waiting  the one exception: nursery/start.rs, `Route::take`
//!    parent ──▶ child                                  after that: `NodeRef::inherit_anew`
//!    ```
//!
//!    The exception is a child of `start` that moves to another nursery. No handle to its interim nursery exists, so that is
//!    never a target itself, and no thread locks these nodes the other way round.
//! 2. A node is linked under its parent's lock, which also decides whether the parent still admits it; the cancel
//!    state and the flags it starts with are read under the same lock. A request marks a node under that lock, then
//!    reads its children. So a scope that comes while a request goes down is either visited by it, or starts with
//!    what it has set.
//! 3. Only the driver moves a scope's life forward, apart from `shut_down`; and there is one at a time: see
//!    [`drive::Driver`].
//! 4. The requests that reach a scope only ever become more, and more urgent; flags are never cleared. So a request may
//!    be propagated by several threads at once and in any order, and a flag that was read as set may be acted upon
//!    without a lock. (The one place where the inherited part is set anew is the move of a `start`: see
//!    `NodeRef::inherit_anew`.)
//!
//! Two habits follow from the first, and are found in every file: what is dropped (a node reference that may be the
//! last, a waker, a timer's target) is taken out under the lock, and dropped after it; and code that needs several
//! nodes (all inner scopes, the way to the root) copies references under one lock, and then locks one after the
//! other. In between the tree may change, so each step looks again, and whatever it finds has to make sense by
//! itself.

pub(crate) mod abandon;
pub(crate) mod attach;
pub(crate) mod binding;
pub(crate) mod cancel_state;
pub(crate) mod children;
pub(crate) mod closing;
pub(crate) mod current;
pub(crate) mod deadline;
pub(crate) mod delay;
pub(crate) mod drive;
pub(crate) mod flags;
pub(crate) mod frames;
pub(crate) mod inline;
pub(crate) mod job;
pub(crate) mod no_context;
pub(crate) mod node;
pub(crate) mod observing;
pub(crate) mod panic;
pub(crate) mod polled;
pub(crate) mod request;
pub(crate) mod root;
pub(crate) mod scope_future;
pub(crate) mod shared;
pub(crate) mod task;
pub(crate) mod timers;
pub(crate) mod verdict;
pub(crate) mod wake;
pub(crate) mod waking;

pub use root::{Root, TreeHandle, current, root};
pub use shared::Job;
pub(crate) use shared::Tree;
