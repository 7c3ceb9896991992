//! Writing operations of one's own: futures that wait, and that code which is cancelled neither starts nor is given
//! anything by.
//!
//! Foster's own locks and channels are made of what is here, and a library that stands on foster makes its operations
//! of the same. There are two ways:
//!
//! * **A future of another crate** becomes an operation with [`operation`]. That is enough wherever it matters only
//!   that cancelled code stops there.
//! * **A resource with waiters of its own** is written with a [`Gate`] and [`Waiter`]s. Then nothing is given to
//!   cancelled code, and so nothing is lost with it.
//!
//! # The four rules
//!
//! An operation is *cancel-aware* if it keeps four rules (law L14):
//!
//! 1. It starts with a [`Gate`]. Code that is cancelled does not get past it, and a task that has used up its budget
//!    gives way there. Past the gate the operation does at once whatever it can. But what it finds there without having
//!    waited was not given to it, and since the gate another thread may have cancelled its code: then that is for
//!    others. So it asks once more, by [`may_take`], under the lock under which it takes; and if it may not, it leaves
//!    everything as it is, and [starts again](Gate::restart). Of a fact that it tells of, such as an end, which may
//!    have come of that very request, it asks [exactly](crate::is_cancelled()), with the lock released.
//! 2. If it has to wait, it leaves a [`Waiter`] where others find it, under the lock of what it waits for.
//! 3. The side that gives [claims](Waiter::claim) the waiter under that lock, and skips it if that fails, because
//!    its code is cancelled: what it gives goes to the next one, or stays where it is. That counts for values and
//!    permits as well as for the news that there will be none. Both are [woken](Waiter::wake); one that was skipped
//!    is taken out of the order, so that it is met once.
//! 4. A waiter that is polled again takes what it was given, even if its code is cancelled by then. If it was passed
//!    over, it stays where it is while its code is cancelled, by [`stops_here`], and otherwise starts again. If it is
//!    dropped, what it was given goes to the next one (law L40).
//!
//! A value that was given may be **taken back** before the waiter has seen it, as a channel that is closed takes back
//! what it had let in. That is given, too, and rule 3 counts: the side that takes it back asks the waiter whether its
//! code [is cancelled](Waiter::is_cancelled); it stays there without [its waker](Waiter::take_waker) until then.
//!
//! The code of foster runs foreign code, such as wakers, with no lock held (law L36). An operation owes its users the
//! same: a waiter is **made, called and dropped while no lock is held**. To make one clones a waker, to call one runs a
//! waker, and to drop one may drop a task.
//!
//! The page "Writing a cancel-aware operation" of the book shows a resource that keeps these rules, and a test of it
//! over many schedules.
//!
//! # Loops
//!
//! A future that polls many others in a loop asks [`has_to_yield`] whether it should go on, or takes a unit of the
//! budget for each item with [`poll_budget`] (law L38).
//!
//! # Outside of any tree
//!
//! All of this works outside of any tree, too: nothing is cancelled there, and the budget has no limit.
//!
//! # Examples
//!
//! ```
//! use foster::leaf::operation;
//! use foster::move_on_after;
//! use std::future::{pending, ready};
//! use std::time::Duration;
//!
//! # foster_sim::run(1, async {
//! let page = move_on_after(Duration::from_secs(1), async {
//!     let address = operation("resolve", ready("localhost")).await;
//!     operation("fetch", pending::<()>()).await; // cancelled here
//!     address
//! })
//! .await;
//! assert_eq!(page, None);
//! # });
//! ```

pub(crate) mod arrival;
pub(crate) mod checkpoint_if_cancelled;
mod operation;
pub(crate) mod ready_queue;
mod waiter;

use std::task::{Context, Poll, Waker};

use crate::reason::Origin;
use crate::tree::current;
use crate::tree::waking;

pub(crate) use crate::tree::current::is_cancelled;

