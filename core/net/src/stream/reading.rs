//! The side of a stream that reads: that it was shut down.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use foster_core::is_cancelled;

use crate::direction::{Direction, starts_again};

/// The side of a stream that reads.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) direction: Direction,
    /// It was shut down by us.
    shut: AtomicBool,
    /// Since then somebody has come to the end. It stays the end: Linux goes on to take in what comes on a TCP connection, and
    /// would give it to later reads.
    ended: AtomicBool,
}

impl Reading {
    /// Reads at the host, once, where there is room. For whoever has the direction.
    #[inline]
    pub(super) fn poll_host(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.ended.load(Ordering::Acquire) {
            return self.tell_end(cx);
        }
        match ready!(self.direction.poll_host(cx, poll)) {
            Ok(0) => self.tell_end(cx),
            read => Poll::Ready(read),
        }
    }

    /// The end comes again. So code that is cancelled by now is not told, as of an error: the request may be what has
    /// stopped the other side (law L14).
    #[cold]
    fn tell_end(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        if self.shut.load(Ordering::Acquire) {
            self.ended.store(true, Ordering::Release);
        }
        if is_cancelled() { starts_again(cx) } else { Poll::Ready(Ok(0)) }
    }

    /// From now on there is an end, behind what has come.
    pub(super) fn end(&self) {
        self.shut.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use foster_core::CancelScope;

    use super::*;

    /// L14: the end is not told to code that is cancelled by the time, and is there for the next who reads. Bytes are
    /// handed on.
    #[test]
    fn an_end_that_came_too_late_is_for_the_next() {
        for shut in [false, true] {
            foster_smol::run(async {
                let reading = Reading::default();
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let too_late = poll_fn(|cx| {
                    let host = |_: &mut Context<'_>| {
                        handle.cancel("too late");
                        if shut {
                            reading.end();
                        }
                        Poll::Ready(Ok(0))
                    };
                    assert!(reading.poll_host(cx, host).is_pending());
                    // It is cancelled still.
                    assert!(reading.poll_host(cx, |_| Poll::Ready(Ok(0))).is_pending());
                    Poll::Ready(())
                });
                assert_eq!(scope.run(too_late).await.unwrap(), ());
                let host = |_: &mut Context<'_>| if shut { unreachable!() } else { Poll::Ready(Ok(0)) };
                assert_eq!(poll_fn(|cx| reading.poll_host(cx, host)).await.unwrap(), 0);
            });
        }
        foster_smol::run(async {
            let reading = Reading::default();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let bytes = poll_fn(|cx| {
                let host = |_: &mut Context<'_>| {
                    handle.cancel("too late");
                    Poll::Ready(Ok(7))
                };
                reading.poll_host(cx, host)
            });
            assert_eq!(scope.run(bytes).await.unwrap().unwrap(), 7);
        });
    }
}
