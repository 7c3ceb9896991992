//! The future of every scope that is inside a task: it holds the body, the node holds the rest (L1).
//!
//! ```text
//!   Fresh ──1──▶ Entered ──2──▶ (its body is over) ──3──▶ Done
//!     └─────────────4──────────────────│────────────────▲
//!                                      └──5──▶ parked: so for ever
//! ```
//!
//! 1. first poll: the node gets its place in the tree, unless it had one from the beginning (`attached`); an inline
//!    scope first tries without one
//! 2. the body is over: it left a value, panicked, or was delivered
//! 3. Closed: the ending is returned, or the panic resumes
//! 4. an inline scope whose body was ready at once, and needed no node
//! 5. cancelled from further out: nothing to say to the code around, which never goes on (L18)
//!
//! It is `Fresh` until it is `entered`; between polls it is `Done` when it is, and has no node.
//!
//! The constructs (`cancel_scope.rs`, `timeout.rs`, `nursery/options.rs`, `bracket.rs`, `value.rs`, `finalizer.rs`)
//! wrap one of these each. They differ in what they make of the output ([`Policy`]) and of the [`Ending`]. Tasks and the
//! root have drivers of their own.
//!
//! It is polled by one thread at a time, as any future, and has no lock; what other threads see of the scope is in
//! the node. Dropping it in any stage but `Fresh` and `Done` abandons the scope (L26), unless that is Closed.

use std::future::{Future, Ready};
use std::mem;
use std::panic::{self, Location};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use pin_project_lite::pin_project;

use super::abandon;
use super::cancel_state::ShieldLevel;
use super::children::Role;
use super::current;
use super::drive::{Driver, Step, after_poll, discard, poll_open};
use super::flags::{
    ABANDONED, CANCELLED, CHILD_CANCELLED, DELIVERED, FAILED, GIVEN_UP, PARENT_CANCELLED, PROPAGATED, TO_CLOSE,
};
use super::inline::{InlineScope, Limit};
use super::node::{Kind, Life, NodeRef};
use super::observing;
use super::wake::DriverWakes;
use crate::body::{Body, BodyState};
use crate::reason::{Origin, Reason};

/// The treatment that a construct gives the output of its body. Called by the scope's driver, with no lock held.
pub(crate) trait Policy<R> {
    /// The part of the output that is the scope's value.
    type Value;

    /// Makes the value of the output of a body that has returned. Records an error, if the construct knows what an
    /// error is, and returns none then. An inline scope that was ready at once has no node.
    fn value_of(&mut self, node: Option<&NodeRef>, output: R) -> Option<Self::Value>;

    /// Hands recorded errors to the observer, because a panic of the scope takes precedence over them, and is about
    /// to resume (L32, L35).
    fn panicked(&mut self, _node: &NodeRef) {}
}

/// The policy of scopes that do not interpret their body's output: cancel scopes, shields, timeouts, scoped values
/// (L31).
pub(crate) struct Plain;

impl<R> Policy<R> for Plain {
    type Value = R;

    fn value_of(&mut self, _: Option<&NodeRef>, output: R) -> Option<R> {
        Some(output)
    }
}

/// The future of a scope of which the core owns what is left to do: the end of a blocking job, or the release of a
/// bracket (L21, L27). Its body is over, and it is Finalizing from the beginning ([`NodeRef::finalize_with`]). It is ready
/// when the scope is Closed, with the value that the body has left; if it is dropped, a reaper drives the rest.
pub(crate) type OwnedScope<V> = ScopeFuture<Ready<V>, V, V, Plain>;

/// How a scope ends for the code around it. A scope that was cancelled from further out has no ending: it parks
/// (L18).
pub(crate) enum Ending<V> {
    /// The body's value (L12).
    Value(V),
    /// Errors were recorded; the construct takes them from where it has kept them.
    Failed,
    /// The scope's own request was delivered: its reason, and which scope it was.
    Cancelled(Option<(Reason, Origin)>),
}

