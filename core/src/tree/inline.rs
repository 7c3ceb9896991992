//! An *inline* scope (a timeout, a shield) has no node while its first poll lasts: all there is of it is the parts it would be made of. It
//! becomes a node when something inside needs one, or when that poll ends Pending; most never do.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Tree;
use super::cancel_state::ShieldLevel;
use super::children::Role;
use super::current;
use super::node::{Kind, NodeRef};
use crate::Instant;
use crate::reason::Origin;
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

/// The parts of a scope without a node.
#[derive(Clone, Copy)]
pub(crate) struct InlineScope {
    kind: Kind,
    shield: ShieldLevel,
    /// The scope has not begun: its deadline is counted from zero.
    to_begin: bool,
    /// The deadline was seen to be over.
    over: bool,
    deadline: Instant,
    location: &'static Location<'static>,
}

impl InlineScope {
    #[inline]
    pub(crate) fn new(kind: Kind, shield: ShieldLevel, limit: Limit, location: &'static Location<'static>) -> Self {
        let (to_begin, deadline) = match limit {
            Limit::At(Instant::NEVER) | Limit::In(Duration::MAX) => (false, Instant::NEVER),
            Limit::At(at) => (false, at),
            Limit::In(duration) => (true, Instant::from_nanos(0) + duration),
        };
        InlineScope { kind, shield, to_begin, over: false, deadline, location }
    }

    #[inline]
    pub(super) fn shield(&self) -> ShieldLevel {
        self.shield
    }

    /// The scope begins: from here on its deadline is an instant of the tree's clock.
    #[inline]
    pub(super) fn start(&mut self, tree: Option<&Arc<Tree>>) {
        if !self.to_begin {
            return;
        }
        let Some(tree) = tree else { self.no_context() };
        let limit = self.deadline.as_nanos();
        self.to_begin = false;
        self.over = limit == 0;
        self.deadline = Instant::from_nanos(tree.now().as_nanos().saturating_add(limit));
    }

    /// Once it has begun: its deadline has passed by this clock.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.over || self.deadline <= now
    }

    /// It was seen that it is.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Once it has begun.
    #[inline]
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(self.kind.name(), self.location)
    }

    /// Makes the node and hangs it below `parent`, which stands around this code.
    pub(super) fn promote(self, parent: &NodeRef, tree: &Arc<Tree>) -> NodeRef {
        let node = NodeRef::attach_new(parent, Role::Inner, |place| {
            NodeRef::attached(place, self.kind, self.shield, self.origin(), tree.clone())
        });
        node.driven.store(true, Ordering::Relaxed);
        node.lock().deadline = self.deadline;
        node.arm_deadline(tree);
        node
    }

    #[cold]
    pub(super) fn no_context(&self) -> ! {
        current::no_context_for(format_args!("the {self}"))
    }
}

impl fmt::Display for InlineScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} made at {}", self.kind.name(), self.location)
    }
}
