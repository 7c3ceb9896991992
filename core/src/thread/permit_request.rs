//! A job that has not started ([`JobStart`]): its closure, and the wait for a permit for a thread.
//!
//! A permit that comes between two polls is kept for the next one: a future that is dropped leaves the limiter's queue. A type
//! that is polled without a future of its own cannot tell that nobody polls it any more. So its request leaves the queue when
//! it is woken (`release_when_woken`):
//!
//! ```text
//!   a permit is handed over ──▶ the waker: leaves the queue, which passes it on, then wakes the task
//!   the next poll ──▶ takes a permit if one is free, and else waits again, behind all others
//! ```

use std::cell::RefCell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use super::{JOB, limiter_for};
use crate::leaf::wake_all;
use crate::sync::future::LimiterAcquireOwned;
use crate::sync::{CapacityLimiter, Holder, OwnedLimiterPermit};

/// A permit for a thread, and its limiter.
pub(super) type ThreadPermit = (Arc<CapacityLimiter>, OwnedLimiterPermit);

/// A job that has not started: its wait for a permit, and its closure.
pub(super) struct JobStart<F> {
    pub(super) request: PermitRequest,
    /// None when it was handed over, after which this is not polled.
    work: Option<F>,
}

impl<F> JobStart<F> {
    pub(super) fn new(work: F) -> Self {
        JobStart { request: PermitRequest { limiter: None, wait: None }, work: Some(work) }
    }

    /// Polls for the permit, and hands the closure over with it. See [`PermitRequest::poll`].
    pub(super) fn poll(
        &mut self,
        location: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<(ThreadPermit, F)> {
        let permit = ready!(self.request.poll(location, cx));
        let Some(work) = self.work.take() else { unreachable!("the work is taken once, and then the state changes") };
        Poll::Ready((permit, work))
    }
}

/// The wait for a permit for a thread. It is also the checkpoint at the start of the job.
pub(super) struct PermitRequest {
    pub(super) limiter: Option<Arc<CapacityLimiter>>,
    /// In a box, since jobs are part of other futures.
    wait: Option<Box<Wait>>,
}

enum Wait {
    /// A permit that is handed over is kept for the next poll.
    Kept(LimiterAcquireOwned),
    /// The place in the queue is left when it is handed over, and the permit goes to the next there.
    Released(Arc<ReleasedWhenWoken>),
}

impl PermitRequest {
    /// From now on a permit that comes between two polls goes to the next in the queue. Not to be called any more once it was polled.
    pub(super) fn release_when_woken(&mut self) {
        self.wait = Some(Box::new(Wait::Released(Arc::default())));
    }

    /// Polls for the permit. Its holder is the task that awaits the job, at `location`.
    fn poll(&mut self, location: &'static Location<'static>, cx: &mut Context<'_>) -> Poll<ThreadPermit> {
        let limiter = self.limiter.get_or_insert_with(|| limiter_for(JOB));
        let start = || limiter.clone().acquire_owned();
        let permit = ready!(match &mut **self.wait.get_or_insert_with(|| Box::new(Wait::Kept(start()))) {
            Wait::Kept(acquire) => Pin::new(acquire).poll(cx),
            Wait::Released(place) => place.poll(start, cx),
        });
        permit.set_holder(Holder::at(location));
        Poll::Ready((limiter.clone(), permit))
    }
}

impl Drop for PermitRequest {
    fn drop(&mut self) {
        if let Some(Wait::Released(place)) = self.wait.as_deref() {
            // The queue may still refer to it, by its waker.
            drop(place.leave());
        }
    }
}

/// A place in the limiter's queue that is left when its waker is called.
#[derive(Default)]
struct ReleasedWhenWoken(Mutex<Place>);

#[derive(Default)]
struct Place {
    acquire: Option<LimiterAcquireOwned>,
    /// The waker of the latest poll.
    waker: Option<Waker>,
    /// The waker was called since the latest poll has begun.
    was_woken: bool,
}

impl ReleasedWhenWoken {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) -> Leaving {
        let mut place = self.lock();
        place.was_woken = true;
        Leaving { acquire: place.acquire.take(), waker: place.waker.take() }
    }

    fn poll(
        self: &Arc<Self>,
        start: impl FnOnce() -> LimiterAcquireOwned,
        cx: &mut Context<'_>,
    ) -> Poll<OwnedLimiterPermit> {
        // L36: cloned and dropped while no lock is held.
        let waker = cx.waker().clone();
        let mut place = self.lock();
        place.was_woken = false;
        let before = place.waker.replace(waker);
        let acquire = place.acquire.take();
        drop(place);
        drop(before);
        let mut acquire = acquire.unwrap_or_else(start);
        let permit = Pin::new(&mut acquire).poll(&mut Context::from_waker(&Waker::from(self.clone())));
        let mut place = self.lock();
        if permit.is_pending() && !place.was_woken {
            place.acquire = Some(acquire);
            return Poll::Pending;
        }
        let waker = place.waker.take();
        drop(place);
        // Woken meanwhile, the task is polled again, and passes a permit on that was handed over in this instant.
        drop((acquire, waker));
        permit
    }
}

impl Wake for ReleasedWhenWoken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.leave().pass_on();
    }
}

/// The contents of a place that was left.
struct Leaving {
    acquire: Option<LimiterAcquireOwned>,
    waker: Option<Waker>,
}

thread_local! {
    /// Places whose contents are to be dropped by the outermost call of [`Leaving::pass_on`] on this thread, if there is one.
    static NEXT: RefCell<Option<Vec<Leaving>>> = const { RefCell::new(None) };
}

impl Leaving {
    /// Passes the permit on, and then wakes the task. The receiver may pass it on as well, from inside of this call:
    /// that is left to the outermost call, so that the stack does not grow with the queue.
    fn pass_on(self) {
        let mut this = Some(self);
        // A thread that is ending has no list: then the stack grows.
        let _ = NEXT.try_with(|next| match &mut *next.borrow_mut() {
            Some(next) => next.extend(this.take()),
            next => *next = Some(Vec::new()),
        });
        let Some(Leaving { acquire, waker }) = this else { return };
        let mut round = Round { wakers: Vec::from_iter(waker) };
        drop(acquire);
        while let Some(Leaving { acquire, waker }) = Round::next() {
            round.wakers.extend(waker);
            drop(acquire);
        }
    }
}

/// The outermost call. All are woken at its end, so that none of them is back in the queue before; also if a drop has
/// panicked.
struct Round {
    wakers: Vec<Waker>,
}

impl Round {
    fn next() -> Option<Leaving> {
        NEXT.try_with(|next| next.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten()
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let rest = NEXT.try_with(RefCell::take).ok().flatten();
        for Leaving { acquire, waker } in rest.into_iter().flatten() {
            self.wakers.extend(waker);
            drop(acquire);
        }
        wake_all(std::mem::take(&mut self.wakers));
    }
}
