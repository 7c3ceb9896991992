//! Combinators that know nothing of foster: they drop branches, hold them unpolled, and hand out wakers of their own.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A boxed future of a program.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// The output of the future that is ready first. The other is dropped; the flag says whether there was one that had
/// been polled.
pub(crate) async fn select<T>(first: Boxed<T>, second: Boxed<T>) -> (T, bool) {
    let mut branches = (Some(first), Some(second));
    poll_fn(move |cx| {
        let (Some(first), Some(second)) = (&mut branches.0, &mut branches.1) else {
            unreachable!("polled after its end")
        };
        let polled_first = first.as_mut().poll(cx);
        let output = match polled_first {
            Poll::Ready(output) => output,
            Poll::Pending => match second.as_mut().poll(cx) {
                Poll::Ready(output) => output,
                Poll::Pending => return Poll::Pending,
            },
        };
        branches = (None, None);
        Poll::Ready((output, true))
    })
    .await
}

/// Polls a future once, whatever comes of it.
pub(crate) async fn poll_once<T>(future: &mut Boxed<T>) -> Option<T> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The waker of one member of a [`group`].
struct Member {
    woken: AtomicBool,
    around: Arc<Mutex<Option<Waker>>>,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        let waker = self.around.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Runs futures side by side, and polls only those that were woken.
pub(crate) async fn group<T: Send>(futures: Vec<Boxed<T>>) -> Vec<T> {
    let around = Arc::new(Mutex::new(None));
    let mut members: Vec<_> = futures
        .into_iter()
        .map(|future| (Some(future), Arc::new(Member { woken: AtomicBool::new(true), around: around.clone() })))
        .collect();
    let mut outputs = Vec::new();
    poll_fn(move |cx| {
        let before = around.lock().unwrap_or_else(PoisonError::into_inner).replace(cx.waker().clone());
        drop(before);
        for (future, member) in &mut members {
            let Some(running) = future else { continue };
            if member.woken.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(member.clone());
                if let Poll::Ready(output) = running.as_mut().poll(&mut Context::from_waker(&waker)) {
                    outputs.push(output);
                    *future = None;
                }
            }
        }
        match members.iter().all(|(future, _)| future.is_none()) {
            true => Poll::Ready(std::mem::take(&mut outputs)),
            false => Poll::Pending,
        }
    })
    .await
}

/// Makes a panic of the future a value.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, Payload> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}
