//! The `start` operation: a child that belongs to its caller until it says that it is ready.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::error::JoinError;
use foster::nursery::Started;

use super::interpret::{Res, build};
use super::program::{Body, Id};
use super::watch::{BodyWatch, first_of};
use super::world::{Errs, Target, World, with};

impl From<JoinError> for Errs {
    /// That there was no child is not an error of the program.
    fn from(_: JoinError) -> Self {
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

/// A child that is to be started.
pub(crate) struct Child {
    pub task: Id,
    /// When it is ready, but for what it does before.
    pub ready: Duration,
    pub before: Option<Body>,
    /// It never says that it is ready, and ends.
    pub silent: bool,
    pub body: Body,
}

impl Child {
    async fn run(self, token: Started<()>) -> Res {
        let task = self.task;
        foster::sleep(self.ready).await;
        if let Some(before) = &self.before {
            if let Err(errors) = build(before, task).await {
                with(|world| world.count("starts: failed"));
                return Err(errors);
            }
        }
        if self.silent {
            with(|world| world.count("starts: silent"));
            return Ok(());
        }
        if !token.started(()) {
            with(|world| world.count("starts: not heard"));
            return Ok(());
        }
        with(|world| {
            world.count(if world.program.info(task).local { "starts: moved, local" } else { "starts: moved" });
            world.seen(task).moved = true;
        });
        build(&self.body, task).await
    }
}

/// Starts a child of the nursery, and waits until it says that it is ready, or has ended.
pub(crate) async fn start(nursery: Id, child: Child) -> Res {
    let target = with(|world| world.seen(nursery).target.clone());
    let task = child.task;
    let run = move |token: Started<()>| {
        with(|world| world.seen(task).starting = true);
        BodyWatch::new(task, Box::pin(child.run(token)))
    };
    let pending = Pending::new();
    let started = match target {
        Target::Nursery(nursery) => nursery.start_task(run).await,
        Target::Local(nursery) => Starting { task, inner: Some(Box::pin(nursery.start_task(run))) }.await,
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
        Err(errors) if errors.ids().is_empty() => {}
        Err(errors) => {
            with(|world| world.count("starts: an error came out"));
            return Err(first_of(errors));
        }
    }
    Ok(())
}

/// The start of a local child, which is dropped with this unless it was ready.
struct Starting<F> {
    task: Id,
    inner: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Starting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.inner.as_mut().expect("it is there until the drop").as_mut().poll(cx)
    }
}

impl<F> Drop for Starting<F> {
    fn drop(&mut self) {
        with(|world| world.seen(self.task).dropping = !world.seen(self.task).moved);
        drop(self.inner.take());
        with(|world| world.seen(self.task).dropping = false);
    }
}

impl World {
    /// Whether a child was moved into the nursery whose caller never got its handle.
    pub(crate) fn has_unseen_child(&self, nursery: Id) -> bool {
        let unseen = |child: Id| self.seen[child.index()].moved && !self.seen[child.index()].entered;
        self.program.children(nursery).any(unseen)
    }
}
