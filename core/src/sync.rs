//! Locks, limiters and meeting points: the primitives by which tasks of one program wait for each other.
//!
//! | to | use |
//! |---|---|
//! | use a value one at a time | [`Mutex`]; [`PoisonMutex`] if half a change would spoil it |
//! | read together, change alone | [`RwLock`] |
//! | wait for a change of such a value | [`Condition`] |
//! | let at most `n` in at once | [`Semaphore`] |
//! | the same, resizable, and see who is in | [`CapacityLimiter`] |
//! | wait for something that happens once | [`Event`]; [`Promise`] if it brings a value |
//! | make a value once, when it is needed | [`OnceCell`] |
//! | meet | [`Barrier`] |
//! | build another | [`WaitQueue`] |
//!
//! # Common guarantees
//!
//! * **Every await is a [checkpoint](crate::checkpoint()).** Code that is cancelled starts nothing (law L14). A
//!   resource that is available is given at once, until the budget of the task is used up.
//! * **Code that is cancelled is given nothing more**: no lock, no permit, no notification, and no news that something
//!   is closed or poisoned. It goes to the next waiter whose code is not cancelled, or stays. Anything that was given
//!   before can still be taken.
//! * **The longest waiter is first**, and what is released is *handed over*: it belongs to that waiter in the instant
//!   of the release, before the waiter runs. Nobody can jump the queue, `try_*` included.
//! * **A waiter that is dropped leaves the queue**, and what it was handed already goes to the next (law L40).
//! * **Nobody is woken for nothing**, but for cancelled code that is passed over (it may be where a combinator has to be
//!   told), and no lock is held while a waker runs.
//! * They are made outside of any runtime, most of them in a `static`, and work on all runtimes, even between two of
//!   them.
//!
//! Leaking a guard with [`std::mem::forget`] keeps what it guards for ever: nobody is told, others wait until they are
//! cancelled (the simulator reports the deadlock). So does acquiring twice in one task what can be had once.

use std::fmt;

mod acquire;
mod barrier;
mod borrower;
mod capacity_limiter;
mod condition;
mod event;
mod held;
mod limiter_acquire;
#[cfg(test)]
mod lock_suite;
mod mutex;
mod once_cell;
mod poison_mutex;
mod promise;
mod rw_lock;
mod semaphore;
mod wait_queue;
mod waiter_list;

pub use barrier::{Arrival, Barrier, BarrierStatistics};
pub use borrower::{Borrower, BorrowerBusy, Holder, TryBorrowError};
pub use capacity_limiter::{CapacityLimiter, CapacityLimiterStatistics, LimiterPermit, OwnedLimiterPermit};
pub use condition::Condition;
pub use event::{Event, EventStatistics};
pub use mutex::{Mutex, MutexGuard, MutexStatistics, OwnedMutexGuard};
pub use once_cell::OnceCell;
pub use poison_mutex::{PoisonMutex, PoisonMutexGuard, PoisonResult, Poisoned};
pub use promise::Promise;
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, SemaphoreStatistics};
pub use wait_queue::{Closed, ParkOutcome, WaitQueue, WaitQueueGuard, WaitQueueStatistics, WakeList};

/// The futures that the methods return, by name.
pub mod future {
    pub use crate::sync::barrier::BarrierWait;
    pub use crate::sync::condition::{ConditionWait, ConditionWaitFor};
    pub use crate::sync::event::EventWait;
    pub use crate::sync::held::RunWithGuard;
    pub use crate::sync::limiter_acquire::{
        LimiterAcquire, LimiterAcquireOnBehalfOf, LimiterAcquireOwned, LimiterAcquireOwnedOnBehalfOf,
    };
    pub use crate::sync::mutex::{MutexLock, MutexLockOwned};
    pub use crate::sync::once_cell::{OnceCellGetOrInit, OnceCellGetOrTryInit};
    pub use crate::sync::poison_mutex::PoisonMutexLock;
    pub use crate::sync::promise::PromiseWait;
    pub use crate::sync::rw_lock::{RwLockRead, RwLockWrite};
    pub use crate::sync::semaphore::{SemaphoreAcquire, SemaphoreAcquireOwned};
    pub use crate::sync::wait_queue::Park;
}

/// A `try_*` method failed, because it would have to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it would have to wait")
    }
}

impl std::error::Error for WouldBlock {}

/// The value comes back: another one was set before, or it was said that none ever will be.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlreadySet<T> {
    /// The value that was not set.
    pub value: T,
}

impl<T> fmt::Display for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was set or closed before")
    }
}

impl<T> fmt::Debug for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlreadySet")
    }
}

impl<T> std::error::Error for AlreadySet<T> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::future::*;
    use super::*;

    fn send_sync<T: Send + Sync>() {}
    fn send<T: Send>() {}
    fn owned<T: Send + Sync + 'static>() {}
    fn unpin<T: Unpin>() {}

    /// The types that can go to another thread. `Cell` is `Send` and not `Sync`.
    #[test]
    fn auto_traits() {
        send_sync::<(Barrier, CapacityLimiter, Condition, Event, Semaphore, WaitQueue)>();
        send_sync::<(Mutex<Cell<u8>>, PoisonMutex<Cell<u8>>, RwLock<u8>, OnceCell<u8>, Promise<u8>)>();
        send::<(OnceCell<Cell<u8>>, Promise<Cell<u8>>)>();
        send_sync::<(LimiterPermit<'_>, SemaphorePermit<'_>, RwLockReadGuard<'_, u8>, RwLockWriteGuard<'_, u8>)>();
        send_sync::<(MutexGuard<'_, u8>, PoisonMutexGuard<'_, u8>)>();
        send::<(MutexGuard<'_, Cell<u8>>, PoisonMutexGuard<'_, Cell<u8>>, OwnedMutexGuard<Cell<u8>>)>();
        owned::<(OwnedLimiterPermit, OwnedSemaphorePermit, OwnedMutexGuard<u8>)>();
        owned::<(LimiterAcquireOwned, LimiterAcquireOwnedOnBehalfOf, SemaphoreAcquireOwned, MutexLockOwned<u8>)>();
        send_sync::<(LimiterAcquire<'_>, LimiterAcquireOnBehalfOf<'_>, SemaphoreAcquire<'_>, EventWait<'_>)>();
        send_sync::<(BarrierWait<'_>, Park<'_>, PromiseWait<'_, u8>, ConditionWait<'_, u8>)>();
        send_sync::<(MutexLock<'_, Cell<u8>>, RwLockRead<'_, u8>, RwLockWrite<'_, u8>)>();
        send::<(Closed, WakeList, WouldBlock, AlreadySet<u8>, TryBorrowError)>();
    }

    #[test]
    fn nothing_needs_pinning_except_what_holds_a_foreign_future() {
        type Pinned = std::marker::PhantomPinned;
        unpin::<(MutexLock<'_, Pinned>, ConditionWait<'_, Pinned>, ConditionWaitFor<'_, Pinned, Pinned>)>();
        unpin::<(RwLockRead<'_, Pinned>, RwLockWrite<'_, Pinned>, PromiseWait<'_, Pinned>, Park<'_>)>();
        unpin::<(SemaphoreAcquire<'_>, LimiterAcquire<'_>, EventWait<'_>, BarrierWait<'_>)>();
    }
}
