//! The reports to an observer that follows the tasks, or all scopes.
//!
//! Both are opt-in, and asked of the observer once: the flags `FOLLOWED_TASKS` and `FOLLOWED` of each node. So without an
//! observer each poll costs one load. All functions here call user code: no lock may be held
//! (L36), a panic of the observer ends here, and nothing that it does changes an outcome (L39).
//!
//! ```text
//!    task    Spawned ──▶ (PollBegins ──▶ PollEnds)* ──▶ Ended
//!    scope   Opened ──▶ (Entered ──▶ Left)* ──▶ Closed          a task is a scope, too, and is told of as both
//! ```
//!
//! The end may be found by two threads at once (a poll and a shut-down): the flags `TOLD_END` and `TOLD_SCOPE_END`
//! let the first one tell.

use std::task::Poll;

use super::flags::{CANCELLED, FOLLOWED, FOLLOWED_TASKS, TOLD_END, TOLD_SCOPE_END};
use super::node::{Kind, NodeRef};
use super::shared::Tree;
use crate::Instant;
use crate::events::{ObservedScope, ObservedTask, ScopeEvent, TaskEvent, TaskStatus};

/// Asks the observer what it follows, before the first poll of the root: all scopes below get the flags at their entry.
pub(crate) fn begin(tree: &Tree, root: &NodeRef) {
    // L36: the observer is code of the user.
    let observer = tree.observer.lock().clone();
    if observer.follows_tasks() {
        root.flag(FOLLOWED_TASKS);
    }
    if observer.follows_scopes() {
        root.flag(FOLLOWED);
    }
    opened(root);
}

/// Tells that a task was admitted, as a scope and as a task, and is about to be handed to the runtime: so before its first
/// poll, which may be on another thread. The parent of a task is the next task further out, not the scope in which its
/// nursery is.
pub(crate) fn spawned(node: &NodeRef) {
    opened(node);
    if node.flagged(FOLLOWED_TASKS) {
        let parent = node.and_above().skip(1).find(|above| above.kind == Kind::Task);
        task(node, TaskEvent::Spawned { parent: parent.as_ref().map(id) });
    }
}

/// Tells that a task's scope is closed: by its own last poll, by a reaper, by a shut-down; or by one of these during
/// another. Once.
pub(crate) fn ended(node: &NodeRef) {
    if node.flagged(FOLLOWED_TASKS) && node.flag(TOLD_END) {
        // Cut off with its host (L30), it has no outcome yet.
        task(node, TaskEvent::Ended { status: node.outcome().unwrap_or(TaskStatus::Cancelled) });
    }
}

/// Runs one poll of a task, and tells of its beginning and end, if an observer follows the tasks; ready when it is over.
/// The clock is read only then.
///
/// The events are told outside of the poll's frame: a panic or a long run of the observer is no part of what it is
/// told.
#[inline]
pub(crate) fn poll(node: &NodeRef, poll: impl FnOnce() -> Poll<()>) -> Poll<()> {
    let tree = node.tree().filter(|_| node.flagged(FOLLOWED_TASKS));
    let begun = tree.inspect(|_| task(node, TaskEvent::PollBegins)).map(|tree| tree.now());
    // In one place, so that it is compiled into the caller.
    let poll = poll();
    if let Some((tree, begun)) = tree.zip(begun) {
        let end = tree.now();
        let cancelled_for = asked_at(node).map(|asked| end - asked);
        task(node, TaskEvent::PollEnds { took: end - begun, cancelled_for });
        if poll.is_ready() {
            ended(node);
        }
    }
    poll
}

/// Returns when the nearest request that reaches the task was made; none if its code is not cancelled.
fn asked_at(node: &NodeRef) -> Option<Instant> {
    let asked = |above: NodeRef| above.lock().request().map(|request| request.soft);
    if node.flagged(CANCELLED) { node.and_above().find_map(asked) } else { None }
}

/// Tells that a scope has got its place, if an observer follows the scopes.
#[inline]
pub(crate) fn opened(node: &NodeRef) {
    if node.flagged(FOLLOWED) {
        let parent = node.lock().parent().map(id);
        scope(node, ScopeEvent::Opened { parent });
    }
}

/// Tells that a scope is closed, if an observer follows the scopes. It may be found so more than once, and is told once.
#[inline]
pub(crate) fn closed(node: &NodeRef) {
    if node.flagged(FOLLOWED) && node.flag(TOLD_SCOPE_END) {
        scope(node, ScopeEvent::Closed);
    }
}

/// Tells the observer of an event of a task.
#[cold]
fn task(node: &NodeRef, event: TaskEvent) {
    let Some(tree) = node.tree() else { return };
    tree.tell(|observer| observer.task(&ObservedTask { id: id(node), origin: &node.origin }, event));
}

/// Tells the observer of an event of a scope.
#[cold]
pub(crate) fn scope(node: &NodeRef, event: ScopeEvent) {
    let Some(tree) = node.tree() else { return };
    let scope = ObservedScope { id: id(node), kind: node.kind.name(), origin: &node.origin };
    tree.tell(|observer| observer.scope(&scope, event));
}

/// Returns the number under which an observer knows a scope. Nodes stay where they are, so the address tells apart
/// those that are alive at the same time.
fn id(node: &NodeRef) -> u64 {
    node.0.address() as u64
}