pin_project! {
    /// A scope inside a task.
    #[must_use = "futures do nothing unless polled"]
    ///
    /// Subtle: `R` (what the body returns) and `V` (the scope's value) are parameters of their own, and no bound stands
    /// on the type. A projection or a bound here would have to be proved again for every future that holds a scope
    /// across an await, with lifetimes erased; the compiler cannot do that for closures that take a lifetime, and would
    /// deny `Send`.
    pub(crate) struct ScopeFuture<F, R, V, P> {
        #[pin]
        // The body, then its output, then the value. Pinned, as the user's future has to stay where it is.
        body: BodyState<F, R, V>,
        // It makes a value of the output, and has the errors of a nursery.
        policy: P,
        // None as long as it is an inline one: until its first poll ends. And when it has returned, or was lost.
        node: Option<NodeRef>,
        // The parts of the node. When there is one, only its location is still asked for.
        inline: InlineScope,
        // It is not `Fresh`. The scope's `Life` may be further than this future, if another thread has closed it.
        entered: bool,
    }

    impl<F, R, V, P> PinnedDrop for ScopeFuture<F, R, V, P> {
        fn drop(this: Pin<&mut Self>) {
            // Also while unwinding: `abandon` does not panic (L37).
            this.abandon(|| {});
        }
    }
}

impl<F, R, V, P> ScopeFuture<F, R, V, P> {
    /// A scope that makes its node only when it turns out to need one.
    #[inline]
    pub(crate) fn inline(kind: Kind, limit: Limit, location: &'static Location<'static>, body: F, policy: P) -> Self {
        let inline = InlineScope::new(kind, limit, location);
        ScopeFuture { body: BodyState::Future { future: body }, policy, node: None, inline, entered: false }
    }

    /// Makes a scope around a node that exists, because there are handles to it, or because its construct keeps
    /// something in it. It gets its place at the first poll.
    pub(crate) fn with_node(node: NodeRef, body: F, policy: P) -> Self {
        ScopeFuture::at(false, node, BodyState::Future { future: body }, policy)
    }

    /// Makes a scope that has its place in the tree now, below the scope around this call (`run_here`, L1); outside
    /// of any tree, at its first poll.
    pub(crate) fn attached(node: NodeRef, body: F, policy: P) -> Self {
        let entered = current::try_scope().is_some();
        if entered {
            // It is polled once, whatever was requested (L13): `poll_open` sees that it never was.
            enter_tree(&node);
        }
        ScopeFuture::at(entered, node, BodyState::Future { future: body }, policy)
    }

    /// Makes a scope that has its place, and whose body is over and has left `value`: the rest of it.
    pub(crate) fn draining(node: NodeRef, value: V, policy: P) -> Self {
        ScopeFuture::at(true, node, BodyState::Value { value: Some(value) }, policy)
    }

    fn at(entered: bool, node: NodeRef, body: BodyState<F, R, V>, policy: P) -> Self {
        let inline = InlineScope::new(node.kind, Limit::NONE, node.origin.location());
        ScopeFuture { body, policy, node: Some(node), inline, entered }
    }

    /// Returns whether the body is over, and what it leaves is not.
    pub(crate) fn is_draining(&self) -> bool {
        self.node.is_some() && self.body.is_over()
    }

    /// Returns the policy, for what the construct has kept in it.
    pub(crate) fn policy(self: Pin<&mut Self>) -> &mut P {
        self.project().policy
    }

