//! Finalizers: futures that run when their scope is empty, each with a budget of time (L22).
//!
//! ```text
//!    defer ──▶ Cold::finalizers of the current scope ──▶ drain: running ──▶ polled ──▶ gone
//!    bracket ─▶ run_last_in: the front of that list                        (one at a time, the newest first)
//!    bracket ─▶ begin: polled where it is, if the body was ready at once
//! ```
//!
//! A finalizer is a `ScopeFuture` of its own (full shield, deadline) in a box. The box is made when the finalizer is
//! registered, so that a reaper can go on with a half-run one where it is. It is polled by whoever drives the scope:
//! `drive::poll_finalizer`.
//!
//! The budget is that deadline: it is counted from the first poll, since a scope's limit begins at its entry, and the
//! timers make the request whether or not anybody polls (L8, I12). Then the finalizer is treated as any cancelled code:
//! it is dropped where it waits, scopes that it has opened end first, and the next one runs.

use std::fmt::Debug;
use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::events::{Orphan, OrphanKind};
use crate::reason::Origin;
use crate::tree::Tree;
use crate::tree::current;
use crate::tree::drive::Driver;
use crate::tree::inline::{InlineScope, Limit};
use crate::tree::node::{Kind, Life, NodeRef, Owned};
use crate::tree::panic::catch_drop;
use crate::tree::scope_future::{Policy, ScopeFuture};

/// The error of a finalizer, if it had one. It goes to the observer: the scope's type has no place for it (L22).
pub(crate) type Failure = Option<Box<dyn Debug + Send>>;

/// The state of a finalizer that was polled where it was made.
pub(crate) enum Begun {
    /// It has ended, and its scope with it: neither has ever had a node.
    Ended,
    /// It waits, and its scope with it: that has a node now, and runs the finalizer as any other.
    Waits(NodeRef),
    /// Its scope has still to be drained: it has a node, because something inside needed one, and maybe a panic or
    /// the finalizer itself in it.
    Drains(NodeRef),
}

/// Makes a finalizer that has not started: its future, in the block in which it will be polled. `body` is run in a
/// scope of its own, with a full shield and a deadline that counts from its first poll (L22).
///
/// Dropped unpolled only when its host is gone (L30), its scope never was in a tree, or its scope was Closed when it
/// came.
pub(crate) fn new<F>(name: &'static str, location: &'static Location<'static>, budget: Duration, body: F) -> Owned
where
    F: Future<Output = Failure> + Send + 'static,
{
    let limit = Limit::In(budget);
    let error = ErrorOf { name, location, error: None };
    let scoped = ScopeFuture::inline(Kind::Finalizer, limit, location, body, error);
    Box::pin(Running { scoped })
}

/// Registers it in `node`, which is to run it after all others, those included that were registered before: the
/// release of a bracket (L23). No lock may be held.
pub(crate) fn run_last_in(finalizer: Owned, node: &NodeRef) {
    let mut state = node.lock();
    if state.life == Life::Closed {
        // The host of the tree was dropped while this code was running on another thread (L30).
        drop(state);
        drop(finalizer);
        return;
    }
    state.cold_mut().finalizers.insert(0, finalizer);
}

/// Runs it as the only one of `scope`, whose body was ready at once, and which had no node until then: polled
/// once, without one, and only if it is Pending does the scope get its node. So a bracket whose body and release
/// are ready costs neither.
///
/// Two scopes are inline here at once: `scope`, that of the bracket, and the finalizer's own inside it, which is
/// part of `running`. If the finalizer is Pending, its own scope needs a node, and so does what is around it: so
/// `scope` has been promoted by then.
pub(crate) fn begin(mut running: Owned, mut scope: InlineScope, cx: &mut Context<'_>) -> Begun {
    // L30: no finalizer runs in a tree that is shut down. There it goes into a node, in which it waits for its
    // drop. Where the scope may not be inline, it goes into a node as well, and `drain` runs it.
    if current::with_tree(|tree| !tree.is_shut_down()) == Some(true) {
        match current::enter_inline(&mut scope, || running.as_mut().poll(cx)) {
            None => {}
            Some((None, Ok(Poll::Ready(())))) => return Begun::Ended,
            // L32: nothing is left to wait for.
            Some((None, Err(payload))) => panic::resume_unwind(payload),
            Some((node, result)) => {
                // Without a node only where a thread is torn down: a shield that waits has one, and so has the
                // scope around it.
                let Some(node) = node.or_else(|| current::make_node(&mut scope, None)) else { scope.no_context() };
                // L12: from here on the code inside is runnable only if it is woken.
                node.was_polled_inline();
                return match result {
                    Ok(Poll::Pending) => {
                        // Nothing was opened in the scope but what the finalizer has.
                        node.finalize_with(running);
                        node.register(Driver::Own, cx.waker());
                        Begun::Waits(node)
                    }
                    Ok(Poll::Ready(())) => Begun::Drains(node),
                    Err(payload) => {
                        node.panicked(payload);
                        Begun::Drains(node)
                    }
                };
            }
        }
    }
    let Some(node) = current::make_node(&mut scope, None) else { scope.no_context() };
    run_last_in(running, &node);
    Begun::Drains(node)
}

pin_project! {
    /// A finalizer with the scope that it runs in.
    struct Running<F> {
        #[pin]
        scoped: ScopeFuture<F, Failure, (), ErrorOf>,
    }
}

/// The policy of a finalizer's scope: keeps the error until the scope has ended, with a panic or without.
struct ErrorOf {
    /// The name under which the error is reported: "finalizer", or "bracket".
    name: &'static str,
    /// Where it was registered.
    location: &'static Location<'static>,
    /// The error, from the end of the body until it is reported.
    error: Failure,
}

impl ErrorOf {
    /// Hands the error to the observer: it has no caller (L35). Returns it, to be dropped by the caller, since that
    /// is user code.
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

    fn value_of(&mut self, _: Option<&NodeRef>, output: Failure) -> Option<()> {
        self.error = output;
        Some(())
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

    /// Polls the finalizer in its scope. However that ends (its value, or its budget was used up), the error is
    /// reported afterwards. A panic goes through, to whoever drives the scope.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scoped = self.project().scoped;
        ready!(scoped.as_mut().poll(cx));
        if let Some(tree) = current::tree() {
            drop(scoped.policy().report(&tree));
        }
        Poll::Ready(())
    }
}
