//! What an operation needs that waits and can be cancelled: a gate at its start, and to know for whom it waits.
//!
//! An operation is *cancelled-aware* if it keeps four rules (law L14):
//!
//! 1. It starts with a [`Gate`]. Code that is cancelled does not get past it, and a task that has used up its budget gives way there.
//!    ForwardingWaker the gate the operation does at once whatever it can.
//! 2. If it has to wait, it leaves a [`Waiter`] where others find it, under the lock of what it waits for.
//! 3. Whoever gives something to waiters decides under that lock, and passes over those whose code is cancelled
//!    ([`Waiter::is_cancelled`]): it goes to the next one, or stays where it is. That counts for values and permits as well as for
//!    the news that there will be none. What is passed over is taken out of the order, so that it is met once.
//! 4. A waiter that is polled again takes what it was given. If it was passed over, it stays where it is while its code is
//!    [cancelled](is_cancelled), and otherwise starts again. If it is dropped, what it was given goes to the next one (law L40).
//!
//! Whoever polls many things in a loop [asks](has_to_yield) whether it should go on.

use std::fmt;
use std::task::{Context, Poll, Waker};

use crate::tree::current;
use crate::tree::flags::CANCELLED;
use crate::tree::node::NodeRef;
use crate::tree::waking;

pub(crate) use crate::tree::current::is_cancelled;

/// The start of an operation: code that is cancelled does not get past it (law L14), nor does a task that has used up its budget.
///
/// An operation keeps one, and asks it first in every poll. An operation that has started may still complete.
#[derive(Debug)]
pub(crate) struct Gate {
    started: bool,
    /// The operation, for dumps.
    what: &'static str,
    /// A dump would show it, as what a scope waits for.
    shown: bool,
}

impl Gate {
    /// The gate to `what`.
    #[inline]
    pub(crate) const fn to(what: &'static str) -> Self {
        Gate { started: false, what, shown: false }
    }

    /// The gate to `what`, which has started elsewhere.
    #[inline]
    pub(crate) const fn passed(what: &'static str) -> Self {
        Gate { started: true, what, shown: false }
    }

    /// The operation.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Ready once the operation has started. It starts now, for one unit of the task's budget, unless the code is cancelled: then
    /// this is Pending, and nobody will be woken. If the budget is used up, this is Pending, and the task is woken.
    #[inline]
    pub(crate) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_unless_cancelled().is_pending() {
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

    /// As [`poll_start`](Gate::poll_start), for an operation that waits in any case, and so needs no budget.
    #[inline]
    pub(crate) fn poll_start_to_wait(&mut self) -> Poll<()> {
        if self.poll_unless_cancelled().is_pending() {
            return Poll::Pending;
        }
        self.started = true;
        Poll::Ready(())
    }

    /// As [`poll_start`](Gate::poll_start), for an operation that needs no budget, because it gives way in any case or does nothing.
    /// It has not started after this.
    #[inline]
    pub(crate) fn poll_unless_cancelled(&mut self) -> Poll<()> {
        let arrival = current::arrives_at(self.what, !self.started);
        self.shown = arrival.noted;
        if arrival.cancelled { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Gate {
    #[inline]
    fn drop(&mut self) {
        if self.shown {
            // The operation is over, and the code goes on to another in the same poll.
            current::waits_no_more(self.what);
        }
    }
}

/// Takes one unit of the budget of the task that is being polled. Pending, after waking it, if nothing is left. Outside of any tree
/// there is no limit.
#[inline]
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    current::with_tree(|tree| tree.runtime.poll_budget(cx)).unwrap_or(Poll::Ready(()))
}

/// Whether the task that is being polled has used up its budget: a loop that polls many should stop, wake its task and return Pending.
///
/// In code that is cancelled it should go on: what still has to end is passed over otherwise, and taken for something that nobody
/// polls (law L16).
pub(crate) fn has_to_yield() -> bool {
    current::with_tree(|tree| tree.runtime.should_yield()).unwrap_or(false) && !is_cancelled()
}

/// The scope whose code waits, as a waiter remembers it. None outside of any tree, where nothing is ever cancelled.
///
/// It may be the last reference to the scope: it must not be dropped under a lock.
struct WaitingScope(Option<NodeRef>);

impl WaitingScope {
    fn current() -> Self {
        WaitingScope(current::try_scope())
    }

    fn is_current(&self) -> bool {
        match &self.0 {
            Some(node) => current::is_inside(node),
            None => current::depth() == 0,
        }
    }

    #[inline]
    fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|node| node.flagged(CANCELLED))
    }
}

/// A task that waits: how to wake it, and whether its code is still to be given anything.
///
/// To be made, called and dropped while no lock is held (law L36).
pub(crate) struct Waiter {
    /// None: it was not polled yet.
    waker: Option<Waker>,
    scope: WaitingScope,
}

impl Waiter {
    /// The task and the code that are being polled.
    pub(crate) fn new(cx: &Context<'_>) -> Self {
        Waiter { waker: Some(cx.waker().clone()), scope: WaitingScope::current() }
    }

    /// The code that is running, which will be polled later. This one may be made under the lock of a queue: no waker is cloned.
    pub(crate) fn unpolled() -> Self {
        Waiter { waker: None, scope: WaitingScope::current() }
    }

    /// Whether it must not be given anything any more. One load; no lock, no clock.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.scope.is_cancelled()
    }

    /// Whether it is the task and the code that are being polled. Otherwise it is to be replaced.
    pub(crate) fn is_current(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) && self.scope.is_current()
    }

    /// WakeList the task; a waker that panics is [contained](crate::tree::waking).
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.waker {
            waking::wake(waker);
        }
    }

    /// Its waker, to be [called](waking::wake_all) with others.
    pub(crate) fn into_waker(self) -> Option<Waker> {
        self.waker
    }

    /// As [`wake`](Waiter::wake), of a waiter that stays.
    pub(crate) fn wake_by_ref(&self) {
        if let Some(waker) = self.waker.clone() {
            waking::wake(waker);
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use crate::channel::{RecvError, bounded};
    use crate::sync::testing::{ManualTask, at_once};
    use crate::sync::{Event, Semaphore};
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

        let (tx, rx) = bounded::<u8>(1);
        let mut first = pin!(rx.recv());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let others = [0; 3].map(|_| ManualTask::waiting(rx.recv()));
        drop(tx);
        assert_eq!(others.map(ManualTask::finish), [Err(RecvError::Disconnected); 3]);

        let semaphore = Semaphore::new(0);
        let mut first = pin!(semaphore.acquire());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let other = ManualTask::waiting(semaphore.acquire());
        semaphore.add_permits(2);
        drop(other.finish());
        drop(at_once(first));
        assert_eq!(panics.0.load(Ordering::SeqCst), 3);
    }
}
