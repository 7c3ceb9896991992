//! What code sees of the scopes it stands in, where it may have to wait: whether it has to stop (L9), and whether somebody notes what
//! it waits for.

use std::cell::RefCell;

use super::{Entered, STACK, Stack, tree, try_current};
use crate::Instant;
use crate::tree::marks::Mask;
use crate::tree::node::{CANCELLED, NOTED, NodeRef, TIMED, WATCHED};

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
fn is_clear() -> bool {
    STACK.try_with(|stack| stack.borrow().is_clear()).unwrap_or(false)
}

fn looks_around(what: &'static str, asks: bool) -> Arrival {
    let watched = STACK.try_with(|stack| stack.borrow().node().0.is_some_and(|node| node.flagged(NOTED)));
    let noted = watched.unwrap_or(false) && note(what);
    Arrival { cancelled: asks && look(), noted }
}

fn note(what: &'static str) -> bool {
    let Some(node) = try_current() else { return false };
    node.flag(WATCHED);
    node.lock().rare().waits_for.push(what);
    true
}

/// The code that is running now does not wait at `what` any more.
pub(crate) fn waits_no_more(what: &'static str) {
    let Some(node) = try_current().filter(|node| node.flagged(WATCHED)) else { return };
    let mut state = node.lock();
    let noted = &mut state.rare().waits_for;
    if let Some(last) = noted.iter().rposition(|other| *other == what) {
        noted.remove(last);
    }
}

/// L9 for the code that is running now, exact to the clock. Code without a scope is never cancelled.
#[inline]
pub(crate) fn is_cancelled() -> bool {
    !is_clear() && look()
}

fn look() -> bool {
    /// What the stack alone can say.
    enum Seen {
        Known(bool),
        Node(NodeRef),
        /// Light scopes: their earliest deadline that counts, and what stands outside of them, unless a shield does.
        Light {
            deadline: Instant,
            mask: Mask,
            node: Option<NodeRef>,
        },
    }
    let seen = STACK.try_with(|stack| {
        let stack = stack.borrow();
        let (node, lights) = stack.node();
        if !lights {
            return match node {
                Some(node) if node.flagged(CANCELLED) => Seen::Known(true),
                Some(node) if node.flagged(TIMED) => Seen::Node(node.clone()),
                _ => Seen::Known(false),
            };
        }
        let mut deadline = Instant::NEVER;
        let mut mask = Mask::None;
        for entered in stack.lights[stack.base..].iter().rev() {
            let Entered::Light(light, _) = entered else { break };
            // A light scope has no grace: its hard time is its deadline.
            deadline = deadline.min(light.deadline());
            mask = mask.max(light.mask());
            if mask == Mask::Full {
                return Seen::Light { deadline, mask, node: None };
            }
        }
        Seen::Light { deadline, mask, node: node.cloned() }
    });
    match seen {
        Ok(Seen::Known(known)) => known,
        Ok(Seen::Node(node)) => node.tree().is_some_and(|tree| node.is_cancelled(tree)),
        Ok(Seen::Light { deadline, mask, node }) => {
            let Some(tree) = tree() else { return false };
            if deadline != Instant::NEVER && lights_are_over(tree.now()) {
                return true;
            }
            node.is_some_and(|node| {
                node.is_cancelled(&tree) && mask == Mask::None
                    || node.lock().marks().through(mask).cancelled(tree.now())
            })
        }
        Err(_) => false,
    }
}

/// Whether the time of a light scope around this code, up to a shield, is over; whose is, knows from now on.
fn lights_are_over(now: Instant) -> bool {
    let end = |stack: &RefCell<Stack>| {
        let mut stack = stack.borrow_mut();
        let base = stack.base;
        let mut any = false;
        for entered in stack.lights[base..].iter_mut().rev() {
            let Entered::Light(light, _) = entered else { break };
            if light.is_over(now) {
                light.end();
                any = true;
            }
            if light.mask() == Mask::Full {
                break;
            }
        }
        any
    };
    STACK.try_with(end).unwrap_or(false)
}
