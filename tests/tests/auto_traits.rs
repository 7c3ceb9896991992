//! The auto traits of all public types, as a table; and futures that have to be `Send` where it is hard to have them
//! so.
//!
//! A row names what the type implements of `Send`, `Sync` and `Unpin`: these and no others. `UnwindSafe` (and
//! `RefUnwindSafe` with it) is a promise where it stands in the row, and open where it does not.
//!
//! `Cell<u8>` is `Send` and not `Sync`, `Rc<u8>` is neither; `Pinned` is a future that is not `Unpin`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::{self, Future};
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use foster::app::{App, ExitCause, ExitReport, Signal, SignalAfter, Straggler};
use foster::channel::future::{
    BroadcastClosed, BroadcastRecv, BroadcastSend, ChannelClosed, ChannelRecv, ChannelReserve, ChannelSend,
    OneshotClosed, WatchClosed, WatchRecv, WatchWaitFor,
};
use foster::channel::{
    BroadcastReceiver, BroadcastRecvError, BroadcastSender, BroadcastStatistics, BroadcastTryRecvError,
    ChannelStatistics, CloneError, Lag, Lagged, OneshotReceiver, OneshotSender, Permit, Receiver, RecvError, SendError,
    Sender, TryRecvError, TrySendError, WatchReceiver, WatchSender, WatchStatistics,
};
use foster::cleanup::{BracketExit, DeferGuard, ResourceGuard};
use foster::combine::future::{
    AsCompleted, Batch, Emit, FirstOk, ForEachConcurrent, Gather, GatherResults, Indexed, Join2, Join3, Join4, Join5,
    Join6, Join7, Join8, MapConcurrent, MapConcurrentResults, Merge, Produce, Quorum, Race2, Race3, Race4, Race5,
    Race6, Race7, Race8, RaceAll, RaceArray, Staggered, Throttle, TryJoin2, TryJoin3, TryJoin4, TryJoin5, TryJoin6,
    TryJoin7, TryJoin8, TryProduce,
};
use foster::combine::{AllFailed, Emitter, NoQuorum};
use foster::error::{ErrorGroup, JoinError, Member, SpawnError, TaskFailure};
use foster::future::{
    Bracket, CancelScopeFuture, Checkpoint, CheckpointIfCancelled, FailAfter, FailAfterFlatten, Interval, Losers,
    MoveOnAfter, NurseryFuture, ScopedValueFuture, Shield, Sleep, SleepForever, YieldNow,
};
use foster::future::{InfallibleNursery, LocalNurseryFuture};
use foster::future::{ToThread, ToThreadAbandon, TryToThread, WithMut};
use foster::leaf::{Gate, Operation, ReadyMember, ReadyQueue, Waiter};
use foster::nursery::TaskStatus;
use foster::nursery::{
    CollectErrors, FailFast, HandleErrors, Local, Parallel, SendBox, Started, TaskBuilder, UnsendBox, UnsendNursery,
};
use foster::observer::{
    Dump, DumpedRequest, DumpedScope, HostDropped, KeptPanic, LiveCounts, Observer, Orphan, OrphanKind, PrintOrphans,
    ScopeState,
};
use foster::observer::{ObservedScope, ObservedTask, PollReport, PollWatch, ScopeEvent, TaskEvent};
use foster::pool::{Pool, PoolError, PoolOptions, PoolStatistics, Pooled, Use};
use foster::portal::Portal;
use foster::portal::{PortalError, PortalHost, PortalStartError, PortalTask};
use foster::rate::{RateAcquire, RateLimiter};
use foster::retry::{Backoff, Delays, Failure, GaveUp, Jitter, Next, Retry, RetryBudget};
use foster::runtime::{
    AlreadyInstalled, BlockingError, Job, MissingCapability, Root, Runtime, Timer, TreeHandle, Work,
};
use foster::scope::{Origin, Reason, ReasonKind};
use foster::supervise::{ChildExit, Restart, Strategy, Supervisor, SupervisorEvent, TooManyRestarts};
use foster::sync::future::{
    BarrierWait, ConditionWait, ConditionWaitFor, EventWait, LimiterAcquire, LimiterAcquireOnBehalfOf,
    LimiterAcquireOwned, LimiterAcquireOwnedOnBehalfOf, MutexLock, MutexLockOwned, OnceCellGetOrInit,
    OnceCellGetOrTryInit, Park, PoisonMutexLock, PromiseWait, RwLockRead, RwLockWrite, SemaphoreAcquire,
    SemaphoreAcquireOwned,
};
use foster::sync::{
    AlreadySet, Arrival, Barrier, BarrierStatistics, Borrower, BorrowerBusy, CapacityLimiter,
    CapacityLimiterStatistics, Closed, Condition, Event, EventStatistics, Holder, LimiterPermit, Mutex, MutexGuard,
    MutexStatistics, OnceCell, OwnedLimiterPermit, OwnedMutexGuard, OwnedSemaphorePermit, ParkOutcome, PoisonMutex,
    PoisonMutexGuard, Poisoned, Promise, RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard, Semaphore,
    SemaphorePermit, SemaphoreStatistics, TryBorrowError, WaitQueue, WaitQueueGuard, WaitQueueStatistics, WakeList,
    WouldBlock,
};
use foster::thread::{CallError, Caller, Unblock};
use foster::{
    CancelScope, Cancelled, Elapsed, Instant, LocalNursery, Nursery, NurseryOptions, ScopeHandle, ScopedValue, Task,
};

