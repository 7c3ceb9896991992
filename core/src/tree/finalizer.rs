//! Finalizers: futures that run when their scope has come to rest, each with a budget of time (L22).

use std::fmt::Debug;
use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Tree;
use super::ambient;
use super::light::{Light, Limit};
use super::marks::Mask;
use super::node::{Kind, Life, NodeRef, Owned};
use super::owned::OwnedScope;
use super::scoped::{Ending, Plain, Scoped};
use crate::observer::{Orphan, OrphanKind};
use crate::reason::Origin;

/// The error of a finalizer, if it had one.
pub(crate) type Failure = Option<Box<dyn Debug + Send>>;

/// A finalizer that has not started: its future, in the block in which it will be polled.
pub(crate) struct Finalizer(Owned);

/// What became of a finalizer that was polled where it was made.
pub(crate) enum Begun {
    /// It has ended, and its scope with it.
    Ended,
    /// It waits, and its scope with it.
    Waits(OwnedScope),
    /// Its scope has still to be wound down.
    Winds(OwnedScope),
}

impl Finalizer {
    /// `body` is run in a scope of its own, with a full mask and a deadline that counts from its start.
    pub(crate) fn new<F>(name: &'static str, location: &'static Location<'static>, budget: Duration, body: F) -> Self
    where
        F: Future<Output = Failure> + Send + 'static,
    {
        let limit = Limit::In(budget);
        let scoped = Scoped::light(Kind::Finalizer, Mask::Full, limit, location, body, Plain);
        Finalizer(Box::pin(Running { scoped, name, location }))
    }

    /// The future that runs it.
    pub(crate) fn start(self) -> Owned {
        self.0
    }

    /// Leaves it to `node`, which is to run it after all others, those included that were registered before.
    pub(crate) fn run_last_in(self, node: &NodeRef) {
        let mut state = node.lock();
        if state.life == Life::Closed {
            // The host of the tree was dropped while this code was running on another thread (L30).
            drop(state);
            drop(self);
            return;
        }
        state.rare().finalizers.insert(0, self);
    }

    /// Runs it as the only one of `scope`, whose body was ready at once, and which had no node until then.
    pub(crate) fn begin(self, mut scope: Light, tree: &Tree, cx: &mut Context<'_>) -> Begun {
        let Finalizer(mut running) = self;
        // L30: no finalizer runs in a dead tree. There a node waits for its end, as where a light scope is refused.
        if !tree.is_dead() {
            match ambient::enter_light(&mut scope, || running.as_mut().poll(cx)) {
                None => {}
                Some((None, Ok(Poll::Ready(())))) => return Begun::Ended,
                Some((None, Err(payload))) => panic::resume_unwind(payload),
                Some((node, result)) => {
                    // Only where a thread is torn down has it none: a shield that waits has a node, and so has what it stands in.
                    let Some(node) = node.or_else(|| ambient::make_node(&mut scope)) else { scope.no_context() };
                    return match result {
                        Ok(Poll::Pending) => Begun::Waits(OwnedScope::finalizing(node, running, cx.waker())),
                        Ok(Poll::Ready(())) => Begun::Winds(OwnedScope::winding(node)),
                        Err(payload) => {
                            node.panicked(payload);
                            Begun::Winds(OwnedScope::winding(node))
                        }
                    };
                }
            }
        }
        let Some(node) = ambient::make_node(&mut scope) else { scope.no_context() };
        Finalizer(running).run_last_in(&node);
        Begun::Winds(OwnedScope::winding(node))
    }
}

pin_project! {
    /// A finalizer with the scope that it runs in.
    struct Running<F> {
        #[pin]
        scoped: Scoped<F, Failure, Failure, Plain>,
        name: &'static str,
        location: &'static Location<'static>,
    }
}

impl<F: Future<Output = Failure>> Future for Running<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Ending::Value(Some(error)) = ready!(this.scoped.poll(cx)) {
            if let Some(tree) = ambient::tree() {
                let origin = Origin::new(*this.name, this.location);
                tree.report(&Orphan { kind: OrphanKind::Finalizer, error: &*error, origin: &origin });
            }
        }
        Poll::Ready(())
    }
}
