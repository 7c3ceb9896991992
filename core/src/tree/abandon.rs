//! Abandoned scopes: their driver has gone away before they were Closed (L25–L30).
//!
//! All of this runs inside `Drop`, on any thread, possibly unwinding: it does not panic, wait, or need a context.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::children::Role;
use super::closing::Closed;
use super::current;
use super::drive::{Body, Driver, Step, poll_open_as};
use super::flags::{ABANDONED, CANCELLED, DELIVERED, GOES_WHOLE, SHUT_DOWN};
use super::job::Job;
use super::node::{Life, NodeRef, Owned};
use super::panic::drop_payload;
use super::wake::DriverWakes;
use crate::observer::HostDropped;
use crate::reason::{Reason, ReasonKind};
use crate::sys::atomic::Ordering;

/// The driver of `node` is gone, dropped by foreign code. `drop_body` drops the body, if it can be reached.
///
/// What the scope still has to finish moves to its adopter, which waits for it (L25–L27).
pub(crate) fn driver_dropped(node: &NodeRef, drop_body: impl FnOnce()) {
    drop(abandon(node, drop_body));
}

/// The future of `node` was forgotten, or has escaped; whoever may be waiting for it is woken, to find out (L28).
pub(crate) fn leaked(node: &NodeRef) {
    if let Some(waker) = abandon(node, || {}) {
        waker.wake()
    }
}

/// What comes back is the waker of the lost driver, unless that was woken.
fn abandon(node: &NodeRef, drop_body: impl FnOnce()) -> Option<Waker> {
    let Some(tree) = node.tree() else {
        // Never polled in a tree: it has no place in any, and nobody to run the release of a bracket, which holds its scope.
        drop_body();
        let finalizers = node.lock().cold().map(|cold| std::mem::take(&mut cold.finalizers));
        drop(finalizers);
        return None;
    };
    if !node.flag(ABANDONED) || node.life() == Life::Closed {
        // Found before (L28), or ended; the body is all there is.
        drop_body();
        return None;
    }
    if tree.is_shut_down() {
        drop_body();
        shut_down(node);
        return None;
    }
    if goes_with_its_parent(node) {
        node.flag(DELIVERED | GOES_WHOLE);
        if let Err(payload) = current::enter(node, drop_body) {
            node.panicked(payload);
        }
        node.end_body();
        let mut state = node.lock();
        if state.children.awaited() == 0 && state.finalizers() == 0 {
            let waker = state.waker.take();
            let closed = node.close_in(state);
            end_reaped(node, closed);
            return waker;
        }
        // A destructor has left something.
        drop(state);
        reparent(node);
        tree.runtime.spawn(Job::reaper(node.clone()));
        return None;
    }
    // The adopter waits for the scope from here on; so whatever is lost further in finds it live.
    reparent(node);
    let keeps_body = {
        let state = node.lock();
        state.life == Life::Open && state.has_owned()
    };
    if !keeps_body {
        node.request(Reason::new(ReasonKind::Abandoned), None);
        if let Err(payload) = current::enter(node, drop_body) {
            node.panicked(payload);
        }
        if node.life() == Life::Open {
            node.end_body();
        }
        forget_local_children(node);
    }
    let mut state = node.lock();
    let waker = state.waker.take();
    if keeps_body || state.children.awaited() > 0 || state.finalizers() > 0 {
        drop(state);
        tree.runtime.spawn(Job::reaper(node.clone()));
    } else {
        // Under the same lock: an escaped body may be running, and `defer` is admitted until Closed.
        let closed = node.close_in(state);
        end_reaped(node, closed);
    }
    waker
}

/// Whether the scope is cancelled, need not end by itself, and is being dropped with the body around it, which is delivered (L15).
fn goes_with_its_parent(node: &NodeRef) -> bool {
    if !node.flagged(CANCELLED) {
        return false;
    }
    let state = node.lock();
    let parent = if state.role == Role::Inner && state.life == Life::Open { state.parent.clone() } else { None };
    drop(state);
    let Some(parent) = parent.filter(|parent| parent.flagged(DELIVERED) && parent.life() == Life::Open) else {
        return false;
    };
    // Looked at once, for all scopes in one another; what a destructor opens meanwhile becomes an orphan.
    parent.flagged(GOES_WHOLE) || !node.has_to_end()
}

/// Children of a local nursery are driven by its future: those that are still here were forgotten with it (L28, L41).
fn forget_local_children(node: &NodeRef) {
    let children: Vec<NodeRef> = {
        let state = node.lock();
        let tasks = state.children.iter().filter(|(role, _)| matches!(role, Role::Child | Role::Daemon));
        // Tasks on the executor have a driver of their own.
        tasks.map(|(_, child)| child).filter(|child| child.is_local()).cloned().collect()
    };
    for child in children {
        leaked(&child);
    }
}

