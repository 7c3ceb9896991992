//! How nurseries turn their body's output and recorded errors into an outcome; the same for both kinds of nursery.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::errors::{NurseryErrors, Recorded};
use super::kind::HasErrors;
use super::outcome::Outcome;
use crate::events::OrphanKind;
use crate::group::ErrorGroup;
use crate::tree::node::NodeRef;
use crate::tree::scope_future::{Ending, Policy};

/// The policy of nurseries: an `Err` is an error.
pub(crate) struct Errors<T, E, H> {
    pub(crate) errors: H,
    value: PhantomData<fn() -> (T, E)>,
}

impl<T, E, H> Errors<T, E, H> {
    pub(crate) fn new(errors: H) -> Self {
        Errors { errors, value: PhantomData }
    }
}

impl<T, E: Debug, H: HasErrors<E>, R: Outcome<T, E>> Policy<R> for Errors<T, E, H> {
    type Value = T;

    fn value_of(&mut self, node: Option<&NodeRef>, output: R) -> Option<T> {
        match (output.into_result(), node) {
            (Ok(value), _) => Some(value),
            (Err(error), Some(node)) => {
                self.errors.errors().record(node, error, None);
                None
            }
            (Err(_), None) => unreachable!("a nursery has a node"),
        }
    }

    fn panicked(&mut self, node: &NodeRef) {
        NurseryErrors::report(node, self.errors.errors().take(), OrphanKind::Panicked);
    }
}

/// Makes the error that the nursery returns of those that were recorded.
pub(crate) type MakeError<E, X> = fn(&NodeRef, Vec<Recorded<E>>) -> X;

/// Fail-fast: the first error as it is, the others to the observer.
pub(crate) fn first_error<E: Debug>(node: &NodeRef, errors: Vec<Recorded<E>>) -> E {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { unreachable!("a nursery that failed has an error") };
    NurseryErrors::report(node, errors, OrphanKind::Later);
    first.error
}

/// Collecting: all of them.
pub(crate) fn all_errors<E>(node: &NodeRef, errors: Vec<Recorded<E>>) -> ErrorGroup<E> {
    ErrorGroup::new(node.origin.clone(), errors)
}

/// The outcome of a nursery for the code around it.
pub(crate) fn ended<T, E, X>(
    ending: Ending<T>,
    node: &NodeRef,
    errors: &NurseryErrors<E>,
    make_error: MakeError<E, X>,
) -> Result<T, X> {
    match ending {
        Ending::Value(value) => Ok(value),
        Ending::Failed => Err(make_error(node, errors.take())),
        Ending::Cancelled(_) => unreachable!("a nursery is cancelled by an error, or from further out"),
    }
}
