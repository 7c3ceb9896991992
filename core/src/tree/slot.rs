//! The place of a body and what it leaves: the future, then its output, then what that has become.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::drive::Body;

pin_project! {
    /// One after the other in one place, so that it is as large as the largest of them.
    #[project = SlotProj]
    pub(crate) enum Slot<F, R, V = Infallible> {
        Future { #[pin] future: F },
        Output { output: Option<R> },
        Value { value: Option<V> },
        Empty,
    }
}

impl<F, R, V> Slot<F, R, V> {
    /// Drops what is there.
    pub(crate) fn empty(mut self: Pin<&mut Self>) {
        self.set(Slot::Empty);
    }

    /// The output, if the body has left one.
    pub(crate) fn take(mut self: Pin<&mut Self>) -> Option<R> {
        let output = match self.as_mut().project() {
            SlotProj::Output { output } => output.take(),
            SlotProj::Future { .. } | SlotProj::Value { .. } | SlotProj::Empty => None,
        };
        self.set(Slot::Empty);
        output
    }

    /// Keeps what the output has become.
    pub(crate) fn put(mut self: Pin<&mut Self>, value: V) {
        self.set(Slot::Value { value: Some(value) });
    }

    /// What the output has become.
    pub(crate) fn take_value(self: Pin<&mut Self>) -> Option<V> {
        match self.project() {
            SlotProj::Value { value } => value.take(),
            SlotProj::Future { .. } | SlotProj::Output { .. } | SlotProj::Empty => None,
        }
    }
}

impl<F: Future<Output = R>, R, V> Body for Slot<F, R, V> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.as_mut().project() {
            SlotProj::Future { future } => match future.poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(output) => {
                    self.set(Slot::Output { output: Some(output) });
                    Poll::Ready(())
                }
            },
            SlotProj::Output { .. } | SlotProj::Value { .. } | SlotProj::Empty => Poll::Ready(()),
        }
    }

    fn clear(self: Pin<&mut Self>) {
        self.empty();
    }
}