/// Makes the lost scope its adopter's orphan. The adopter is the nearest ancestor that is not Closed (L25).
fn reparent(node: &NodeRef) {
    let (parent, slot) = {
        let state = node.lock();
        (state.parent.clone(), state.slot)
    };
    let Some(parent) = parent else { return };
    let mut above = parent.lock();
    if above.life == Life::Closed {
        drop(above);
        node.attach(&parent, Role::Orphan);
    } else {
        above.children.change_role(slot, node, Role::Orphan);
        drop(above);
        node.lock().role = Role::Orphan;
    }
}

/// A scope that was closed without a caller (L29).
fn end_reaped(node: &NodeRef, closed: Closed) {
    node.orphaned();
    if let Some(payload) = closed.panic {
        match closed.linked.as_ref().map(|linked| &linked.parent) {
            Some(above) if above.life() != Life::Closed => above.panicked(payload),
            _ => drop_payload(Some(payload)),
        }
    }
    node.leave(closed.linked);
}

/// Drives a lost scope to its end, in the name of its adopter.
pub(crate) fn reap(node: &NodeRef, cx: &mut Context<'_>) -> Poll<()> {
    if node.life() == Life::Open && reap_owned(node, cx) == Step::Pending {
        return Poll::Pending;
    }
    match node.drain(Driver::Reaper, cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(closed) => {
            end_reaped(node, closed);
            Poll::Ready(())
        }
    }
}

/// Polls the body of an owned scope that lost its driver while it was Open: a blocking job that is still running.
fn reap_owned(node: &NodeRef, cx: &mut Context<'_>) -> Step {
    // Before it looks: the lost future may be polling the body, and wakes this when it has put that back.
    node.register(Driver::Reaper, cx.waker());
    let mut state = node.lock();
    let cold = state.cold_mut();
    if cold.polls_owned {
        return Step::Pending;
    }
    let Some(owned) = cold.owned.take() else {
        drop(state);
        node.end_body();
        return Step::Gone;
    };
    drop(state);
    let mut body = OwnedBody(Some(owned));
    let step = poll_open_as(Driver::Reaper, node, Pin::new(&mut body), cx);
    if step == Step::Pending {
        node.lock().cold_mut().owned = body.0;
    } else {
        node.end_body();
    }
    step
}

/// The body of a scope that the core owns, while it is being polled.
pub(crate) struct OwnedBody(pub(crate) Option<Owned>);

impl Body for OwnedBody {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(owned) => match owned.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    self.0 = None;
                    Poll::Ready(())
                }
                Poll::Pending => Poll::Pending,
            },
            None => Poll::Ready(()),
        }
    }

    fn clear(mut self: Pin<&mut Self>) {
        self.0 = None;
    }
}

/// The host of the tree is gone, or the runtime has dropped a reaper: closes `top` and everything below it (L30).
///
/// Nothing can be awaited any more: bodies are dropped, finalizers are not run but counted. A body that another thread is
/// polling at this moment is dropped as soon as that poll returns.
pub(crate) fn shut_down(top: &NodeRef) {
    let mut report = HostDropped::default();
    // The outermost scopes first: what their bodies own finds its scope closed, or closes it itself.
    let mut nodes = VecDeque::from([top.clone()]);
    let mut shut_down = Vec::new();
    while let Some(node) = nodes.pop_front() {
        node.request(Reason::new(ReasonKind::HostDropped), Some(std::time::Duration::ZERO));
        let state = node.lock();
        nodes.extend(state.children.iter().map(|(_, below)| below.clone()));
        drop(state);
        shut_down.push(node);
    }
    let mut wakes = DriverWakes::default();
    for node in &shut_down {
        shut_down_node(node, &mut report, &mut wakes);
    }
    wakes.wake();
    if let Some(tree) = top.tree() {
        tree.add_cut_off(report);
    }
}

fn shut_down_node(node: &NodeRef, report: &mut HostDropped, wakes: &mut DriverWakes) {
    let mut state = node.lock();
    if state.life == Life::Closed {
        return;
    }
    state.life = Life::Closed;
    node.flag(ABANDONED | SHUT_DOWN);
    report.finalizers += state.finalizers();
    report.tasks += usize::from(node.kind == super::node::Kind::Task);
    let left = state.cold().map(|cold| (cold.running.take(), cold.owned.take(), std::mem::take(&mut cold.finalizers)));
    let links = std::mem::take(&mut state.children);
    wakes.push_taken(node, state.waker.take());
    drop(state);
    let result = current::enter(node, || {
        node.abandon_body();
        drop(left);
    });
    drop_payload(result.err());
    drop(links);
    node.orphaned();
    let closed = node.close();
    drop_payload(closed.panic);
    node.due.store(false, Ordering::Relaxed);
}
