//! The `start` operation: a child that belongs to its caller until it says that it is ready.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{Ready, StartError};

use super::interpret::{Res, build};
use super::program::{Body, Id};
use super::watch::BodyWatch;
use super::world::{Errs, Target, World, with};

impl From<StartError> for Errs {
    /// That there was no child is not an error of the program.
    fn from(_: StartError) -> Self {
        Errs::new(Vec::new())
    }
}

/// A `start` that was not answered yet.
struct Pending;

impl Pending {
    fn new() -> Self {
        with(|world| world.pending_starts += 1);
        Pending
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        with(|world| world.pending_starts -= 1);
    }
}

/// Starts a child that is ready after some time and then runs `body`, as a child of the nursery; or that ends then without a word.
pub(crate) async fn start(task: Id, nursery: Id, ready: Duration, silent: bool, body: Body) -> Res {
    let target = with(|world| world.seen(nursery).target.clone());
    let child = move |token: Ready<()>| async move {
        foster::sleep(ready).await;
        if silent {
            with(|world| world.count("starts: silent"));
            return Ok(());
        }
        if !token.notify(()) {
            with(|world| world.count("starts: not heard"));
            return Ok(());
        }
        with(|world| {
            world.count(if world.program.info(task).local { "starts: moved, local" } else { "starts: moved" });
            world.seen(task).moved = true;
        });
        BodyWatch::new(task, build(&body, task)).await
    };
    let pending = Pending::new();
    let started = match target {
        Target::Nursery(nursery) => nursery.start_task(child).await,
        Target::Local(nursery) => nursery.start_task(child).await,
        _ => return Ok(()),
    };
    drop(pending);
    match started {
        Ok(((), handle)) => with(|world| {
            let parent = world.program.info(task).parent;
            let seen = world.seen(task);
            (seen.entered, seen.parent) = (true, parent);
            seen.target = Target::Task(Arc::new(Mutex::new(handle)));
        }),
        Err(errors) => {
            let errors = errors.take();
            if !errors.is_empty() {
                with(|world| world.broken(format!("a start has the errors {errors:?} of what it did not start")));
            }
        }
    }
    Ok(())
}

impl World {
    /// Whether a child was moved into the nursery whose caller never got its handle.
    pub(crate) fn has_unseen_child(&self, nursery: Id) -> bool {
        let unseen = |child: Id| self.seen[child.index()].moved && !self.seen[child.index()].entered;
        self.program.children(nursery).any(unseen)
    }
}
