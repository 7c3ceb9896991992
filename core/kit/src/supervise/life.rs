//! One life of a supervised child: from its start, or from the delay before it, to its end.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::ChildExit;
use foster_channel::Sender;
use foster_core::future::{CancelScopeFuture, Sleep};
use foster_core::nursery::Outcome;
use foster_core::{CancelScope, ScopeHandle, sleep};

type Boxed<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// A life has ended.
pub(super) struct Report<E> {
    pub(super) index: usize,
    pub(super) exit: ChildExit<E>,
}

pin_project! {
    /// The future of one life. It reports how it ended when everything inside has ended.
    pub(super) struct Life<E> {
        #[pin]
        run: CancelScopeFuture<Delayed<E>, Result<(), E>>,
        index: usize,
        sender: Sender<Report<E>>,
    }
}

impl<E> Life<E> {
    pub(super) fn new(
        index: usize,
        delay: Duration,
        child: Boxed<E>,
        name: Cow<'static, str>,
        sender: Sender<Report<E>>,
    ) -> (Self, ScopeHandle) {
        let mut scope = CancelScope::new().named(name);
        let handle = scope.handle();
        let delay = (delay > Duration::ZERO).then_some(delay);
        (Life { run: scope.run(Delayed { delay, sleep: None, child }), index, sender }, handle)
    }
}

impl<E: Send + 'static> Future for Life<E> {
    /// Its end is no failure of the nursery's.
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let exit = match panic::catch_unwind(AssertUnwindSafe(|| this.run.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(Ok(())))) => ChildExit::Returned,
            Ok(Poll::Ready(Ok(Err(error)))) => ChildExit::Failed(error),
            Ok(Poll::Ready(Err(_cancelled))) => ChildExit::Stopped,
            Err(payload) => ChildExit::Panicked(payload),
        };
        // A supervisor that has ended, or gives up, does not listen any more.
        drop(this.sender.try_send(Report { index: *this.index, exit }));
        Poll::Ready(())
    }
}

pin_project! {
    /// The child, behind the delay of its restart.
    struct Delayed<E> {
        delay: Option<Duration>,
        #[pin]
        sleep: Option<Sleep>,
        child: Boxed<E>,
    }
}

impl<E> Future for Delayed<E> {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(delay) = this.delay.take() {
            this.sleep.set(Some(sleep(delay)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            if sleep.poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.sleep.set(None);
        }
        this.child.as_mut().poll(cx)
    }
}

pin_project! {
    /// A child, whatever it may return.
    pub(super) struct Settled<F, T, E> {
        #[pin]
        future: F,
        value: PhantomData<fn() -> (T, E)>,
    }
}

impl<F, T, E> Settled<F, T, E> {
    pub(super) fn new(future: F) -> Self {
        Settled { future, value: PhantomData }
    }
}

impl<F: Future<Output = R>, R: Outcome<T, E>, T, E> Future for Settled<F, T, E> {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.project().future.poll(cx).map(|outcome| outcome.into_result().map(drop))
    }
}
