//! Bounded and unbounded channels, driven poll by poll.

mod closing;
mod passing;
mod permits;
mod storm;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::Receiver;

impl<T> Receiver<T> {
    #[track_caller]
    fn assert_home(&self) {
        self.inspect(|state| {
            state.check();
            assert!(state.is_idle(), "{:?}", state.statistics());
        });
    }
}

/// Polls a stream with a waker that wakes nobody.
fn next<T>(rx: &mut Receiver<T>) -> Poll<Option<T>> {
    Pin::new(rx).poll_next(&mut Context::from_waker(Waker::noop()))
}
