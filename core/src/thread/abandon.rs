//! The future of a job that a cancelled caller leaves behind.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use super::Who;
use super::slip::{Awaited, Ticket};
use crate::sync::CapacityLimiter;
use crate::tree::current;

/// Future of [`to_thread_abandon`](super::to_thread_abandon).
#[must_use = "futures do nothing unless polled"]
pub struct ToThreadAbandon<T, F> {
    pub(super) stage: AbandonStage<T, F>,
    pub(super) location: &'static Location<'static>,
}

pub(super) enum AbandonStage<T, F> {
    Fresh { ticket: Ticket, work: Option<F> },
    // In this order: the job learns that it is abandoned, then that its calls are over.
    Running { _abandoned: Abandoned, awaited: Awaited<T> },
    Done,
}

impl<T, F> Unpin for ToThreadAbandon<T, F> {}

impl<T, F> ToThreadAbandon<T, F> {
    /// As [`ToThread::limiter`](super::ToThread::limiter); the permit is held until the job ends, also if it is abandoned.
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        if let AbandonStage::Fresh { ticket, .. } = &mut self.stage {
            ticket.limiter = Some(limiter);
        }
        self
    }
}

/// Tells the job when the await is gone.
pub(super) struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T, F> Future for ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                AbandonStage::Fresh { ticket, work } => {
                    let paid = ready!(ticket.poll(this.location, cx));
                    let Some(work) = work.take() else { unreachable!("started once") };
                    let who = Arc::new(AtomicBool::new(false));
                    let (_abandoned, awaited) = (Abandoned(who.clone()), Awaited::new());
                    let slip = awaited.slip().clone();
                    this.stage = AbandonStage::Running { _abandoned, awaited };
                    let who = Who::Abandonable(who, current::scope());
                    if let Err(refused) = Awaited::start(&slip, who, paid, work) {
                        this.stage = AbandonStage::Done;
                        return Poll::Ready(Err(refused));
                    }
                }
                AbandonStage::Running { awaited, .. } => {
                    awaited.poll_calls(cx);
                    ready!(awaited.slip().poll_ended(cx));
                    let slip = awaited.slip().clone();
                    this.stage = AbandonStage::Done;
                    return Poll::Ready(Ok(slip.take()));
                }
                AbandonStage::Done => panic!("a blocking job was polled after it had returned"),
            }
        }
    }
}

impl<T, F> Drop for ToThreadAbandon<T, F> {
    fn drop(&mut self) {
        if let AbandonStage::Running { awaited, .. } = &self.stage {
            let waker = awaited.slip().lock().waker.take();
            drop(waker);
            // The result is dropped with the slip, by whoever is the last to hold it.
        }
    }
}

impl<T, F> fmt::Debug for ToThreadAbandon<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThreadAbandon").field("location", &self.location).finish_non_exhaustive()
    }
}
