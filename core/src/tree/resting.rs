//! A light scope that was polled and is not ready *rests*: it leaves word of itself with the node it stands in, and needs none of
//! its own. So a timeout around a read that has to wait costs an entry in a table that is there already.
//!
//! There is nothing inside a scope that rests but others that do: whatever else comes makes a node of it first. So nothing has to
//! be told to stop but the future itself, and nothing waited for: to be cancelled it only has to be polled, and makes itself a
//! node then. What the tree does for it meanwhile:
//!
//! * at its deadline it is woken (all that rest in one node have one timer), and when the node's own code has to stop
//!   ([`Wakes::push_resting`]): with its waker, or through the node, if that is how its waker would wake it
//! * its future finds that it has left the scope it stood in, and makes its node where it stood (L1)
//! * when the node's body is over, whoever still rests there was forgotten, or has escaped (L28): it is woken, and panics
//!
//! Only scopes that keep nothing out may rest: a shield has to hold off the delivery of the scope around it.

mod slots;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::mem;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;

use super::Tree;
use super::ambient;
use super::flags::{CANCELLED, DISMISSED, DUE, FOLLOWED, RAZED, RESTED};
use super::light::Light;
use super::node::{Life, NodeRef, State};
use super::seldom::Seldom;
use super::timers::{Target, TimerKey};
use super::wake::{self, Wakes};
use crate::Instant;
use slots::{Left, Resting, Slots};

pub(super) use slots::ToWake;

/// A place to rest; never used again in the life of its node (but for a wrap around of 32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RestKey {
    slot: u32,
    serial: NonZeroU32,
}

impl RestKey {
    /// What it is told from others by.
    pub(super) fn serial(self) -> NonZeroU32 {
        self.serial
    }
}

/// All light scopes that rest in one node.
#[derive(Default)]
pub(crate) struct Rests(Seldom<Table>);

/// Made when the first one comes, and kept.
#[derive(Default)]
struct Table {
    slots: Slots,
    serial: u32,
    /// When the time of each is over, and of some that are gone.
    deadlines: BinaryHeap<Reverse<(Instant, RestKey)>>,
    /// The one timer of all, and when it fires: not after the first of them. It is left when that is gone, for those that come later.
    alarm: Option<(TimerKey, Instant)>,
}

