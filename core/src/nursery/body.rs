//! The body of a child, of either kind of nursery: its future, and in the same place what came of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::outcome::Outcome;
use crate::tree::body_state::Body;
use crate::tree::closing::ClosedNode;
use crate::tree::drive::{Driver, Step, discard, poll_open};
use crate::tree::flags::PROPAGATED;
use crate::tree::node::NodeRef;

pin_project! {
    #[project = BodyProj]
    pub(crate) enum ChildBody<F, V> {
        Future { #[pin] future: F },
        /// With its result, unless it was dropped.
        Over { result: Option<V> },
    }
}

impl<F, V> ChildBody<F, V> {
    pub(crate) fn new(future: F) -> Self {
        ChildBody::Future { future }
    }

    /// The result, if there is one.
    pub(crate) fn take(self: Pin<&mut Self>) -> Option<V> {
        match self.project() {
            BodyProj::Future { .. } => None,
            BodyProj::Over { result } => result.take(),
        }
    }

    /// Drops the future; a result stays.
    pub(crate) fn drop_future(mut self: Pin<&mut Self>) {
        if matches!(&*self, ChildBody::Future { .. }) {
            self.set(ChildBody::Over { result: None });
        }
    }
}

impl<F, T, E> ChildBody<F, Result<T, E>>
where
    F: Future<Output: Outcome<T, E>>,
{
    /// Polls the child; ready when its scope is Closed.
    pub(crate) fn poll_child(mut self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<ClosedNode> {
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

impl<F, T, E> Body for ChildBody<F, Result<T, E>>
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
