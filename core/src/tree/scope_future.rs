//! The future of every scope that stands inside a task: it holds the body, the node holds the rest (L1).
//!
//! ```text
//!   Fresh ──1──▶ Open ──2──▶ Draining ──3──▶ Done
//!     └──────────────4──────────────────▲     └─5─▶ (or) Parked
//! ```
//!
//! 1. first poll: the node gets its place in the tree, unless it was Attached before; an inline scope first tries without one
//! 2. the body is over: it left a value, panicked, or was delivered
//! 3. Closed: the ending is returned, or the panic resumes
//! 4. an inline scope whose body was ready at once, and needed no node
//! 5. cancelled from further out: nothing to say to the code around, which never goes on (L18)

use std::future::Future;
use std::panic::{self, Location};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use pin_project_lite::pin_project;

use super::abandon;
use super::body_state::BodyState;
use super::cancel_state::ShieldLevel;
use super::children::Role;
use super::current;
use super::drive::{Body, Driver, Step, conclude, poll_open};
use super::flags::{ABANDONED, FOLLOWED};
use super::inline::{InlineScope, Limit};
use super::node::{Kind, NodeRef};
use super::observing;
use super::panic::drop_payload;
use crate::reason::{Origin, Reason};

/// What a construct does with the output of its body.
pub(crate) trait Policy<R> {
    /// What is left of the output as the scope's value.
    type Value;

    /// The body has returned. Records an error, if the construct knows what an error is. An inline scope that was ready at
    /// once has no node.
    fn settle(&mut self, node: Option<&NodeRef>, output: R) -> Option<Self::Value>;

    /// Whether errors were recorded: then they are the outcome, also when cancelled (L31).
    fn failed(&self) -> bool;

    /// A panic takes precedence over the errors that were recorded.
    fn panicked(&mut self, _node: &NodeRef) {}
}

/// The policy of scopes that do not interpret their body's output.
pub(crate) struct Plain;

impl<R> Policy<R> for Plain {
    type Value = R;

    fn settle(&mut self, _: Option<&NodeRef>, output: R) -> Option<R> {
        Some(output)
    }

    fn failed(&self) -> bool {
        false
    }
}

/// How a scope ends for the code around it.
pub(crate) enum Ending<V> {
    /// The body's value.
    Value(V),
    /// Errors were recorded.
    Failed,
    /// The scope's own request was delivered: its reason, and which scope it was.
    Cancelled(Option<(Reason, Origin)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    /// In the tree, and not polled yet.
    Attached,
    Open,
    Draining,
    Parked,
    Done,
}

pin_project! {
    /// A scope inside a task.
    #[must_use = "futures do nothing unless polled"]
    ///
    /// Subtle: `R` (what the body returns) and `V` (the scope's value) are parameters of their own, and no bound stands on
    /// the type. A projection or a bound here would have to be proved again for every future that holds a scope across an
    /// await, with lifetimes erased; the compiler cannot do that for closures that take a lifetime, and would deny `Send`.
    pub(crate) struct ScopeFuture<F, R, V, P> {
        #[pin]
        body: BodyState<F, R, V>,
        policy: P,
        // None as long as it is an inline one: until its first poll ends.
        node: Option<NodeRef>,
        inline: InlineScope,
        stage: Stage,
    }

    impl<F, R, V, P> PinnedDrop for ScopeFuture<F, R, V, P> {
        fn drop(this: Pin<&mut Self>) {
            if !this.is_done() {
                this.lose(|| {});
            }
        }
    }
}

impl<F, R, V, P> ScopeFuture<F, R, V, P> {
    /// A scope that makes its node only when it turns out to need one.
    #[inline]
    pub(crate) fn inline(
        kind: Kind,
        shield: ShieldLevel,
        limit: Limit,
        location: &'static Location<'static>,
        body: F,
        policy: P,
    ) -> Self {
        let inline = InlineScope::new(kind, shield, limit, location);
        ScopeFuture { body: BodyState::Future { future: body }, policy, node: None, inline, stage: Stage::Fresh }
    }

    /// A scope around a node that exists, because there are handles to it.
    pub(crate) fn with_node(node: NodeRef, body: F, policy: P) -> Self {
        let inline = InlineScope::new(node.kind, node.shield, Limit::NONE, node.origin.location());
        ScopeFuture { body: BodyState::Future { future: body }, policy, node: Some(node), inline, stage: Stage::Fresh }
    }

    /// A scope that has its place in the tree now, below the scope around this call; outside of any tree, at its first poll.
    pub(crate) fn attached(node: NodeRef, body: F, policy: P) -> Self {
        let attached = current::try_scope().is_some();
        if attached {
            enter_tree(&node);
        }
        let mut scoped = ScopeFuture::with_node(node, body, policy);
        if attached {
            scoped.stage = Stage::Attached;
        }
        scoped
    }

    /// Whether the body is over, and what it leaves is not.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage == Stage::Draining
    }

    pub(crate) fn policy(self: Pin<&mut Self>) -> &mut P {
        self.project().policy
    }

