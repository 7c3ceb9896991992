//! The current scope: the one whose code is running now (L38).
//!
//! A frame is entered with the scope's node, or with an [`InlineScope`] that has none yet. If code asks for the scope
//! as a node (to open something in it, to register a finalizer, to wait), all inline scopes from the outermost to
//! that one get their nodes: they are *promoted*. All questions that need no node are answered without.
//!
//! The frames themselves are in `frames.rs`.

mod cancelled;

use std::sync::Arc;
use std::task::Waker;

use super::children::Role;
use super::frames::{CurrentFrame, node_of, node_or_default, node_or_parts, with_current};
use super::inline::InlineScope;
use super::node::{Kind, NodeRef, WaitingCode};
use super::observing;
use super::shared::{Target, Tree};
use crate::Instant;
use crate::reason::{Origin, Reason, ReasonKind};

pub(crate) use super::frames::{DEFAULT_ROOT, depth, enter, enter_inline, innermost_node, is_innermost, with_tree};
pub(crate) use super::no_context::no_context_for;
pub(crate) use cancelled::{is_cancelled, is_cancelled_slowly, is_clear, is_known_to_be_cancelled, is_watched};

/// Returns the innermost scope; promotes it if it is inline. None outside of any tree. No lock may be held.
pub(crate) fn try_scope() -> Option<NodeRef> {
    with_scope(NodeRef::clone)
}

/// Calls `f` with the innermost scope, as [`try_scope`] returns it, without counting a reference.
fn with_scope<R>(f: impl FnOnce(&NodeRef) -> R) -> Option<R> {
    with_current(|top| {
        let node = node_or_default(top)?;
        let inline = top.filter(|top| node_of(top).is_none());
        Some(f(inline.map_or(node, |top| promote(top, node))))
    })
}

impl InlineScope {
    /// Makes the node, and attaches it below `parent`, the scope around this one. `driver` is the waker of whoever
    /// has polled it; none while it is being polled, when its driver registers at the end of that poll. No lock may
    /// be held.
    ///
    /// The parent's lock, under which the node is made and listed (Invariant 2), with the waker in it, and the entry of its
    /// deadline: a request that comes right after that finds them.
    fn promote(self, parent: &NodeRef, driver: Option<Waker>) -> NodeRef {
        let Some(tree) = parent.tree() else { unreachable!("a scope that code runs in has a tree") };
        let (node, is_earliest) = parent.attach_to_open(Role::Inner, |place| {
            let node = NodeRef::attached(place, self.kind, Origin::new(self.kind.name(), self.location));
            if self.deadline == Instant::NEVER {
                let [listed, node] = node.begun(self.deadline, None, driver);
                return (listed, (node, false));
            }
            let ((listed, node), is_earliest) = tree.timers.insert(self.deadline, |key| {
                let [timed, listed, node] = node.begun(self.deadline, Some(key), driver);
                (Target::Scope(timed), (listed, node))
            });
            (listed, (node, is_earliest))
        });
        node.hard_time_may_be_over();
        // Code that has to know exactly has looked at the clock; otherwise the timer says that the deadline is over. So
        // one that is not known to be over costs no look at the clock here.
        if self.over {
            tree.fire_due();
        }
        if is_earliest {
            tree.timers.arm();
        }
        node
    }
}

/// Promotes an inline scope inside `outside`, after those further out: a node is made below its parent's node. At
/// most `MAX_INLINE` levels deep.
///
/// The node begins with what reaches its place now (Invariant 2): a request that came while it was inline reaches it
/// by that.
#[cold]
fn promote<'a>(place: &'a CurrentFrame, outside: &'a NodeRef) -> &'a NodeRef {
    let scope = place.value();
    let inline = place.parent().filter(|outer| node_of(outer).is_none());
    let above = inline.map_or(outside, |outer| promote(outer, outside));
    let Err(inline) = node_or_parts(place) else { unreachable!("the caller has found no node") };
    // A copy of the parts as they are now: a deadline that was found to be over is noted in them.
    let node = inline.get().promote(above, None);
    // For verdicts (L12) it has been on the stack, in its first poll, since it was entered; `was_polled_inline` ends
    // that.
    node.polled.begin(scope.wakes);
    // From here on all questions about this frame find the node.
    scope.node.get_or_init(|| node)
}

/// Gives a node to an inline scope that is not being polled, below the scope of the running code; none outside of any
/// tree. `driver` is the waker of whoever has polled it; none if its first poll is still to come.
///
/// Called by `ScopeFuture` when its first poll was Pending, or could not be inline, and by a bracket for its release
/// (`finalizer::begin`); the scope is not on the stack then, and the scope around it is the innermost one.
pub(crate) fn make_node(inline: &mut InlineScope, driver: Option<&Waker>) -> Option<NodeRef> {
    with_scope(|parent| {
        inline.start(parent.tree());
        let node = inline.promote(parent, driver.cloned());
        // Cancelled code opens no inline scope. So one that was polled is older than the request: its one poll is over (L12).
        node.polled.judge(2 + if driver.is_none() { parent.polled.more_steps() } else { 0 });
        observing::opened(&node);
        node
    })
}

/// Returns the running code, as one that waits. Gives its scope a place in the tree: no lock may be held.
#[inline]
pub(crate) fn waiting_code() -> WaitingCode {
    WaitingCode(try_scope())
}

/// Returns the innermost scope, as [`try_scope`], for an operation of this name. Panics outside of any tree.
#[track_caller]
pub(crate) fn scope_for(operation: &str) -> NodeRef {
    let Some(node) = try_scope() else { no_context_for(operation) };
    node
}

/// Returns the tree of the code that is running now, the installed one included.
pub(crate) fn tree() -> Option<Arc<Tree>> {
    with_tree(Arc::clone)
}

/// Reads the clock of the tree, for an operation of this name. Panics outside of any tree.
#[track_caller]
pub(crate) fn now_for(operation: &str) -> Instant {
    let Some(now) = with_tree(|tree| tree.now()) else { no_context_for(operation) };
    now
}

/// Returns the name of the task or root that runs this code; in what is left of an abandoned scope, that of the task
/// the scope is in. None in code of no tree.
pub(crate) fn task_origin() -> Option<Origin> {
    // Inline scopes alone, below the installed root, are code of its tree, too.
    let innermost = with_current(|top| node_or_default(Some(top?)).cloned())?;
    let task = innermost.and_above().find(|node| matches!(node.kind, Kind::Task | Kind::Root));
    task.map(|task| task.origin.clone())
}

/// Notes in the reason of a `cancel` that it is one, and which task asks, unless it names another one or another event.
pub(crate) fn signed(reason: Reason) -> Reason {
    let reason = reason.made_explicit();
    if reason.kind() != ReasonKind::Explicit || reason.task().is_some() {
        return reason;
    }
    let Some(task) = task_origin() else { return reason };
    reason.with_task(task)
}