#[path = "auto_traits/send_futures.rs"]
mod send_futures;
#[path = "layers/sources.rs"]
mod sources;

use sources::{identifier, public_sources};

type Fut = future::Ready<u8>;
type Unsend = future::Ready<Rc<u8>>;
type Body<N> = fn(N) -> Fut;
type Closure = fn() -> u8;
type Release = fn(u8, BracketExit) -> Fut;

/// A future that must not be moved.
struct Pinned(PhantomPinned);

impl Future for Pinned {
    type Output = u8;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
        let Pinned(PhantomPinned) = *self;
        Poll::Pending
    }
}

/// Whether a type implements a trait. An inherent constant hides that of a trait, where its bound holds.
macro_rules! implements {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "where the bound holds")]
        trait Otherwise {
            const ANSWER: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Ask<T: ?Sized>(std::marker::PhantomData<T>);
        impl<T: ?Sized + $trait> Ask<T> {
            #[allow(dead_code, reason = "where the bound does not hold")]
            const ANSWER: bool = true;
        }
        <Ask<$type>>::ANSWER
    }};
}

/// One row of the table, evaluated by the compiler.
struct Row {
    name: &'static str,
    expected: &'static str,
    /// `Send`, `Sync`, `Unpin`, `UnwindSafe` with `RefUnwindSafe`.
    found: [bool; 4],
}

const NAMES: [&str; 4] = ["Send", "Sync", "Unpin", "UnwindSafe"];

macro_rules! table {
    ($($type:ty => $($expected:ident)+;)*) => {
        const TABLE: &[Row] = &[$(Row {
            name: stringify!($type),
            expected: stringify!($($expected)+),
            found: [
                implements!($type: Send),
                implements!($type: Sync),
                implements!($type: Unpin),
                implements!($type: UnwindSafe) && implements!($type: RefUnwindSafe),
            ],
        }),*];
    };
}