pub use arrival::stops_here;
pub use operation::{Operation, operation};
pub use ready_queue::{ReadyMember, ReadyQueue};
pub use waiter::Waiter;

/// The start of an operation: code that is cancelled does not get past it (law L14), nor does a task that has used up
/// its budget.
///
/// An operation keeps one from its beginning to its end, and asks it first in each poll. An operation that has started
/// may still complete, with what it was given before its code was cancelled.
///
/// While the operation waits, a [`dump`](crate::dump) of the tree names it.
///
/// # Examples
///
/// An operation that never waits, and still is a checkpoint:
///
/// ```
/// use foster::leaf::{Gate, may_take};
/// use std::pin::Pin;
/// use std::sync::Mutex;
/// use std::task::{Context, Poll, ready};
///
/// struct NextNumber<'a> {
///     counter: &'a Mutex<u64>,
///     gate: Gate,
/// }
///
/// impl Future for NextNumber<'_> {
///     type Output = u64;
///
///     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
///         ready!(self.gate.poll_start(cx));
///         let mut next = self.counter.lock().unwrap();
///         if !may_take() {
///             drop(next);
///             return self.gate.restart(cx); // cancelled since the gate, by another thread
///         }
///         let number = *next;
///         *next += 1;
///         Poll::Ready(number)
///     }
/// }
///
/// # foster_sim::run(1, async {
/// let counter = Mutex::new(7);
/// let next = || NextNumber { counter: &counter, gate: Gate::new("next number") };
/// assert_eq!(next().await, 7);
///
/// let mut scope = foster::CancelScope::new();
/// let handle = scope.handle();
/// let cancelled = scope.run(async {
///     handle.cancel("enough");
///     next().await
/// });
/// assert!(cancelled.await.is_err());
/// assert_eq!(*counter.lock().unwrap(), 8, "cancelled code has taken no number");
/// # });
/// ```
#[derive(Debug)]
pub struct Gate {
    started: bool,
    /// The operation, for dumps.
    what: &'static str,
    /// A dump would show it, as what a scope waits for.
    shown: bool,
}

