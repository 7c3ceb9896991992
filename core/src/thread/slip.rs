//! What a job leaves for whoever awaits it, and how it gets its thread.

use std::io;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::{future::Future, thread};

use super::calls::Desk;
use super::{Host, Who, limiter};
use crate::sync::{CapacityLimiter, Holder, LimiterAcquireOwned, OwnedLimiterPermit};
use crate::tree::current;
use crate::tree::live_counts::CountedJob;
use crate::tree::panic::drop_payload;
use crate::value::Carried;

/// A job, for whoever awaits it: tells what it leaves, and polls what it calls back. Dropped, it lets no call in any more.
pub(super) struct Awaited<T> {
    slip: Arc<Slip<T>>,
}

impl<T> Awaited<T> {
    pub(super) fn new() -> Self {
        let filled = Mutex::new(Filled { result: None, ended: false, waker: None });
        Awaited { slip: Arc::new(Slip { filled, desk: Arc::default() }) }
    }

    pub(super) fn slip(&self) -> &Arc<Slip<T>> {
        &self.slip
    }

    pub(super) fn poll_calls(&self, cx: &mut Context<'_>) {
        self.slip.desk.poll(cx);
    }

    /// Hands `work` to the runtime, with `who` as its host.
    ///
    /// Refused, the closure is dropped here, which ends the job.
    pub(super) fn start<F>(slip: &Arc<Slip<T>>, who: Who, paid: Paid, work: F) -> io::Result<()>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Some(tree) = current::tree() else { current::no_context() };
        let host = Host::new(who, slip.desk.clone(), tree.runtime.clone(), paid);
        tree.runtime.blocking(job(slip, host, work)).map_err(|refused| {
            drop(refused.work);
            refused.source
        })
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        self.slip.desk.close();
    }
}

/// What a job leaves for whoever awaits it, and the calls that it makes.
pub(super) struct Slip<T> {
    filled: Mutex<Filled<T>>,
    desk: Arc<Desk>,
}

pub(super) struct Filled<T> {
    result: Option<thread::Result<T>>,
    /// The job has ended; also if the runtime dropped it.
    ended: bool,
    pub(super) waker: Option<Waker>,
}

impl<T> Slip<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Filled<T>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
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
        let result = self.filled.get_mut().unwrap_or_else(PoisonError::into_inner).result.take();
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

/// A permit for a thread, and the limiter that it is from.
pub(super) type Paid = (Arc<CapacityLimiter>, OwnedLimiterPermit);

/// The way to a permit for a thread. It is also the checkpoint at the start of the job.
pub(super) struct Ticket {
    pub(super) limiter: Option<Arc<CapacityLimiter>>,
    acquire: Option<Pin<Box<LimiterAcquireOwned>>>,
}

impl Ticket {
    pub(super) fn new() -> Self {
        Ticket { limiter: None, acquire: None }
    }

    /// The permit; its holder is whoever awaits the job, at `location`.
    pub(super) fn poll(&mut self, location: &'static Location<'static>, cx: &mut Context<'_>) -> Poll<Paid> {
        let limiter = self.limiter.get_or_insert_with(limiter);
        let acquire = self.acquire.get_or_insert_with(|| Box::pin(limiter.clone().acquire_owned()));
        let permit = ready!(acquire.as_mut().poll(cx));
        permit.set_holder(Holder::at(location));
        Poll::Ready((limiter.clone(), permit))
    }
}

/// The closure for the runtime: runs `work` with its host known, catches its panic, gives the permit back, fills the slip.
fn job<T, F>(slip: &Arc<Slip<T>>, host: Host, work: F) -> crate::runtime::Work
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let writer = Writer(slip.clone());
    let values = Carried::here();
    let counted = CountedJob::new();
    Box::new(move || {
        let result = host.around(|| panic::catch_unwind(AssertUnwindSafe(|| values.run(work))));
        writer.0.lock().result = Some(result);
        drop(counted);
        // The last thing that happens: whoever waits may end the whole program now.
        drop(writer);
    })
}
