//! Starting a local child and waiting until it says that it is ready.
//!
//! The steps are those of `nursery/start.rs`, which has all that is common. Apart from it, because there the bound on a
//! child is `Send`, and here it is on the box that holds it.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use super::Local;
use super::child::{self, AnyBox, Holds};
use super::options::open;
use super::shared::LocalShared;
use crate::errors::JoinError;
use crate::nursery::handle::Nursery;
use crate::nursery::options::NurseryOptions;
use crate::nursery::outcome::Outcome;
use crate::nursery::start::{PendingStart, Start, Started};
use crate::nursery::task::Task;
use crate::reason::Origin;
use crate::tree::children::Role;
use crate::tree::node::NodeRef;

impl<E: Debug, B: AnyBox<Error = E>> Nursery<E, Local<E, B>> {
    /// Spawns a child, waits until it calls [`Started::started`], and returns what it passes; the child goes on in the
    /// nursery.
    ///
    /// Everything is as in [`Nursery::start`](crate::Nursery::start).
    ///
    /// # Errors
    ///
    /// * the error of the child, if it fails before it is ready
    /// * [`JoinError::NotStarted`], if it ends without having said that it is ready
    /// * [`JoinError::NurseryClosed`], if the nursery has ended
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a child that is not ready yet is cancelled and waited for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a child that was not ready yet. Panics if it is called in another tree than that of the
    /// nursery.
    #[track_caller]
    pub fn start<V, R, C, F>(&self, child: C) -> impl Future<Output = Result<V, E>> + use<V, R, C, F, E, B>
    where
        E: From<JoinError>,
        R: Outcome<(), E>,
        C: FnOnce(Started<V>) -> F,
        F: Future<Output = R>,
        B: Holds<(), Pin<Box<F>>>,
    {
        start(self.kind.shared.clone(), Location::caller(), child, |(value, _)| value)
    }

    /// As [`start`](Nursery::start), with a handle to the child.
    ///
    /// # Errors
    ///
    /// As [`start`](Nursery::start).
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`start`](Nursery::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Nursery::start).
    #[track_caller]
    pub fn start_task<V, T, R, C, F>(
        &self,
        child: C,
    ) -> impl Future<Output = Result<(V, Task<T>), E>> + use<V, T, R, C, F, E, B>
    where
        E: From<JoinError>,
        R: Outcome<T, E>,
        C: FnOnce(Started<V>) -> F,
        F: Future<Output = R>,
        B: Holds<T, Pin<Box<F>>>,
    {
        start(self.kind.shared.clone(), Location::caller(), child, |started| started)
    }
}

async fn start<V, T, E, R, C, F, B, O>(
    target: Arc<LocalShared<E, B>>,
    location: &'static Location<'static>,
    child: C,
    into_output: fn((V, Task<T>)) -> O,
) -> Result<O, E>
where
    E: Debug + From<JoinError>,
    R: Outcome<T, E>,
    C: FnOnce(Started<V>) -> F,
    F: Future<Output = R>,
    B: AnyBox<Error = E> + Holds<T, Pin<Box<F>>>,
{
    let Some(pending) = PendingStart::new(target.node.clone()) else {
        return Err(JoinError::NurseryClosed.into());
    };
    let start = Start::new(target.node.clone(), pending);
    // Boxed here: it goes through several futures on its way to its place.
    let future = Box::pin(child(start.token()));
    let options = NurseryOptions::new().named("start");
    let body = {
        let target = target.clone();
        move |interim: Nursery<E, Local<E, B>>| async move {
            let origin = Origin::new(std::any::type_name::<F>(), location);
            start.wait_from_here();
            let mut early = None;
            let begin = |node: &NodeRef| early = start.begin(node, interim.kind.shared.node.clone());
            let spawned = child::spawn_with(&interim.kind.shared, Some(target), origin, Role::Child, future, begin);
            let Ok(task) = spawned else { unreachable!("the interim nursery is open") };
            start.move_early(early);
            start.finish(task).await
        }
    };
    open(options, Some(target), body).await.map(into_output)
}