impl Rests {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.slots.len() == 0)
    }

    /// All that rest here and know it, for a dump: what each is, whether its time is over, and which of those before it it rests in.
    pub(super) fn outside_in(&self) -> Vec<(&Light, bool, Option<usize>)> {
        let slots = self.0.iter().flat_map(|table| table.slots.iter()).filter(|resting| resting.node.is_none());
        let mut resting: Vec<&Resting> = slots.collect();
        // Serial numbers are given from the outside in.
        resting.sort_by_key(|resting| resting.serial);
        let places: HashMap<_, _> =
            resting.iter().enumerate().map(|(place, resting)| (resting.serial, place)).collect();
        let around = |resting: &Resting| places.get(&Some(resting.around?.serial)).copied();
        resting.iter().map(|resting| (&resting.light, resting.due, around(resting))).collect()
    }

    /// Keeps a place for a light scope, inside another one that rests here. It begins to rest if it is known whom to wake for it.
    #[inline]
    pub(super) fn insert(&mut self, light: &Light, around: Option<RestKey>, to_wake: Option<ToWake>) -> RestKey {
        if let Some(around) = around.and_then(|around| self.get_mut(around)) {
            around.inside += 1;
        }
        let table = self.0.get_or_insert_default();
        let serial = NonZeroU32::MIN.saturating_add(table.serial);
        table.serial = table.serial.wrapping_add(1);
        let (key, resting) = table.slots.insert(serial, light, around);
        if let Some(to_wake) = to_wake {
            resting.wakes(to_wake);
            table.note_deadline(key);
        }
        key
    }

    #[inline]
    fn get_mut(&mut self, key: RestKey) -> Option<&mut Resting> {
        self.0.as_mut()?.slots.get_mut(key)
    }

    /// One that has its place begins to rest there.
    fn begins(&mut self, key: RestKey) {
        if let Some(table) = &mut *self.0 {
            table.note_deadline(key);
        }
    }

    /// Whether the timer is armed too late for the first of them, or for one that is gone.
    #[inline]
    fn is_late(&self) -> bool {
        let Some(table) = &*self.0 else { return false };
        let first = table.deadlines.peek().map(|Reverse((at, _))| *at);
        first.is_some_and(|at| table.alarm.is_none_or(|(_, armed)| at < armed))
    }

    /// The earliest deadline of those that rest here.
    fn earliest(&mut self) -> Option<Instant> {
        loop {
            let &Reverse((at, key)) = self.0.as_ref()?.deadlines.peek()?;
            if self.get_mut(key).is_some() {
                return Some(at);
            }
            self.0.as_mut()?.deadlines.pop();
        }
    }

    /// Takes the deadline out of one that is over.
    fn next_due(&mut self, now: Instant) -> Option<&mut Resting> {
        if self.earliest()? > now {
            return None;
        }
        let Reverse((_, key)) = self.0.as_mut()?.deadlines.pop()?;
        self.get_mut(key)
    }

    /// The timer has fired, unless it was armed anew meanwhile.
    fn end_alarm(&mut self, now: Instant) {
        if let Some(table) = &mut *self.0 {
            table.alarm = table.alarm.filter(|(_, at)| *at > now);
        }
    }

    /// Nobody has ever rested here.
    #[inline]
    pub(super) fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the timer's key, when nobody will rest here any more.
    pub(super) fn take_alarm(&mut self) -> Option<TimerKey> {
        Some(self.0.as_mut()?.alarm.take()?.0)
    }

    /// Takes one out; nothing is done about those that rest in it. What comes back is to be dropped where no lock is held.
    #[inline]
    fn take(&mut self, key: RestKey) -> Option<Left> {
        let (left, around) = self.0.as_mut()?.slots.remove(key)?;
        if let Some(around) = around.and_then(|around| self.get_mut(around)) {
            around.inside -= 1;
        }
        Some(left)
    }

    /// Those that rest inside another one do so no more: it has become a node, and so will they; or it is gone.
    fn free_inside(&mut self, around: RestKey) -> Vec<(RestKey, Light, Option<ToWake>)> {
        let slots = self.0.iter_mut().flat_map(|table| table.slots.iter_mut());
        let inside = slots.filter(|(_, inner)| inner.around == Some(around));
        let free = |(key, inner): (RestKey, &mut Resting)| {
            inner.around = None;
            (key, inner.light, inner.take_to_wake())
        };
        inside.map(free).collect()
    }

    /// Takes out all that rest inside one that is gone: they were forgotten, or have escaped.
    #[cold]
    fn remove_inside(&mut self, around: RestKey) -> Vec<Left> {
        let mut left = Vec::new();
        let mut arounds = vec![around];
        while let Some(around) = arounds.pop() {
            for (key, _, to_wake) in self.free_inside(around) {
                let gone = self.0.as_mut().and_then(|table| table.slots.remove(key));
                left.extend(gone.map(|(gone, _)| Left { to_wake, ..gone }));
                arounds.push(key);
            }
        }
        left
    }

    /// Takes all out.
    fn remove_all(&mut self) -> Vec<Left> {
        let Some(table) = &mut *self.0 else { return Vec::new() };
        let all: Vec<_> = table.slots.iter_mut().map(|(key, _)| key).collect();
        all.into_iter().filter_map(|key| table.slots.remove(key)).map(|(gone, _)| gone).collect()
    }
}

impl Table {
    /// Notes the deadline of one that begins to rest, once.
    #[inline]
    fn note_deadline(&mut self, key: RestKey) {
        let Some(resting) = self.slots.get_mut(key) else { return };
        let at = resting.light.deadline();
        if at == Instant::NEVER || mem::replace(&mut resting.timed, true) {
            return;
        }
        if self.deadlines.len() > 2 * self.slots.len() + 16 {
            let Table { deadlines, slots, .. } = self;
            deadlines.retain(|Reverse((_, key))| slots.get(*key).is_some());
        }
        self.deadlines.push(Reverse((at, key)));
    }
}

impl State {
    /// Takes all out, when the body is over; to be [dismissed](dismiss) where no lock is held.
    pub(super) fn take_resting(&mut self) -> Vec<Left> {
        if self.rests.is_empty() { Vec::new() } else { self.rests.remove_all() }
    }
}

/// Who rested in `node` was forgotten, or has escaped: it is woken, to find out (L28).
pub(super) fn dismiss(node: &NodeRef, left: Vec<Left>) {
    for gone in left {
        match gone.to_wake {
            Some(ToWake::Driver) => wake::wake(node),
            Some(ToWake::Other(waker)) => waker.wake(),
            None => {}
        }
    }
}

