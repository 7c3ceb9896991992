//! Attaching a scope: its place below its parent, and what reaches it there.
//!
//! Invariant 2: the place is made, and the scope linked there, under the parent's lock, which also decides whether the parent takes
//! it in.

use super::cancel_state::{CancelState, ShieldLevel};
use super::children::Role;
use super::flags::{CANCELLED, NESTED, PARENT_CANCELLED, PROPAGATED, RUNNABLE, TIMED};
use super::node::{Life, NodeRef, State};
use super::wake::DriverWakes;
use crate::Instant;
use crate::sys::atomic::Ordering;

/// A scope's place below its parent, with what reaches it there; made under the parent's lock (Invariant 2).
pub(crate) struct Attachment {
    pub(super) parent: NodeRef,
    pub(super) role: Role,
    pub(super) slot: u32,
    marks: CancelState,
    parent_cancelled: bool,
    timed: bool,
    /// What concerns the whole tree.
    kept: u32,
}

impl Attachment {
    /// Below a scope that takes in no more: what is there stops where it can.
    fn nowhere(top: NodeRef, role: Role) -> Self {
        let marks = CancelState::own(Instant::LAST);
        let kept = top.kept_flags();
        Attachment { parent: top, role, slot: u32::MAX, marks, parent_cancelled: true, timed: false, kept }
    }

    /// The flags of a scope with that shield, and what it inherits.
    #[inline]
    pub(super) fn reach(&self, shield: ShieldLevel) -> (u32, CancelState) {
        if self.parent_cancelled || self.timed || self.marks.any() {
            self.reach_with_marks(shield)
        } else {
            (self.kept, CancelState::default())
        }
    }

    #[inline(never)]
    fn reach_with_marks(&self, shield: ShieldLevel) -> (u32, CancelState) {
        let inherited = self.marks.through(shield);
        let mut flags = self.kept;
        if self.timed && shield != ShieldLevel::Full {
            flags |= TIMED;
        }
        if self.parent_cancelled {
            flags |= PARENT_CANCELLED;
        }
        if inherited.waits_for_hard() {
            flags |= TIMED;
        } else if inherited.any() {
            // Opened by code that is cancelled, and is running: it is polled once.
            flags |= CANCELLED | RUNNABLE | PROPAGATED;
        }
        (flags, inherited)
    }
}

impl State {
    /// A place below the scope `this`, which this is the state of. Something has to be linked there under the same lock: a child, if one
    /// is [admitted](State::admits), with [`admit`](State::admit).
    #[inline]
    pub(crate) fn attachment(&self, this: &NodeRef, role: Role) -> Attachment {
        Attachment {
            parent: this.clone(),
            role,
            slot: self.children.next_slot(),
            marks: self.cancel_state(),
            parent_cancelled: this.flagged(CANCELLED),
            timed: this.flagged(TIMED),
            kept: this.kept_flags(),
        }
    }

    /// Links `child` below the scope `this`, which this is the state of. [`NodeRef::inherit`] has to follow.
    pub(crate) fn link(&mut self, this: &NodeRef, role: Role, child: &NodeRef) -> Attachment {
        let place = self.attachment(this, role);
        self.insert(this, role, child.clone());
        place
    }

    /// Ordering: who has not seen the flag was there before the scope was opened.
    fn insert(&mut self, this: &NodeRef, role: Role, node: NodeRef) {
        if role == Role::Inner && !this.flagged(NESTED) {
            this.flag(NESTED);
        }
        self.children.insert(role, node);
    }

    /// The scope whose state this is moves to a place that was made for it; what reached it where it was is forgotten. Comes back
    /// with its old parent, to be dropped where no lock is held.
    pub(crate) fn move_to(&mut self, place: &Attachment, shield: ShieldLevel) -> Option<NodeRef> {
        self.inherited = place.marks.through(shield);
        self.slot = place.slot;
        self.role = place.role;
        self.parent.replace(place.parent.clone())
    }

    /// Links a child that was made for its place. Says whether the nursery has to be woken: a daemon that comes after the others
    /// were dismissed is dismissed, too (L24).
    #[inline]
    pub(crate) fn admit(&mut self, role: Role, child: NodeRef) -> bool {
        self.children.insert(role, child);
        self.life != Life::Open && self.children.only_daemons()
    }
}

