//! Attaching a scope: its place below its parent, and what reaches it there.
//!
//! Invariant 2: the place is made, and the scope linked there, under the parent's lock, which also decides whether
//! the parent takes it in. There are two ways, because no two nodes are locked at once:
//!
//! ```text
//!    a scope that is made for its place          a scope that exists (there are handles to it)
//!    (inline scopes, tasks)                      (nurseries, cancel scopes with a handle, blocking jobs)
//!
//!    lock parent ─┬─ attachment                  lock parent ─── attachment, insert
//!                 ├─ make the node with it       unlock
//!                 └─ insert                      lock scope ──── inherit: parent, slot, requests
//!    unlock                                      unlock
//! ```
//!
//! In the second way a request may visit the scope between the two locks. It finds a scope without a parent, and
//! joins into its `inherited`; what `inherit` then adds was read before, and joining it again changes nothing.
//!
//! Called by the code that opens a scope or spawns a child, in the thread that does so; by `abandon::reparent`, in a
//! `Drop`; and by `start`, when a child moves.

use super::cancel_state::CancelState;
use super::children::Role;
use super::flags::{CANCELLED, DAEMON, KEPT, LATE, PARENT_CANCELLED, PROPAGATED, TIMED};
use super::node::{Attachment, Life, NodeRef, Place, State};
use super::polled::without_counting;
use crate::Instant;
use crate::sys::atomic::Ordering;

impl Attachment {
    /// Returns a place below a scope that takes in no more: its host is gone, and what is opened there stops where it
    /// can (L30). It is not listed, so nobody waits for it; that a request with the latest hard time reaches it makes
    /// it cancelled from its beginning.
    pub(crate) fn nowhere(top: &NodeRef) -> Self {
        Attachment {
            place: Place { parent: top.clone(), slot: u32::MAX },
            requests: CancelState::own(Instant::LAST),
            flags: PARENT_CANCELLED | PROPAGATED | top.flags_of(KEPT),
        }
    }
}

impl State {
    /// Returns a place below the scope `this`, which this is the state of. Something has to be linked there under the
    /// same lock: a child, if one is [admitted](State::admits), with [`admit`](State::admit).
    #[inline]
    pub(crate) fn attachment(&self, this: &NodeRef, role: Role) -> Attachment {
        let (slot, requests) = (self.children.next_slot(), self.cancel_state());
        let mut flags = this.flags_of(KEPT | TIMED | PROPAGATED);
        if this.flagged(CANCELLED) {
            flags |= PARENT_CANCELLED;
        }
        if role == Role::Daemon {
            flags |= DAEMON;
        }
        Attachment { place: Place { parent: this.clone(), slot }, requests, flags }
    }

    /// Moves the task whose state this is to a place that was made for it: from the nursery of a `start` to its target.
    /// The requests that reached it where it was are forgotten; those of the scopes below it are left to
    /// `inherit_anew`. Returns the old parent, to be dropped where no lock is held.
    pub(crate) fn move_to(&mut self, there: &Attachment) -> Option<Place> {
        self.inherited = there.requests;
        self.place.replace(there.place.clone())
    }

    /// Links a child in its place. Returns whether the nursery has to be woken: a daemon that comes
    /// after the others were dismissed is dismissed, too (L24), and only the nursery's driver does that.
    #[inline]
    pub(crate) fn admit(&mut self, role: Role, child: NodeRef) -> bool {
        self.children.insert(role, child);
        self.life != Life::Open && self.children.only_daemons()
    }
}

impl NodeRef {
    /// Links this scope below `parent`, or below its nearest ancestor that is not Closed (L1, L25). No lock may be
    /// held.
    ///
    /// The scope takes over what reaches it from there. Returns whether it has something that is counted from its
    /// entry: see [`entered`](NodeRef::entered).
    pub(crate) fn attach(&self, parent: &NodeRef, role: Role) -> bool {
        let place = parent.attach_to_open(role, |place| (self.clone(), place));
        self.inherit(place)
    }

