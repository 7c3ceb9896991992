//! The capacity limiter: permits that are listed with their holders.
//!
//! Each permit and each waiter has a record. The key of the record is the waiter's tag in the queue, and is kept by the
//! permit. A release marks the record of the longest waiter as held in the same step, so the statistics are exact at
//! every moment.
//!
//! Invariant 1: `held` counts the records that are held; the others wait, in the order of the queue.
//! Invariant 2: a task waits only if `held >= total`, unless its code is cancelled.
//! Invariant 3: the state is locked before the queue, and both are released before any waiter is woken.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use slab::Slab;

use super::WouldBlock;
use super::borrower::{Borrower, BorrowerBusy, Holder, TryBorrowError};
use super::limiter_acquire::{
    LimiterAcquire, LimiterAcquireOnBehalfOf, LimiterAcquireOp, LimiterAcquireOwned, LimiterAcquireOwnedOnBehalfOf,
};
use super::wait_queue::{WaitQueue, WakeList};
use super::waiter_list::WaiterKey;
use crate::leaf::{self, Waiter};
use crate::sys::PlainMutex;

/// Permits for a limited number of borrowers at once; resizable while in use, and it knows who holds them.
///
/// A permit that is released goes to the longest waiter, in that instant. The total can be changed at any time: raised,
/// so many waiters are let in at once; lowered, permits in use stay until they are released. A total of 0 admits
/// nobody, [`usize::MAX`] everybody, and they are counted all the same. A blocking job that comes back from a
/// [call](crate::thread::from_thread) may have one beyond the total.
///
/// Each acquisition is on its own account, even twice in one task. [On behalf
/// of](CapacityLimiter::acquire_on_behalf_of) a named [`Borrower`] there is one at a time: who holds a permit or waits
/// for one is refused a second.
///
/// Next to a [`Semaphore`](super::Semaphore) it costs a lock and a record for each permit.
///
/// # Examples
///
/// ```
/// use foster::sync::CapacityLimiter;
///
/// # foster_sim::run(1, async {
/// static CONNECTIONS: CapacityLimiter = CapacityLimiter::new(1);
///
/// let permit = CONNECTIONS.acquire().await;
/// assert!(CONNECTIONS.try_acquire().is_err());
/// CONNECTIONS.set_total(2);
/// assert!(CONNECTIONS.try_acquire().is_ok());
///
/// for holder in CONNECTIONS.statistics().holders {
///     println!("{holder}"); // the task, and where it acquired
/// }
/// # drop(permit);
/// # });
/// ```
pub struct CapacityLimiter {
    state: PlainMutex<LimiterState>,
    pub(super) queue: WaitQueue,
}

struct LimiterState {
    total: usize,
    held: usize,
    records: Slab<Record>,
    /// The named borrowers among the records.
    named: BTreeSet<Borrower>,
    /// Counts the permits that were ever handed out.
    serial: u64,
}

struct Record {
    holder: Holder,
    /// When it was handed its permit, by `LimiterState::serial`; none as long as it waits.
    held: Option<u64>,
}

impl LimiterState {
    fn refuses(&self, holder: &Holder) -> Option<BorrowerBusy> {
        let borrower = holder.borrower.as_ref()?;
        self.named.contains(borrower).then(|| BorrowerBusy::new(borrower.clone()))
    }

    /// Opens a record that waits.
    fn open(&mut self, holder: Holder) -> usize {
        self.named.extend(holder.borrower.clone());
        self.records.insert(Record { holder, held: None })
    }

    fn hold(&mut self, key: usize) {
        self.serial += 1;
        self.held += 1;
        self.records[key].held = Some(self.serial);
    }

    /// Closes a record, which comes back to be dropped where no lock is held.
    fn close(&mut self, key: usize) -> Record {
        let record = self.records.remove(key);
        if let Some(borrower) = &record.holder.borrower {
            self.named.remove(borrower);
        }
        if record.held.is_some() {
            self.held -= 1;
        }
        record
    }

    fn waiting(&self) -> usize {
        self.records.len() - self.held
    }
}

