//! Starting a local child and waiting until it says that it is ready.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use super::LocalHandle;
use super::child::{self, AnyBox, Holds, LocalChild};
use super::options::open;
use super::shared::Shared;
use crate::nursery::policy::first_error;
use crate::nursery::start::{PendingStart, Start};
use crate::nursery::{NurseryOptions, OnError, Outcome, Ready, StartError, Task};
use crate::reason::Origin;
use crate::tree::children::Role;
use crate::tree::node::NodeRef;

impl<E: Debug, B: AnyBox<Error = E>> LocalHandle<E, B> {
    /// Spawns a child, waits until it calls [`Ready::notify`], and returns what it passes; the child goes on in the nursery.
    ///
    /// Everything is as in [`Nursery::start`](crate::Nursery::start).
    ///
    /// # Errors
    ///
    /// * the error of the child, if it fails before it is ready
    /// * [`StartError::NotReady`], if it ends without having said that it is ready
    /// * [`StartError::Closed`], if the nursery has ended
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a child that is not ready yet is cancelled and waited for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a child that was not ready yet.
    #[track_caller]
    pub fn start<V, R, C, F>(&self, child: C) -> impl Future<Output = Result<V, E>> + use<V, R, C, F, E, B>
    where
        E: From<StartError>,
        R: Outcome<(), E>,
        C: FnOnce(Ready<V>) -> F,
        F: Future<Output = R>,
        B: Holds<LocalChild<(), E, Pin<Box<F>>, B>>,
    {
        start(self.shared.clone(), Location::caller(), child, |(value, _)| value)
    }

    /// As [`start`](LocalHandle::start), with a handle to the child.
    ///
    /// # Errors
    ///
    /// As [`start`](LocalHandle::start).
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`start`](LocalHandle::start).
    ///
    /// # Panics
    ///
    /// As [`start`](LocalHandle::start).
    #[track_caller]
    pub fn start_task<V, T, R, C, F>(
        &self,
        child: C,
    ) -> impl Future<Output = Result<(V, Task<T>), E>> + use<V, T, R, C, F, E, B>
    where
        E: From<StartError>,
        R: Outcome<T, E>,
        C: FnOnce(Ready<V>) -> F,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, Pin<Box<F>>, B>>,
    {
        start(self.shared.clone(), Location::caller(), child, |started| started)
    }
}

async fn start<V, T, E, R, C, F, B, O>(
    target: Arc<Shared<E, B>>,
    location: &'static Location<'static>,
    child: C,
    keep: fn((V, Task<T>)) -> O,
) -> Result<O, E>
where
    E: Debug + From<StartError>,
    R: Outcome<T, E>,
    C: FnOnce(Ready<V>) -> F,
    F: Future<Output = R>,
    B: AnyBox<Error = E> + Holds<LocalChild<T, E, Pin<Box<F>>, B>>,
{
    let Some(pending) = PendingStart::new(target.node.clone()) else {
        return Err(StartError::Closed.into());
    };
    let start = Start::new(target.node.clone(), pending);
    // Boxed here: it goes through several futures on its way to its place.
    let future = Box::pin(child(start.ready()));
    let options = NurseryOptions::new().named("start");
    let body = {
        let target = target.clone();
        move |cradle: LocalHandle<E, B>| async move {
            let origin = Origin::new(std::any::type_name::<F>(), location);
            let begin = |node: &NodeRef| start.begin(node, cradle.shared.node.clone());
            let spawned = child::spawn_with(&cradle.shared, Some(target), origin, Role::Child, future, begin);
            let Ok(task) = spawned else { unreachable!("the cradle is open") };
            start.finish(task).await
        }
    };
    open(options, Some(target), body, OnError::Fail, first_error).await.map(keep)
}
