//! The scopes directly below a scope: inner scopes, tasks, orphans.
//!
//! One [`Children`] table is part of each node's `State`, and is read and written under that node's lock. An entry is
//! a node and its [`Role`]; it is made by `attach.rs`, changed by `abandon.rs` (an inner scope becomes
//! an orphan), and removed by `NodeRef::leave` when the scope is Closed. So a listed scope is not Closed, or about to
//! leave.
//!
//! ```text
//!    Inner ──── abandoned or forgotten ───▶ Orphan ──┐
//!    Child, Daemon ── abandoned ───────────▶ Orphan ─┼──▶ removed: Closed
//!    Inner, Child, Daemon ───────────────────────────┘
//! ```
//!
//! The slots are given by the order in which they become free, and a request visits the children by slot: no hash order
//! decides anything (L39).

use slab::Slab;

/// The role of a scope below its parent. The numbers of the variants index `More::counts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A scope that the parent's body opened in the same task. The first of the roles, as the parent does not wait for it
    /// when it drains, and for all others: `end_body` makes an orphan of it.
    Inner,
    /// A task of the nursery.
    Child,
    /// A task that is cancelled when only such tasks are left (L24).
    Daemon,
    /// An abandoned scope that the parent waits for (L27). A reaper drives it.
    Orphan,
}

/// All scopes directly below one scope. Most never have more than one at a time: a limit in a limit, say. So the first
/// is kept apart, for the bars (`tests/bench`) of nested limits and of a waiting child: it needs no memory of its own,
/// and no counts.
///
/// Generic over what a scope is, of which it has to know no more than whether two are the same.
pub(crate) struct Children<N> {
    /// The scope in slot 0, if there is one.
    first: Option<(Role, N)>,
    /// The rest. None until it is needed; then it stays.
    more: Option<Box<More<N>>>,
}

/// The part that most scopes never have.
struct More<N> {
    /// The others, each in its slot less one. Takes memory for as many as were there at once. A slot is used again after
    /// its scope has left.
    others: Slab<(Role, N)>,
    /// How many of these there are of each role, so that no question needs a look at all of them; kept by whatever
    /// inserts, removes or changes an entry. There is no memory for more nodes than fit.
    counts: [u32; 4],
    /// Children to come, for which the scope is kept open: calls of `start` that were not answered.
    pending: u32,
    /// The first slot of the window.
    window: u32,
}

/// How many slots the window has: a poll of a cancelled scope looks at the inner scopes in it (L16). More than most ever
/// have, so that all are looked at.
const WINDOW: usize = 64;

impl<N> Default for Children<N> {
    fn default() -> Self {
        Children { first: None, more: None }
    }
}

impl<N> Default for More<N> {
    fn default() -> Self {
        More { others: Slab::new(), counts: [0; 4], pending: 0, window: 0 }
    }
}

impl<N: Clone + PartialEq> Children<N> {
    /// Returns the slot of the node that is inserted next: so a node can be made with its slot before it is inserted,
    /// under the same lock.
    #[inline]
    pub(crate) fn next_slot(&self) -> u32 {
        let next_other = || 1 + self.more.as_ref().map_or(0, |more| more.others.vacant_key() as u32);
        if self.first.is_none() { 0 } else { next_other() }
    }

    /// Adds a scope, in `next_slot`.
    pub(crate) fn insert(&mut self, role: Role, node: N) {
        if self.first.is_none() {
            self.first = Some((role, node));
        } else {
            let more = self.more.get_or_insert_default();
            more.counts[role as usize] += 1;
            more.others.insert((role, node));
        }
    }

    /// Removes an entry. Returns its last role, and the node, to be dropped where no lock is held; none if the node
    /// has left before: its slot may have another one by now.
    ///
    /// Model: `races/escaped.rs`, `a_poll_races_with_the_end_of_the_scope_around`.
    pub(crate) fn remove(&mut self, slot: u32, node: &N) -> Option<(Role, N)> {
        if slot == 0 {
            return self.first.take_if(|(_, there)| there == node);
        }
        let (more, key) = (self.more.as_mut()?, slot as usize - 1);
        more.others.get(key).filter(|(_, there)| there == node)?;
        let entry = more.others.remove(key);
        more.counts[entry.0 as usize] -= 1;
        Some(entry)
    }

