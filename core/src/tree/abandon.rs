//! Abandoned scopes: their driver has gone away before they were Closed (L25–L30).
//!
//! All of this runs inside `Drop`, on any thread, possibly unwinding: it does not panic, wait, or need a context
//! (L37). Except `end_body`, by which a driver ends a body: there futures are found that were forgotten.
//!
//! ```text
//!    driver_dropped (a Drop) ──┐              ┌─ goes with its parent, which is delivered ──▶ closed at once
//!    leaked (end_body)       ──┴▶ ABANDONED ──┼─ nothing is left after the drop of its body ─▶ closed at once
//!                               (one winner)  ├─ is bare: no request, for nobody could see it ────▶ closed at once
//!                                             ├─ something is left ──▶ Orphan of the new parent, reaper ──▶ closed
//!                                             └─ the tree is shut down ──▶ shut_down
//! ```
//!
//! The order in a drop is that of L26: leave the parent's list of inner scopes, request, drop the body, drain.
//! *First* the new parent waits for the scope, and only *then* the body is dropped: a scope further in that is
//! abandoned by that drop finds this scope not Closed, and becomes its orphan.
//!
//! An example: `select!` drops a nursery N that is inside a cancel scope S; N has a child, and in N's body there is a
//! scope T with a finalizer.
//!
//! ```text
//!    drop(N)   N: from inner scope to orphan of S ──▶ request on N, and so on its child ──▶ N's body is dropped
//!                 drop(T), in there: T is an orphan of N, requested, Draining, and has a reaper
//!              N: Draining, and has a reaper ──▶ drop returns
//!    later:  T's reaper runs the finalizer, T is Closed ─┐
//!            the child is dropped at its turn, Closed   ─┴─▶ N's reaper is woken, N is Closed ──▶ S may end
//! ```
//!
//! Callers: the drops of `ScopeFuture`, `DeferGuard` and `Job`, those of local nurseries and their children, `end_body`
//! for futures that were forgotten, and `root.rs`.

use std::task::Waker;

use super::children::Role;
use super::closing::ClosedNode;
use super::flags::{self, ABANDONED, CANCELLED, DELIVERED, GOES_WHOLE, LOCAL, ORPHAN, PROPAGATED, SHUT_DOWN, TO_CLOSE};
use super::frames;
use super::node::{Kind, Life, NodeRef, Place};
use super::panic::drop_payload;
use super::polled::without_counting;
use crate::events::HostDropped;
use crate::reason::{Reason, ReasonKind};
use crate::tree::waking;

/// Takes over a scope whose driver is gone, dropped by foreign code. `drop_body` drops the body, if it can be
/// reached; it is called once, with the scope as current scope (L38) unless the scope has ended.
///
/// If the scope has something to finish, its new parent waits for that (L25–L27). No lock may be held.
pub(crate) fn driver_dropped(node: &NodeRef, drop_body: impl FnOnce()) {
    drop(abandon(node, drop_body));
}

/// Takes over a scope whose future was forgotten, or has escaped; the code that may be waiting for it is woken, to
/// find out (L28). The body is out of reach.
///
/// Model: `races/escaped.rs`, `who_waits_for_an_escaped_scope_is_told`.
pub(crate) fn leaked(node: &NodeRef) {
    // Up to one that has the flag: all above it have it already.
    let _ = node.and_above().skip(1).all(|above| above.flag(flags::HAS_ESCAPED));
    if let Some(waker) = abandon(node, || {}) {
        waking::wake_for(node, || waker.wake());
    }
}

