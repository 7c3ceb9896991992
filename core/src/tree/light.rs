//! A *light* scope (a timeout, a shield) has no node while its first poll lasts: all there is of it is what it would be made
//! of. It becomes a node when something inside needs one. When that poll ends Pending, it [rests](super::resting), or becomes a
//! node if it cannot; most never do.

use std::fmt;
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Tree;
use super::ambient;
use super::links::Role;
use super::marks::Mask;
use super::node::{Kind, Node, NodeRef};
use super::place::Place;
use super::resting::RestKey;
use crate::Instant;
use crate::reason::{Origin, Reason, ReasonKind};
use crate::sys::atomic::Ordering;

/// How long a scope may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    At(Instant),
    /// From its entry.
    In(Duration),
}

impl Limit {
    pub(crate) const NONE: Limit = Limit::At(Instant::NEVER);
}

/// How the deadline of a light scope stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    /// It is counted from zero: the scope has not begun.
    ToBegin,
    /// It may be in the past.
    At,
    /// It was in the future when the scope began. Where the scope rests, who drives that node is woken for it, or somebody else.
    Runs { by_driver: bool },
    /// It has passed.
    Over,
    /// The scope was lost: its body is being dropped, and has to stop.
    Lost,
}

impl Time {
    const RUNS: Time = Time::Runs { by_driver: false };
}

/// What a scope without a node is made of.
#[derive(Clone, Copy)]
pub(crate) struct Light {
    kind: Kind,
    mask: Mask,
    time: Time,
    /// The light scope around it, once it rests.
    outer: Option<NonZeroU32>,
    /// Its place to rest, if it has one.
    rest: Option<RestKey>,
    deadline: Instant,
    location: &'static Location<'static>,
}

impl Light {
    #[inline]
    pub(crate) fn new(kind: Kind, mask: Mask, limit: Limit, location: &'static Location<'static>) -> Self {
        let (time, deadline) = match limit {
            Limit::At(Instant::NEVER) | Limit::In(Duration::MAX) => (Time::RUNS, Instant::NEVER),
            Limit::At(at) => (Time::At, at),
            Limit::In(duration) => (Time::ToBegin, Instant::from_nanos(0) + duration),
        };
        Light { kind, mask, time, outer: None, rest: None, deadline, location }
    }

    pub(super) fn mask(&self) -> Mask {
        self.mask
    }

    /// The scope begins: from here on its deadline is an instant of the tree's clock.
    #[inline]
    pub(super) fn start(&mut self, tree: Option<&Arc<Tree>>) {
        if self.time != Time::ToBegin {
            return;
        }
        let Some(tree) = tree else { self.no_context() };
        let limit = self.deadline.as_nanos();
        self.time = if limit == 0 { Time::Over } else { Time::RUNS };
        self.deadline = Instant::from_nanos(tree.now().as_nanos().saturating_add(limit));
    }

    /// Once it has begun: its deadline has passed by this clock.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline() <= now
    }

    /// It was seen that it is.
    pub(super) fn end(&mut self) {
        if self.time != Time::Lost {
            self.time = Time::Over;
        }
    }

    /// Once it has begun.
    pub(super) fn deadline(&self) -> Instant {
        if self.time == Time::Lost { Instant::from_nanos(0) } else { self.deadline }
    }

    /// Nobody has seen that it has to stop.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.time, Time::Runs { .. })
    }

    /// Whether it may rest: it keeps nothing out, and nobody has seen that it has to stop.
    ///
    /// Subtle: its time may be over, and nobody has looked. Then its timer fires at once.
    pub(super) fn may_rest(&mut self, tree: Option<&Arc<Tree>>) -> bool {
        if self.time == Time::At {
            let over = tree.is_none_or(|tree| self.is_over(tree.now()));
            self.time = if over { Time::Over } else { Time::RUNS };
        }
        self.is_running() && self.mask == Mask::None
    }

    /// The light scope that it stands in, if it rests: see [`RestKey::serial`].
    pub(super) fn outer(&self) -> Option<NonZeroU32> {
        self.outer
    }

    pub(super) fn stands_inside(&mut self, outer: Option<NonZeroU32>) {
        self.outer = outer;
    }

    pub(super) fn rest(&self) -> Option<RestKey> {
        self.rest
    }

    pub(super) fn rests_at(&mut self, key: Option<RestKey>) {
        self.rest = key;
    }

    /// Whether, where it rests, whoever drives that node is woken for it.
    pub(super) fn wakes_driver(&self) -> bool {
        self.time == Time::Runs { by_driver: true }
    }

    pub(super) fn set_wakes_driver(&mut self, by_driver: bool) {
        if self.is_running() {
            self.time = Time::Runs { by_driver };
        }
    }

    /// It rests no more; gives its place.
    pub(super) fn take_rest(&mut self) -> Option<RestKey> {
        self.rest.take()
    }

    /// For the drop of its body.
    pub(super) fn lost(self) -> Light {
        Light { time: Time::Lost, ..self }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(self.kind.name(), self.location)
    }

    /// Makes the node and hangs it below `parent`, which stands around this code.
    pub(super) fn materialise(self, parent: &NodeRef, tree: &Arc<Tree>) -> NodeRef {
        let node = NodeRef::attach_new(parent, Role::Inner, |place| self.node(place, tree));
        self.begin_as(&node, tree);
        node
    }

    /// As [`materialise`](Light::materialise), from elsewhere: none if the body of `parent` is over.
    pub(super) fn materialise_in(self, parent: &NodeRef, tree: &Arc<Tree>) -> Option<NodeRef> {
        let node = NodeRef::attach_open(parent, Role::Inner, |place| self.node(place, tree))?;
        self.begin_as(&node, tree);
        Some(node)
    }

    fn node(&self, place: Place, tree: &Arc<Tree>) -> NodeRef {
        Node::placed(place, self.kind, self.mask, self.origin(), Some(tree.clone()), ()).into_block()
    }

    fn begin_as(&self, node: &NodeRef, tree: &Arc<Tree>) {
        node.polled.store(true, Ordering::Relaxed);
        if self.time == Time::Lost {
            node.request(Reason::new(ReasonKind::Abandoned), None);
            return;
        }
        node.lock().deadline = self.deadline;
        node.arm_deadline(tree);
    }

    #[cold]
    pub(super) fn no_context(&self) -> ! {
        ambient::no_context_for(format_args!("the {self}"))
    }
}

impl fmt::Display for Light {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} made at {}", self.kind.name(), self.location)
    }
}
