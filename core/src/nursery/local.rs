//! Local nurseries: their children live in the task of the nursery's own future, which polls them.
#![expect(
    private_interfaces,
    reason = "the methods of sealed traits take what is private: nobody else implements them"
)]

mod child;
mod children;
mod forwarding_waker;
pub(crate) mod options;
mod shared;
mod start;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::errors::NurseryErrors;
use super::handle::Nursery;
use super::kind::{HasErrors, NurseryKind, Spawns};
use super::outcome::Outcome;
use super::task::Task;
use crate::errors::SpawnError;
use crate::reason::Origin;
use crate::sync::Semaphore;
use crate::tree::children::Role;
use crate::tree::node::NodeRef;
use child::{AnyBox, Holds};
use shared::LocalShared;

pub use child::{SendBox, UnsendBox};

/// A handle to a local nursery whose children need not be `Send`; see
/// [`NurseryOptions::run_local_unsend`](crate::NurseryOptions::run_local_unsend).
pub type UnsendNursery<'env, E = Infallible> = Nursery<E, Local<E, UnsendBox<'env, E>>>;

/// The kind of a nursery whose children take turns in one task; `B` says whether they have to be `Send`. Use it under
/// the names [`LocalNursery`](crate::LocalNursery) and [`UnsendNursery`].
pub struct Local<E, B> {
    shared: Arc<LocalShared<E, B>>,
}

impl<E, B> Clone for Local<E, B> {
    fn clone(&self) -> Self {
        Local { shared: self.shared.clone() }
    }
}

impl<E, B> NurseryKind for Local<E, B> {
    fn node(&self) -> &NodeRef {
        &self.shared.node
    }
}

impl<E, B> HasErrors<E> for Arc<LocalShared<E, B>> {
    fn errors(&self) -> &NurseryErrors<E> {
        &self.errors
    }
}

impl<E, T, F, B> Spawns<E, T, F> for Local<E, B>
where
    E: fmt::Debug,
    F: Future<Output: Outcome<T, E>>,
    B: Holds<T, F> + AnyBox<Error = E>,
{
    fn limit(&self) -> Option<Arc<Semaphore>> {
        self.shared.errors.limit.clone()
    }

    fn spawn_with(&self, origin: Origin, role: Role, future: F) -> Result<Task<T>, SpawnError<F>> {
        child::spawn_with(&self.shared, None, origin, role, future, |_| {})
    }
}

impl<E, B> fmt::Debug for Local<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}