    /// Returns whether nothing but the body is to be dropped if the scope ends now: see [`give_up`](ScopeFuture::give_up).
    pub(crate) fn is_bare(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.is_bare())
    }

    /// Asks the scope to stop, and polls its body no more but for what is inside (L12.6). Does nothing before a scope
    /// without a node was polled, nor after its end.
    pub(crate) fn cancel(self: Pin<&mut Self>, reason: Reason, wakes: &mut DriverWakes) {
        if let Some(node) = self.project().node {
            // With what its body polls, which takes nothing of what it was given either. But shields hold this off, too.
            let goes = |inner: &NodeRef| inner.kind != Kind::Task && inner.kind.shield() == ShieldLevel::None;
            node.all_below(|inner| (inner == node || goes(inner)) && inner.flag(GIVEN_UP));
            node.mark(None, reason, None, wakes);
        }
    }

    /// Returns whether the scope was cancelled from further out, and will never be ready.
    pub(crate) fn is_parked(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.life() == Life::Closed && !node.flagged(ABANDONED))
    }

    /// Returns where the scope was made.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.inline.location
    }

    /// Returns whether it has returned, or was lost.
    pub(crate) fn is_done(&self) -> bool {
        self.entered && self.node.is_none()
    }

    /// Abandons the scope, because this future is being dropped: drops the body, then `more` with it, such as the
    /// children of a local nursery (L41). Called in a `Drop`.
    ///
    /// A scope that has no place, or has ended, is no scope of the tree: then only `more` is done, and the rest is
    /// dropped as fields are.
    pub(crate) fn abandon(self: Pin<&mut Self>, more: impl FnOnce()) {
        let this = self.project();
        let mut body = this.body;
        match this.node.take() {
            Some(node) if *this.entered => abandon::driver_dropped(&node, || {
                body.as_mut().empty();
                more();
            }),
            _ => more(),
        }
    }
}

/// Gives a node that had handles before it had a place its place in the tree, below the current scope (L1). No lock
/// may be held.
pub(crate) fn enter_tree(node: &NodeRef) {
    let Some(parent) = current::try_scope() else { current::no_context_for(node) };
    let Some(tree) = parent.tree() else { unreachable!("a scope that code runs in has a tree") };
    // Before it is attached, where it may have to ask for the time, and where a request may visit it.
    node.keep_tree(tree);
    if node.attach(&parent, Role::Inner) {
        node.entered();
    }
    observing::opened(node);
}

impl<F, R, V, P> Future for ScopeFuture<F, R, V, P>
where
    F: Future<Output = R>,
    P: Policy<R, Value = V>,
{
    type Output = Ending<V>;

    /// Subtle: scopes may nest thousands deep, and each level of a poll is this function, `enter_inline` or `poll_open`,
    /// and `current::enter`. Their other work is done in functions of its own, so that their frames stay
    /// small.
    ///
    /// The steps: the scope is entered in the first poll; the body is polled inline, or with its node; then, in the
    /// same poll, the scope is drained. Only if the body was cut, and the task has no budget left, in the next one.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.as_mut().enter() {
            let this = self.as_mut().project();
            // None if nothing was polled, because the scope cannot do without a node.
            if let Some((node, result)) = current::enter_inline(this.inline, || this.body.poll(cx)) {
                if let Some(ending) = ready!(self.as_mut().after_inline(node, result, cx.waker())) {
                    return Poll::Ready(ending);
                }
            } else {
                self.as_mut().make_node(None);
            }
        } else if !self.goes_on() {
            return Poll::Pending;
        }
        if !self.body.is_over() {
            let this = self.as_mut().project();
            let Some(node) = &*this.node else { unreachable!("it was entered, and is not an inline one") };
            let step = poll_open(node, this.body, cx);
            if !self.as_mut().after_open(step, cx.waker()) {
                return Poll::Pending;
            }
        }
        self.poll_drain(cx)
    }
}

