//! The errors of combinators in which too many futures have failed.

use std::error::Error;
use std::fmt;

/// No future has succeeded: all errors, in the order of the inputs; none, if there were no inputs.
///
/// The cause that [`source`](Error::source) gives is the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllFailed<E> {
    errors: Vec<E>,
}

impl<E> AllFailed<E> {
    pub(super) fn new(errors: Vec<E>) -> Self {
        AllFailed { errors }
    }

    /// The errors, in the order of the inputs.
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// The errors, in the order of the inputs.
    #[must_use]
    pub fn into_errors(self) -> Vec<E> {
        self.errors
    }
}

impl<E> fmt::Display for AllFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            0 => f.write_str("there was nothing to try"),
            1 => f.write_str("the only attempt has failed"),
            len => write!(f, "all {len} attempts have failed"),
        }
    }
}

impl<E: Error + 'static> Error for AllFailed<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.errors.first().map(|error| error as _)
    }
}

/// Too few futures have succeeded.
///
/// The cause that [`source`](Error::source) gives is the first error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoQuorum<T, E> {
    needed: usize,
    values: Vec<T>,
    errors: Vec<E>,
}

impl<T, E> NoQuorum<T, E> {
    pub(super) fn new(needed: usize, values: Vec<T>, errors: Vec<E>) -> Self {
        NoQuorum { needed, values, errors }
    }

    /// How many had to succeed.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// The values that did arrive before it was decided, in the order of their arrival.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The errors, in the order of the inputs.
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// The values and the errors.
    #[must_use]
    pub fn into_parts(self) -> (Vec<T>, Vec<E>) {
        (self.values, self.errors)
    }

    /// The errors, in the order of the inputs.
    #[must_use]
    pub fn into_errors(self) -> Vec<E> {
        self.errors
    }
}

impl<T, E> fmt::Display for NoQuorum<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} had to succeed, but {} did and {} failed", self.needed, self.values.len(), self.errors.len())
    }
}

impl<T: fmt::Debug, E: Error + 'static> Error for NoQuorum<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.errors.first().map(|error| error as _)
    }
}
