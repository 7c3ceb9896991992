//! The errors of a nursery: of its body and its children.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::errors::{JoinError, TaskFailure};
use crate::events::{Orphan, OrphanKind};
use crate::reason::{Origin, Reason, ReasonKind};
use crate::sync::Semaphore;
use crate::sys::PlainMutex;
use crate::tree::closing::ClosedNode;
use crate::tree::current;
use crate::tree::flags::{CHILD_CANCELLED, DAEMON, FAILED};
use crate::tree::node::NodeRef;
use crate::tree::panic::{catch_drop, drop_payload};

/// An error, and the child it comes from; `None` for the body.
pub(crate) struct Recorded<E> {
    pub(crate) error: E,
    pub(crate) child: Option<Origin>,
}

/// The effect of a child's error.
pub(crate) enum OnError<E> {
    /// It cancels the others, and is kept.
    Fail,
    /// It is kept.
    Collect,
    /// It is handed over, with the child it comes from.
    Tell(Handler<E>),
}

/// The function that gets the errors of children. A panic in it is caught, and counts.
pub(crate) type Handler<E> = AssertUnwindSafe<Arc<dyn Fn(E, &Origin) + Send + Sync>>;

/// The errors of a nursery, and what they do. An implementation detail that shows in bounds.
#[doc(hidden)]
#[expect(unnameable_types, reason = "users have no use for it")]
pub struct NurseryErrors<E> {
    errors: PlainMutex<Vec<Recorded<E>>>,
    on_error: OnError<E>,
    /// Permits for children that are spawned within the nursery's limit.
    pub(crate) limit: Option<Arc<Semaphore>>,
}

impl<E> NurseryErrors<E> {
    pub(crate) fn new(on_error: OnError<E>, limit: Option<usize>) -> Self {
        let limit = limit.map(|limit| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))));
        NurseryErrors { errors: PlainMutex::new(Vec::new()), on_error, limit }
    }

    /// All errors, in the order in which they were recorded.
    pub(crate) fn take(&self) -> Vec<Recorded<E>> {
        std::mem::take(&mut *self.errors.lock())
    }
}

/// An error as its `Debug` prints it, which is code of the user.
fn text_of(error: &impl Debug) -> Arc<str> {
    let text = catch_unwind(AssertUnwindSafe(|| format!("{error:?}")));
    let text = text.unwrap_or_else(|payload| {
        drop_payload(Some(payload));
        "an error that cannot be printed".to_owned()
    });
    text.into()
}

impl<E: Debug> NurseryErrors<E> {
    /// Records an error, then makes the request that follows from it (L31).
    pub(crate) fn record(&self, node: &NodeRef, error: E, child: Option<Origin>) {
        let text = text_of(&error);
        self.record_with_text(node, error, child, &text);
    }

    fn record_with_text(&self, node: &NodeRef, error: E, child: Option<Origin>, text: &str) {
        let cancels = matches!(self.on_error, OnError::Fail) || child.is_none();
        let reason = cancels.then(|| match &child {
            Some(child) => Reason::new(ReasonKind::ChildFailed).with_task(child.clone()).with_text(text.to_owned()),
            None => Reason::new(ReasonKind::BodyFailed).with_text(text.to_owned()),
        });
        self.errors.lock().push(Recorded { error, child });
        node.flag(FAILED);
        if let Some(reason) = reason {
            node.request(reason, None);
        }
    }

    /// A child's scope is Closed: records what there is to record (L31–L33). Returns what the child's handle is to say,
    /// if it `has_handle`.
    pub(crate) fn child_ended<T>(
        &self,
        nursery: &NodeRef,
        child: &NodeRef,
        closed: &mut ClosedNode,
        result: Option<Result<T, E>>,
        has_handle: impl FnOnce() -> bool,
    ) -> Result<T, JoinError> {
        match (closed.panic.take(), result) {
            (Some(payload), result) => {
                if let Some(Err(error)) = result {
                    let recorded = Recorded { error, child: Some(child.origin.clone()) };
                    NurseryErrors::report(child, [recorded], OrphanKind::Panicked);
                } else {
                    catch_drop(result);
                }
                nursery.panicked(payload);
                Err(JoinError::Panicked)
            }
            (None, Some(Ok(value))) => Ok(value),
            (None, Some(Err(error))) => Err(self.child_failed(nursery, child, error, has_handle)),
            (None, None) => {
                if !child.flagged(DAEMON) && child.lock().request().is_none() {
                    // L33: it was not asked itself, so the request came from further out.
                    // Ordering: before the child leaves the nursery, under its lock.
                    if !nursery.flagged(CHILD_CANCELLED) {
                        nursery.flag(CHILD_CANCELLED);
                    }
                }
                Err(JoinError::Cancelled)
            }
        }
    }

    /// A child has given an error, which goes where the nursery's errors go (L31).
    fn child_failed(
        &self,
        nursery: &NodeRef,
        child: &NodeRef,
        error: E,
        has_handle: impl FnOnce() -> bool,
    ) -> JoinError {
        // For the reason of a request, and for the handle: formatted for nobody else.
        let wanted = matches!(self.on_error, OnError::Fail) || has_handle();
        let text = if wanted { text_of(&error) } else { "".into() };
        match &self.on_error {
            OnError::Fail | OnError::Collect => {
                self.record_with_text(nursery, error, Some(child.origin.clone()), &text)
            }
            OnError::Tell(handler) => {
                // Code of the user, without any lock, and in the tree.
                if let Err(payload) = current::enter(nursery, || handler(error, &child.origin)) {
                    nursery.panicked(payload);
                    return JoinError::Panicked;
                }
            }
        }
        JoinError::Failed(TaskFailure::new(child.origin.clone(), text))
    }

    /// Hands errors that have no caller to the tree's observer.
    pub(crate) fn report(node: &NodeRef, errors: impl IntoIterator<Item = Recorded<E>>, kind: OrphanKind) {
        let Some(tree) = node.tree() else { return };
        for recorded in errors {
            let origin = recorded.child.unwrap_or_else(|| node.origin.clone());
            tree.report(&Orphan { kind, error: &recorded.error, origin: &origin });
            catch_drop(recorded.error);
        }
    }
}

impl<E: Debug + Send + 'static> NurseryErrors<E> {
    /// Makes the node of a nursery with these errors, whose block they are a part of.
    pub(crate) fn into_node(self, origin: Origin) -> NodeRef {
        NodeRef::nursery(origin, self, |node| {
            NurseryErrors::report(node, errors_of::<E>(node).take(), OrphanKind::Reaped)
        })
    }
}

/// The errors of a nursery of tasks.
pub(crate) fn errors_of<E: 'static>(nursery: &NodeRef) -> &NurseryErrors<E> {
    match nursery.part() {
        Some(errors) => errors,
        None => {
            unreachable!("the node of a nursery is made with its errors, and a child is only in a nursery of its error")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;

    /// L31.
    #[test]
    fn errors_are_kept_in_their_order_and_the_node_says_so() {
        let errors = NurseryErrors::<i32>::new(OnError::Collect, None);
        let node = errors.into_node(Origin::new("nursery", Location::caller()));
        let cell = errors_of(&node);
        assert!(!node.flagged(FAILED));
        for error in [1, 2] {
            cell.record(&node, error, Some(node.origin.clone()));
        }
        assert!(node.flagged(FAILED));
        assert_eq!(cell.take().iter().map(|recorded| recorded.error).collect::<Vec<_>>(), [1, 2]);
    }
}
