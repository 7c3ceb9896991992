//! The future of a job that a cancelled caller leaves behind.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use super::calls::Calls;
use super::slip::{Slip, Ticket, job};
use super::{Host, Who};
use crate::sync::CapacityLimiter;
use crate::tree::ambient;

/// Future of [`to_thread_abandon`](super::to_thread_abandon).
#[must_use = "futures do nothing unless polled"]
pub struct ToThreadAbandon<T, F> {
    pub(super) stage: AbandonStage<T, F>,
}

pub(super) enum AbandonStage<T, F> {
    Fresh { ticket: Ticket, work: Option<F> },
    Running { calls: Calls, abandoned: Abandoned, slip: Arc<Slip<T>> },
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
                    let permit = ready!(ticket.poll(cx));
                    let Some(work) = work.take() else { unreachable!("started once") };
                    let Some(tree) = ambient::tree() else { ambient::no_context() };
                    let slip = Slip::new();
                    let abandoned = Arc::new(AtomicBool::new(false));
                    let calls = Calls::new();
                    let who = Who::Abandonable(abandoned.clone(), ambient::current());
                    let host = Host::new(who, calls.desk(), tree.runtime.clone(), permit);
                    this.stage = AbandonStage::Running { calls, abandoned: Abandoned(abandoned), slip: slip.clone() };
                    if let Err(refused) = tree.runtime.blocking(job(&slip, host, work)) {
                        this.stage = AbandonStage::Done;
                        return Poll::Ready(Err(refused.source));
                    }
                }
                AbandonStage::Running { calls, slip, .. } => {
                    calls.poll(cx);
                    ready!(slip.poll_ended(cx));
                    let slip = slip.clone();
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
        if let AbandonStage::Running { calls, abandoned, slip } = std::mem::replace(&mut self.stage, AbandonStage::Done)
        {
            // Before its calls end, so that the job learns of one thing after the other.
            drop(abandoned);
            drop(calls);
            let waker = slip.lock().waker.take();
            drop(waker);
            // The result is dropped with the slip, by whoever is the last to hold it.
        }
    }
}

impl<T, F> fmt::Debug for ToThreadAbandon<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThreadAbandon").finish_non_exhaustive()
    }
}