impl Gate {
    /// Makes the gate of an operation that has not started. `what` names the operation in dumps.
    #[inline]
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Gate { started: false, what, shown: false }
    }

    /// Makes the gate of an operation that has started elsewhere, as a permit does that was reserved before.
    #[inline]
    #[must_use]
    pub const fn passed(what: &'static str) -> Self {
        Gate { started: true, what, shown: false }
    }

    /// Returns the name of the operation.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Starts the operation, unless it has started before. Ready if it has started.
    ///
    /// It starts now, for one unit of the budget of the task that is being polled, unless the code is cancelled: then
    /// this is Pending, and the scope drops that code. If the budget is used up, this is Pending, and the task is woken.
    ///
    /// An operation that has started gets past the gate also in cancelled code. It asks
    /// [`is_cancelled`](crate::is_cancelled()) before it takes anything that it was not given before.
    ///
    /// An operation that stops here is woken as [`stops_here`] says.
    #[inline]
    pub fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_unless_cancelled(cx).is_pending() {
            return Poll::Pending;
        }
        if !self.started {
            if poll_budget(cx).is_pending() {
                return Poll::Pending;
            }
            self.started = true;
        }
        Poll::Ready(())
    }

    /// Does as [`poll_start`](Gate::poll_start), for an operation that waits in any case, as a sleep does, and so needs
    /// no budget.
    #[inline]
    pub fn poll_start_to_wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.poll_unless_cancelled(cx).is_pending() {
            return Poll::Pending;
        }
        self.started = true;
        Poll::Ready(())
    }

    /// Does as [`poll_start`](Gate::poll_start), for a type that is polled without a future, such as a stream: it has no
    /// gate to keep, and starts anew in each poll. No dump names it.
    #[inline]
    pub fn poll_once(what: &'static str, cx: &mut Context<'_>) -> Poll<()> {
        Gate::new(what).poll_start(cx)
    }

    /// Starts the operation again with its next poll, because its code is cancelled by now, and what it has found in
    /// this one, without having waited, is not for that code (rule 1 of [`leaf`](self)). Pending.
    ///
    /// The task is woken as [`stops_here`] says, or at once if the code is not cancelled after all.
    pub fn restart<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.started = false;
        if !stops_here(cx) {
            Waiter::new(cx).wake();
        }
        Poll::Pending
    }

    /// Whether the operation has started.
    fn has_started(&self) -> bool {
        self.started
    }

    /// Does as [`poll_start`](Gate::poll_start), for an operation that needs no budget, because it gives way in any
    /// case or does nothing. It has not started after this.
    #[inline]
    pub fn poll_unless_cancelled(&mut self, cx: &Context<'_>) -> Poll<()> {
        let arrival = arrival::arrives_at(self.what, !self.started, cx);
        self.shown = arrival.noted;
        if arrival.stops { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Gate {
    #[inline]
    fn drop(&mut self) {
        if self.shown {
            // The operation is over, and the code goes on to another in the same poll.
            arrival::waits_no_more(self.what);
        }
    }
}

/// Takes one unit of the budget of the task that is being polled. Pending if nothing is left; then the task has been
/// woken, and its future should return Pending.
///
/// The budget is that of the runtime: tokio's own on tokio, elsewhere 128 operations in one poll. Outside of any tree
/// there is no limit. A [`Gate`] takes its unit by itself. This does not ask whether the code is cancelled.
///
/// # Examples
///
/// ```
/// use foster::leaf::poll_budget;
/// use std::future::poll_fn;
/// use std::task::{Poll, ready};
///
/// # foster_sim::run(1, async {
/// // Reads what is there already, and gives way now and then.
/// let mut lines = (0..1000).map(|number| format!("line {number}"));
/// let mut bytes = 0;
/// poll_fn(|cx| {
///     loop {
///         ready!(poll_budget(cx));
///         match lines.next() {
///             Some(line) => bytes += line.len(),
///             None => return Poll::Ready(()),
///         }
///     }
/// })
/// .await;
/// assert_eq!(bytes, 7890);
/// # });
/// ```
#[inline]
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    current::with_tree(|tree| tree.runtime.poll_budget(cx)).unwrap_or(Poll::Ready(()))
}

/// Returns whether the task that is being polled has used up its budget: a loop that polls many futures should stop,
/// wake its task, and return Pending.
///
/// Always false in code that is cancelled, where the loop should go on: a future that it leaves out may have an inner
/// scope that still has to end, and would be taken for one that nobody polls (law L16). False outside of any tree, too.
///
/// # Examples
///
/// ```
/// use foster::leaf::has_to_yield;
/// use std::pin::{Pin, pin};
/// use std::task::{Context, Poll};
///
/// /// Polls all of them in turn, as far as the budget goes, and removes those that are ready.
/// fn poll_all(futures: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>, cx: &mut Context<'_>) -> Poll<()> {
///     let mut at = 0;
///     while at < futures.len() {
///         match futures[at].as_mut().poll(cx) {
///             Poll::Ready(()) => drop(futures.swap_remove(at)),
///             Poll::Pending => at += 1,
///         }
///         if has_to_yield() {
///             // The rest at the next turn, and first of all.
///             futures.rotate_left(at);
///             cx.waker().wake_by_ref();
///             return Poll::Pending;
///         }
///     }
///     if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
/// }
///
/// # foster_sim::run(1, async {
/// let mut futures: Vec<_> = (0..1000).map(|_| Box::pin(async { foster::checkpoint().await }) as _).collect();
/// std::future::poll_fn(|cx| poll_all(&mut futures, cx)).await;
/// # });
/// ```
#[must_use]
#[inline]
pub fn has_to_yield() -> bool {
    current::with_tree(|tree| tree.runtime.should_yield()).unwrap_or(false) && !is_cancelled()
}

/// Returns whether the running code may take what it has found without having waited: no request is known that cancels
/// it. For code that runs what [`Waiter::claim`] is for code that waits.
///
/// To be asked past the [`Gate`], under the lock of what is taken (rule 1 of [`leaf`](self)): so nothing is taken that
/// another thread has put there after it had cancelled this code. It takes no lock and reads no clock; a deadline counts
/// from the moment at which its scope has noticed it. Always true outside of any tree.
///
/// # Examples
///
/// ```
/// use foster::leaf::{Gate, Waiter, may_take};
/// use std::future::poll_fn;
/// use std::sync::Mutex;
/// use std::task::{Poll, ready};
///
/// /// Takes the last job, or waits for one.
/// async fn take(jobs: &Mutex<(Vec<u32>, Option<Waiter>)>) -> u32 {
///     let mut gate = Gate::new("take");
///     poll_fn(|cx| {
///         ready!(gate.poll_start(cx));
///         let waiter = Waiter::new(cx); // made before the lock is taken
///         let mut locked = jobs.lock().unwrap();
///         if !may_take() {
///             drop(locked);
///             return gate.restart(cx);
///         }
///         if let Some(job) = locked.0.pop() {
///             return Poll::Ready(job);
///         }
///         let before = locked.1.replace(waiter);
///         drop(locked);
///         drop(before); // dropped after it was released
///         Poll::Pending
///     })
///     .await
/// }
///
/// # foster_sim::run(1, async {
/// assert_eq!(take(&Mutex::new((vec![1, 2], None))).await, 2);
/// # });
/// ```
#[must_use = "code that is cancelled must not take anything"]
#[inline]
pub fn may_take() -> bool {
    !current::is_known_to_be_cancelled()
}

/// Calls all the wakers, whichever of them panics.
///
/// To be called while no lock is held. Panics of wakers do not reach the caller: they go to the
/// [`Observer`](crate::observer::Observer) of the tree that the caller is part of (law L36).
pub fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| waking::wake(|| waker.wake()));
}