impl NodeRef {
    /// A light scope that has its place here was polled, and is not ready. Says whether it goes on as it was: not if it has another waker
    /// by now, or has to stop. `by_driver`: the waker is that of whoever drives this node.
    #[inline]
    pub(super) fn rests_on(&self, light: &Light, waker: &Waker, by_driver: bool) -> bool {
        let Some(key) = light.rest() else { return false };
        if by_driver && light.wakes_driver() {
            // Ordering: who has to wake it wakes the driver. If that wake came before this poll, its reason was seen as the poll began;
            // else it leads to another poll. See `NodeRef::touch`.
            return true;
        }
        let mut state = self.lock();
        let resting = state.rests.get_mut(key);
        let rests = resting.is_some_and(|resting| !resting.due && resting.is_woken_with(waker, by_driver));
        drop(state);
        // Ordering: as in `rest`.
        rests && !self.flagged(CANCELLED)
    }

    /// `light` was polled and is not ready. Says where it rests, in its old place if it had one; none if it has to have a node now, because
    /// it has to stop. Those around it that have no place yet get theirs first: `keep` keeps them, and gives the innermost.
    ///
    /// `other` is its waker, if that is not the one of whoever drives this node. What it is afterwards has to be dropped where no lock is
    /// held.
    pub(super) fn rest(
        &self,
        light: &Light,
        other: &mut Option<Waker>,
        keep: impl FnOnce(&mut Rests) -> Option<RestKey>,
    ) -> Option<RestKey> {
        let tree = self.tree()?;
        if !self.flagged(RESTED) {
            self.flag(RESTED);
        }
        let mut state = self.lock();
        if state.life != Life::Open {
            return None;
        }
        let (key, stays) = match light.rest() {
            None => {
                let around = keep(&mut state.rests);
                let to_wake = other.take().map_or(ToWake::Driver, ToWake::Other);
                (state.rests.insert(light, around, Some(to_wake)), true)
            }
            Some(key) => {
                let resting = state.rests.get_mut(key)?;
                resting.by_driver = other.is_none();
                mem::swap(&mut resting.waker, other);
                let stays = !resting.due;
                state.rests.begins(key);
                (key, stays)
            }
        };
        let armed = if state.rests.is_late() { self.arm_rests(&mut state, &tree) } else { None };
        drop(state);
        if armed.is_some_and(|(_, late)| late) {
            tree.arm();
        }
        // Ordering: the flag is set before it is looked for whom to wake; so either this one was found, or this sees the flag.
        if stays && !self.flagged(CANCELLED) {
            return Some(key);
        }
        if light.rest().is_none() {
            self.end_rest(key);
        }
        None
    }

    /// Arms the timer for the first of those that rest here, unless it is armed for that or something earlier. Gives what it was armed
    /// for, to be dropped where no lock is held, and says whether the host's timer may be armed too late: see `Timers::insert`.
    ///
    /// Subtle: below the node's lock, so that whoever closes the node finds it. Nobody locks a node below the timers' lock.
    fn arm_rests(&self, state: &mut State, tree: &Arc<Tree>) -> Option<(Option<Target>, bool)> {
        let at = state.rests.earliest()?;
        let table = state.rests.0.as_mut().filter(|table| table.alarm.is_none_or(|(_, armed)| at < armed))?;
        let (timer, late) = tree.timers.insert(at, Target::Resting(self.clone()));
        let old = table.alarm.replace((timer, at));
        Some((old.and_then(|(old, _)| tree.timers.remove(old)), late))
    }

    /// A light scope rests here no more. Gives the node that it has become without knowing.
    pub(super) fn end_rest(&self, key: RestKey) -> Option<NodeRef> {
        let mut state = self.lock();
        let Left { to_wake, node, inside } = state.rests.take(key)?;
        if inside > 0 {
            let left = state.rests.remove_inside(key);
            drop(state);
            dismiss(self, left);
        } else {
            drop(state);
        }
        drop(to_wake);
        node
    }

