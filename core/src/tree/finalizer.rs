//! Finalizers: futures that run when their scope has come to rest, each with a budget of time (L22).

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::ambient;
use super::light::Limit;
use super::marks::Mask;
use super::node::{Kind, Owned};
use super::scoped::{Ending, Plain, Scoped};
use crate::observer::{Orphan, OrphanKind};
use crate::reason::Origin;

/// The error of a finalizer, if it had one.
pub(crate) type Failure = Option<Box<dyn Debug + Send>>;

/// A finalizer that has not started.
pub(crate) struct Finalizer {
    pub(crate) body: Pin<Box<dyn Future<Output = Failure> + Send>>,
    pub(crate) budget: Duration,
    pub(crate) origin: Origin,
}

impl Finalizer {
    /// The future that runs it, as an owned scope with a full mask and a deadline.
    pub(crate) fn start(self) -> Owned {
        let Finalizer { body, budget, origin } = self;
        Box::pin(async move {
            let deadline = ambient::now() + budget;
            let ending =
                Scoped::light(Kind::Finalizer, Mask::Full, Limit::At(deadline), origin.location(), body, Plain).await;
            if let Ending::Value(Some(error)) = ending {
                if let Some(tree) = ambient::tree() {
                    tree.report(&Orphan { kind: OrphanKind::Finalizer, error: &*error, origin: &origin });
                }
            }
        })
    }
}
