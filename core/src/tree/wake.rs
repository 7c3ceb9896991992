//! Waking: in batches after all marks are set, and along the chain of scopes that delay one another.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Tree;
use super::flags::{BY_CELL, LOST, PARENT_CANCELLED};
use super::links::Role;
use super::node::{Kind, Life, NodeRef};
use super::pump;
use crate::sys::atomic::Ordering;

/// What is to be done once no lock is held any more: wakers to call, and a timer to arm.
#[derive(Default)]
pub(crate) struct Wakes {
    wakers: Vec<Waker>,
    /// Scopes whose drivers are woken through their cells.
    cells: Vec<NodeRef>,
    arm: Option<Arc<Tree>>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    pub(crate) fn push_raw(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    pub(crate) fn arm(&mut self, tree: &Arc<Tree>) {
        self.arm = Some(tree.clone());
    }

    /// Marks a scope as woken and takes its driver's waker along; then those it delays.
    ///
    /// Subtle: in this order. The parent that is polled before the scope's driver was woken would find the scope passed over (L16).
    pub(crate) fn push_chain(&mut self, node: NodeRef) {
        // Ordering: see `wake`.
        node.woken.store(true, Ordering::Release);
        let delayed = delayed_by(&node);
        self.push_node(node);
        self.push_from(delayed);
    }

    /// Marks a scope as woken, and those that it delays, and takes their drivers' wakers along.
    fn push_from(&mut self, mut node: Option<NodeRef>) {
        while let Some(next) = node {
            if next.woken.swap(true, Ordering::AcqRel) {
                break;
            }
            node = delayed_by(&next);
            self.push_node(next);
        }
    }

    /// Marks a scope as woken and takes its driver's waker along.
    pub(crate) fn push_node(&mut self, node: NodeRef) {
        node.woken.store(true, Ordering::Release);
        if is_woken_by_cell(&node) {
            return self.cells.push(node);
        }
        // Taken, not cloned: that would run below the lock (L36). Whoever drives the scope leaves a new one in the poll that this
        // leads to.
        let waker = node.lock().waker.take();
        self.wakers.extend(waker);
    }

    /// Does it.
    pub(crate) fn wake(self) {
        if let Some(tree) = self.arm {
            tree.arm();
        }
        for waker in self.wakers {
            waker.wake();
        }
        pump::wake_all(self.cells);
    }
}

/// Until it is lost: its reaper leaves a waker.
///
/// Ordering: what the reaper has looked at before it left its waker, it has seen; what comes after that, under the scope's lock,
/// finds the scope lost.
fn is_woken_by_cell(node: &NodeRef) -> bool {
    node.flagged(BY_CELL) && !node.flagged(LOST)
}

/// A waker of whoever drives the scope, whoever that is by then.
pub(super) fn waker(node: &NodeRef) -> Waker {
    if is_woken_by_cell(node) { node.waker().clone() } else { Waker::from(Arc::new(Marker(node.clone()))) }
}

/// The parent, if this scope holds up its delivery (L16.1).
fn delayed_by(node: &NodeRef) -> Option<NodeRef> {
    if node.kind == Kind::Task || !node.flagged(PARENT_CANCELLED) {
        return None;
    }
    let state = node.lock();
    if state.role == Role::Inner && state.life != Life::Closed { state.parent(node).cloned() } else { None }
}

/// Wakes the driver of a scope, because something it waits for has happened.
pub(crate) fn wake(node: &NodeRef) {
    node.woken.store(true, Ordering::Release);
    if node.kind == Kind::Task && is_woken_by_cell(node) {
        return node.cell().wake(node);
    }
    // Ordering: marked before it looks whom it delays, and that under the lock under which a request says so. Who is cancelled after
    // that finds the mark.
    let mut state = node.lock();
    if node.flagged(PARENT_CANCELLED) {
        drop(state);
        let mut wakes = Wakes::default();
        wakes.push_chain(node.clone());
        return wakes.wake();
    }
    // Most delay nobody, and need no list.
    if is_woken_by_cell(node) {
        drop(state);
        return node.cell().wake(node);
    }
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The waker for the body of a scope whose parent is cancelled: marks the scope, wakes its driver, then the parent.
///
/// Subtle: the driver's waker may belong to a combinator that is gone, so the parent is woken past it (L16.1).
pub(crate) struct Marker(pub(crate) NodeRef);

impl Wake for Marker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Woken since the last poll already: then the parent was woken, too. `NodeRef::register` hands the wake on when the
        // driver has changed.
        if !self.0.woken.swap(true, Ordering::AcqRel) {
            return wake(&self.0);
        }
        // Subtle: not always the driver. A child of a local nursery wakes the task of the nursery, not its body.
        if is_woken_by_cell(&self.0) {
            return self.0.cell().wake(&self.0);
        }
        let driver = self.0.lock().waker.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// The driver of a local nursery whose parent is cancelled, for the nursery's children: marks the nursery, wakes its driver, then
/// the parent, for the reason that [`Marker`] has.
pub(crate) struct Past {
    pub(crate) node: NodeRef,
    pub(crate) driver: Waker,
}

impl Wake for Past {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.node.woken.store(true, Ordering::Release);
        self.driver.wake_by_ref();
        let mut wakes = Wakes::default();
        wakes.push_from(delayed_by(&self.node));
        wakes.wake();
    }
}

/// The waker of whoever drives a local nursery, as its children have to have it; none if the driver's own is good enough.
pub(crate) fn past(node: &NodeRef, driver: &Waker) -> Option<Waker> {
    let past = || Waker::from(Arc::new(Past { node: node.clone(), driver: driver.clone() }));
    node.flagged(PARENT_CANCELLED).then(past)
}

/// The waker to poll the body of `node` with, while its parent is cancelled; none if the driver's own is good enough, as it is
/// for a task, which delays nobody's delivery.
pub(crate) fn marker(node: &NodeRef) -> Option<Waker> {
    if node.kind == Kind::Task || !node.flagged(PARENT_CANCELLED) {
        return None;
    }
    if let Some(marker) = node.lock().if_rare().and_then(|rare| rare.marker.clone()) {
        return Some(marker);
    }
    let marker = Waker::from(Arc::new(Marker(node.clone())));
    let mut state = node.lock();
    // The node holds the marker and the marker the node, until the node is closed.
    if state.life != Life::Closed {
        state.rare().marker = Some(marker.clone());
    }
    Some(marker)
}
