//! The place of a body and what it leaves: the future, then its output, then what that has become.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::drive::Body;

pin_project! {
    /// One after the other in one place, so that it is as large as the largest of them.
    #[project = BodyStateProj]
    pub(crate) enum BodyState<F, R, V = Infallible> {
        Future { #[pin] future: F },
        Output { output: Option<R> },
        Value { value: Option<V> },
        Taken,
    }
}

impl<F, R, V> BodyState<F, R, V> {
    /// Drops what is there.
    pub(crate) fn empty(mut self: Pin<&mut Self>) {
        self.set(BodyState::Taken);
    }

    /// The output, if the body has left one.
    pub(crate) fn take(mut self: Pin<&mut Self>) -> Option<R> {
        let output = match self.as_mut().project() {
            BodyStateProj::Output { output } => output.take(),
            BodyStateProj::Future { .. } | BodyStateProj::Value { .. } | BodyStateProj::Taken => None,
        };
        self.set(BodyState::Taken);
        output
    }

    /// Keeps what the output has become.
    pub(crate) fn put(mut self: Pin<&mut Self>, value: V) {
        self.set(BodyState::Value { value: Some(value) });
    }

    /// What the output has become.
    pub(crate) fn take_value(self: Pin<&mut Self>) -> Option<V> {
        match self.project() {
            BodyStateProj::Value { value } => value.take(),
            BodyStateProj::Future { .. } | BodyStateProj::Output { .. } | BodyStateProj::Taken => None,
        }
    }
}

impl<F: Future<Output = R>, R, V> Body for BodyState<F, R, V> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.as_mut().project() {
            BodyStateProj::Future { future } => match future.poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(output) => {
                    self.set(BodyState::Output { output: Some(output) });
                    Poll::Ready(())
                }
            },
            BodyStateProj::Output { .. } | BodyStateProj::Value { .. } | BodyStateProj::Taken => Poll::Ready(()),
        }
    }

    fn clear(self: Pin<&mut Self>) {
        self.empty();
    }
}