    /// Asks the scope to stop, once it was polled.
    pub(crate) fn cancel(self: Pin<&mut Self>, reason: Reason) {
        if let Some(node) = self.project().node {
            node.request(reason, None);
        }
    }

    /// Whether it was cancelled from further out, and will never be ready.
    pub(crate) fn is_parked(&self) -> bool {
        self.stage == Stage::Parked
    }

    /// Where the scope was made.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.inline.location()
    }

    /// Whether it has returned, or was lost.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The scope loses its driver: the body is dropped, then `more` with it.
    pub(crate) fn lose(self: Pin<&mut Self>, more: impl FnOnce()) {
        let this = self.project();
        let live = matches!(this.stage, Stage::Attached | Stage::Open | Stage::Draining);
        *this.stage = Stage::Done;
        let mut body = this.body;
        match this.node.take() {
            Some(node) if live => abandon::driver_dropped(&node, || {
                body.as_mut().empty();
                more();
            }),
            _ => more(),
        }
    }
}

/// Hangs a node that had handles before it had a place into the tree.
pub(crate) fn enter_tree(node: &NodeRef) {
    let Some(parent) = current::try_scope() else {
        current::no_context_for(format_args!("{} {}", node.kind.name(), node.origin));
    };
    let Some(tree) = parent.tree() else { unreachable!("what code stands in has a tree") };
    // Before it is attached, where it may have to ask for the time.
    node.keep_tree(tree);
    if node.attach(&parent, Role::Inner) {
        node.entered();
    }
    if node.flagged(FOLLOWED) {
        observing::opened(node);
    }
}

impl<F, R, V, P> Future for ScopeFuture<F, R, V, P>
where
    F: Future<Output = R>,
    P: Policy<R, Value = V>,
{
    type Output = Ending<V>;

    /// Subtle: scopes may nest thousands deep, and each level of a poll is this function, `poll_inline` or `poll_open`, and
    /// `current::enter`. What they have to do besides is done in functions of its own, so that their frames stay small.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let begin = match self.as_mut().begin() {
            Begin::InlineScope => match self.as_mut().poll_inline(cx) {
                Some((node, result)) => match self.as_mut().after_inline(node, result, cx.waker()) {
                    First::Ready(ending) => return Poll::Ready(ending),
                    First::Pending => return Poll::Pending,
                    First::Over => Begin::Draining,
                },
                None => {
                    self.as_mut().make_node();
                    Begin::Open
                }
            },
            begin => begin,
        };
        match begin {
            Begin::Open => {
                let this = self.as_mut().project();
                let Some(node) = &*this.node else { unreachable!("it is open, and not an inline one") };
                let step = poll_open(node, this.body, cx);
                if !self.as_mut().after_open(step) {
                    return Poll::Pending;
                }
            }
            Begin::Parked => return Poll::Pending,
            Begin::Draining | Begin::InlineScope => {}
        }
        self.poll_drain(cx)
    }
}

/// The result of a first poll without a node.
enum First<V> {
    Ready(Ending<V>),
    Pending,
    Over,
}

/// The next step of a poll.
enum Begin {
    /// The first poll, without a node.
    InlineScope,
    /// A poll of the body.
    Open,
    /// The body is over.
    Draining,
    /// Nothing, for ever.
    Parked,
}

