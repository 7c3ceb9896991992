//! What an observer is told that follows the tasks, or all scopes.

use std::panic::{self, AssertUnwindSafe};
use std::task::Poll;

use super::flags::{CANCELLED, FOLLOWED, TOLD_END, TOLD_SCOPE_END};
use super::node::{Kind, NodeRef};
use super::panic::drop_payload;
use super::{Tree, lock};
use crate::Instant;
use crate::observer::{ObservedScope, ObservedTask, ScopeEvent, TaskEvent, TaskStatus};
use crate::sys::atomic::Ordering;

impl Tree {
    /// Whether an observer follows the tasks.
    #[inline]
    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    #[cold]
    fn tell(&self, node: &NodeRef, event: TaskEvent) {
        let observer = lock(&self.observer).clone();
        let task = ObservedTask { id: id(node), origin: &node.origin };
        let result = panic::catch_unwind(AssertUnwindSafe(|| observer.task(&task, event)));
        drop_payload(result.err());
    }
}

/// The task was admitted, and is about to be handed to the runtime.
#[inline]
pub(crate) fn spawned(tree: &Tree, node: &NodeRef) {
    if tree.is_followed() || node.flagged(FOLLOWED) {
        has_spawned(tree, node);
    }
}

#[cold]
fn has_spawned(tree: &Tree, node: &NodeRef) {
    if node.flagged(FOLLOWED) {
        opened(node);
    }
    if tree.is_followed() {
        let mut next = node.parent();
        while let Some(above) = next.as_ref().filter(|above| above.kind != Kind::Task) {
            next = above.parent();
        }
        tree.tell(node, TaskEvent::Spawned { parent: next.as_ref().map(id) });
    }
}

/// The task's scope is closed: by its own last poll, or otherwise, or one during the other.
pub(crate) fn ended(node: &NodeRef) {
    if let Some(tree) = node.tree().filter(|tree| tree.is_followed()) {
        if node.flag(TOLD_END) {
            // Cut off with its host (L30), it has no outcome yet.
            let status = node.outcome().unwrap_or(TaskStatus::Cancelled);
            tree.tell(node, TaskEvent::Ended { status });
        }
    }
}

/// A task is polled: ready when it is over.
#[inline]
pub(crate) fn turn(tree: &Tree, node: &NodeRef, poll: impl FnOnce() -> Poll<()>) -> Poll<()> {
    if tree.is_followed() { polled(tree, node, poll) } else { poll() }
}

#[cold]
fn polled(tree: &Tree, node: &NodeRef, poll: impl FnOnce() -> Poll<()>) -> Poll<()> {
    tree.tell(node, TaskEvent::PollBegins);
    let begin = tree.now();
    let poll = poll();
    let end = tree.now();
    let cancelled_for = asked_at(node).map(|asked| end - asked);
    tree.tell(node, TaskEvent::PollEnds { took: end - begin, cancelled_for });
    if poll.is_ready() {
        ended(node);
    }
    poll
}

/// When the nearest request that reaches the task was made.
fn asked_at(node: &NodeRef) -> Option<Instant> {
    let mut next = node.flagged(CANCELLED).then(|| node.clone());
    while let Some(node) = next {
        let state = node.lock();
        if let Some(request) = state.request() {
            return Some(request.soft);
        }
        next = state.parent.clone();
    }
    None
}

/// The root of a tree whose observer follows the scopes is about to run.
#[cold]
pub(crate) fn begin(root: &NodeRef) {
    root.flag(FOLLOWED);
    opened(root);
}

/// The scope has got its place in a tree whose observer follows the scopes.
#[cold]
pub(crate) fn opened(node: &NodeRef) {
    let parent = node.lock().parent.as_ref().map(id);
    scope(node, ScopeEvent::Opened { parent });
}

/// The scope is closed. It may be found so more than once.
#[cold]
pub(crate) fn closed(node: &NodeRef) {
    if node.flag(TOLD_SCOPE_END) {
        scope(node, ScopeEvent::Closed);
    }
}

/// Something has happened to the scope.
#[cold]
pub(crate) fn scope(node: &NodeRef, event: ScopeEvent) {
    let Some(tree) = node.tree() else { return };
    let observer = lock(&tree.observer).clone();
    let scope = ObservedScope { id: id(node), kind: node.kind.name(), origin: &node.origin };
    let result = panic::catch_unwind(AssertUnwindSafe(|| observer.scope(&scope, event)));
    drop_payload(result.err());
}

/// Nodes stay where they are: the address tells those that live apart.
fn id(node: &NodeRef) -> u64 {
    node.address() as u64
}