    /// Changes the role of a scope, unless it has left before. The flag `ORPHAN` of that scope has to follow.
    pub(crate) fn change_role(&mut self, slot: u32, node: &N, to: Role) {
        if slot == 0 {
            self.first.iter_mut().filter(|(_, there)| there == node).for_each(|(role, _)| *role = to);
        } else if let Some(more) = &mut self.more {
            let entry = more.others.get_mut(slot as usize - 1).filter(|(_, there)| there == node);
            let Some((role, _)) = entry else { return };
            more.counts[std::mem::replace(role, to) as usize] -= 1;
            more.counts[to as usize] += 1;
        }
    }

    /// Makes all inner scopes orphans, in one step under the parent's lock, so that the parent waits for each of them
    /// from then on; and returns them, to be abandoned (L28).
    pub(crate) fn orphan_inner(&mut self) -> Vec<N> {
        let others = self.more.iter_mut().flat_map(|more| {
            more.counts[Role::Orphan as usize] += std::mem::take(&mut more.counts[Role::Inner as usize]);
            more.others.iter_mut().map(|(_, entry)| entry)
        });
        let entries = self.first.iter_mut().chain(others);
        let inner = entries.filter(|(role, _)| *role == Role::Inner).map(|(role, node)| {
            *role = Role::Orphan;
            node.clone()
        });
        inner.collect()
    }

    /// Returns how many scopes have this role.
    pub(crate) fn count(&self, role: Role) -> usize {
        let is_first = self.first.as_ref().is_some_and(|(first, _)| *first == role);
        usize::from(is_first) + self.more.as_ref().map_or(0, |more| more.counts[role as usize] as usize)
    }

    /// Returns the number of children and daemons: the length of a nursery, as users see it.
    pub(crate) fn tasks(&self) -> usize {
        self.count(Role::Child) + self.count(Role::Daemon)
    }

    /// Returns the number of scopes that a draining scope waits for: children, daemons and orphans, and children to
    /// come (L4).
    pub(crate) fn awaited(&self) -> usize {
        let is_first = self.first.as_ref().is_some_and(|(first, _)| *first != Role::Inner);
        let others = self.more.as_ref().map_or(0, |more| more.counts[1..].iter().sum::<u32>() + more.pending);
        usize::from(is_first) + others as usize
    }

    /// Keeps the scope open for a child to come: a `start` has begun.
    pub(crate) fn add_pending(&mut self) {
        self.more.get_or_insert_default().pending += 1;
    }

    /// Ends that: the `start` was answered, or never will be.
    pub(crate) fn remove_pending(&mut self) {
        // Not counted any more if the host was dropped meanwhile, with which all of this went (L30).
        self.more.iter_mut().for_each(|more| more.pending = more.pending.saturating_sub(1));
    }

    /// Returns whether there is something to wait for, and nothing but daemons (L24).
    pub(crate) fn only_daemons(&self) -> bool {
        self.awaited() > 0 && self.awaited() == self.count(Role::Daemon)
    }

