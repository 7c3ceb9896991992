//! One life of a supervised child: from its start, or from the delay before it, to its end.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::ChildExit;
use crate::payload::drop_payload;
use foster_channel::{Sender, TrySendError};
use foster_core::future::{CancelScopeFuture, Sleep};
use foster_core::nursery::Outcome;
use foster_core::observer::{OrphanKind, report};
use foster_core::{CancelScope, ScopeHandle, is_cancelled, sleep};

type Boxed<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// A life has ended. A failure that nobody looks at, because the supervisor has ended before, goes to the observer of
/// the tree when this is dropped (L35); also a panic, which was no more than a failure when it came.
pub(super) struct Report<E: Debug> {
    pub(super) index: usize,
    exit: Option<ChildExit<E>>,
}

impl<E: Debug> Report<E> {
    pub(super) fn exit(&self) -> &ChildExit<E> {
        match &self.exit {
            Some(exit) => exit,
            None => unreachable!("it is taken with the report"),
        }
    }

    /// Takes the exit. A caller that takes it has looked at it.
    pub(super) fn take(mut self) -> ChildExit<E> {
        match self.exit.take() {
            Some(exit) => exit,
            None => unreachable!("it is taken with the report"),
        }
    }

    /// Takes its panic, to be resumed where it came; an error goes to the observer.
    fn into_panic(mut self) -> Option<Box<dyn Any + Send>> {
        match self.exit.take() {
            Some(ChildExit::Panicked(payload)) => Some(payload),
            exit => {
                self.exit = exit;
                None
            }
        }
    }
}

impl<E: Debug> Drop for Report<E> {
    fn drop(&mut self) {
        let Some(exit) = self.exit.take() else { return };
        match &exit {
            ChildExit::Failed(error) => report(error, OrphanKind::Later),
            ChildExit::Panicked(_) => report(&exit, OrphanKind::Later),
            ChildExit::Returned | ChildExit::Stopped => {}
        }
        discard(exit);
    }
}

/// Drops what a child has ended with. That has a destructor of the user's: its panic goes to the observer of the tree,
/// and disturbs neither the supervisor nor its other children.
pub(super) fn discard<E: Debug>(exit: ChildExit<E>) {
    let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(exit))) else { return };
    let panicked = ChildExit::<E>::Panicked(payload);
    report(&panicked, OrphanKind::Later);
    if let ChildExit::Panicked(payload) = panicked {
        drop_payload(payload);
    }
}

pin_project! {
    /// The future of one life. It reports how it ended when everything inside has ended.
    pub(super) struct Life<E: Debug> {
        #[pin]
        run: CancelScopeFuture<Delayed<E>, Result<(), E>>,
        index: usize,
        sender: Sender<Report<E>>,
    }
}

impl<E: Debug> Life<E> {
    /// Makes a life of `child`, in `scope`.
    pub(super) fn new(
        index: usize,
        delay: Duration,
        child: Boxed<E>,
        mut scope: CancelScope,
        sender: Sender<Report<E>>,
    ) -> (Self, ScopeHandle) {
        let handle = scope.handle();
        let delay = (delay > Duration::ZERO).then_some(delay);
        (Life { run: scope.run(Delayed { delay, sleep: None, child }), index, sender }, handle)
    }
}

impl<E: Debug + Send + 'static> Future for Life<E> {
    /// Its end is no failure of the nursery's, as long as the supervisor looks at it.
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
        let report = Report { index: *this.index, exit: Some(exit) };
        // A supervisor that is being stopped, has given up or was dropped does not look at it any more. It is cancelled
        // with its nursery, and so with this task.
        let unread = match is_cancelled() {
            true => Some(report),
            false => this.sender.try_send(report).err().map(TrySendError::into_inner),
        };
        if let Some(payload) = unread.and_then(Report::into_panic) {
            panic::resume_unwind(payload);
        }
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
