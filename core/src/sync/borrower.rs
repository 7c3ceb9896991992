//! The identity of a borrower, and the description of a permit holder.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::WouldBlock;
use crate::reason::Origin;
use crate::tree::current;

/// On whose behalf a permit is taken. Two with the same name are the same.
///
/// # Examples
///
/// ```
/// use foster::sync::Borrower;
///
/// assert_eq!(Borrower::from("tenant 7"), Borrower::from(format!("tenant {}", 7)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Borrower(Arc<str>);

impl Borrower {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Arc<str>>> From<S> for Borrower {
    fn from(name: S) -> Self {
        Borrower(name.into())
    }
}

impl fmt::Display for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The holder of a permit of a [`CapacityLimiter`](super::CapacityLimiter).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// On whose behalf, if it was said.
    pub borrower: Option<Borrower>,
    /// The task that acquired it; none if it was done outside of any.
    pub task: Option<Origin>,
    /// Where it was acquired.
    pub location: &'static Location<'static>,
}

impl Holder {
    pub(super) fn new(borrower: Option<Borrower>, location: &'static Location<'static>) -> Self {
        Holder { borrower, task: current::task_origin(), location }
    }

    /// Names the code that calls this, in its task, as the holder: for a permit that [changes
    /// hands](super::OwnedLimiterPermit::set_holder).
    #[must_use]
    #[track_caller]
    pub fn here() -> Self {
        Holder::new(None, Location::caller())
    }

    /// As [`here`](Holder::here), but at another place: for a function that acquires for its caller.
    #[must_use]
    pub fn at(location: &'static Location<'static>) -> Self {
        Holder::new(None, location)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.borrower, &self.task) {
            (Some(borrower), Some(task)) => write!(f, "{borrower} in task {task}")?,
            (Some(borrower), None) => write!(f, "{borrower}")?,
            (None, Some(task)) => write!(f, "task {task}")?,
            (None, None) => f.write_str("code outside of any task")?,
        }
        write!(f, ", acquired at {}", self.location)
    }
}

/// The borrower holds a permit of this limiter, or waits for one.
///
/// Usual causes: one identity is used by several tasks, or a function that acquires calls another one that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BorrowerBusy {
    borrower: Borrower,
}

impl BorrowerBusy {
    pub(super) fn new(borrower: Borrower) -> Self {
        BorrowerBusy { borrower }
    }

    /// Returns the borrower.
    #[must_use]
    pub fn borrower(&self) -> &Borrower {
        &self.borrower
    }
}

impl fmt::Display for BorrowerBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds a permit of this limiter already, or waits for one", self.borrower)
    }
}

impl std::error::Error for BorrowerBusy {}

/// Why [`CapacityLimiter::try_acquire_on_behalf_of`](super::CapacityLimiter::try_acquire_on_behalf_of) gave no permit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryBorrowError {
    /// No permit is free.
    WouldBlock,
    /// The borrower holds a permit already, or waits for one.
    Busy(BorrowerBusy),
}

impl fmt::Display for TryBorrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryBorrowError::WouldBlock => WouldBlock.fmt(f),
            TryBorrowError::Busy(busy) => busy.fmt(f),
        }
    }
}

impl std::error::Error for TryBorrowError {}