/// Returns the name and place of the task whose code is running, to name it in an error or a dump. None outside of any
/// task.
#[must_use]
pub fn current_task() -> Option<Origin> {
    current::task_origin()
}

/// Refuses to block the thread if it is polling code of a tree: the task that would end the wait may be behind that
/// very code.
///
/// `what` is the function that blocks, and `instead` what tasks use.
///
/// # Panics
///
/// In code of a tree. In the closure of [`to_thread`](crate::to_thread) and in threads of your own it does nothing.
#[track_caller]
pub fn assert_may_block(what: &str, instead: &str) {
    if let Some(running) = current::task_origin() {
        panic!(
            "`{what}` blocks its thread, and this thread is polling {running}. Await {instead} there; `{what}` is for the \
             closures of `to_thread` and for threads of your own"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use crate::sync::{Event, Semaphore};
    use foster_test_support::{ManualTask, at_once};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// A waker that panics when it is called.
    struct Panics(AtomicUsize);

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a waker that panics, on purpose");
        }
    }

    /// L36: of a batch that is woken, a waker that panics keeps none from being called, nor does its panic come out.
    #[test]
    fn a_waker_that_panics_keeps_nobody_waiting() {
        let panics = Arc::new(Panics(AtomicUsize::new(0)));
        let waker = Waker::from(panics.clone());
        let mut cx = Context::from_waker(&waker);

        let event = Event::new();
        let mut first = pin!(event.wait());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let others = [0; 3].map(|_| ManualTask::waiting(event.wait()));
        event.set();
        let _ = others.map(ManualTask::finish);

        let semaphore = Semaphore::new(0);
        let mut first = pin!(semaphore.acquire());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let other = ManualTask::waiting(semaphore.acquire());
        semaphore.add_permits(2);
        drop(other.finish());
        drop(at_once(first));
        assert_eq!(panics.0.load(Ordering::SeqCst), 2);
    }
}
