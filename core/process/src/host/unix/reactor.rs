//! The waiting, which an adapter adds: for descriptors of the host.

use std::fmt::Debug;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

/// The part of an adapter that waits for descriptors, for processes of the host.
pub trait Reactor: Send + Sync + 'static {
    /// Watches a descriptor, which is in non-blocking mode, in one direction.
    ///
    /// # Errors
    ///
    /// The reactor refuses it.
    fn watch(&self, descriptor: OwnedFd, direction: Direction) -> io::Result<Box<dyn Watched>>;
}

/// The direction in which a descriptor is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It can be read.
    Read,
    /// It can be written.
    Write,
}

/// A descriptor that is watched in one direction.
pub trait Watched: Send + Sync + Debug {
    /// Makes the attempt, and waits for the descriptor, and makes it again, for as long as it [would
    /// block](io::ErrorKind::WouldBlock). Repeats it when it is [interrupted](io::ErrorKind::Interrupted).
    fn poll_attempt(
        &self,
        cx: &mut Context<'_>,
        attempt: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;

    /// Watches it no more, and returns it.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn into_descriptor(self: Box<Self>) -> io::Result<OwnedFd>;
}
