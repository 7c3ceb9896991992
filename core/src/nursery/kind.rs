//! The two kinds of nursery: where the children run, and so what may be a child.
#![expect(
    private_interfaces,
    reason = "the methods of sealed traits take what is private: nobody else implements them"
)]

use std::fmt::{self, Debug};
use std::future::Future;
use std::sync::Arc;

use super::child_task;
use super::errors::{NurseryErrors, errors_of};
use super::outcome::Outcome;
use super::task::Task;
use crate::errors::SpawnError;
use crate::reason::Origin;
use crate::sync::Semaphore;
use crate::tree::children::Role;
use crate::tree::node::NodeRef;

/// The error type of a nursery: `Debug + Send + 'static`. This is the bound for a generic function that is given a
/// nursery and spawns into it.
///
/// # Examples
///
/// ```
/// use foster::nursery::ChildError;
/// use foster::{Nursery, nursery, yield_now};
///
/// fn spawn_three<E: ChildError>(n: &Nursery<E>) {
///     for _ in 0..3 {
///         n.spawn(yield_now());
///     }
/// }
///
/// # foster_sim::run(1, async {
/// let Ok(children) = nursery(async |n: Nursery| {
///     spawn_three(&n);
///     Ok(n.len())
/// })
/// .await;
/// assert_eq!(children, 3);
/// # });
/// ```
pub trait ChildError: Debug + Send + 'static {}

impl<E: Debug + Send + 'static> ChildError for E {}

/// A kind of nursery: [`Parallel`] or [`Local`](super::Local). Sealed.
pub trait NurseryKind: Clone {
    #[doc(hidden)]
    fn node(&self) -> &NodeRef;
}

/// A kind of nursery that can run `F`, which gives a `T` or fails with an `E`, as a child. Sealed.
///
/// A [`Parallel`] one runs futures that are `Send + 'static`, and so must be their values. A [`Local`](super::Local)
/// one runs futures that live as long as what they borrow, and are `Send` unless it is an
/// [`UnsendNursery`](super::UnsendNursery).
#[diagnostic::on_unimplemented(
    message = "this future cannot be a child of this nursery",
    note = "a child of a `Nursery` is `Send + 'static`; a child of a `LocalNursery` may borrow, and has to be `Send`; of an `UnsendNursery` it may be anything"
)]
pub trait Spawns<E, T, F>: NurseryKind {
    #[doc(hidden)]
    fn limit(&self) -> Option<Arc<Semaphore>>;

    /// Spawns `future` below the nursery.
    #[doc(hidden)]
    fn spawn_with(&self, origin: Origin, role: Role, future: F) -> Result<Task<T>, SpawnError<F>>;
}

/// Types that have the errors of a nursery.
pub(super) trait HasErrors<E> {
    fn errors(&self) -> &NurseryErrors<E>;
}

/// The kind of a nursery whose children are tasks of the executor, and run in parallel.
#[derive(Clone)]
pub struct Parallel {
    pub(super) node: NodeRef,
}

impl NurseryKind for Parallel {
    fn node(&self) -> &NodeRef {
        &self.node
    }
}

impl<E: 'static> HasErrors<E> for Parallel {
    fn errors(&self) -> &NurseryErrors<E> {
        errors_of(&self.node)
    }
}

impl<E, T, F> Spawns<E, T, F> for Parallel
where
    E: ChildError,
    T: Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    fn limit(&self) -> Option<Arc<Semaphore>> {
        errors_of::<E>(&self.node).limit.clone()
    }

    fn spawn_with(&self, origin: Origin, role: Role, future: F) -> Result<Task<T>, SpawnError<F>> {
        child_task::spawn_with::<T, E, F>(&self.node, origin, role, future, |_| {})
    }
}

impl fmt::Debug for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parallel")
    }
}
