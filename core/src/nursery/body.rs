//! The body of a child, of either kind of nursery: its future, and in the same place what came of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::outcome::Outcome;
use crate::errors::JoinError;
use crate::tree::body_state::Body;
use crate::tree::closing::ClosedNode;
use crate::tree::drive::{Driver, Step, discard, poll_open};
use crate::tree::flags::PROPAGATED;
use crate::tree::node::NodeRef;

pin_project! {
    #[project = BodyProj]
    pub(crate) enum ChildBody<F, T, E> {
        Future { #[pin] future: F },
        /// With its result, unless it was dropped.
        Over { result: Option<Result<T, E>> },
        /// What its handle gets, once the nursery has had its errors.
        Left { result: Result<T, JoinError> },
    }
}

impl<F, T, E> ChildBody<F, T, E> {
    pub(crate) fn new(future: F) -> Self {
        ChildBody::Future { future }
    }

    /// The result, if there is one.
    pub(crate) fn take(self: Pin<&mut Self>) -> Option<Result<T, E>> {
        match self.project() {
            BodyProj::Over { result } => result.take(),
            BodyProj::Future { .. } | BodyProj::Left { .. } => None,
        }
    }

    /// Leaves a result for the handle.
    pub(crate) fn leave(mut self: Pin<&mut Self>, result: Result<T, JoinError>) {
        self.set(ChildBody::Left { result });
    }

    /// What was left for the handle: a value once, a failure any number of times.
    pub(crate) fn take_left(mut self: Pin<&mut Self>) -> Option<Result<T, JoinError>> {
        let BodyProj::Left { result } = self.as_mut().project() else { return None };
        if let Err(error) = result {
            return Some(Err(error.clone()));
        }
        let value = std::mem::replace(result, Err(JoinError::Cancelled));
        self.set(ChildBody::Over { result: None });
        Some(value)
    }

    /// Drops the future; a result stays.
    pub(crate) fn drop_future(mut self: Pin<&mut Self>) {
        if matches!(&*self, ChildBody::Future { .. }) {
            self.set(ChildBody::Over { result: None });
        }
    }
}

impl<F, T, E> ChildBody<F, T, E>
where
    F: Future<Output: Outcome<T, E>>,
{
    /// Polls the child; ready when its scope is Closed.
    pub(crate) fn poll_child(self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<ClosedNode> {
        if matches!(&*self, ChildBody::Future { .. }) {
            if node.polled.is_never() && node.tree().is_some_and(|tree| node.is_cancelled(tree)) {
                // L13: dropped unpolled; when all others of the request are marked (L11).
                node.touch();
                node.register(Driver::Own, cx.waker());
                if !node.flagged(PROPAGATED) {
                    return Poll::Pending;
                }
                discard(node, self);
            } else if poll_open(Driver::Own, node, self, cx) == Step::Pending {
                return Poll::Pending;
            }
        }
        node.drain(Driver::Own, cx)
    }
}

impl<F, T, E> Body for ChildBody<F, T, E>
where
    F: Future<Output: Outcome<T, E>>,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let BodyProj::Future { future } = self.as_mut().project() {
            let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
            self.set(ChildBody::Over { result: Some(output.into_result()) });
        }
        Poll::Ready(())
    }

    fn clear(self: Pin<&mut Self>) {
        self.drop_future();
    }
}
