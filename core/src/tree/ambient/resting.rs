//! Where light scopes find themselves when they [rest](crate::tree::resting), and what they become when they cannot.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;

use super::{Place, become_node, innermost, look, node_or_default, try_current};
use crate::tree::Tree;
use crate::tree::flags::FOLLOWED;
use crate::tree::follow;
use crate::tree::light::Light;
use crate::tree::node::NodeRef;
use crate::tree::resting::{RestKey, Rests, ToWake};

/// Whether that waker is the one that the body of the innermost node is being polled with.
#[inline]
pub(in crate::tree) fn is_driver(waker: &Waker) -> bool {
    look(|top| {
        let innermost = top.and_then(|top| top.outward().find(|place| !place.is_light()));
        innermost.and_then(|place| place.value().waker).is_some_and(|known| known.is(waker))
    })
}

/// A light scope that has just been left, and is not ready, rests in the innermost node, which is its `seat` then, inside the light scope
/// around it, which gets a place there, too. As [`NodeRef::rest`]; it cannot if one of them cannot.
///
/// Subtle: the clock, and the host's timer, which may call wakers, are reached while this looks around; nothing is decided after that.
pub(in crate::tree) fn rest(
    light: &mut Light,
    seat: &mut Option<NodeRef>,
    waker: &Waker,
    other: &mut Option<Waker>,
) -> Option<RestKey> {
    look(|top| {
        let node = node_or_default(top)?;
        let key = match light.rest() {
            // One that stands in it has kept it a place.
            Some(_) if !light.is_running() => return None,
            Some(key) if node.rests_on(light, waker, other.is_none()) => key,
            Some(_) => node.rest(light, other, |_| None)?,
            None => {
                let (tree, outer) = (node.tree(), top.filter(|top| top.is_light()));
                if !light.may_rest(tree.as_deref()) || !outer.is_none_or(|outer| may_rest(outer, tree.as_deref())) {
                    return None;
                }
                let (mut around, by_driver) = (None, other.is_none());
                let keep = |rests: &mut Rests| {
                    around = outer.map(|outer| keep_place(outer, rests, by_driver));
                    around
                };
                let key = node.rest(light, other, keep)?;
                // Not before, as it was copied there: a processor waits when it copies what was just written.
                light.stands_inside(around.map(RestKey::serial));
                key
            }
        };
        *seat = Some(node.clone());
        Some(key)
    })
}

/// Whether the light scopes around this code may rest, as far as they have no place yet.
fn may_rest(top: &Place, tree: Option<&Arc<Tree>>) -> bool {
    for place in top.outward().take_while(|place| place.is_light()) {
        let Some(kept) = place.light() else { break };
        let mut light = kept.get();
        let may_rest = light.may_rest(tree);
        kept.set(light);
        // Those that have a place stand outside of those that have none.
        if !may_rest || light.rest().is_some() {
            return may_rest;
        }
    }
    true
}

/// The place of a light scope that is being polled. It gets one now, after those around it, if it has none. If it is woken as those are
/// that begin to rest in it, it begins, too.
fn keep_place(place: &Place, rests: &mut Rests, by_driver: bool) -> RestKey {
    let Some(kept) = place.light() else { unreachable!("it was entered as a light one") };
    let mut light = kept.get();
    if let Some(key) = light.rest() {
        return key;
    }
    let around = place.outer().filter(|outer| outer.is_light()).map(|outer| keep_place(outer, rests, by_driver));
    light.stands_inside(around.map(RestKey::serial));
    let key = rests.insert(&light, around, by_driver.then_some(ToWake::Driver));
    light.rests_at(Some(key));
    light.set_wakes_driver(by_driver);
    kept.set(light);
    key
}

/// Whether this code stands in `node`, inside the light scope that rests there under this serial number, or inside none.
pub(in crate::tree) fn stands_in(node: &NodeRef, outer: Option<NonZeroU32>) -> bool {
    look(|top| {
        let serial = match top {
            Some(top) if top.is_light() => match top.rest() {
                Some(key) => Some(key.serial()),
                None => return false,
            },
            _ => None,
        };
        serial == outer && node_or_default(top).is_some_and(|top| top.is(node))
    })
}

/// Makes a light scope into a node, below the scope that this code stands in; none outside of any tree.
#[cold]
pub(in crate::tree) fn make_node(light: &mut Light) -> Option<NodeRef> {
    // Where it has its place, if it has one.
    let outside = innermost()?;
    let parent = try_current()?;
    let tree = parent.tree()?;
    light.start(Some(&tree));
    let node = become_node(*light, &outside, &parent, &tree, |_| {});
    light.rests_at(None);
    if node.flagged(FOLLOWED) {
        follow::opened(&node);
    }
    Some(node)
}