impl CapacityLimiter {
    /// Makes a limiter with `total` permits.
    #[must_use]
    pub const fn new(total: usize) -> Self {
        let state = LimiterState { total, held: 0, records: Slab::new(), named: BTreeSet::new(), serial: 0 };
        CapacityLimiter { state: PlainMutex::new(state), queue: WaitQueue::new() }
    }

    /// Waits for a permit. [`run`](CapacityLimiter::run) keeps it until all cleanup has ended, also where foreign code
    /// drops futures.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue, and no trace of the borrower is kept; a permit that was handed over
    /// already goes to the next waiter.
    #[track_caller]
    pub fn acquire(&self) -> LimiterAcquire<'_> {
        LimiterAcquire { limiter: self, op: LimiterAcquireOp::new(None) }
    }

    /// Waits for a permit that can be moved into another task, a closure or a thread.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](CapacityLimiter::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::CapacityLimiter;
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let limiter = Arc::new(CapacityLimiter::new(4));
    /// let permit = limiter.clone().acquire_owned().await;
    /// assert_eq!(limiter.borrowed(), 1);
    /// std::thread::spawn(move || drop(permit)).join().unwrap();
    /// assert_eq!(limiter.borrowed(), 0);
    /// # });
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> LimiterAcquireOwned {
        LimiterAcquireOwned { limiter: self, op: LimiterAcquireOp::new(None) }
    }

    /// Waits for a permit for a borrower that may have one at a time.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](CapacityLimiter::acquire).
    ///
    /// # Errors
    ///
    /// [`BorrowerBusy`], at once, if this borrower holds a permit or waits for one already.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::CapacityLimiter;
    ///
    /// # foster_sim::run(1, async {
    /// let limiter = CapacityLimiter::new(10);
    /// let permit = limiter.acquire_on_behalf_of("tenant 7").await.unwrap();
    /// assert!(limiter.acquire_on_behalf_of("tenant 7").await.is_err());
    /// assert!(limiter.acquire_on_behalf_of("tenant 8").await.is_ok());
    /// # drop(permit);
    /// # });
    /// ```
    #[track_caller]
    pub fn acquire_on_behalf_of(&self, borrower: impl Into<Borrower>) -> LimiterAcquireOnBehalfOf<'_> {
        LimiterAcquireOnBehalfOf { limiter: self, op: LimiterAcquireOp::new(Some(borrower.into())) }
    }

    /// Waits for a permit that can be moved, for a borrower that may have one at a time.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](CapacityLimiter::acquire).
    ///
    /// # Errors
    ///
    /// [`BorrowerBusy`], at once, if this borrower holds a permit or waits for one already.
    #[track_caller]
    pub fn acquire_owned_on_behalf_of(self: Arc<Self>, borrower: impl Into<Borrower>) -> LimiterAcquireOwnedOnBehalfOf {
        LimiterAcquireOwnedOnBehalfOf { limiter: self, op: LimiterAcquireOp::new(Some(borrower.into())) }
    }

    /// Takes a permit, if one is free.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<LimiterPermit<'_>, WouldBlock> {
        match self.take(Holder::new(None, Location::caller()), || true) {
            Ok(key) => Ok(LimiterPermit { limiter: self, key }),
            Err(_) => Err(WouldBlock),
        }
    }

    /// Takes a permit that can be moved, if one is free.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    #[track_caller]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedLimiterPermit, WouldBlock> {
        match self.take(Holder::new(None, Location::caller()), || true) {
            Ok(key) => Ok(OwnedLimiterPermit { limiter: self, key }),
            Err(_) => Err(WouldBlock),
        }
    }

    /// Takes a permit for a borrower that may have one at a time, if one is free.
    ///
    /// # Errors
    ///
    /// * [`TryBorrowError::Busy`], if this borrower holds a permit or waits for one already.
    /// * [`TryBorrowError::WouldBlock`], if none is free.
    #[track_caller]
    pub fn try_acquire_on_behalf_of(&self, borrower: impl Into<Borrower>) -> Result<LimiterPermit<'_>, TryBorrowError> {
        match self.take(Holder::new(Some(borrower.into()), Location::caller()), || true) {
            Ok(key) => Ok(LimiterPermit { limiter: self, key }),
            Err(TryAcquireError::Busy(busy)) => Err(TryBorrowError::Busy(busy)),
            Err(TryAcquireError::Full(_) | TryAcquireError::Cancelled) => Err(TryBorrowError::WouldBlock),
        }
    }

    /// Takes a permit, also if none is free, for a job that had one. No other is given before there are fewer than the
    /// total again.
    pub(crate) fn acquire_beyond_total(self: Arc<Self>, holder: Holder) -> OwnedLimiterPermit {
        let mut state = self.state.lock();
        let key = state.open(holder);
        state.hold(key);
        drop(state);
        OwnedLimiterPermit { limiter: self, key }
    }

    /// Returns how many permits there are; [`usize::MAX`] for no limit.
    #[must_use]
    pub fn total(&self) -> usize {
        self.state.lock().total
    }

    /// Changes how many permits there are. Waiters that fit in now are let in at once, longest first; permits beyond
    /// the total stay in use until they are released.
    pub fn set_total(&self, total: usize) {
        let mut state = self.state.lock();
        state.total = total;
        let wakes = self.admit(&mut state);
        drop(state);
        drop(wakes);
    }

    /// Returns how many permits are in use.
    #[must_use]
    pub fn borrowed(&self) -> usize {
        self.state.lock().held
    }

    /// Returns how many permits are free; [`usize::MAX`] for no limit.
    #[must_use]
    pub fn available(&self) -> usize {
        available(&self.state.lock())
    }

    /// Returns a snapshot that names the holders, longest first.
    #[must_use]
    pub fn statistics(&self) -> CapacityLimiterStatistics {
        let state = self.state.lock();
        let records = state.records.iter();
        let mut holders: Vec<_> =
            records.filter_map(|(_, record)| Some((record.held?, record.holder.clone()))).collect();
        let mut statistics = CapacityLimiterStatistics {
            total: state.total,
            borrowed: state.held,
            available: available(&state),
            waiting: state.waiting(),
            holders: Vec::new(),
        };
        drop(state);
        holders.sort_unstable_by_key(|(held, _)| *held);
        statistics.holders = holders.into_iter().map(|(_, holder)| holder).collect();
        statistics
    }

    /// Takes a permit, if one is free and the caller `may_take` it, which is asked under the lock.
    pub(super) fn take(&self, holder: Holder, may_take: impl FnOnce() -> bool) -> Result<usize, TryAcquireError> {
        let mut state = self.state.lock();
        if let Some(busy) = state.refuses(&holder) {
            return Err(TryAcquireError::Busy(busy));
        }
        // Invariant 2: if one is free nobody waits for it.
        if state.held >= state.total {
            return Err(TryAcquireError::Full(holder));
        }
        if !may_take() {
            drop(state);
            return Err(TryAcquireError::Cancelled);
        }
        let key = state.open(holder);
        state.hold(key);
        Ok(key)
    }

    /// Takes a permit or a place in the queue. Never `Full`.
    pub(super) fn join(&self, holder: Holder, waiter: Waiter) -> Result<(usize, Option<WaiterKey>), TryAcquireError> {
        let mut state = self.state.lock();
        // Between `take` and this the lock was free: look again.
        if let Some(busy) = state.refuses(&holder) {
            drop(state);
            return Err(TryAcquireError::Busy(busy));
        }
        if state.held < state.total && !leaf::may_take() {
            drop(state);
            return Err(TryAcquireError::Cancelled);
        }
        let key = state.open(holder);
        if state.held < state.total {
            state.hold(key);
            drop(state);
            return Ok((key, None));
        }
        let queued = self.queue.lock().enqueue(key, waiter);
        Ok((key, Some(queued)))
    }

    /// Gives a waiter that was skipped a permit, or a place in the queue. None if its code is cancelled by now.
    pub(super) fn enqueue_again(&self, key: usize, waiter: Waiter) -> Option<Option<WaiterKey>> {
        let mut state = self.state.lock();
        if state.held >= state.total {
            return Some(Some(self.queue.lock().enqueue(key, waiter)));
        }
        if leaf::may_take() {
            state.hold(key);
            drop(state);
            return Some(None);
        }
        drop(state);
        None
    }

    /// Takes a permit back.
    pub(super) fn release(&self, key: usize) {
        let mut state = self.state.lock();
        let record = state.close(key);
        let wakes = self.admit(&mut state);
        drop(state);
        drop(record);
        drop(wakes);
    }

    /// Removes a waiter that goes away; it may have been handed a permit already.
    pub(super) fn leave(&self, record: usize, key: &WaiterKey) {
        let mut state = self.state.lock();
        let mut queue = self.queue.lock();
        let (_, waiter) = queue.remove(key);
        drop(queue);
        let record = state.close(record);
        let wakes = self.admit(&mut state);
        drop(state);
        drop((record, waiter, wakes));
    }

    /// Lets in the waiters that fit; to be woken when no lock is held.
    fn admit(&self, state: &mut LimiterState) -> Option<WakeList> {
        if state.waiting() == 0 || state.held >= state.total {
            return None;
        }
        let mut queue = self.queue.lock();
        while state.held < state.total {
            let Some(key) = queue.notify_one() else { break };
            state.hold(key);
        }
        Some(queue.finish())
    }
}

