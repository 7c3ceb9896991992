//! The body of a child, of either kind of nursery: its future, and in the same place what came of it.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::outcome::Outcome;
use crate::body::BodyState;
use crate::errors::JoinError;
use crate::tree::closing::ClosedNode;
use crate::tree::drive::{Driver, Step, discard, poll_open};
use crate::tree::flags::PROPAGATED;
use crate::tree::node::NodeRef;

/// The place of a child's future, then of its result. A value stays there for the handle; anything else goes to the
/// nursery, and leaves what the handle is told.
pub(crate) type ChildBody<F, T, E> = BodyState<ChildFuture<F, T, E>, Result<T, E>, JoinError>;

/// Makes the body of a child.
pub(crate) fn child_body<F, T, E>(future: F) -> ChildBody<F, T, E> {
    BodyState::Future { future: ChildFuture { future, outcome: PhantomData } }
}

pin_project! {
    /// The future of a child, whose output is a result.
    pub(crate) struct ChildFuture<F, T, E> {
        #[pin]
        future: F,
        outcome: PhantomData<fn() -> Result<T, E>>,
    }
}

impl<F, T, E> Future for ChildFuture<F, T, E>
where
    F: Future<Output: Outcome<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Outcome::into_result)
    }
}

/// Polls a child; ready when its scope is Closed.
pub(crate) fn poll_child<F, T, E>(
    body: Pin<&mut ChildBody<F, T, E>>,
    node: &NodeRef,
    cx: &mut Context<'_>,
) -> Poll<ClosedNode>
where
    F: Future<Output: Outcome<T, E>>,
{
    if !body.is_over() {
        if node.polled.is_never() && node.is_cancelled() {
            // L13: dropped unpolled; when all others of the request are marked (L11).
            node.touch();
            node.register(Driver::Own, cx.waker());
            if !node.flagged(PROPAGATED) {
                return Poll::Pending;
            }
            discard(node, body);
        } else if poll_open(node, body, cx) == Step::Pending {
            return Poll::Pending;
        }
    }
    node.drain(Driver::Own, cx)
}

/// Returns whether a child has left a value.
pub(crate) fn has_value<F, T, E>(body: &ChildBody<F, T, E>) -> bool {
    matches!(body, BodyState::Output { output: Some(Ok(_)) })
}

/// Takes the result of a child that is over; none if it was dropped, or is still to be.
pub(crate) fn take_result<F, T, E>(body: Pin<&mut ChildBody<F, T, E>>) -> Option<Result<T, E>> {
    if body.is_over() { body.take() } else { None }
}
