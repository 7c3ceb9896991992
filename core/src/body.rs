//! Bodies: what the driver of a scope polls and drops without knowing its type.
//!
//! A [`BodyState`] is the place of a body and of what it leaves: the future, then its output, then what that has
//! become. For a scope in a task, for a task, and for the root.
//!
//! ```text
//!    Future ──1──▶ Output ──2──▶ Taken ──3──▶ Value ──4──▶ (none)
//!       └────────────5─────────────▲
//! ```
//!
//! 1. `Body::poll`: the future is dropped when it is ready, inside its scope
//! 2. `take`: the policy gets the output, or the nursery
//! 3. `put`: if it has made a value of it, or the handle of a task gets something
//! 4. `take_value`: the scope has ended
//! 5. `clear`, `empty`: the body was delivered or abandoned

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// The user's future in a scope, with a place for its output. The functions of `drive.rs` poll and drop it without
/// knowing its type.
pub(crate) trait Body {
    /// Polls the future; keeps its output, for the driver to take. User code: it may panic.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops the future, or the value that was made of its output. User code: it may panic, and then that is gone all the
    /// same. The output of a future that has panicked as it was dropped stays: it may be an error.
    fn clear(self: Pin<&mut Self>);
}

pin_project! {
    /// A body, or what it has left: one after the other in one place, so that it is as large as the largest of them.
    /// Part of a `ScopeFuture`, a child or a `Root`. The root has no use for `Value`.
    #[project = BodyStateProj]
    pub(crate) enum BodyState<F, R, V = Infallible> {
        /// The user's future. It is pinned here: never moved, and dropped in its place.
        Future { #[pin] future: F },
        /// The output of that future. None only while it is being taken.
        Output { output: Option<R> },
        /// The value that the construct has made of it, until the scope is Closed. None when it has been returned.
        Value { value: Option<V> },
        /// Nothing.
        Taken,
    }
}

impl<F, R, V> BodyState<F, R, V> {
    /// Drops what is there, which is user code.
    pub(crate) fn empty(mut self: Pin<&mut Self>) {
        self.set(BodyState::Taken);
    }

    /// Returns whether the future is gone.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self, BodyState::Future { .. })
    }

    /// Returns the output, if the body has left one; whatever else is there is dropped.
    #[inline]
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

    /// Returns what the output has become, once.
    pub(crate) fn take_value(self: Pin<&mut Self>) -> Option<V> {
        match self.project() {
            BodyStateProj::Value { value } => value.take(),
            BodyStateProj::Future { .. } | BodyStateProj::Output { .. } | BodyStateProj::Taken => None,
        }
    }
}

impl<F: Future<Output = R>, R, V> Body for BodyState<F, R, V> {
    #[inline]
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
        if !matches!(&*self, BodyState::Output { .. }) {
            self.empty();
        }
    }
}
