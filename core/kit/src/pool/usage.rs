//! A use: a bracket in a scope, around a resource that knows its pool.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Boxed;
use foster_core::cleanup::{BracketExit, DeferGuard, ResourceGuard, defer_within, try_bracket};
use foster_core::future::{Bracket, CancelScopeFuture};
use foster_core::{CancelScope, Instant};

/// Where a resource comes from; the pool without the type of its `Manage`.
pub(super) trait ResourceOwner<R>: Send + Sync {
    /// The use is over: keeps the resource, or closes it.
    fn take_back(self: Arc<Self>, pooled: Pooled<R>, exit: BracketExit) -> Boxed<()>;

    /// The use with this number has ended: its place is free.
    fn leave(&self, number: usize);

    /// A resource was dropped outside of `take_back`.
    fn lost(&self);
}

/// A place in the pool; given back when dropped.
pub(super) struct PoolSlot<R> {
    owner: Arc<dyn ResourceOwner<R>>,
    number: usize,
}

impl<R> PoolSlot<R> {
    pub(super) fn new(owner: Arc<dyn ResourceOwner<R>>, number: usize) -> Self {
        PoolSlot { owner, number }
    }
}

impl<R> Drop for PoolSlot<R> {
    fn drop(&mut self) {
        self.owner.leave(self.number);
    }
}

/// A resource of a [`Pool`](super::Pool), lent to the body of a use; derefs to the resource.
pub struct Pooled<R> {
    // Subtle: the fields are dropped in this order: the resource is gone before its place is free.
    resource: Option<R>,
    opened: Instant,
    slot: PoolSlot<R>,
}

impl<R> Pooled<R> {
    pub(super) fn new(resource: R, opened: Instant, slot: PoolSlot<R>) -> Self {
        Pooled { resource: Some(resource), opened, slot }
    }

    pub(super) fn take(&mut self) -> Option<R> {
        self.resource.take()
    }

    /// When the resource was opened.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }
}

impl<R> Deref for Pooled<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.resource {
            Some(resource) => resource,
            None => unreachable!("the resource is only taken at the end of the use"),
        }
    }
}

impl<R> DerefMut for Pooled<R> {
    fn deref_mut(&mut self) -> &mut R {
        match &mut self.resource {
            Some(resource) => resource,
            None => unreachable!("the resource is only taken at the end of the use"),
        }
    }
}

impl<R> Drop for Pooled<R> {
    fn drop(&mut self) {
        if self.resource.is_some() {
            // The guard was moved out of the body, or the tree is gone.
            self.slot.owner.lost();
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Pooled<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.resource).finish()
    }
}

/// Closes a resource that was found to be of no use: handed from the code that looks for a resource, which may be out of
/// time before the closing has ended, to the use, which is in the scope that waits for it.
#[derive(Clone, Default)]
pub(super) struct Closing(Arc<Mutex<Option<Boxed<()>>>>);

impl Closing {
    /// There is one at a time: the next resource is looked at when this one is closed.
    pub(super) fn put(&self, closing: Boxed<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(closing);
    }

    /// Starts what was handed over, if there is something.
    fn start(&self) {
        let closing = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closing) = closing {
            close_beside(closing);
        }
    }
}

/// Starts a closing that goes on when the code that calls this is dropped. The scope around waits for it (L26).
pub(super) fn close_beside(closing: Boxed<()>) {
    // Dropped at once, so that it runs from here on. Its budget is its own, since it gives the place back when that is
    // over.
    drop(DeferGuard::new("pool close", || defer_within(Duration::MAX, closing)));
}

type Acquire<R, E> = Boxed<Result<Pooled<R>, E>>;
type Release<R> = fn(Pooled<R>, BracketExit) -> Boxed<()>;

fn release<R: Send + 'static>(pooled: Pooled<R>, exit: BracketExit) -> Boxed<()> {
    pooled.slot.owner.clone().take_back(pooled, exit)
}

pin_project! {
    /// Future of [`Pool::run`](super::Pool::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct Use<R, B, Fut, T, E> {
        #[pin]
        run: CancelScopeFuture<
            Bracket<Acquire<R, E>, Result<Pooled<R>, E>, Pooled<R>, B, Fut, Result<T, E>, Release<R>>,
            Result<T, E>,
        >,
        closing: Option<Closing>,
        closed: fn() -> E,
    }
}

impl<R, B, Fut, T, E> Use<R, B, Fut, T, E>
where
    R: Send + 'static,
    B: FnOnce(ResourceGuard<Pooled<R>>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    #[track_caller]
    pub(super) fn new(
        scope: CancelScope,
        acquire: Acquire<R, E>,
        closing: Option<Closing>,
        body: B,
        budget: Duration,
        closed: fn() -> E,
    ) -> Self {
        let bracket = try_bracket(acquire, body, release as Release<R>).budget(budget);
        Use { run: scope.run(bracket), closing, closed }
    }
}

impl<R, B, Fut, T, E> Future for Use<R, B, Fut, T, E>
where
    R: Send + 'static,
    B: FnOnce(ResourceGuard<Pooled<R>>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.project();
        let polled = this.run.poll(cx);
        // In the code around, and not in the scope of the use, which does not end before what is inside.
        if let Some(closing) = this.closing {
            closing.start();
        }
        // Only the pool has a handle to the scope.
        Poll::Ready(ready!(polled).unwrap_or_else(|_| Err((this.closed)())))
    }
}

impl<R, B, Fut, T, E> fmt::Debug for Use<R, B, Fut, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Use").finish_non_exhaustive()
    }
}