    /// Returns whether no scope is listed. Children to come are none yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.others.is_empty())
    }

    /// Returns all scopes with their roles, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, &N)> {
        let others = self.more.iter().flat_map(|more| more.others.iter().map(|(_, entry)| entry));
        self.first.iter().chain(others).map(|(role, node)| (*role, node))
    }

    /// Returns the inner scopes in the window: all, or some of very many, so that a poll of the body around does not take
    /// longer the more there are, since for one of these it has to stay in any case.
    pub(crate) fn in_window(&self) -> Vec<N> {
        let from = self.more.as_ref().map_or(0, |more| more.window as usize);
        let entry = |slot: usize| match slot.checked_sub(1) {
            None => self.first.as_ref(),
            Some(key) => self.more.as_ref()?.others.get(key),
        };
        let entries = (from..self.slots().min(from + WINDOW)).filter_map(entry);
        entries.filter(|(role, _)| *role == Role::Inner).map(|(_, node)| node.clone()).collect()
    }

    /// Returns how many windows there are besides this one.
    pub(crate) fn other_windows(&self) -> usize {
        self.slots().div_ceil(WINDOW) - 1
    }

    /// Moves the window on, and returns the inner scopes in it. After the last one it begins anew.
    pub(crate) fn next_window(&mut self) -> Vec<N> {
        let slots = self.slots();
        if let Some(more) = &mut self.more {
            let next = more.window as usize + WINDOW;
            more.window = if next < slots { next as u32 } else { 0 };
        }
        self.in_window()
    }

    /// Returns how many slots there may be.
    fn slots(&self) -> usize {
        1 + self.more.as_ref().map_or(0, |more| more.others.capacity())
    }

    /// Returns the scopes with one role. To do anything with them, clone them, and release the lock first (Invariant
    /// 1).
    pub(crate) fn of(&self, wanted: Role) -> impl Iterator<Item = &N> {
        self.iter().filter(move |(role, _)| *role == wanted).map(|(_, node)| node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(children: &Children<u32>) -> Vec<(Role, u32)> {
        children.iter().map(|(role, node)| (role, *node)).collect()
    }

    fn insert(children: &mut Children<u32>, role: Role, node: u32) -> u32 {
        let slot = children.next_slot();
        children.insert(role, node);
        slot
    }

    /// L39: slots are used again in the order in which they become free, the first one before all others.
    #[test]
    fn a_slot_is_used_again() {
        let mut children = Children::default();
        let slots = [10, 11, 12].map(|node| insert(&mut children, Role::Child, node));
        assert_eq!(slots, [0, 1, 2]);
        assert_eq!(children.remove(1, &11), Some((Role::Child, 11)));
        assert_eq!(children.remove(0, &10), Some((Role::Child, 10)));
        assert_eq!(children.remove(0, &10), None);
        assert_eq!(insert(&mut children, Role::Daemon, 13), 0);
        assert_eq!(children.remove(0, &10), None, "another one is there");
        assert_eq!(insert(&mut children, Role::Child, 14), 1);
        assert_eq!(listed(&children), [(Role::Daemon, 13), (Role::Child, 14), (Role::Child, 12)]);
        assert_eq!((children.tasks(), children.awaited()), (3, 3));
    }

    /// A scope keeps its slot when its role changes, whichever slots are free.
    #[test]
    fn a_role_changes_in_its_place() {
        let mut children = Children::default();
        for node in 10..13 {
            insert(&mut children, Role::Inner, node);
        }
        assert_eq!((children.awaited(), children.count(Role::Inner)), (0, 3));
        children.change_role(1, &11, Role::Orphan);
        children.change_role(1, &12, Role::Child);
        assert_eq!(children.remove(0, &10), Some((Role::Inner, 10)));
        children.change_role(2, &12, Role::Daemon);
        assert_eq!(listed(&children), [(Role::Orphan, 11), (Role::Daemon, 12)]);
        assert_eq!((children.awaited(), children.tasks(), children.only_daemons()), (2, 1, false));
        assert_eq!(children.remove(2, &12), Some((Role::Daemon, 12)));
    }

    /// L16: of many, some are looked at, and then the next ones.
    #[test]
    fn a_window_goes_over_many_inner_scopes() {
        let mut children = Children::default();
        assert_eq!((children.in_window(), children.other_windows()), (vec![], 0));
        let count = 2 * WINDOW as u32 + 10;
        for node in 0..count {
            insert(&mut children, if node % 2 == 0 { Role::Inner } else { Role::Orphan }, node);
        }
        let inner = |slots: std::ops::Range<u32>| slots.filter(|node| node % 2 == 0).collect::<Vec<_>>();
        assert_eq!(children.in_window(), inner(0..64));
        assert!(children.other_windows() >= 2);
        assert_eq!(children.next_window(), inner(64..128));
        assert_eq!(children.next_window(), inner(128..count));
        // There is room for more, maybe. After that it begins anew.
        let begun_anew = (2..=children.other_windows()).any(|_| children.next_window() == inner(0..64));
        assert!(begun_anew && children.in_window() == inner(0..64));
    }

    /// L28: all at once, in the first slot and in others.
    #[test]
    fn inner_scopes_become_orphans() {
        let mut children = Children::default();
        for (node, role) in (10..14).zip([Role::Inner, Role::Inner, Role::Child, Role::Inner]) {
            insert(&mut children, role, node);
        }
        assert_eq!(children.orphan_inner(), [10, 11, 13]);
        assert_eq!((children.count(Role::Inner), children.count(Role::Orphan), children.awaited()), (0, 3, 4));
        assert_eq!(children.orphan_inner(), [0; 0]);
    }
}
