//! Nurseries in which nothing can fail: they return the value, and need no annotation.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::handle::{LocalNursery, Nursery};
use super::local::SendBox;
use super::local::options::{LocalNurseryFuture, local_nursery};
use super::options::{NurseryFuture, nursery};
use super::outcome::Outcome;

/// Opens a nursery in which nothing can fail: as [`nursery`](crate::nursery()), but it returns the value itself, and
/// the compiler knows the type of its handle.
///
/// # Cancellation
///
/// *Partial effect*, as [`nursery`](crate::nursery()).
///
/// # Panics
///
/// As [`nursery`](crate::nursery()).
///
/// # Examples
///
/// ```
/// use foster::nursery;
///
/// # foster_sim::run(1, async {
/// let sum = nursery::infallible(async |n| {
///     let a = n.spawn(async { Ok(1 + 1) });
///     let b = n.spawn(async { Ok(20 + 20) });
///     Ok(a.await.unwrap() + b.await.unwrap())
/// })
/// .await;
/// assert_eq!(sum, 42);
/// # });
/// ```
#[track_caller]
pub fn infallible<T, F, Fut, R>(body: F) -> InfallibleNursery<NurseryFuture<T, Infallible, Infallible, F, Fut, R>>
where
    F: FnOnce(Nursery) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, Infallible>,
{
    InfallibleNursery { nursery: nursery(body) }
}

/// Opens a local nursery in which nothing can fail: as [`local_nursery`](crate::local_nursery()), but it returns the
/// value itself, and the compiler knows the type of its handle.
///
/// # Cancellation
///
/// *Partial effect*, as [`local_nursery`](crate::local_nursery()).
///
/// # Panics
///
/// As [`local_nursery`](crate::local_nursery()).
///
/// # Examples
///
/// ```
/// use foster::nursery;
///
/// # foster_sim::run(1, async {
/// let words = ["to", "be", "or"];
/// let letters = nursery::infallible_local(async |n| {
///     let lengths = words.map(|word| n.spawn(async move { Ok(word.len()) }));
///     let mut sum = 0;
///     for length in lengths {
///         sum += length.await.unwrap();
///     }
///     Ok(sum)
/// })
/// .await;
/// assert_eq!(letters, 6);
/// # });
/// ```
#[track_caller]
pub fn infallible_local<'env, T, F, Fut, R>(
    body: F,
) -> InfallibleNursery<LocalNurseryFuture<T, Infallible, Infallible, F, Fut, R, SendBox<'env, Infallible>>>
where
    F: FnOnce(LocalNursery<'env>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, Infallible>,
{
    InfallibleNursery { nursery: local_nursery(body) }
}

pin_project! {
    /// Future of [`nursery::infallible`](infallible) and [`nursery::infallible_local`](infallible_local).
    #[must_use = "futures do nothing unless polled"]
    pub struct InfallibleNursery<F> {
        #[pin]
        nursery: F,
    }
}

impl<F: Future<Output = Result<T, Infallible>>, T> Future for InfallibleNursery<F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Ok(value) = ready!(self.project().nursery.poll(cx));
        Poll::Ready(value)
    }
}

impl<F> fmt::Debug for InfallibleNursery<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfallibleNursery").finish_non_exhaustive()
    }
}
