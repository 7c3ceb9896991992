//! A *light* scope (a timeout, a shield) has no node while its first poll lasts: all there is of it is what it would be made
//! of. It becomes a node when something inside needs one, or when that poll ends Pending; most never do.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Tree;
use super::ambient;
use super::links::Role;
use super::marks::Mask;
use super::node::{Kind, Node, NodeRef};
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

/// What a scope without a node is made of.
#[derive(Clone, Copy)]
pub(crate) struct Light {
    kind: Kind,
    mask: Mask,
    /// It has not begun yet: its deadline is counted from zero.
    relative: bool,
    deadline: Instant,
    location: &'static Location<'static>,
}

impl Light {
    pub(crate) fn new(kind: Kind, mask: Mask, limit: Limit, location: &'static Location<'static>) -> Self {
        let (relative, deadline) = match limit {
            Limit::At(at) => (false, at),
            Limit::In(duration) => (true, Instant::from_nanos(0) + duration),
        };
        Light { kind, mask, relative, deadline, location }
    }

    pub(super) fn mask(&self) -> Mask {
        self.mask
    }

    /// The scope begins: from here on its deadline is an instant of the tree's clock.
    pub(super) fn start(&mut self, tree: Option<&Arc<Tree>>) {
        if !std::mem::take(&mut self.relative) || self.deadline == Instant::NEVER {
            return;
        }
        let Some(tree) = tree else { self.no_context() };
        self.deadline = tree.now() + (self.deadline - Instant::from_nanos(0));
    }

    /// Once it has begun.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Makes the node and hangs it below `parent`.
    pub(super) fn materialise(self, parent: &NodeRef, tree: &Arc<Tree>) -> NodeRef {
        let node = Node::attach_new(parent, Role::Inner, |place| {
            let origin = Origin::new(self.kind.name(), self.location);
            Node::placed(place, self.kind, self.mask, origin, tree.clone(), ())
        });
        node.polled.store(true, Ordering::Relaxed);
        node.lock().deadline = self.deadline;
        node.arm_deadline(tree);
        node
    }

    #[cold]
    pub(super) fn no_context(&self) -> ! {
        ambient::no_context_for(format_args!("the {} made at {}", self.kind.name(), self.location))
    }
}
