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

/// Who is to be woken for a light scope that rests.
pub(in crate::tree) enum ToWake {
    /// Whoever drives the node that it rests in.
    Driver,
    Other(Waker),
}

/// What a light scope leaves with its node.
pub(super) struct Resting {
    /// None: the slot is vacant.
    pub(super) serial: Option<NonZeroU32>,
    /// Behind this vacant one: the next; as in [`Slots::vacant`].
    next: u32,
    pub(super) light: Light,
    /// The one that it rests in.
    pub(super) around: Option<RestKey>,
    /// None while it is being polled for the first time, and after it was called; or if it is the driver's.
    pub(super) waker: Option<Waker>,
    /// Its waker is that of whoever drives the node that it rests in: not kept, which would be a count up and a count down.
    pub(super) by_driver: bool,
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
    /// Who is to be woken for it, once.
    #[inline]
    pub(super) fn take_to_wake(&mut self) -> Option<ToWake> {
        if mem::take(&mut self.by_driver) { Some(ToWake::Driver) } else { self.waker.take().map(ToWake::Other) }
    }

    /// Who that is, for one that begins to rest.
    #[inline]
    pub(super) fn wakes(&mut self, to_wake: ToWake) {
        match to_wake {
            ToWake::Driver => self.by_driver = true,
            ToWake::Other(waker) => self.waker = Some(waker),
        }
    }

    /// Whether what it was polled with last is this waker, that of the driver or another one.
    #[inline]
    pub(super) fn is_woken_with(&self, waker: &Waker, by_driver: bool) -> bool {
        if by_driver { self.by_driver } else { self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) }
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
    pub(super) to_wake: Option<ToWake>,
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
                by_driver: false,
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
        let left = Left { to_wake: resting.take_to_wake(), node: resting.node.take(), inside: resting.inside };
        let around = resting.around;
        resting.serial = None;
        resting.next = vacant;
        (resting.timed, resting.due, resting.inside) = (false, false, 0);
        self.vacant = key.slot;
        self.len -= 1;
        Some((left, around))
    }
}