impl<F, R, V, P> ScopeFuture<F, R, V, P>
where
    F: Future<Output = R>,
    P: Policy<R, Value = V>,
{
    fn begin(mut self: Pin<&mut Self>) -> Begin {
        let this = self.as_mut().project();
        if *this.stage == Stage::Fresh {
            *this.stage = Stage::Open;
            match this.node {
                Some(node) => enter_tree(node),
                None => return Begin::InlineScope,
            }
        }
        if *this.stage == Stage::Attached {
            *this.stage = Stage::Open;
        }
        if *this.stage == Stage::Parked {
            if let Some(node) = this.node.as_ref().filter(|node| !node.is_shut_down()) {
                assert_cancelled(node);
            }
            return Begin::Parked;
        }
        let Some(node) = this.node.as_ref() else { panic!("a scope was polled after it had returned") };
        if is_shut_down_or_panic(node) {
            return Begin::Parked;
        }
        if *this.stage == Stage::Open { Begin::Open } else { Begin::Draining }
    }

    /// The first poll, without a node; none if the scope cannot do without one.
    fn poll_inline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<(Option<NodeRef>, thread::Result<Poll<()>>)> {
        let this = self.project();
        current::enter_inline(this.inline, || this.body.poll(cx))
    }

    fn make_node(self: Pin<&mut Self>) {
        let this = self.project();
        *this.node = current::make_node(this.inline);
        if this.node.is_none() {
            this.inline.no_context();
        }
    }

    /// The first poll is over: a scope that is not ready has a node from here on.
    fn after_inline(
        mut self: Pin<&mut Self>,
        node: Option<NodeRef>,
        result: thread::Result<Poll<()>>,
        waker: &Waker,
    ) -> First<V> {
        let this = self.as_mut().project();
        *this.node = node;
        if this.node.is_none() {
            match result {
                Ok(Poll::Pending) => self.as_mut().make_node(),
                Ok(Poll::Ready(())) => {
                    *this.stage = Stage::Done;
                    let mut body = this.body;
                    let output = body.as_mut().take();
                    return First::Ready(match output.and_then(|output| this.policy.settle(None, output)) {
                        Some(value) => Ending::Value(value),
                        None => Ending::Failed,
                    });
                }
                Err(payload) => {
                    *this.stage = Stage::Done;
                    let body = this.body;
                    let (_, dropped) = current::enter_begun(this.inline, || body.clear());
                    drop_payload(dropped.err());
                    panic::resume_unwind(payload);
                }
            }
        }
        let mut this = self.project();
        let Some(node) = this.node.as_ref() else { this.inline.no_context() };
        node.was_polled_inline();
        let step = conclude(Driver::Own, node, this.body.as_mut(), result, false, waker);
        if !after(step, this.body.as_mut(), this.policy, node) {
            return First::Pending;
        }
        *this.stage = Stage::Draining;
        First::Over
    }

    /// Says whether the body is over.
    fn after_open(self: Pin<&mut Self>, step: Step) -> bool {
        let mut this = self.project();
        let Some(node) = this.node.as_ref() else { unreachable!("a driver has its node between polls") };
        let over = after(step, this.body.as_mut(), this.policy, node);
        if over {
            *this.stage = Stage::Draining;
        }
        over
    }

    fn poll_drain(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending<V>> {
        let this = self.project();
        let Some(node) = this.node.as_ref() else { unreachable!("a driver has its node between polls") };
        let Poll::Ready(mut closed) = node.drain(Driver::Own, cx) else { return Poll::Pending };
        node.leave(closed.linked.take());
        *this.stage = Stage::Done;
        let Some(node) = this.node.take() else { unreachable!("a driver has its node between polls") };
        // The outcome table (see the book's page of laws) for scopes that have a caller.
        if let Some(payload) = closed.panic {
            this.policy.panicked(&node);
            panic::resume_unwind(payload);
        }
        if this.policy.failed() {
            return Poll::Ready(Ending::Failed);
        }
        match this.body.take_value() {
            Some(value) if !closed.cut => Poll::Ready(Ending::Value(value)),
            // L30: this task will be dropped as soon as its poll returns.
            _ if closed.inherited || closed.shut_down => {
                *this.stage = Stage::Parked;
                if !closed.shut_down {
                    assert_cancelled(&node);
                }
                *this.node = Some(node);
                Poll::Pending
            }
            _ => Poll::Ready(Ending::Cancelled(node.asked())),
        }
    }
}

/// Settles the output of a body that is over. Says whether it is.
fn after<F, R, P: Policy<R>>(
    step: Step,
    mut body: Pin<&mut BodyState<F, R, P::Value>>,
    policy: &mut P,
    node: &NodeRef,
) -> bool {
    match step {
        Step::Pending => return false,
        Step::Gone => {}
        Step::Ready => {
            if let Some(value) = body.as_mut().take().and_then(|output| policy.settle(Some(node), output)) {
                body.put(value);
            }
        }
    }
    true
}

/// Whether the host is gone, before a poll of the scope's future.
///
/// # Panics
///
/// The scope was lost, so the future has escaped (L28).
pub(crate) fn is_shut_down_or_panic(node: &NodeRef) -> bool {
    if !node.flagged(ABANDONED) {
        return false;
    }
    if !node.is_shut_down() {
        polled_after_loss(format_args!("{} {}", node.kind.name(), node.origin), node.parent());
    }
    true
}

/// L18: a scope that was cancelled from further out never returns; so code that is not cancelled must not wait for it.
///
/// # Panics
///
/// If this code is not cancelled.
fn assert_cancelled(node: &NodeRef) {
    if !current::is_cancelled() && current::tree().is_some_and(|tree| !tree.is_shut_down()) {
        parked_where_not_cancelled(node);
    }
}

#[cold]
fn parked_where_not_cancelled(node: &NodeRef) -> ! {
    let describe = |node: NodeRef| format!("{} {}", node.kind.name(), node.origin);
    let parent = node.parent().map_or_else(|| "the tree".to_owned(), describe);
    let here = current::try_scope().map_or_else(|| "no scope".to_owned(), describe);
    panic!(
        "the future of {} {} was cancelled with {parent}, in which it was opened, and never returns; but code in {here}, which is not \
         cancelled, waits for it. Usual cause: one future is shared by both (with `Shared`, say), or was moved behind a shield. Open the \
         scope where it is awaited",
        node.kind.name(),
        node.origin,
    );
}

#[cold]
fn polled_after_loss(scope: impl std::fmt::Display, parent: Option<NodeRef>) -> ! {
    let parent = parent.map(|parent| format!("{} {}", parent.kind.name(), parent.origin));
    panic!(
        "the future of {scope} was polled after the scope around it had ended: it was moved out of that scope (returned from it, \
         sent to another task, or forgotten and found again), and its scope was finished by {} in its place",
        parent.unwrap_or_else(|| "the tree".to_owned()),
    );
}