impl NodeRef {
    /// Hangs this scope below `parent`, or below its nearest ancestor that is not Closed (L1, L25).
    ///
    /// The scope takes over what reaches it from there. Says whether it has something that is counted from its entry: see
    /// [`entered`](NodeRef::entered).
    pub(crate) fn attach(&self, parent: &NodeRef, role: Role) -> bool {
        let linked = parent.attach_to_open(|above, parent| above.link(parent, role, self));
        self.inherit(linked.unwrap_or_else(|top| Attachment::nowhere(top, role)))
    }

    /// Makes a scope below `parent`, or below its nearest ancestor that is not Closed (L1, L25).
    pub(crate) fn attach_new(parent: &NodeRef, role: Role, make: impl FnOnce(Attachment) -> NodeRef) -> NodeRef {
        let mut make = Some(make);
        let mut made = |place| match make.take() {
            Some(make) => make(place),
            None => unreachable!("there is one place"),
        };
        let node = parent.attach_to_open(|above, parent| {
            let node = made(above.attachment(parent, role));
            above.insert(parent, role, node.clone());
            node
        });
        let node = node.unwrap_or_else(|top| made(Attachment::nowhere(top, role)));
        node.hard_time_may_be_over();
        node
    }

    /// Does `link` under the lock of the nearest scope, from this one up, that is not Closed. If there is none, the host was dropped while
    /// this code was running on another thread (L30): the topmost comes back.
    fn attach_to_open<R>(&self, mut link: impl FnMut(&mut State, &NodeRef) -> R) -> Result<R, NodeRef> {
        let mut further: Option<NodeRef> = None;
        loop {
            let parent = further.as_ref().unwrap_or(self);
            let mut above = parent.lock();
            if above.life != Life::Closed {
                return Ok(link(&mut above, parent));
            }
            let next = above.parent.clone();
            drop(above);
            match next {
                Some(next) => further = Some(next),
                None => return Err(parent.clone()),
            }
        }
    }

    /// The second half of being linked: the scope takes over what reaches it in its place. Says what [`attach`](NodeRef::attach) says.
    fn inherit(&self, place: Attachment) -> bool {
        let (flags, inherited) = place.reach(self.shield);
        let mut state = self.lock();
        state.inherited = state.inherited.join(inherited);
        let old = state.parent.replace(place.parent);
        state.role = place.role;
        state.slot = place.slot;
        let counts = state.deadline != Instant::NEVER || state.has_cold();
        drop(state);
        drop(old);
        if flags != 0 {
            if flags & PARENT_CANCELLED != 0 {
                self.woken.store(true, Ordering::Relaxed);
            }
            self.flag(flags);
            self.hard_time_may_be_over();
        }
        counts
    }

    /// A hard time that is over, as it is at once without a grace, has no timer that would visit a scope that came later.
    #[inline]
    pub(crate) fn hard_time_may_be_over(&self) {
        if self.flagged(TIMED) {
            self.look_at_the_clock();
        }
    }

    #[inline(never)]
    fn look_at_the_clock(&self) {
        let inherited = self.lock().inherited;
        // Not before the code around is cancelled: a hard time that is just over by the clock has a timer that comes by here.
        if self.flagged(PARENT_CANCELLED)
            && inherited.waits_for_hard()
            && self.tree().is_some_and(|tree| inherited.cancelled(tree.now()))
        {
            self.flag(CANCELLED | RUNNABLE | PROPAGATED);
        }
    }

    /// As [`inherit`](NodeRef::inherit), for a task that has moved, with all that hangs below it, to a parent that is no ancestor
    /// of the old one: what reached the scopes below from there is forgotten.
    pub(crate) fn inherit_anew(&self, place: Attachment) {
        let mut nodes = vec![self.clone()];
        while let Some(node) = nodes.pop() {
            // Subtle: a scope is locked below its parent's lock here. A request that comes down meanwhile is then either in the
            // parent's marks already, or visits this scope later.
            let state = node.lock();
            let marks = state.cancel_state();
            for (_, below) in state.children.iter() {
                below.lock().inherited = marks.through(below.shield);
                nodes.push(below.clone());
            }
        }
        let Some(tree) = self.tree() else { unreachable!("its parent stands in a tree") };
        let mut wakes = DriverWakes::default();
        if place.parent_cancelled {
            wakes.push_node(self.clone());
        }
        self.inherit(place);
        self.propagate(tree.now(), tree.next_request(), true, &mut wakes);
        wakes.wake();
    }
}