table! {
    // Cancel scopes.
    CancelScope => Send Sync Unpin UnwindSafe;
    ScopeHandle => Send Sync Unpin UnwindSafe;
    Losers => Send Sync Unpin UnwindSafe;
    CancelScopeFuture<Fut, u8> => Send Sync Unpin UnwindSafe;
    CancelScopeFuture<Fut, Rc<u8>> => Unpin UnwindSafe;
    CancelScopeFuture<Unsend, u8> => Unpin UnwindSafe;
    CancelScopeFuture<Pinned, u8> => Send Sync UnwindSafe;
    MoveOnAfter<Fut, u8> => Send Sync Unpin UnwindSafe;
    MoveOnAfter<Unsend, u8> => Unpin UnwindSafe;
    MoveOnAfter<Pinned, u8> => Send Sync UnwindSafe;
    FailAfter<Fut, u8> => Send Sync Unpin UnwindSafe;
    FailAfter<Unsend, u8> => Unpin UnwindSafe;
    FailAfterFlatten<Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    FailAfterFlatten<Unsend, u8, u8> => Unpin UnwindSafe;
    FailAfterFlatten<Pinned, u8, u8> => Send Sync UnwindSafe;
    Shield<Fut, u8> => Send Sync Unpin UnwindSafe;
    Shield<Unsend, u8> => Unpin UnwindSafe;

    // Apps, portals, supervisors.
    App<SignalAfter, Fut, u8> => Send Sync Unpin;
    App<SignalAfter, Unsend, u8> => Unpin;
    ExitReport<u8> => Send Sync Unpin UnwindSafe;
    ExitCause => Send Sync Unpin UnwindSafe;
    Signal => Send Sync Unpin UnwindSafe;
    SignalAfter => Send Sync Unpin UnwindSafe;
    Straggler => Send Sync Unpin UnwindSafe;
    Portal => Send Sync Unpin UnwindSafe;
    PortalHost => Send Unpin;
    PortalTask<u8> => Send Sync Unpin UnwindSafe;
    PortalError => Send Sync Unpin UnwindSafe;
    PortalStartError<u8> => Send Sync Unpin UnwindSafe;
    Supervisor<u8> => Send Unpin;
    Strategy => Send Sync Unpin UnwindSafe;
    Restart => Send Sync Unpin UnwindSafe;
    ChildExit<u8> => Send Unpin;
    TooManyRestarts<u8> => Send Unpin;
    SupervisorEvent<'static, u8> => Unpin;

    // Brackets.
    Bracket<Fut, u8, u8, Body<ResourceGuard<u8>>, Fut, u8, Release> => Send Sync Unpin UnwindSafe;
    Bracket<Unsend, u8, u8, Body<ResourceGuard<u8>>, Fut, u8, Release> => Unpin UnwindSafe;
    Bracket<Fut, u8, u8, Body<ResourceGuard<u8>>, Unsend, u8, Release> => Unpin UnwindSafe;
    ResourceGuard<u8> => Send Sync Unpin UnwindSafe;
    ResourceGuard<Cell<u8>> => Send Unpin;
    BracketExit => Send Sync Unpin UnwindSafe;
    DeferGuard => Send Sync Unpin UnwindSafe;

    // Checkpoints and time.
    Checkpoint => Send Sync Unpin UnwindSafe;
    CheckpointIfCancelled => Send Sync Unpin UnwindSafe;
    YieldNow => Send Sync Unpin UnwindSafe;
    Sleep => Send Sync Unpin UnwindSafe;
    SleepForever => Send Sync Unpin UnwindSafe;
    Interval => Send Sync Unpin UnwindSafe;
    Instant => Send Sync Unpin UnwindSafe;

    // Operations of one's own.
    Gate => Send Sync Unpin UnwindSafe;
    Waiter => Send Sync Unpin UnwindSafe;
    ReadyQueue => Send Sync Unpin UnwindSafe;
    ReadyMember => Send Sync Unpin UnwindSafe;
    Operation<Fut> => Send Sync Unpin UnwindSafe;
    Operation<Unsend> => Unpin UnwindSafe;
    Operation<Pinned> => Send Sync UnwindSafe;

    // Nurseries.
    Nursery<u8> => Send Sync Unpin UnwindSafe;
    Nursery<Cell<u8>> => Send Sync Unpin UnwindSafe;
    Nursery<Rc<u8>> => Unpin UnwindSafe;
    TaskBuilder<'static, u8> => Send Sync Unpin UnwindSafe;
    NurseryOptions => Send Sync Unpin UnwindSafe;
    NurseryOptions<HandleErrors<Rc<u8>>> => Send Sync Unpin UnwindSafe;
    FailFast => Send Sync Unpin UnwindSafe;
    CollectErrors => Send Sync Unpin UnwindSafe;
    HandleErrors<u8> => Send Sync Unpin UnwindSafe;
    Parallel => Send Sync Unpin UnwindSafe;
    Local<u8, SendBox<'static, u8>> => Send Sync Unpin UnwindSafe;
    Local<u8, UnsendBox<'static, u8>> => Unpin UnwindSafe;
    NurseryFuture<u8, u8, u8, Body<Nursery<u8>>, Fut, u8> => Send Sync Unpin UnwindSafe;
    NurseryFuture<u8, Cell<u8>, Cell<u8>, Body<Nursery<Cell<u8>>>, Fut, u8> => Send Sync Unpin UnwindSafe;
    NurseryFuture<u8, u8, u8, Body<Nursery<u8>>, Unsend, u8> => Unpin UnwindSafe;
    NurseryFuture<Rc<u8>, u8, u8, Body<Nursery<u8>>, Fut, u8> => Unpin UnwindSafe;
    NurseryFuture<u8, u8, u8, Body<Nursery<u8>>, Pinned, u8> => Send Sync UnwindSafe;
    InfallibleNursery<Fut> => Send Sync Unpin UnwindSafe;
    InfallibleNursery<Unsend> => Unpin UnwindSafe;
    InfallibleNursery<Pinned> => Send Sync UnwindSafe;
    Task<u8> => Send Sync Unpin UnwindSafe;
    Task<Cell<u8>> => Send Sync Unpin UnwindSafe;
    Task<Rc<u8>> => Unpin UnwindSafe;
    TaskStatus => Send Sync Unpin UnwindSafe;
    Started<u8> => Send Sync Unpin UnwindSafe;
    Started<Rc<u8>> => Unpin UnwindSafe;
    LocalNursery<'static, u8> => Send Sync Unpin UnwindSafe;
    LocalNursery<'static, Rc<u8>> => Unpin UnwindSafe;
    UnsendNursery<'static, u8> => Unpin UnwindSafe;
    TaskBuilder<'static, u8, Local<u8, SendBox<'static, u8>>> => Send Sync Unpin UnwindSafe;
    LocalNurseryFuture<u8, u8, u8, Body<LocalNursery<'static, u8>>, Fut, u8, SendBox<'static, u8>> => Send Unpin;
    LocalNurseryFuture<u8, u8, u8, Body<LocalNursery<'static, u8>>, Unsend, u8, SendBox<'static, u8>> => Unpin;
    LocalNurseryFuture<u8, u8, u8, Body<UnsendNursery<'static, u8>>, Fut, u8, UnsendBox<'static, u8>> => Unpin;
    SendBox<'static, u8> => Send Unpin;
    UnsendBox<'static, u8> => Unpin;

    // Threads.
    ToThread<u8, Closure> => Send Sync Unpin UnwindSafe;
    TryToThread<u8, Closure> => Send Sync Unpin UnwindSafe;
    ToThreadAbandon<u8, Closure> => Send Sync Unpin UnwindSafe;
    Unblock<Cell<u8>> => Send Sync Unpin UnwindSafe;
    WithMut<Cell<u8>, u8> => Send Unpin;
    CallError => Send Sync Unpin UnwindSafe;
    Caller => Send Sync Unpin UnwindSafe;

    // Errors and reasons.
    Cancelled => Send Sync Unpin UnwindSafe;
    Elapsed => Send Sync Unpin UnwindSafe;
    JoinError => Send Sync Unpin UnwindSafe;
    TaskFailure => Send Sync Unpin UnwindSafe;
    JoinError => Send Sync Unpin UnwindSafe;
    SpawnError<u8> => Send Sync Unpin UnwindSafe;
    SpawnError<Rc<u8>> => Unpin UnwindSafe;
    ErrorGroup<u8> => Send Sync Unpin UnwindSafe;
    ErrorGroup<Rc<u8>> => Unpin UnwindSafe;
    Member<u8> => Send Sync Unpin UnwindSafe;
    Reason => Send Sync Unpin UnwindSafe;
    ReasonKind => Send Sync Unpin UnwindSafe;
    Origin => Send Sync Unpin UnwindSafe;
    Orphan<'static> => Unpin;
    OrphanKind => Send Sync Unpin UnwindSafe;
    HostDropped => Send Sync Unpin UnwindSafe;
    PrintOrphans => Send Sync Unpin UnwindSafe;
    dyn Observer => Send Sync;

    // The tree and the runtime.
    LiveCounts => Send Sync Unpin UnwindSafe;
    KeptPanic => Send Sync Unpin;
    Dump => Send Sync Unpin UnwindSafe;
    ObservedTask<'static> => Send Sync Unpin UnwindSafe;
    TaskEvent => Send Sync Unpin UnwindSafe;
    ObservedScope<'static> => Send Sync Unpin UnwindSafe;
    ScopeEvent => Send Sync Unpin UnwindSafe;
    PollWatch => Send Sync Unpin;
    PollReport<'static> => Send Sync Unpin UnwindSafe;
    DumpedScope => Send Sync Unpin UnwindSafe;
    DumpedRequest => Send Sync Unpin UnwindSafe;
    ScopeState => Send Sync Unpin UnwindSafe;
    Root<Fut, u8> => Send Sync Unpin UnwindSafe;
    Root<Unsend, u8> => Unpin UnwindSafe;
    TreeHandle => Send Sync Unpin UnwindSafe;
    Job => Send Sync Unpin UnwindSafe;
    BlockingError => Send Unpin;
    MissingCapability => Send Sync Unpin UnwindSafe;
    AlreadyInstalled => Send Sync Unpin UnwindSafe;
    Work => Send Unpin;
    dyn Runtime => Send Sync;
    dyn Timer => Send;

    // `foster::sync`.
    Barrier => Send Sync Unpin UnwindSafe;
    BarrierWait<'static> => Send Sync Unpin UnwindSafe;
    BarrierStatistics => Send Sync Unpin UnwindSafe;
    Arrival => Send Sync Unpin UnwindSafe;
    ParkOutcome => Send Sync Unpin UnwindSafe;
    CapacityLimiter => Send Sync Unpin UnwindSafe;
    CapacityLimiterStatistics => Send Sync Unpin UnwindSafe;
    LimiterAcquire<'static> => Send Sync Unpin UnwindSafe;
    LimiterAcquireOwned => Send Sync Unpin UnwindSafe;
    LimiterAcquireOnBehalfOf<'static> => Send Sync Unpin UnwindSafe;
    LimiterAcquireOwnedOnBehalfOf => Send Sync Unpin UnwindSafe;
    LimiterPermit<'static> => Send Sync Unpin UnwindSafe;
    OwnedLimiterPermit => Send Sync Unpin UnwindSafe;
    Borrower => Send Sync Unpin UnwindSafe;
    BorrowerBusy => Send Sync Unpin UnwindSafe;
    Holder => Send Sync Unpin UnwindSafe;
    TryBorrowError => Send Sync Unpin UnwindSafe;
    Condition => Send Sync Unpin UnwindSafe;
    ConditionWait<'static, u8> => Send Sync Unpin UnwindSafe;
    ConditionWait<'static, Rc<u8>> => Unpin UnwindSafe;
    ConditionWaitFor<'static, u8, Closure> => Send Sync Unpin UnwindSafe;
    Event => Send Sync Unpin UnwindSafe;
    EventWait<'static> => Send Sync Unpin UnwindSafe;
    EventStatistics => Send Sync Unpin UnwindSafe;
    Mutex<u8> => Send Sync Unpin UnwindSafe;
    Mutex<Cell<u8>> => Send Sync Unpin UnwindSafe;
    Mutex<Rc<u8>> => Unpin UnwindSafe;
    MutexLock<'static, u8> => Send Sync Unpin UnwindSafe;
    MutexLock<'static, Cell<u8>> => Send Sync Unpin UnwindSafe;
    MutexLockOwned<u8> => Send Sync Unpin UnwindSafe;
    MutexGuard<'static, u8> => Send Sync Unpin UnwindSafe;
    MutexGuard<'static, Cell<u8>> => Send Unpin;
    MutexGuard<'static, Rc<u8>> => Unpin UnwindSafe;
    OwnedMutexGuard<u8> => Send Sync Unpin UnwindSafe;
    MutexStatistics => Send Sync Unpin UnwindSafe;
    OnceCell<u8> => Send Sync Unpin UnwindSafe;
    OnceCell<Cell<u8>> => Send Unpin;
    OnceCell<Rc<u8>> => Unpin UnwindSafe;
    OnceCellGetOrInit<'static, u8, Closure, Fut> => Send Sync Unpin UnwindSafe;
    OnceCellGetOrInit<'static, u8, Closure, Pinned> => Send Sync UnwindSafe;
    OnceCellGetOrTryInit<'static, u8, Closure, Fut> => Send Sync Unpin UnwindSafe;
    PoisonMutex<u8> => Send Sync Unpin UnwindSafe;
    PoisonMutex<Cell<u8>> => Send Sync Unpin UnwindSafe;
    PoisonMutexLock<'static, u8> => Send Sync Unpin UnwindSafe;
    PoisonMutexGuard<'static, u8> => Send Sync Unpin UnwindSafe;
    PoisonMutexGuard<'static, Cell<u8>> => Send Unpin;
    Poisoned<u8> => Send Sync Unpin UnwindSafe;
    Promise<u8> => Send Sync Unpin UnwindSafe;
    Promise<Cell<u8>> => Send Unpin;
    Promise<Rc<u8>> => Unpin UnwindSafe;
    PromiseWait<'static, u8> => Send Sync Unpin UnwindSafe;
    RwLock<u8> => Send Sync Unpin UnwindSafe;
    RwLock<Cell<u8>> => Send Unpin UnwindSafe;
    RwLock<Rc<u8>> => Unpin UnwindSafe;
    RwLockRead<'static, u8> => Send Sync Unpin UnwindSafe;
    RwLockWrite<'static, u8> => Send Sync Unpin UnwindSafe;
    RwLockReadGuard<'static, u8> => Send Sync Unpin UnwindSafe;
    RwLockReadGuard<'static, Cell<u8>> => Unpin;
    RwLockWriteGuard<'static, u8> => Send Sync Unpin UnwindSafe;
    RwLockWriteGuard<'static, Cell<u8>> => Unpin;
    RwLockStatistics => Send Sync Unpin UnwindSafe;
    Semaphore => Send Sync Unpin UnwindSafe;
    SemaphoreAcquire<'static> => Send Sync Unpin UnwindSafe;
    SemaphoreAcquireOwned => Send Sync Unpin UnwindSafe;
    SemaphorePermit<'static> => Send Sync Unpin UnwindSafe;
    OwnedSemaphorePermit => Send Sync Unpin UnwindSafe;
    SemaphoreStatistics => Send Sync Unpin UnwindSafe;
    WaitQueue => Send Sync Unpin UnwindSafe;
    WaitQueueStatistics => Send Sync Unpin UnwindSafe;
    WaitQueueGuard<'static> => Sync Unpin UnwindSafe;
    Park<'static> => Send Sync Unpin UnwindSafe;
    WakeList => Send Sync Unpin UnwindSafe;
    Closed => Send Sync Unpin UnwindSafe;
    WouldBlock => Send Sync Unpin UnwindSafe;
    AlreadySet<u8> => Send Sync Unpin UnwindSafe;

    // `foster::channel`.
    Sender<u8> => Send Sync Unpin UnwindSafe;
    Sender<Cell<u8>> => Send Sync Unpin UnwindSafe;
    Sender<Rc<u8>> => Unpin UnwindSafe;
    Receiver<u8> => Send Sync Unpin UnwindSafe;
    Receiver<Cell<u8>> => Send Sync Unpin UnwindSafe;
    Receiver<Rc<u8>> => Unpin UnwindSafe;
    Receiver<Pinned> => Send Sync Unpin UnwindSafe;
    ChannelSend<'static, u8> => Send Sync Unpin UnwindSafe;
    ChannelSend<'static, Cell<u8>> => Send Unpin;
    ChannelSend<'static, Pinned> => Send Sync Unpin UnwindSafe;
    ChannelReserve<'static, Cell<u8>> => Send Unpin;
    ChannelRecv<'static, Cell<u8>> => Send Sync Unpin UnwindSafe;
    ChannelRecv<'static, Rc<u8>> => Unpin UnwindSafe;
    ChannelClosed<'static, Cell<u8>> => Send Sync Unpin UnwindSafe;
    Permit<'static, Cell<u8>> => Send Sync Unpin UnwindSafe;
    ChannelStatistics => Send Sync Unpin UnwindSafe;
    OneshotSender<Cell<u8>> => Send Sync Unpin UnwindSafe;
    OneshotSender<Rc<u8>> => Unpin UnwindSafe;
    OneshotReceiver<Cell<u8>> => Send Sync Unpin UnwindSafe;
    OneshotReceiver<Rc<u8>> => Unpin UnwindSafe;
    OneshotReceiver<Pinned> => Send Sync Unpin UnwindSafe;
    OneshotClosed<'static, Cell<u8>> => Send Sync Unpin;
    WatchSender<u8> => Send Sync Unpin UnwindSafe;
    WatchSender<Cell<u8>> => Unpin UnwindSafe;
    WatchReceiver<u8> => Send Sync Unpin UnwindSafe;
    WatchReceiver<Cell<u8>> => Unpin UnwindSafe;
    WatchRecv<'static, u8> => Send Sync Unpin;
    WatchWaitFor<'static, u8, fn(&u8) -> bool> => Send Sync Unpin;
    WatchClosed<'static, u8> => Send Sync Unpin UnwindSafe;
    WatchStatistics => Send Sync Unpin UnwindSafe;
    BroadcastSender<u8> => Send Sync Unpin UnwindSafe;
    BroadcastSender<Cell<u8>> => Unpin UnwindSafe;
    BroadcastSender<Rc<u8>> => Unpin UnwindSafe;
    BroadcastReceiver<u8> => Send Sync Unpin UnwindSafe;
    BroadcastReceiver<Cell<u8>> => Unpin UnwindSafe;
    BroadcastSend<'static, u8> => Send Sync Unpin UnwindSafe;
    BroadcastSend<'static, Pinned> => Send Sync Unpin UnwindSafe;
    BroadcastRecv<'static, u8> => Send Sync Unpin;
    BroadcastClosed<'static, u8> => Send Sync Unpin UnwindSafe;
    BroadcastStatistics => Send Sync Unpin UnwindSafe;
    Lag => Send Sync Unpin UnwindSafe;
    Lagged => Send Sync Unpin UnwindSafe;
    SendError<u8> => Send Sync Unpin UnwindSafe;
    SendError<Rc<u8>> => Unpin UnwindSafe;
    TrySendError<u8> => Send Sync Unpin UnwindSafe;
    RecvError => Send Sync Unpin UnwindSafe;
    TryRecvError => Send Sync Unpin UnwindSafe;
    BroadcastRecvError => Send Sync Unpin UnwindSafe;
    BroadcastTryRecvError => Send Sync Unpin UnwindSafe;
    CloneError => Send Sync Unpin UnwindSafe;

    // `foster::combine`.
    Join2<Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join2<Fut, u8, Unsend, Rc<u8>> => Unpin UnwindSafe;
    Join2<Fut, u8, Pinned, u8> => Send Sync UnwindSafe;
    Join3<Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join4<Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join5<Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join6<Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join7<Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Join8<Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin2<u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin2<Rc<u8>, Fut, u8, Fut, u8> => Unpin UnwindSafe;
    TryJoin2<u8, Fut, u8, Pinned, u8> => Send Sync UnwindSafe;
    TryJoin3<u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin4<u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin5<u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin6<u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin7<u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    TryJoin8<u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8, Fut, u8> => Send Sync Unpin UnwindSafe;
    Race2<u8, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race2<Rc<u8>, Fut, Unsend> => Unpin UnwindSafe;
    Race2<u8, Fut, Pinned> => Send Sync UnwindSafe;
    Race3<u8, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race4<u8, Fut, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race5<u8, Fut, Fut, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race6<u8, Fut, Fut, Fut, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race7<u8, Fut, Fut, Fut, Fut, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    Race8<u8, Fut, Fut, Fut, Fut, Fut, Fut, Fut, Fut> => Send Sync Unpin UnwindSafe;
    RaceArray<Fut, u8> => Send Sync Unpin UnwindSafe;
    RaceArray<Unsend, Rc<u8>> => Unpin UnwindSafe;
    RaceArray<Pinned, u8> => Send Sync Unpin UnwindSafe;
    RaceAll<Fut, u8> => Send Sync Unpin UnwindSafe;
    RaceAll<Unsend, Rc<u8>> => Unpin UnwindSafe;
    FirstOk<Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    FirstOk<Fut, u8, Rc<u8>> => Unpin UnwindSafe;
    Quorum<Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    Quorum<Unsend, u8, u8> => Unpin UnwindSafe;
    Gather<Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    Gather<Unsend, u8, u8> => Unpin UnwindSafe;
    Gather<Pinned, u8, u8> => Send Sync Unpin UnwindSafe;
    GatherResults<Fut, u8> => Send Sync Unpin UnwindSafe;
    GatherResults<Fut, Cell<u8>> => Send Unpin;
    GatherResults<Unsend, Rc<u8>> => Unpin UnwindSafe;
    MapConcurrent<Delays, Closure, Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    MapConcurrent<Delays, Closure, Unsend, u8, u8> => Unpin UnwindSafe;
    MapConcurrentResults<Delays, Closure, Fut, u8> => Send Sync Unpin UnwindSafe;
    ForEachConcurrent<Delays, Closure, Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    ForEachConcurrent<Delays, Closure, Unsend, u8, u8> => Unpin UnwindSafe;
    Staggered<Delays, Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    Staggered<Delays, Unsend, u8, u8> => Unpin UnwindSafe;
    AsCompleted<Fut, u8> => Send Sync Unpin UnwindSafe;
    AsCompleted<Unsend, u8> => Unpin UnwindSafe;
    Indexed<Fut, u8> => Send Sync Unpin UnwindSafe;
    Indexed<Unsend, u8> => Unpin UnwindSafe;
    AllFailed<u8> => Send Sync Unpin UnwindSafe;
    NoQuorum<u8, u8> => Send Sync Unpin UnwindSafe;

    Produce<Fut, u8> => Send Sync Unpin UnwindSafe;
    Produce<Unsend, u8> => Unpin UnwindSafe;
    Produce<Pinned, u8> => Send Sync Unpin UnwindSafe;
    Produce<Fut, Cell<u8>> => Send Sync Unpin UnwindSafe;
    TryProduce<Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    TryProduce<Unsend, u8, Rc<u8>> => Unpin UnwindSafe;
    Emitter<u8> => Send Sync Unpin UnwindSafe;
    Emitter<Rc<u8>> => Unpin UnwindSafe;
    Emit<'static, u8> => Send Sync Unpin UnwindSafe;
    Emit<'static, Pinned> => Send Sync Unpin UnwindSafe;
    Merge<Fut> => Send Sync Unpin UnwindSafe;
    Merge<Unsend> => Unpin UnwindSafe;
    Merge<Pinned> => Send Sync Unpin UnwindSafe;
    Batch<Fut, u8> => Send Sync Unpin UnwindSafe;
    Batch<Unsend, Rc<u8>> => Unpin UnwindSafe;
    Batch<Pinned, u8> => Send Sync UnwindSafe;
    Throttle<Fut> => Send Sync Unpin UnwindSafe;
    Throttle<Pinned> => Send Sync UnwindSafe;

    // `foster::rate`.
    RateLimiter => Send Sync Unpin UnwindSafe;
    RateAcquire<'static> => Send Sync Unpin UnwindSafe;

    // `foster::pool`.
    Pool<fn() -> future::Ready<Result<u8, u8>>> => Send Sync Unpin UnwindSafe;
    Pool<fn() -> future::Ready<Result<Cell<u8>, u8>>> => Send Sync Unpin UnwindSafe;
    PoolOptions => Send Sync Unpin UnwindSafe;
    PoolStatistics => Send Sync Unpin UnwindSafe;
    PoolError<u8> => Send Sync Unpin UnwindSafe;
    PoolError<Rc<u8>> => Unpin UnwindSafe;
    Pooled<u8> => Send Sync Unpin;
    Pooled<Cell<u8>> => Send Unpin;
    Use<u8, Closure, Fut, u8, u8> => Send Unpin;
    Use<u8, Closure, Unsend, u8, u8> => Unpin;
    Use<u8, Closure, Pinned, u8, u8> => Send;

    // Scoped values.
    ScopedValue<u8> => Send Sync Unpin UnwindSafe;
    ScopedValue<Rc<u8>> => Send Sync Unpin UnwindSafe;
    ScopedValueFuture<Fut, u8> => Send Sync Unpin UnwindSafe;
    ScopedValueFuture<Unsend, Rc<u8>> => Unpin UnwindSafe;
    ScopedValueFuture<Pinned, u8> => Send Sync UnwindSafe;

    // `foster::retry::retry`.
    Retry<Delays, Closure, Fut, u8, u8> => Send Sync Unpin UnwindSafe;
    Retry<Delays, Closure, Unsend, u8, u8> => Unpin UnwindSafe;
    Retry<Delays, Closure, Pinned, u8, u8> => Send Sync UnwindSafe;
    Retry<Delays, Closure, Fut, u8, Rc<u8>> => Unpin UnwindSafe;
    Backoff => Send Sync Unpin UnwindSafe;
    Delays => Send Sync Unpin UnwindSafe;
    Jitter => Send Sync Unpin UnwindSafe;
    RetryBudget => Send Sync Unpin UnwindSafe;
    Failure<'static, u8> => Send Sync Unpin UnwindSafe;
    Next => Send Sync Unpin UnwindSafe;
    GaveUp => Send Sync Unpin UnwindSafe;

    // Adapters.
    foster_smol::Smol => Send Sync Unpin UnwindSafe;
    foster_smol::Builder => Send Sync Unpin;
    foster_tokio::Tokio => Send Sync Unpin UnwindSafe;
    foster_tokio::Builder => Send Sync Unpin;
}