    /// A light scope that had a place to rest here has become `node`. So do those that rest inside it.
    pub(super) fn rest_became(&self, key: RestKey, node: &NodeRef, tree: &Arc<Tree>) {
        let gone = self.lock().rests.take(key);
        let Some(gone) = gone else { return };
        let mut became = if gone.inside > 0 { vec![(key, node.clone())] } else { Vec::new() };
        while let Some((outer, above)) = became.pop() {
            let inside = self.lock().rests.free_inside(outer);
            for (key, light, to_wake) in inside {
                let Some(node) = light.materialise_in(&above, tree) else { continue };
                node.is_driven_by(to_wake, self);
                if node.flagged(CANCELLED) {
                    wake::wake(&node);
                }
                if let Some(resting) = self.lock().rests.get_mut(key) {
                    resting.node = Some(node.clone());
                }
                became.push((key, node));
            }
        }
    }

    /// The timer has fired: the futures of those whose time is over are woken, to find out.
    pub(super) fn rests_are_over(&self, tree: &Arc<Tree>, now: Instant, wakes: &mut Wakes) {
        let mut state = self.lock();
        state.rests.end_alarm(now);
        let mut driver = false;
        while let Some(resting) = state.rests.next_due(now) {
            resting.due = true;
            self.flag(DUE);
            driver |= wakes.push_one(resting);
        }
        let armed = self.arm_rests(&mut state, tree);
        drop(state);
        if driver {
            wakes.push_chain(self.clone());
        }
        if armed.is_some_and(|(_, late)| late) {
            wakes.arm(tree);
        }
    }

    /// Whether one that rests here may have to become a node: this one's code has to stop, or is followed, or lost; or the time of the
    /// one is over, as its timer says.
    #[inline]
    pub(super) fn is_rest_disturbed(&self, key: RestKey) -> bool {
        const ALL: u16 = CANCELLED | FOLLOWED | DISMISSED | RAZED;
        self.flagged(ALL | DUE) && (self.flagged(ALL) || self.rest_is_due(key))
    }

    #[inline(never)]
    fn rest_is_due(&self, key: RestKey) -> bool {
        self.lock().rests.get_mut(key).is_some_and(|resting| resting.due)
    }

    /// The node that a light scope has become without knowing.
    pub(super) fn node_at_rest(&self, key: RestKey) -> Option<NodeRef> {
        self.lock().rests.get_mut(key)?.node.take()
    }

    /// The future of a light scope does not find itself where it rests, or this node's code has to stop: it has to have a node, where
    /// it stood (L1). None if it was lost (L28).
    pub(super) fn rest_becomes(&self, key: RestKey) -> Option<NodeRef> {
        let tree = self.tree()?;
        let mut state = self.lock();
        let resting = state.rests.get_mut(key)?;
        let (light, made, is_inside) = (resting.light, resting.node.take(), resting.around.is_some());
        let to_wake = resting.take_to_wake();
        drop(state);
        let node = match made {
            Some(node) => node,
            None if !is_inside => light.materialise_in(self, &tree)?,
            None => {
                // What it rests in stands around this code, and is made a node now; and so are those inside. If it does not, the
                // future was taken out of one that is still there (by a lock, say): then it is out of its reach.
                ambient::try_current();
                match self.node_at_rest(key) {
                    Some(node) => node,
                    None => light.materialise_in(self, &tree)?,
                }
            }
        };
        // From now on; in the poll that follows it says so itself.
        node.is_driven_by(to_wake, self);
        self.rest_became(key, &node, &tree);
        Some(node)
    }

    /// This was a light scope that rested in `stood`: who was to be woken for it drives it.
    fn is_driven_by(&self, to_wake: Option<ToWake>, stood: &NodeRef) {
        let waker = match to_wake {
            Some(ToWake::Driver) => wake::waker(stood),
            Some(ToWake::Other(waker)) => waker,
            None => return,
        };
        let old = self.lock().waker.replace(waker);
        drop(old);
    }
}

impl Wakes {
    /// Takes along the waker of one that rests. Says whether it is the driver of its node who has to be woken.
    fn push_one(&mut self, resting: &mut Resting) -> bool {
        match resting.take_to_wake() {
            Some(ToWake::Driver) => return true,
            Some(ToWake::Other(waker)) => self.push(waker),
            None => {}
        }
        false
    }

    /// The code of a node has to stop: takes along those who have to be woken for what rests there.
    pub(super) fn push_resting(&mut self, node: &NodeRef) {
        if !node.flagged(RESTED) {
            return;
        }
        let mut state = node.lock();
        let resting = state.rests.0.iter_mut().flat_map(|table| table.slots.iter_mut());
        let driver = resting.fold(false, |driver, (_, resting)| self.push_one(resting) | driver);
        drop(state);
        if driver {
            self.push_chain(node.clone());
        }
    }
}
