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
//! The keys are those of a slab, in the order of which a request visits the children: no hash order decides anything
//! (L39).

use slab::Slab;

/// What a scope is to its parent. The numbers of the variants index `Table::counts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A scope that the parent's body opened in the same task. A draining parent does not wait for it: `end_body`
    /// makes an orphan of it.
    Inner,
    /// A task of the nursery.
    Child,
    /// A task that is cancelled when only such tasks are left (L24).
    Daemon,
    /// An abandoned scope that the parent waits for (L27). A reaper drives it.
    Orphan,
}

/// All scopes directly below one scope. None until the first comes; then it takes memory for as many as were there at
/// once. Most scopes never have any.
///
/// Generic over what a scope is, of which it has to know no more than whether two are the same.
pub(crate) struct Children<N>(Option<Box<Table<N>>>);

/// The entries, and what is counted of them so that no question needs a look at all of them.
struct Table<N> {
    /// The scopes by slot. A slot is used again after its scope has left.
    nodes: Slab<(Role, N)>,
    /// How many there are of each role; kept by whatever inserts, removes or changes an entry.
    counts: [usize; 4],
    /// Children to come, for which the scope is kept open: calls of `start` that were not answered.
    pending: usize,
}

impl<N: Clone + PartialEq> Table<N> {
    /// Returns the role of `node` here; none if it has left before. The node is compared because its slot may have
    /// another one by now.
    fn role_of(&mut self, slot: usize, node: &N) -> Option<&mut Role> {
        self.nodes.get_mut(slot).filter(|(_, there)| there == node).map(|(role, _)| role)
    }

    /// Changes the role of an entry that is there, and the counts with it.
    fn change_role(&mut self, slot: usize, to: Role) {
        let from = std::mem::replace(&mut self.nodes[slot].0, to);
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
    }
}

impl<N> Default for Children<N> {
    fn default() -> Self {
        Children(None)
    }
}

impl<N: Clone + PartialEq> Children<N> {
    /// Returns the table; makes it for the first entry.
    fn table(&mut self) -> &mut Table<N> {
        self.0.get_or_insert_with(|| Box::new(Table { nodes: Slab::new(), counts: [0; 4], pending: 0 }))
    }

    /// Returns the slot of the node that is inserted next: so a node can be made with its slot before it is inserted,
    /// under the same lock. Half a word, of which each scope has one; there is no memory for more nodes than it
    /// counts.
    #[inline]
    pub(crate) fn next_slot(&self) -> u32 {
        self.0.as_ref().map_or(0, |table| table.nodes.vacant_key() as u32)
    }

    /// Adds a scope, in `next_slot`.
    pub(crate) fn insert(&mut self, role: Role, node: N) {
        let table = self.table();
        table.counts[role as usize] += 1;
        table.nodes.insert((role, node));
    }

    /// Removes an entry. Returns its last role, and the node, to be dropped where no lock is held; none if the node
    /// has left before.
    ///
    /// Model: `races/escaped.rs`, `a_poll_races_with_the_end_of_the_scope_around`.
    pub(crate) fn remove(&mut self, slot: u32, node: &N) -> Option<(Role, N)> {
        let table = self.0.as_mut()?;
        table.role_of(slot as usize, node)?;
        let (role, node) = table.nodes.remove(slot as usize);
        table.counts[role as usize] -= 1;
        Some((role, node))
    }

    /// Changes the role of a scope, unless it has left before. `State::role` of that scope has to follow, under its
    /// own lock.
    pub(crate) fn change_role(&mut self, slot: u32, node: &N, to: Role) {
        let Some(table) = &mut self.0 else { return };
        if table.role_of(slot as usize, node).is_some() {
            table.change_role(slot as usize, to);
        }
    }

    /// Makes all inner scopes orphans, in one step under the parent's lock, so that the parent waits for each of them
    /// from then on; and returns them, to be abandoned (L28).
    pub(crate) fn orphan_inner(&mut self) -> Vec<N> {
        let Some(table) = &mut self.0 else { return Vec::new() };
        let inner = table.nodes.iter().filter(|(_, (role, _))| *role == Role::Inner);
        let (slots, inner): (Vec<usize>, Vec<N>) = inner.map(|(slot, (_, node))| (slot, node.clone())).unzip();
        slots.into_iter().for_each(|slot| table.change_role(slot, Role::Orphan));
        inner
    }

    /// Returns how many scopes have this role.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.0.as_ref().map_or(0, |table| table.counts[role as usize])
    }

    /// Returns the number of children and daemons: the length of a nursery, as users see it.
    pub(crate) fn tasks(&self) -> usize {
        self.count(Role::Child) + self.count(Role::Daemon)
    }

    /// Returns the number of scopes that a draining scope waits for: children, daemons and orphans, and children to
    /// come (L4).
    pub(crate) fn awaited(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.nodes.len() - table.counts[Role::Inner as usize] + table.pending)
    }

    /// Keeps the scope open for a child to come: a `start` has begun.
    pub(crate) fn add_pending(&mut self) {
        self.table().pending += 1;
    }

    /// Ends that: the `start` was answered, or never will be.
    pub(crate) fn remove_pending(&mut self) {
        // Not counted any more if the host was dropped meanwhile, with which the whole table went (L30).
        if let Some(table) = &mut self.0 {
            table.pending = table.pending.saturating_sub(1);
        }
    }

    /// Returns whether there is something to wait for, and nothing but daemons (L24).
    pub(crate) fn only_daemons(&self) -> bool {
        self.awaited() > 0 && self.awaited() == self.count(Role::Daemon)
    }

    /// Returns whether no scope is listed. Children to come are none yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.nodes.is_empty())
    }

    /// Returns all scopes with their roles, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, &N)> {
        self.0.iter().flat_map(|table| table.nodes.iter().map(|(_, (role, node))| (*role, node)))
    }

    /// Returns the scopes with one role. To do anything with them, clone them, and release the lock first (Invariant
    /// 1).
    pub(crate) fn of(&self, wanted: Role) -> impl Iterator<Item = &N> {
        self.iter().filter(move |(role, _)| *role == wanted).map(|(_, node)| node)
    }
}
