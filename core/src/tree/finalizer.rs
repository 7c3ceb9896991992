//! Finalizers: futures that run when their scope has come to rest, each with a budget of time (L22).

use std::fmt::Debug;
use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Tree;
use super::cancel_state::ShieldLevel;
use super::current;
use super::inline::{InlineScope, Limit};
use super::node::{Kind, Life, NodeRef, Owned};
use super::owned::OwnedScope;
use super::panic::catch_drop;
use super::scope_future::{Policy, ScopeFuture};
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
    /// Its scope has still to be drained.
    Drains(OwnedScope),
}

impl Finalizer {
    /// `body` is run in a scope of its own, with a full shield and a deadline that counts from its start.
    pub(crate) fn new<F>(name: &'static str, location: &'static Location<'static>, budget: Duration, body: F) -> Self
    where
        F: Future<Output = Failure> + Send + 'static,
    {
        let limit = Limit::In(budget);
        let error = ErrorOf { name, location, error: None };
        let scoped = ScopeFuture::inline(Kind::Finalizer, ShieldLevel::Full, limit, location, body, error);
        Finalizer(Box::pin(Running { scoped }))
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
        state.cold_mut().finalizers.insert(0, self);
    }

    /// Runs it as the only one of `scope`, whose body was ready at once, and which had no node until then.
    pub(crate) fn begin(self, mut scope: InlineScope, tree: &Tree, cx: &mut Context<'_>) -> Begun {
        let Finalizer(mut running) = self;
        // L30: no finalizer runs in a dead tree. There a node waits for its end, as where an inline scope is refused.
        if !tree.is_shut_down() {
            match current::enter_inline(&mut scope, || running.as_mut().poll(cx)) {
                None => {}
                Some((None, Ok(Poll::Ready(())))) => return Begun::Ended,
                Some((None, Err(payload))) => panic::resume_unwind(payload),
                Some((node, result)) => {
                    // Only where a thread is torn down has it none: a shield that waits has a node, and so has what it stands in.
                    let Some(node) = node.or_else(|| current::make_node(&mut scope)) else { scope.no_context() };
                    // L12: from here on the code inside is runnable only if it is woken.
                    node.was_polled_inline();
                    return match result {
                        Ok(Poll::Pending) => Begun::Waits(OwnedScope::finalizing(node, running, cx.waker())),
                        Ok(Poll::Ready(())) => Begun::Drains(OwnedScope::draining(node)),
                        Err(payload) => {
                            node.panicked(payload);
                            Begun::Drains(OwnedScope::draining(node))
                        }
                    };
                }
            }
        }
        let Some(node) = current::make_node(&mut scope) else { scope.no_context() };
        Finalizer(running).run_last_in(&node);
        Begun::Drains(OwnedScope::draining(node))
    }
}

pin_project! {
    /// A finalizer with the scope that it runs in.
    struct Running<F> {
        #[pin]
        scoped: ScopeFuture<F, Failure, (), ErrorOf>,
    }
}

/// Keeps the error of a finalizer until its scope has ended, with a panic or without.
struct ErrorOf {
    name: &'static str,
    location: &'static Location<'static>,
    error: Failure,
}

impl ErrorOf {
    /// L35: it has no caller. Comes back to be dropped.
    fn report(&mut self, tree: &Tree) -> Failure {
        let error = self.error.take();
        if let Some(error) = &error {
            let origin = Origin::new(self.name, self.location);
            tree.report(&Orphan { kind: OrphanKind::Finalizer, error: &**error, origin: &origin });
        }
        error
    }
}

impl Policy<Failure> for ErrorOf {
    type Value = ();

    fn settle(&mut self, _: Option<&NodeRef>, output: Failure) -> Option<()> {
        self.error = output;
        Some(())
    }

    fn failed(&self) -> bool {
        false
    }

    fn panicked(&mut self, node: &NodeRef) {
        if let Some(tree) = node.tree() {
            // Its drop is code of the user, and must not take the place of the panic that is on its way.
            catch_drop(self.report(tree));
        }
    }
}

impl<F: Future<Output = Failure>> Future for Running<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scoped = self.project().scoped;
        ready!(scoped.as_mut().poll(cx));
        if let Some(tree) = current::tree() {
            drop(scoped.policy().report(&tree));
        }
        Poll::Ready(())
    }
}
