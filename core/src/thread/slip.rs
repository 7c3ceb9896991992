//! What a job leaves for whoever awaits it, and how it gets its thread.

use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::{future::Future, thread};

use super::{Host, limiter};
use crate::sync::{CapacityLimiter, LimiterAcquireOwned, OwnedLimiterPermit};
use crate::tree::drive::drop_payload;
use crate::value::Carried;

/// What a job leaves for whoever awaits it.
pub(super) struct Slip<T>(Mutex<Filled<T>>);

pub(super) struct Filled<T> {
    result: Option<thread::Result<T>>,
    /// The job has ended; also if the runtime dropped it.
    ended: bool,
    pub(super) waker: Option<Waker>,
}

impl<T> Slip<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Slip(Mutex::new(Filled { result: None, ended: false, waker: None })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Filled<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut spare: Option<Waker> = None;
        loop {
            let mut filled = self.lock();
            if filled.ended {
                return Poll::Ready(());
            }
            if filled.waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if spare.is_some() {
                std::mem::swap(&mut filled.waker, &mut spare);
                drop(filled);
                return Poll::Pending;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            drop(filled);
            spare = Some(cx.waker().clone());
        }
    }

    /// Drops the result, or resumes the panic, of a job without a caller.
    pub(super) fn settle(&self) {
        let result = self.lock().result.take();
        if let Some(Err(payload)) = result {
            panic::resume_unwind(payload);
        }
    }

    pub(super) fn take(&self) -> T {
        let result = self.lock().result.take();
        match result {
            Some(Ok(value)) => value,
            Some(Err(payload)) => panic::resume_unwind(payload),
            None => panic!("the runtime has dropped a blocking job without running it: it is being torn down"),
        }
    }
}

impl<T> Drop for Slip<T> {
    fn drop(&mut self) {
        // A result that nobody has taken. This may be the runtime's thread, which must not panic (R8), or `Drop` (L37).
        let result = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).result.take();
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(result)));
        drop_payload(dropped.err());
    }
}

/// The job's side of the slip: says that the job has ended, however it does.
struct Writer<T>(Arc<Slip<T>>);

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        let mut filled = self.0.lock();
        filled.ended = true;
        let waker = filled.waker.take();
        drop(filled);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The way to a permit for a thread. It is also the checkpoint at the start of the job.
pub(super) struct Ticket {
    pub(super) limiter: Option<Arc<CapacityLimiter>>,
    acquire: Option<Pin<Box<LimiterAcquireOwned>>>,
}

impl Ticket {
    pub(super) fn new() -> Self {
        Ticket { limiter: None, acquire: None }
    }

    /// The permit, and the limiter that it is from.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Arc<CapacityLimiter>, OwnedLimiterPermit)> {
        let limiter = self.limiter.get_or_insert_with(limiter);
        // Fast: waiting for the job gives way to other tasks anyway.
        let acquire = self.acquire.get_or_insert_with(|| Box::pin(limiter.clone().fast_acquire_owned()));
        let permit = ready!(acquire.as_mut().poll(cx));
        Poll::Ready((limiter.clone(), permit))
    }
}

/// The closure for the runtime: runs `work` with its host known, catches its panic, gives the permit back, fills the slip.
pub(super) fn job<T, F>(slip: &Arc<Slip<T>>, host: Host, work: F) -> crate::runtime::Work
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let writer = Writer(slip.clone());
    let values = Carried::here();
    Box::new(move || {
        let result = host.around(|| panic::catch_unwind(AssertUnwindSafe(|| values.run(work))));
        writer.0.lock().result = Some(result);
        // The last thing that happens: whoever waits may end the whole program now.
        drop(writer);
    })
}