/// Users may rely on this table; a change of any of it breaks somebody's code.
#[test]
fn public_types_have_the_auto_traits_of_the_table() {
    let mut wrong = Vec::new();
    for Row { name, expected, found } in TABLE {
        let has: Vec<_> = NAMES.iter().zip(found).filter(|(_, found)| **found).map(|(name, _)| *name).collect();
        println!("{name:<100} {}", has.join(" "));
        for (trait_name, found) in NAMES.iter().zip(found) {
            let listed = expected.split(' ').any(|word| word == *trait_name);
            if listed != *found && (listed || *trait_name != "UnwindSafe") {
                wrong.push(format!("{name} is {}{trait_name}", if *found { "" } else { "not " }));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let count = |wanted: usize| TABLE.iter().filter(|row| row.found[wanted]).count();
    let counts = [0, 1, 2, 3].map(count);
    println!("{} rows; {NAMES:?}: {counts:?}", TABLE.len());
    // The trick of `implements!` works: it says yes, and it says no.
    assert!(counts.iter().all(|count| (1..TABLE.len()).contains(count)));
}

/// Types that are public in the sources, and not in the table: their names show only in bounds.
const NOT_NAMEABLE: &[&str] = &["Limited", "LocalChild", "NurseryErrors", "Parts"];

/// Types that a macro makes, one for each length of a tuple, by its parameter: how their names begin.
const MADE_BY_MACRO: &[(&str, &str)] = &[("$join", "Join"), ("$try_join", "TryJoin"), ("$race", "Race")];

#[test]
fn every_public_type_is_in_the_table() {
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    let in_table =
        |name: &str| TABLE.iter().any(|row| name == identifier(row.name.strip_prefix("dyn ").unwrap_or(row.name)));
    for source in public_sources() {
        for name in public_types(&source.code) {
            seen += 1;
            let names = match MADE_BY_MACRO.iter().find(|(made, _)| *made == name) {
                Some((_, start)) => (2..=8).map(|length| format!("{start}{length}")).collect(),
                None => vec![name],
            };
            missing.extend(names.into_iter().filter(|name| !in_table(name) && !NOT_NAMEABLE.contains(&&**name)));
        }
    }
    println!("{seen} public types");
    assert!(seen > 80, "the sources were not found");
    // A handle is in the table under its two names.
    missing.remove("LocalHandle");
    assert!(missing.is_empty(), "public types that are not in the table: {missing:?}");
}

fn public_types(source: &str) -> Vec<String> {
    let lines = source.lines().map(str::trim);
    let starts = ["pub struct ", "pub enum "];
    let named = lines.filter_map(|line| starts.iter().find_map(|start| line.strip_prefix(start)));
    // The parameter of a macro with its `$`.
    named
        .map(|rest| {
            rest[..rest.len() - rest.trim_start_matches('$').len()].to_owned()
                + identifier(rest.trim_start_matches('$'))
        })
        .collect()
}