/// Abandons a scope, for both of the above. Returns the waker of the lost driver, if it is still there: a future that
/// was forgotten may be polled again, and has to be told.
///
/// After this either the scope is Closed and has left its parent, or it is an orphan and a reaper was spawned for it.
/// In between it may run user code several times (the body, errors that are reported), and any thread may act on the
/// scope: so each step looks at the state under a new lock. No lock is held around user code, and none while a job is
/// spawned.
///
/// Model: `races/escaped.rs`, `a_finalizer_races_with_the_end_of_its_escaped_scope`.
fn abandon(node: &NodeRef, drop_body: impl FnOnce()) -> Option<Waker> {
    // Never polled in a tree: it has no place in any, and nothing was opened or registered in it.
    let Some(tree) = node.tree() else {
        drop_body();
        return None;
    };
    // L30: no reaper would be polled. So it is closed here; or next, by whoever has listed it, with all that is inside.
    if (node.flagged(TO_CLOSE) || tree.is_shut_down()) && node.life() != Life::Closed {
        let dropped = frames::enter(node, drop_body);
        if !node.flagged(TO_CLOSE) {
            shut_down(node);
        }
        drop_payload(dropped.err());
        return None;
    }
    // Found before (L28), or ended; the body is all there is. Of two that come at once, the one that sets the flag
    // goes on.
    if !node.flag(ABANDONED) || node.life() == Life::Closed {
        drop_body();
        return None;
    }
    let has_to_end = if goes_with_its_parent(node) {
        // L15: most scopes inside code that is cancelled go with that: no request, no reaper, no new parent. So that
        // the scopes inside this one, which are dropped with its body, go with it, too.
        node.flag(DELIVERED | GOES_WHOLE);
        false
    } else if node.kind != Kind::Task && node.is_bare() {
        // A limit or a shield, mostly, that has lost a race: nothing is inside, and there is no handle to ask it for a
        // reason. So no request has to be carried anywhere; its destructors find that it is asked to stop.
        node.flag(CANCELLED | PROPAGATED);
        false
    } else {
        ask_for_the_end(node);
        true
    };
    frames::enter(node, drop_body).unwrap_or_else(|payload| node.panicked(payload));
    // A scope that was finalizing already goes on where it is: a half-run finalizer is not begun anew (L26).
    node.end_body();
    forget_local_children(node);
    // L27: if nothing is left, the scope ends here, without a reaper. Looked at and closed under one lock: an escaped
    // body may be running, and `defer` is admitted until Closed.
    let mut state = node.lock();
    let waker = state.waker.take();
    if state.children.awaited() == 0 && state.finalizers() == 0 {
        let closed = node.close_in(state);
        end_reaped(node, closed);
        return waker;
    }
    drop(state);
    // A destructor has left something: a child, a finalizer. So it becomes an orphan after all; before the reaper can
    // end it.
    if !has_to_end {
        ask_for_the_end(node);
    }
    (tree.reap)(tree, node.clone());
    waker
}

/// Makes the scope an orphan of its new parent, and requests it.
///
/// The new parent waits for the scope from here on; so a scope that is abandoned further in, in the drop of this body,
/// finds it not Closed.
fn ask_for_the_end(node: &NodeRef) {
    reparent(node);
    // L7, L26: children and scopes inside are cancelled (I16), unless a shield protects them. Before the body is
    // dropped, so that its destructors find a scope that is asked to stop. But for a blocking job, which goes on.
    if node.kind != Kind::Thread {
        node.request(Reason::new(ReasonKind::Abandoned), None);
    }
}

/// Returns whether the scope is cancelled, need not end by itself, and is being dropped with the body around it,
/// which is delivered (L15): then it is no orphan.
///
/// The parent's flags tell: `drive::deliver` has set them before the drop of its body, which this is part of; or, one
/// level further in, `abandon` has.
fn goes_with_its_parent(node: &NodeRef) -> bool {
    // One that is no inner scope any more belongs to a new parent already; one that drains has something to end.
    if !node.flagged(CANCELLED) || node.kind == Kind::Task || node.flagged(ORPHAN) || node.life() != Life::Open {
        return false;
    }
    let delivered = node.parent().filter(|parent| parent.flagged(DELIVERED) && parent.life() == Life::Open);
    // Looked at once, for all scopes in one another; what a destructor opens meanwhile becomes an orphan.
    delivered.is_some_and(|parent| parent.flagged(GOES_WHOLE) || !node.has_to_end())
}

/// Abandons the children of a local nursery that are still here: they are driven by its future, and were forgotten
/// with it (L28, L41). (If it was dropped, they were dropped before this.)
fn forget_local_children(node: &NodeRef) {
    let state = node.lock();
    // Tasks on the executor have a driver of their own.
    let is_driven_here = |child: &&NodeRef| child.kind == Kind::Task && child.flagged(LOCAL);
    let children: Vec<_> = state.children.iter().map(|(_, child)| child).filter(is_driven_here).cloned().collect();
    drop(state);
    children.iter().for_each(leaked);
}

impl NodeRef {
    /// Moves the scope to Draining: the body is over, and its value made. Inner scopes that are still listed were
    /// forgotten (L28), and are abandoned. No lock may be held.
    ///
    /// Model: `races/scopes.rs`, `adoption_races_with_the_close`.
    pub(crate) fn end_body(&self) {
        let mut state = self.lock();
        if state.life > Life::Draining {
            // Shut down while its body was being polled (L30), or finished as a leaked scope meanwhile (L28).
            return;
        }
        state.life = Life::Draining;
        // Awaited from here on, whoever has found or finds them lost: perhaps another thread, at this moment. Under
        // the lock under which the scope begins to drain, or a drain could come between that does not wait for them.
        let forgotten = state.children.orphan_inner();
        drop(state);
        for node in forgotten {
            node.flag(ORPHAN);
            leaked(&node);
        }
    }
}

/// Makes the abandoned scope an orphan of its new parent, the nearest ancestor that is not Closed (L25). That is the
/// old parent, mostly: then only the role changes.
///
/// If the scope is Closed by another thread meanwhile and has left, `change_role` finds another node or none in the
/// slot, and does nothing.
fn reparent(node: &NodeRef) {
    let Some(Place { parent, slot }) = node.place() else { return };
    let mut above = parent.lock();
    if above.life == Life::Closed {
        drop(above);
        node.attach(&parent, Role::Orphan);
    } else {
        above.children.change_role(slot, node, Role::Orphan);
        drop(above);
    }
    node.flag(ORPHAN);
    // L16: from here on it does not delay the parent any more. As in `leave`: if it has escaped, the parent's task does
    // not poll now, and has to be told.
    if parent.flagged(CANCELLED) && !frames::is_innermost(&parent) {
        parent.wake_driver();
    }
}

