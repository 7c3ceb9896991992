//! Waking: in batches after all marks are set, and along the chain of scopes that delay one another.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Tree;
use super::children::Role;
use super::flags::{PARENT_CANCELLED, PROPAGATED};
use super::node::{Kind, Life, NodeRef};
use super::verdict::without_counting;
use crate::sys::atomic::Ordering;
use crate::tree::waking;

/// What is to be done once no lock is held any more: wakers to call, and a timer to arm.
#[derive(Default)]
pub(crate) struct DriverWakes {
    /// Scopes whose drivers are woken.
    drivers: Vec<NodeRef>,
    /// Wakers of scopes that are closed by now.
    taken: Vec<(NodeRef, Waker)>,
    /// Scopes that have become cancelled.
    marked: Vec<NodeRef>,
    arm: Option<Arc<Tree>>,
}

impl DriverWakes {
    /// Adds a waker that was taken from `node`.
    pub(crate) fn push_taken(&mut self, node: &NodeRef, waker: Option<Waker>) {
        self.taken.extend(waker.map(|waker| (node.clone(), waker)));
    }

    pub(crate) fn arm(&mut self, tree: &Arc<Tree>) {
        self.arm = Some(tree.clone());
    }

    /// Adds the driver of a scope, which counts as woken from now on; then those that the scope delays.
    ///
    /// Subtle: in this order. The parent that is polled before the scope's driver was woken would find the scope passed over (L16).
    pub(crate) fn push_chain(&mut self, node: NodeRef) {
        // Ordering: see `wake`.
        node.woken.store(true, Ordering::Release);
        let delayed = delayed_by(&node);
        self.drivers.push(node);
        self.push_from(delayed);
    }

    /// Adds the driver of a scope, and of those that it delays; they count as woken from now on.
    fn push_from(&mut self, mut node: Option<NodeRef>) {
        while let Some(next) = node {
            if next.woken.swap(true, Ordering::AcqRel) {
                break;
            }
            node = delayed_by(&next);
            self.drivers.push(next);
        }
    }

    /// Adds the driver of a scope, which counts as woken from now on.
    pub(crate) fn push_node(&mut self, node: NodeRef) {
        node.woken.store(true, Ordering::Release);
        self.drivers.push(node);
    }

    /// Adds a scope that has become cancelled. Its code may be dropped when all others are marked, too.
    pub(crate) fn mark(&mut self, node: &NodeRef) {
        self.marked.push(node.clone());
    }

    /// Does it, on behalf of foster: nothing becomes runnable by it (L12). A waker that panics does not keep the others from being called.
    pub(crate) fn wake(self) {
        for node in &self.marked {
            node.flag(PROPAGATED);
        }
        if let Some(tree) = self.arm {
            tree.arm();
        }
        without_counting(|| {
            for node in self.drivers {
                // Taken now that all are marked. A driver leaves its waker before it looks whether its scope is marked; so it has seen
                // that, or its waker is here. Not cloned: that would run below the lock (L36).
                let waker = node.lock().waker.take();
                if let Some(waker) = waker {
                    waking::wake_for(&node, waker);
                }
            }
            self.taken.into_iter().for_each(|(node, waker)| waking::wake_for(&node, waker));
        });
    }
}

/// The parent, if this scope holds up its delivery (L16.1).
fn delayed_by(node: &NodeRef) -> Option<NodeRef> {
    if node.kind == Kind::Task || !node.flagged(PARENT_CANCELLED) {
        return None;
    }
    let state = node.lock();
    if state.role == Role::Inner && state.life != Life::Closed { state.parent.clone() } else { None }
}

/// Wakes the driver of a scope, because something it waits for has happened.
///
/// Subtle: the driver's waker may belong to a combinator that is gone; so if the scope holds up the delivery of its parent, that is woken
/// past it (L16.1).
pub(crate) fn wake(node: &NodeRef) {
    // Ordering: marked before it looks whom it delays, and that under the lock under which a request says so. A parent that is cancelled
    // after that finds the mark.
    let was_woken = node.woken.swap(true, Ordering::AcqRel);
    let mut state = node.lock();
    let delays = node.kind != Kind::Task && node.flagged(PARENT_CANCELLED);
    let delayed = if delays && state.role == Role::Inner && state.life != Life::Closed && !was_woken {
        state.parent.clone()
    } else {
        None
    };
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waking::wake_for(node, waker);
    }
    if delayed.is_some() {
        let mut wakes = DriverWakes::default();
        wakes.push_from(delayed);
        wakes.wake();
    }
}

/// The driver of a local nursery whose parent is cancelled, for the nursery's children: marks the nursery, wakes its driver, then
/// the parent, for the reason that [`wake`] has.
pub(crate) struct ForwardingWaker {
    pub(crate) node: NodeRef,
    pub(crate) driver: Waker,
}

impl Wake for ForwardingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.node.woken.store(true, Ordering::Release);
        self.driver.wake_by_ref();
        let mut wakes = DriverWakes::default();
        wakes.push_from(delayed_by(&self.node));
        wakes.wake();
    }
}

/// The waker of whoever drives a local nursery, as its children have to have it; none if the driver's own is good enough.
pub(crate) fn forwarding_waker(node: &NodeRef, driver: &Waker) -> Option<Waker> {
    let past = || Waker::from(Arc::new(ForwardingWaker { node: node.clone(), driver: driver.clone() }));
    node.flagged(PARENT_CANCELLED).then(past)
}
