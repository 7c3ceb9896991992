//! The side of a stream that reads: that it was shut down.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crate::direction::Direction;

/// The side of a stream that reads.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) direction: Direction,
    /// It was shut down by us.
    shut: AtomicBool,
    /// Since then somebody has read the end. It stays the end: Linux goes on to take in what comes on a TCP connection, and
    /// would give it to later reads.
    ended: AtomicBool,
}

impl Reading {
    /// Reads at the host, once. For whoever has the direction.
    #[inline]
    pub(super) fn poll_host(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.ended.load(Ordering::Acquire) {
            return Poll::Ready(Ok(0));
        }
        let polled = self.direction.poll_host(cx, poll);
        if matches!(polled, Poll::Ready(Ok(0))) && self.shut.load(Ordering::Acquire) {
            self.ended.store(true, Ordering::Release);
        }
        polled
    }

    /// From now on there is an end, behind what has come.
    pub(super) fn end(&self) {
        self.shut.store(true, Ordering::Release);
    }
}