/// Returns how many permits are free.
fn available(state: &LimiterState) -> usize {
    if state.total == usize::MAX { usize::MAX } else { state.total.saturating_sub(state.held) }
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (total, borrowed, waiting) = (state.total, state.held, state.waiting());
        drop(state);
        f.debug_struct("CapacityLimiter")
            .field("total", &total)
            .field("borrowed", &borrowed)
            .field("waiting", &waiting)
            .finish()
    }
}

/// Why no permit was given; `Full` gives back what the next attempt needs.
pub(super) enum TryAcquireError {
    Busy(BorrowerBusy),
    Full(Holder),
    /// One is free, and the code of the caller was cancelled since it has passed its gate (L14).
    Cancelled,
}

/// A permit of a [`CapacityLimiter`]; given back when dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct LimiterPermit<'a> {
    pub(super) limiter: &'a CapacityLimiter,
    pub(super) key: usize,
}

impl Drop for LimiterPermit<'_> {
    fn drop(&mut self) {
        self.limiter.release(self.key);
    }
}

impl fmt::Debug for LimiterPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterPermit").field("limiter", self.limiter).finish()
    }
}

/// A permit of a [`CapacityLimiter`] that can be moved anywhere; given back when dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct OwnedLimiterPermit {
    pub(super) limiter: Arc<CapacityLimiter>,
    pub(super) key: usize,
}

