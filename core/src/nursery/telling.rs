//! A nursery whose children may fail without stopping it.
//!
//! ```text
//!   body    ───┬────────┬──────────────────────▶ Ok(v) ┐
//!   child a    └────▶ Err(e) ─▶ on_error(e, a)         ├─▶ Ok(v), when all have ended
//!   child b             └─────────────────────────▶ Ok ┘
//! ```

use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::errors::{Handler, OnError};
use super::policy::first_error;
use super::{Nursery, NurseryFuture, NurseryOptions, Outcome};
use crate::reason::Origin;

impl NurseryOptions {
    /// Hands each error of a child to `handler`, at once, instead of keeping it: siblings and the body go on. For children that
    /// nobody waits for, in a nursery that lives for long.
    ///
    /// The handler gets the child's name and spawn site with the error. It runs in the nursery's scope when the child has ended,
    /// before the child's handle says so, on the thread that ran the child: it may spawn into the nursery, but should not
    /// block. It also gets the errors of children that were being cancelled. It belongs to the nursery, so a handle to the
    /// nursery that lies in it for good would keep both for ever.
    ///
    /// What it is not for: an error of the *body* cancels the children and is returned, and so is a panic of a child (law L7).
    /// If the handler panics, that counts as a panic of that child. An error that comes together with a panic of the same child,
    /// or of a child that was cut off, goes to the tree's [`Observer`](crate::Observer).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{Nursery, NurseryOptions};
    /// use std::io;
    ///
    /// # foster_sim::run(1, async {
    /// let service = NurseryOptions::new()
    ///     .on_error(|error: io::Error, child| eprintln!("{} has failed: {error}", child.name()))
    ///     .run(async |n| {
    ///         n.spawn(async { Err::<(), _>(io::Error::other("the disk is full")) });
    ///         n.spawn(async { Ok(()) }); // goes on
    ///         Ok(7)
    ///     });
    /// assert_eq!(service.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn on_error<E>(self, handler: impl Fn(E, &Origin) + Send + Sync + 'static) -> TellingOptions<E> {
        TellingOptions { options: self, handler: AssertUnwindSafe(Arc::new(handler)) }
    }
}

/// The settings of a nursery that is about to be opened, and that hands over the errors of its children; made by
/// [`NurseryOptions::on_error`].
#[must_use = "no nursery is opened yet"]
pub struct TellingOptions<E> {
    options: NurseryOptions,
    handler: Handler<E>,
}

impl<E> TellingOptions<E> {
    /// Opens the nursery: see [`nursery`](crate::nursery()). Its error is one of the body.
    pub fn run<T, F, Fut, R>(self, body: F) -> NurseryFuture<T, E, E, F, Fut, R>
    where
        E: Debug + Send + 'static,
        F: FnOnce(Nursery<E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        let (options, on_error) = self.into_parts();
        options.open(body, on_error, first_error)
    }

    /// What a local nursery is opened with.
    pub(crate) fn into_parts(self) -> (NurseryOptions, OnError<E>) {
        (self.options, OnError::Tell(self.handler))
    }
}

impl<E> Clone for TellingOptions<E> {
    fn clone(&self) -> Self {
        TellingOptions { options: self.options.clone(), handler: AssertUnwindSafe(self.handler.0.clone()) }
    }
}

impl<E> fmt::Debug for TellingOptions<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellingOptions").field("options", &self.options).finish_non_exhaustive()
    }
}
