//! The view that code has of the scopes that it is in: whether it has to stop (L9).
//!
//! Every operation of foster asks in each of its polls until it has started (`Gate`), so the case in which nothing is going
//! on costs one load of one flag word: `is_clear`. Only the thread's own stack is looked at, and nothing is locked.

use crate::Instant;
use crate::tree::cancel_state::ShieldLevel;
use crate::tree::flags::{CANCELLED, NOTED, TIMED};
use crate::tree::frames::{CurrentFrame, NodeOrParts, node, node_of, node_or_default, node_or_parts, with_current};
use crate::tree::node::NodeRef;

/// Returns whether nobody watches, and no request nor deadline is anywhere near: the answer is "not cancelled" then,
/// without a look further out. False in an inline scope, which has no flags, and outside of any tree.
#[inline]
pub(crate) fn is_clear() -> bool {
    with_current(|top| top.and_then(node_of).is_some_and(|node| !node.flagged(CANCELLED | TIMED | NOTED)))
}

/// Returns whether somebody watches what the code waits for. Asked of the nearest node, so that no inline scope is promoted
/// for it.
pub(crate) fn is_watched() -> bool {
    with_current(|top| node(top).is_some_and(|node| node.flagged(NOTED)))
}

/// Returns whether the code that is running now is cancelled (L9), exact to the clock. Code without a scope is never
/// cancelled.
#[inline]
pub(crate) fn is_cancelled() -> bool {
    !is_clear() && is_cancelled_slowly()
}

/// Does the rest of `is_cancelled`. The deadlines of inline scopes are compared with the clock here.
pub(crate) fn is_cancelled_slowly() -> bool {
    with_current(|top| {
        if node_before_deadlines(top).is_some_and(|node| !node.flagged(CANCELLED | TIMED)) {
            return false;
        }
        let (mut over, mut now) = (false, None);
        for scope in that_count(top) {
            let kept = match scope {
                Ok(node) => return over || node.is_cancelled(),
                Err(inline) => inline,
            };
            // All inline scopes whose time is over are noted as that: so a promotion that comes later requests them at
            // once, by the same look at the clock.
            let mut inline = kept.get();
            if inline.deadline != Instant::NEVER && !inline.over {
                // One look at the clock for all of them: of two deadlines of the same instant neither is found
                // without the other.
                now = now.or_else(|| node_or_default(top)?.tree().map(|tree| tree.now()));
                inline.over = now.is_some_and(|now| inline.deadline <= now);
                kept.set(inline);
            }
            over |= inline.over;
        }
        over
    })
}

/// Returns whether a request is known to have reached the code that is running now: as [`is_cancelled`], but by what is
/// noted alone. No lock is taken and no clock is read, so it may be asked under a lock; and what was requested before
/// that lock was taken by another thread is found (L14).
#[inline]
pub(crate) fn is_known_to_be_cancelled() -> bool {
    let is_known =
        |scope: NodeOrParts<'_>| scope.map_or_else(|inline| inline.get().over, |node| node.flagged(CANCELLED));
    !is_clear() && with_current(|top| that_count(top).any(is_known))
}

/// Returns the nearest node, whose flags tell of all that is further out; none if an inline scope inside of it has a deadline.
fn node_before_deadlines(top: Option<&CurrentFrame>) -> Option<&NodeRef> {
    let has_answer =
        |scope: &NodeOrParts<'_>| scope.map_or_else(|inline| inline.get().deadline != Instant::NEVER, |_| true);
    top?.ancestors().map(node_or_parts).find(has_answer)?.ok()
}

/// Returns the scopes that can make the running code cancelled, the innermost first: inline ones, up to a full shield, whose
/// own deadline counts for the code in it (L20); or up to a scope with a node, whose flags tell of all that is further out.
fn that_count(top: Option<&CurrentFrame>) -> impl Iterator<Item = NodeOrParts<'_>> {
    let mut next = top;
    std::iter::from_fn(move || {
        let frame = next?;
        let scope = node_or_parts(frame);
        next = frame.parent().filter(|_| scope.is_err_and(|inline| inline.get().kind.shield() != ShieldLevel::Full));
        Some(scope)
    })
}
