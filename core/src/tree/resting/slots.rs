//! The places of light scopes that rest in one node: a slot for each, used again when it has left.
//!
//! Not a slab of the library's: that gets what is put in as a copy, and gives it back as one. A copy of what was just written is what a
//! processor waits for, and each limit on a read comes here and goes. So this writes a few fields where they are.

use std::mem;
use std::num::NonZeroU32;
use std::task::Waker;

use super::RestKey;
use crate::tree::census;
use crate::tree::light::Light;
use crate::tree::node::NodeRef;

/// What a light scope leaves with its node.
pub(super) struct Resting {
    /// None: the slot is vacant.
    pub(super) serial: Option<NonZeroU32>,
    /// Behind this vacant one: the next; as in [`Slots::vacant`].
    next: u32,
    pub(super) light: Light,
    /// The one that it rests in.
    pub(super) around: Option<RestKey>,
    /// None while it is being polled for the first time, and after it was called; or if it is the [`own`](Resting::own) one.
    pub(super) waker: Option<Waker>,
    /// Its waker is that of the node that it rests in: not kept, which would be a count up and a count down.
    pub(super) own: bool,
    /// Its deadline is noted.
    pub(super) timed: bool,
    /// Its time is over.
    pub(super) due: bool,
    /// How many rest inside it.
    pub(super) inside: u32,
    /// It has become this node, because one that it rests in has become one. Its future does not know yet.
    pub(super) node: Option<NodeRef>,
}

impl Resting {
    /// The waker to call it with, once; `node` is the one that it rests in.
    pub(super) fn take_waker(&mut self, node: &NodeRef) -> Option<Waker> {
        if mem::take(&mut self.own) { Some(node.waker().clone()) } else { self.waker.take() }
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        if self.serial.is_some() {
            census::resting(false);
        }
    }
}

/// What is left of one that rests here no more.
pub(in crate::tree) struct Left {
    pub(super) waker: Option<Waker>,
    pub(super) node: Option<NodeRef>,
    pub(super) inside: u32,
}

#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Resting>,
    /// The vacant one that is used next; behind the last slot if there is none.
    vacant: u32,
    len: usize,
}

impl Slots {
    /// How many rest here.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Resting> {
        self.slots.iter().filter(|slot| slot.serial.is_some())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (RestKey, &mut Resting)> {
        (0..)
            .zip(&mut self.slots)
            .filter_map(|(slot, resting)| Some((RestKey { slot, serial: resting.serial? }, resting)))
    }

    pub(super) fn get(&self, key: RestKey) -> Option<&Resting> {
        self.slots.get(key.slot as usize).filter(|slot| slot.serial == Some(key.serial))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: RestKey) -> Option<&mut Resting> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.serial == Some(key.serial))
    }

    #[inline]
    pub(super) fn insert(
        &mut self,
        serial: NonZeroU32,
        light: &Light,
        around: Option<RestKey>,
    ) -> (RestKey, &mut Resting) {
        census::resting(true);
        let slot = self.vacant;
        let index = slot as usize;
        if index == self.slots.len() {
            self.slots.push(Resting {
                serial: None,
                next: slot + 1,
                light: *light,
                around: None,
                waker: None,
                own: false,
                timed: false,
                due: false,
                inside: 0,
                node: None,
            });
        }
        let resting = &mut self.slots[index];
        self.vacant = resting.next;
        self.len += 1;
        resting.serial = Some(serial);
        resting.light = *light;
        resting.around = around;
        (RestKey { slot, serial }, resting)
    }

    /// The slot is vacant from now on. Gives what was in it, to be dropped where no lock is held, and what it rested in.
    #[inline]
    pub(super) fn remove(&mut self, key: RestKey) -> Option<(Left, Option<RestKey>)> {
        let vacant = self.vacant;
        let resting = self.get_mut(key)?;
        census::resting(false);
        let left = Left { waker: resting.waker.take(), node: resting.node.take(), inside: resting.inside };
        let around = resting.around;
        resting.serial = None;
        resting.next = vacant;
        (resting.own, resting.timed, resting.due, resting.inside) = (false, false, false, 0);
        self.vacant = key.slot;
        self.len -= 1;
        Some((left, around))
    }
}