impl OwnedLimiterPermit {
    /// Returns the holder, as the statistics name it.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.limiter.state.lock().records[self.key].holder.clone()
    }

    /// Sets the holder, for a permit that has moved. The borrower stays the one that it was acquired for.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::{CapacityLimiter, Holder};
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let limiter = Arc::new(CapacityLimiter::new(1));
    /// let permit = limiter.clone().acquire_owned().await;
    /// let Ok(()) = foster::nursery(async |n: foster::Nursery| {
    ///     n.child().named("worker").spawn(async move {
    ///         permit.set_holder(Holder::here());
    ///         let holders = limiter.statistics().holders;
    ///         assert_eq!(holders[0].task.as_ref().map(|task| task.name()), Some("worker"));
    ///     });
    /// })
    /// .await;
    /// # });
    /// ```
    pub fn set_holder(&self, mut holder: Holder) {
        let mut state = self.limiter.state.lock();
        let record = &mut state.records[self.key].holder;
        holder.borrower = record.borrower.take();
        let before = std::mem::replace(record, holder);
        drop(state);
        drop(before);
    }
}

impl Drop for OwnedLimiterPermit {
    fn drop(&mut self) {
        self.limiter.release(self.key);
    }
}

impl fmt::Debug for OwnedLimiterPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterPermit").field("limiter", &self.limiter).finish()
    }
}

/// The snapshot that [`CapacityLimiter::statistics`] returns.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CapacityLimiterStatistics {
    /// How many permits there are; [`usize::MAX`] for no limit.
    pub total: usize,
    /// How many are in use; more than the total for a while, if that was lowered, or if jobs have come back from a call.
    pub borrowed: usize,
    /// How many are free; [`usize::MAX`] for no limit.
    pub available: usize,
    /// How many tasks wait.
    pub waiting: usize,
    /// The holders, longest first.
    pub holders: Vec<Holder>,
}

#[cfg(test)]
mod tests;