impl<F, R, V, P> ScopeFuture<F, R, V, P>
where
    F: Future<Output = R>,
    P: Policy<R, Value = V>,
{
    /// Moves out of `Fresh`: the scope gets its place. Returns whether it has none yet, because it is an inline one.
    fn enter(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        // Before anything that may panic: a future that was polled once is never entered again.
        if mem::replace(this.entered, true) {
            return false;
        }
        this.node.as_ref().map(enter_tree).is_none()
    }

    /// Returns whether there is anything left to poll: nothing, for ever, if its host is gone. Panics if the future is
    /// polled when it may not be: after its end, or after its scope was abandoned (L28). Not the latter in cancelled code,
    /// which waits, and is dropped: a panic would take the place of the error or value that was the reason.
    fn goes_on(&self) -> bool {
        let Some(node) = &self.node else { panic!("a scope was polled after it had returned") };
        // L28: looked at in each poll, since any poll may be the first one after the scope was found to be forgotten.
        let is_lost = node.flagged(ABANDONED);
        if is_lost && !node.is_shut_down() && !current::is_cancelled() {
            polled_after_loss(node);
        }
        !is_lost
    }

    /// Ends the scope without a request, if nothing is inside that one would have to be carried to, as `abandon` does.
    /// Returns whether it has ended; if not, it is to be cancelled, and polled on. Resumes the panic of a destructor.
    pub(crate) fn give_up(mut self: Pin<&mut Self>) -> bool {
        let this = self.as_mut().project();
        let Some(node) = this.node.as_ref().filter(|node| node.is_bare()) else { return false };
        node.flag(GIVEN_UP | CANCELLED | PROPAGATED);
        discard(node, this.body);
        self.poll_drain(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Gives the scope its node; `driver` is the waker of a first poll that is over.
    fn make_node(self: Pin<&mut Self>, driver: Option<&Waker>) {
        let this = self.project();
        *this.node = current::make_node(this.inline, driver);
        if this.node.is_none() {
            this.inline.no_context();
        }
    }

    /// Decides what follows the first poll of an inline scope: one that is not ready has a node from here on. Ready
    /// without an ending if the body is over, and there is something to drain.
    fn after_inline(
        mut self: Pin<&mut Self>,
        node: Option<NodeRef>,
        result: thread::Result<Poll<()>>,
        waker: &Waker,
    ) -> Poll<Option<Ending<V>>> {
        let this = self.as_mut().project();
        *this.node = node;
        let driver = this.node.as_ref().map(|_| waker);
        if driver.is_none() {
            match result {
                Ok(Poll::Ready(())) => {
                    // No node: nothing was opened inside and nothing was registered, or it would have one. So there is
                    // nothing to drain, and nobody to be told.
                    let value = this.body.take().and_then(|output| this.policy.value_of(None, output));
                    return Poll::Ready(Some(value.map_or(Ending::Failed, Ending::Value)));
                }
                // Outside of any tree a panic goes on as it is.
                Err(payload) if current::tree().is_none() => panic::resume_unwind(payload),
                // Also for a panic: the destructors of the body may open something.
                _ => self.as_mut().make_node(Some(waker)),
            }
        }
        let this = self.as_mut().project();
        let Some(node) = this.node.as_ref() else { unreachable!("it was made, or that has panicked") };
        // L12: from here on the code inside is runnable only if it is woken.
        node.was_polled_inline();
        let step = after_poll(node, this.body, result, false, driver);
        if self.after_open(step, waker) { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Does what follows a poll of the body: makes the value of the output of one that is over, and keeps it in the place
    /// of that. Returns whether it is over, and there is budget left to go on.
    fn after_open(self: Pin<&mut Self>, step: Step, waker: &Waker) -> bool {
        let mut this = self.project();
        let Some(node) = this.node.as_ref() else { unreachable!("a driver has its node between polls") };
        if step == Step::Pending {
            return false;
        }
        let output = this.body.as_mut().take();
        if let Some(value) = output.and_then(|output| this.policy.value_of(Some(node), output)) {
            this.body.as_mut().put(value);
            // L32: its future has panicked as it was dropped. An error of it was recorded; a value goes.
            if step == Step::Dropped {
                discard(node, this.body);
            }
        }
        if step == Step::Ready {
            return true;
        }
        // L38: a loop of scopes that are cut as soon as they begin has no other operation that comes to an end. In
        // cancelled code there is no such loop, since scopes park there; and L16 takes the scope for one that has
        // nothing to do, if it is not polled again although only this has woken it. A panic goes on at once: through
        // scopes in one another it would be a poll of all of them every so often. And so does a scope that was given
        // up: the code that did that may hold what must not be kept waiting, such as the value of the winner of a race.
        let mut cx = Context::from_waker(waker);
        node.flags_of(DELIVERED | PARENT_CANCELLED | GIVEN_UP) != DELIVERED
            || node.tree().is_none_or(|tree| tree.runtime.poll_budget(&mut cx).is_ready())
    }

    /// Drains the scope, and makes the outcome of what is Closed. The order of the questions is that of precedence: a
    /// panic, errors, a value that no child was cut from (L33), parking, the cancelled form.
    ///
    /// ```text
    ///   panic recorded?          ──▶ resumes                        L32
    ///   errors recorded?         ──▶ Failed                         L31
    ///   a value, and nobody cut? ──▶ Value                          L12, L33
    ///   inherited, or host gone? ──▶ parked: Pending for ever       L18, L30
    ///   otherwise                ──▶ Cancelled, with the request
    /// ```
    fn poll_drain(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending<V>> {
        let this = self.project();
        let Some(node) = this.node.as_ref() else { unreachable!("a driver has its node between polls") };
        let Poll::Ready(closed) = &mut node.drain(Driver::Own, cx) else { return Poll::Pending };
        // After Closed and before the outcome, as the code around goes on only when this returns.
        closed.place.iter().for_each(|place| node.leave(place));
        let Some(node) = this.node.take() else { unreachable!("a driver has its node between polls") };
        // The outcome table (see the book's page of laws) for scopes that have a caller.
        if let Some(payload) = closed.panic.take() {
            this.policy.panicked(&node);
            panic::resume_unwind(payload);
        }
        // Errors are the outcome, also when the scope was cancelled (L31); but those of a scope that was closed with its
        // host were told to the observer.
        if node.flagged(FAILED) && !node.is_shut_down() {
            return Poll::Ready(Ending::Failed);
        }
        // A value that is not returned, because a child was cut, is dropped with this `match`; no lock is held.
        match this.body.take_value() {
            Some(value) if !node.flagged(CHILD_CANCELLED) => Poll::Ready(Ending::Value(value)),
            // L30: this task will be dropped as soon as its poll returns.
            _ if closed.inherited || node.flagged(TO_CLOSE) => {
                // Asked again in each poll: the scope stays Closed.
                assert_cancelled(this.node.insert(node));
                Poll::Pending
            }
            _ => {
                // None if it was given up.
                let own = node.lock().request().map(|own| own.reason.clone());
                Poll::Ready(Ending::Cancelled(own.map(|reason| (reason, node.origin.clone()))))
            }
        }
    }
}

/// Checks L18: a scope that was cancelled from further out never returns; so code that is not cancelled must not wait
/// for it, or it would wait for ever and without a word. Unless the host is gone, which is told in other ways.
///
/// The panic names both scopes, the usual causes and the fix.
fn assert_cancelled(node: &NodeRef) {
    if node.flagged(TO_CLOSE) || current::is_cancelled() || current::tree().is_none_or(|tree| tree.is_shut_down()) {
        return;
    }
    let (parent, here) = (named(node.parent(), "the tree"), named(current::try_scope(), "no scope"));
    panic!(
        "the future of {node} was cancelled with {parent}, in which it was opened, and never returns; but code in {here}, which is not \
         cancelled, waits for it. Usual cause: one future is shared by both (with `Shared`, say), or was moved behind a shield. Open the \
         scope where it is awaited"
    );
}

/// Panics, naming the scope that was lost and the one that took it over (L28).
#[cold]
fn polled_after_loss(node: &NodeRef) -> ! {
    panic!(
        "the future of {node} was polled after the body of the scope around it was over: it was moved out of that body (into a child, \
         to another task, returned from it, or forgotten and found again), and its scope was finished by {} in its place",
        named(node.parent(), "the tree"),
    );
}

/// Returns the name of a scope, for messages.
fn named(node: Option<NodeRef>, none: &str) -> String {
    node.map_or_else(|| none.to_owned(), |node| node.to_string())
}
