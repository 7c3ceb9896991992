//! What code sees of the scopes it stands in, where it may have to wait: whether it has to stop (L9), and whether somebody notes what
//! it waits for.

use std::cell::Cell;

use super::{CurrentFrame, look, node, node_or_default, try_scope};
use crate::Instant;
use crate::tree::cancel_state::ShieldLevel;
use crate::tree::flags::{CANCELLED, NOTED, TIMED, WATCHED};
use crate::tree::inline::InlineScope;

/// What code learns where it may have to wait.
#[derive(Default)]
pub(crate) struct Arrival {
    /// It is cancelled (L9), exact to the clock.
    pub(crate) cancelled: bool,
    /// That it is here was noted, for dumps.
    pub(crate) noted: bool,
}

/// The code that is running now is at `what`, and may have to wait there. Looks whether it is cancelled only if it `asks`.
#[inline]
pub(crate) fn arrives_at(what: &'static str, asks: bool) -> Arrival {
    if is_clear() { Arrival::default() } else { looks_around(what, asks) }
}

/// Whether nobody watches, and no request nor deadline is anywhere near.
#[inline]
pub(crate) fn is_clear() -> bool {
    look(|top| top.and_then(CurrentFrame::node).is_some_and(|node| !node.flagged(CANCELLED | TIMED | NOTED)))
}

fn looks_around(what: &'static str, asks: bool) -> Arrival {
    let noted = look(|top| node(top).0.is_some_and(|node| node.flagged(NOTED))) && note(what);
    Arrival { cancelled: asks && asks_around(), noted }
}

fn note(what: &'static str) -> bool {
    let Some(node) = try_scope() else { return false };
    node.flag(WATCHED);
    node.lock().cold_mut().waits_for.push(what);
    true
}

/// The code that is running now does not wait at `what` any more.
pub(crate) fn waits_no_more(what: &'static str) {
    let Some(node) = try_scope().filter(|node| node.flagged(WATCHED)) else { return };
    let mut state = node.lock();
    let noted = &mut state.cold_mut().waits_for;
    if let Some(last) = noted.iter().rposition(|other| *other == what) {
        noted.remove(last);
    }
}

/// L9 for the code that is running now, exact to the clock. Code without a scope is never cancelled.
#[inline]
pub(crate) fn is_cancelled() -> bool {
    !is_clear() && asks_around()
}

fn asks_around() -> bool {
    look(|top| {
        if lights_are_over(top) {
            return true;
        }
        if lights_around(top).any(|inline| inline.get().shield() == ShieldLevel::Full) {
            return false;
        }
        let Some(node) = node(top).0 else { return false };
        node.flagged(CANCELLED) || node.flagged(TIMED) && node.tree().is_some_and(|tree| node.is_cancelled(tree))
    })
}

/// The inline scopes around this code, from the inside out.
fn lights_around(top: Option<&CurrentFrame>) -> impl Iterator<Item = &Cell<InlineScope>> {
    top.into_iter()
        .flat_map(CurrentFrame::outward)
        .take_while(|place| place.is_inline())
        .filter_map(CurrentFrame::inline)
}

/// Whether the time of an inline scope around this code, up to a shield, is over. Such a scope is noted as over.
fn lights_are_over(top: Option<&CurrentFrame>) -> bool {
    if lights_around(top).all(|inline| inline.get().deadline() == Instant::NEVER) {
        return false;
    }
    let Some(tree) = node_or_default(top).and_then(|node| node.tree()) else { return false };
    let now = tree.now();
    let mut any = false;
    for kept in lights_around(top) {
        let mut inline = kept.get();
        if inline.is_over(now) {
            inline.end();
            kept.set(inline);
            any = true;
        }
        if inline.shield() == ShieldLevel::Full {
            break;
        }
    }
    any
}
