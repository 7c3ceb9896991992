//! The modes of a nursery: how the error of a child affects it.
//!
//! ```text
//!                  the siblings and the body    the nursery returns
//!   FailFast       are cancelled                the first error
//!   CollectErrors  go on                        all errors, as a group
//!   HandleErrors   go on                        an error of the body alone
//! ```

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::errors::{Handler, OnError};
use super::policy::{MakeError, all_errors, first_error};
use crate::group::ErrorGroup;
use crate::reason::Origin;

/// How the error of a child affects its nursery: [`FailFast`], [`CollectErrors`] or [`HandleErrors`]. Sealed.
pub trait ErrorMode<E>: Sized {
    /// The error that the nursery returns.
    type Error;

    #[doc(hidden)]
    fn into_parts(self) -> Parts<E, Self::Error>;
}

/// How errors are recorded, and what becomes of them.
#[doc(hidden)]
#[expect(unnameable_types, reason = "seals the trait")]
pub struct Parts<E, X> {
    pub(super) on_error: OnError<E>,
    pub(super) make_error: MakeError<E, X>,
}

/// The first error cancels the rest of the nursery, and is returned. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailFast;

/// All errors are returned; see [`NurseryOptions::collect_errors`](crate::NurseryOptions::collect_errors).
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectErrors;

/// Errors of children go to a handler; see [`NurseryOptions::on_error`](crate::NurseryOptions::on_error).
pub struct HandleErrors<E> {
    handler: Handler<E>,
}

impl<E> HandleErrors<E> {
    pub(super) fn new(handler: impl Fn(E, &Origin) + Send + Sync + 'static) -> Self {
        HandleErrors { handler: AssertUnwindSafe(Arc::new(handler)) }
    }
}

impl<E: fmt::Debug> ErrorMode<E> for FailFast {
    type Error = E;

    fn into_parts(self) -> Parts<E, E> {
        Parts { on_error: OnError::Fail, make_error: first_error }
    }
}

impl<E: fmt::Debug> ErrorMode<E> for CollectErrors {
    type Error = ErrorGroup<E>;

    fn into_parts(self) -> Parts<E, ErrorGroup<E>> {
        Parts { on_error: OnError::Collect, make_error: all_errors }
    }
}

impl<E: fmt::Debug> ErrorMode<E> for HandleErrors<E> {
    type Error = E;

    fn into_parts(self) -> Parts<E, E> {
        Parts { on_error: OnError::Tell(self.handler), make_error: first_error }
    }
}

impl<E> Clone for HandleErrors<E> {
    fn clone(&self) -> Self {
        HandleErrors { handler: AssertUnwindSafe(self.handler.0.clone()) }
    }
}

impl<E> fmt::Debug for HandleErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleErrors")
    }
}