    /// Makes a place below the nearest scope, from this one up, that is not Closed, and links there the scope that `make`
    /// returns first, under the same lock; returns the rest. If there is none, the host was dropped while this code was
    /// running on another thread (L30): then the place is nowhere, and nothing is linked.
    ///
    /// `make` does nothing else than to make a node, and the entry of its deadline, as it runs under the lock of the scope
    /// above; once that is released, [`hard_time_may_be_over`](NodeRef::hard_time_may_be_over) has to follow. One lock is held
    /// at a time, on the way up. A scope that is Closed stays so, so none that was passed could have taken it in.
    pub(super) fn attach_to_open<R>(&self, role: Role, make: impl FnOnce(Attachment) -> (NodeRef, R)) -> R {
        let mut further: Option<NodeRef> = None;
        loop {
            let parent = further.as_ref().unwrap_or(self);
            let mut above = parent.lock();
            if above.life != Life::Closed {
                let (node, made) = make(above.attachment(parent, role));
                above.children.insert(role, node);
                return made;
            }
            let next = above.parent().cloned();
            drop(above);
            let Some(next) = next else { return make(Attachment::nowhere(parent)).1 };
            further = Some(next);
        }
    }

    /// Does the second half of linking: the scope takes over what reaches it in its place. Returns what
    /// [`attach`](NodeRef::attach) returns. No lock may be held.
    ///
    /// Model: `races/scopes.rs`, `a_request_races_with_those_who_come`.
    pub(super) fn inherit(&self, there: Attachment) -> bool {
        let (flags, inherited) = there.behind(self.kind.shield());
        let mut state = self.lock();
        if !self.flagged(CANCELLED) {
            // If the code there is cancelled, or found to be (see `hard_time_may_be_over`), it has one poll, or the one that
            // is going on.
            self.polled
                .judge(self.polled.last().last_step(true, false).wrapping_add(there.place.parent.polled.more_steps()));
        }
        state.inherited = state.inherited.join(inherited);
        // A parent that is let go of may be the last reference to it: dropped below, without the lock.
        let old = state.place.replace(there.place);
        let counts = state.deadline != Instant::NEVER || state.cold.is_some();
        // Counts as woken, as in `Node::new`: if nobody polls it in a cancelled parent, it is found to be passed over
        // (L16).
        self.woken.fetch_or(flags & PARENT_CANCELLED != 0, Ordering::Relaxed);
        // Together with what it inherits: for a scope that comes below this one now.
        self.flag(flags);
        drop(state);
        drop(old);
        self.comes_late();
        self.hard_time_may_be_over();
        counts
    }

    /// Sees to a scope that was listed before it was `LATE`: the request that has cancelled the code around it may have
    /// been propagated in between. No lock may be held.
    ///
    /// Ordering: `LATE` is set before this looks, and the thread that propagates looks for it after `PROPAGATED` is
    /// set: so one of the two finds the other. A driver that has polled it meanwhile has left it as it is, so it is
    /// woken.
    fn comes_late(&self) {
        if self.flagged(LATE) && self.parent().is_some_and(|above| above.flagged(PROPAGATED)) && self.flag(PROPAGATED) {
            without_counting(|| self.wake_driver());
        }
    }

    /// Marks the scope as cancelled if a hard time is over by the clock. A hard time that is over, as it is at once
    /// without a grace, has no timer that would visit a scope that came later. No lock may be held.
    pub(crate) fn hard_time_may_be_over(&self) {
        // Not before the code around is cancelled: a hard time that is just over by the clock has a timer that comes
        // by here. Marked earlier, the scope would be dropped inside code that goes on.
        if self.flags_of(TIMED | PARENT_CANCELLED) != TIMED | PARENT_CANCELLED {
            return;
        }
        let inherited = self.lock().inherited;
        if inherited.waits_for_hard() && self.tree().is_some_and(|tree| inherited.cancelled(tree.now())) {
            self.flag(CANCELLED | LATE);
            self.comes_late();
        }
    }
}