/// Records the outcome of a scope that was closed without a caller (L29): errors go to the observer, a panic to the
/// new parent; then the scope leaves. The panic first, so that a parent that is woken by the leaving finds it. If nobody
/// waits for the parent either, the payload is dropped; the panic hook has reported the panic.
pub(super) fn end_reaped(node: &NodeRef, closed: ClosedNode) {
    node.orphaned();
    // None of a root, whose driver shuts the tree down when it is lost.
    let Some(place) = closed.place else { return };
    if let Some(payload) = closed.panic {
        drop_payload(place.parent.panicked_if_awaited(payload).err());
    }
    node.leave(&place);
}

/// Closes `top` and everything below it, because the host of the tree is gone, or the runtime has dropped a reaper
/// (L30, L37).
///
/// Nothing can be awaited any more: bodies are dropped, finalizers are not run but counted. A body that another
/// thread is polling at this moment is dropped as soon as that poll returns. Runs on any thread, in a `Drop`, with no
/// lock held; it neither waits nor panics. It visits the scopes in a loop: a deep tree needs no deep stack.
pub(crate) fn shut_down(top: &NodeRef) {
    // All are requested before any body is dropped (L11), and closed before anybody is woken: so code that is woken
    // finds its scope closed, and so does all that is around it.
    let (mut nodes, mut wakers) = (request_all(top), Vec::new());
    while let Some(node) = nodes.get(wakers.len()).cloned() {
        wakers.push(shut_down_node(&node, &mut nodes));
    }
    without_counting(|| {
        for (node, waker) in nodes.iter().zip(wakers) {
            waker.into_iter().for_each(|waker| waking::wake_for(node, || waker.wake()));
            // Its job, which is not polled any more otherwise, and would stay in the runtime.
            node.job_waker.get().into_iter().for_each(|job| waking::wake_for(node, || job.wake_by_ref()));
        }
    });
}

/// Requests `top` and all scopes below it, because the host is gone. Returns them, the outermost first: the caller closes
/// each of them, when it has dropped what is not in the node.
///
/// Requested although they are about to be closed: code that is running on another thread finds that it is cancelled,
/// and its operations give it nothing more (L14), such as what the drop of another body has done to them. Without a
/// grace, and on each scope: no shield holds this off.
pub(super) fn request_all(top: &NodeRef) -> Vec<NodeRef> {
    top.all_below(|node| {
        // First: code that goes on because of the request finds it.
        node.flag(TO_CLOSE);
        node.request(Reason::new(ReasonKind::HostDropped), Some(std::time::Duration::ZERO));
        true
    })
}

/// Closes one scope of it: under its lock it becomes Closed and loses everything; after that the user's part of what
/// it had is dropped, with the scope as current scope. Returns the waker of its driver, to be called.
///
/// Only the thread that makes it Closed goes on; its driver, in a poll on another thread, finds it Closed. Adds to `nodes`
/// what a destructor has opened in it since they were listed.
fn shut_down_node(node: &NodeRef, nodes: &mut Vec<NodeRef>) -> Option<Waker> {
    let mut state = node.lock();
    if state.life == Life::Closed {
        return None;
    }
    state.life = Life::Closed;
    // Together with Closed, under the lock: so no future takes the scope for an abandoned one, which would be a
    // panic.
    node.flag(ABANDONED | SHUT_DOWN);
    if let Some(tree) = node.tree() {
        // Under the lock: who finds the scope Closed, and ends the tree, finds it counted.
        let tasks = usize::from(node.kind == Kind::Task);
        tree.add_cut_off(HostDropped { tasks, finalizers: node.users_finalizers(&state) });
    }
    let left = state.cold.as_mut().map(|cold| (cold.running.take(), std::mem::take(&mut cold.finalizers)));
    // The whole table, so that parents and children do not refer to each other any more.
    let children = std::mem::take(&mut state.children);
    let waker = state.waker.take();
    drop(state);
    // User code: the body of a task, unless it is being polled; finalizers.
    let result = frames::enter(node, || {
        node.abandon_body();
        drop(left);
    });
    drop_payload(result.err());
    children.iter().filter(|(_, late)| !late.flagged(TO_CLOSE)).for_each(|(_, late)| nodes.extend(request_all(late)));
    drop(children);
    // L29: errors to the observer; a handle learns that its task was cancelled (L34).
    node.orphaned();
    // Takes out the rest: timers, a scoped value, the panic. The order of the scopes is that of `shut_down`: those
    // inside follow.
    drop_payload(node.close_in(node.lock()).panic);
    waker
}
