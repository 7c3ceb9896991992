//! The side of a stream that writes: who waits in it, and that it was shut down.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use foster_core::leaf::wake_all;

use crate::direction::{Claim, Direction, poll_unless_cancelled};

/// The side of a stream that writes.
#[derive(Debug, Default)]
pub(super) struct Writing {
    pub(super) direction: Direction,
    /// It was shut down by us.
    ended: AtomicBool,
    /// The waker of the future that has the direction, and waits at the host. A host need not tell it of a shut-down: to
    /// Linux a Unix socket is then no more writable than before. The others that share the direction are in its list.
    waiting: Mutex<Option<Waker>>,
}

/// The hold of a writing future on the side, from its first poll until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Writer<'a> {
    claim: Option<Claim<'a>>,
    /// Where its waker is kept, once it has waited.
    waits: Option<&'a Writing>,
}

impl Writing {
    /// The same on each host, and for empty buffers as for others.
    #[inline]
    pub(super) fn check_open(&self) -> io::Result<()> {
        if !self.ended.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::BrokenPipe, "the write side of the stream was shut down"))
    }

    /// Polls for a future, which takes the direction in its first poll.
    #[inline]
    pub(super) fn poll_claimed<'a, T>(
        &'a self,
        writer: &mut Writer<'a>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = self.direction.poll_claimed(&mut writer.claim, cx, poll);
        if polled.is_pending() {
            self.register(cx.waker());
            writer.waits = Some(self);
            // Ordering: code that shuts the side down stores that, and looks for a waker under the lock. If it has
            // looked before the registration, the store is seen here.
            ready!(poll_unless_cancelled(cx, self.check_open()))?;
        }
        polled
    }

    /// Polls for one of many who share the direction.
    pub(super) fn poll_shared<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.direction.poll_shared(cx, |cx| {
            // Ordering: as above. Its waker is in the list by now.
            ready!(poll_unless_cancelled(cx, self.check_open()))?;
            poll(cx)
        })
    }

    /// From now on each write fails.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Wakes all who wait.
    pub(super) fn wake(&self) {
        let waiting = self.lock().take();
        wake_all(waiting.into_iter().chain(self.direction.take_waiters()));
    }

    fn register(&self, waker: &Waker) {
        // L36: a waker is cloned and dropped with the lock released.
        if !self.lock().as_ref().is_some_and(|waiting| waiting.will_wake(waker)) {
            let waker = waker.clone();
            let before = self.lock().replace(waker);
            drop(before);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Before the claim is given up: then the waker may be that of another.
        if let Some(writing) = self.waits {
            let waiting = writing.lock().take();
            drop(waiting);
        }
    }
}
