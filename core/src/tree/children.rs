//! The scopes directly below a scope: inner scopes, tasks, orphans.

use slab::Slab;

use super::node::NodeRef;

/// What a scope is to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A scope that the parent's body opened in the same task.
    Inner,
    /// A task of the nursery.
    Child,
    /// A task that ends with the others.
    Daemon,
    /// An abandoned scope that the parent waits for.
    Orphan,
}

/// All scopes directly below one scope. It takes memory for as many as were there at once; most scopes never have any.
#[derive(Default)]
pub(crate) struct Children(Option<Box<Table>>);

#[derive(Default)]
struct Table {
    nodes: Slab<(Role, NodeRef)>,
    /// By role.
    counts: [usize; 4],
    /// Children to come, for which the scope is kept open: calls of `start` that were not answered.
    pending: usize,
}

impl Table {
    /// The role of `node` here, unless it has left before.
    fn role_of(&mut self, slot: usize, node: &NodeRef) -> Option<&mut Role> {
        self.nodes.get_mut(slot).filter(|(_, there)| there.is(node)).map(|(role, _)| role)
    }

    fn change_role(&mut self, slot: usize, to: Role) {
        let from = std::mem::replace(&mut self.nodes[slot].0, to);
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
    }
}

impl Children {
    /// Nothing was ever below this scope.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    fn table(&mut self) -> &mut Table {
        self.0.get_or_insert_default()
    }

    /// The slot of the node that is inserted next: half a word, of which each scope has one. There is no memory for more.
    #[inline]
    pub(crate) fn next_slot(&self) -> u32 {
        self.0.as_ref().map_or(0, |table| table.nodes.vacant_key() as u32)
    }

    pub(crate) fn insert(&mut self, role: Role, node: NodeRef) {
        let table = self.table();
        table.counts[role as usize] += 1;
        table.nodes.insert((role, node));
    }

    /// Removes an entry: its last role, and the node, to be dropped where no lock is held; none if the node has left before.
    pub(crate) fn remove(&mut self, slot: u32, node: &NodeRef) -> Option<(Role, NodeRef)> {
        let table = self.0.as_mut()?;
        table.role_of(slot as usize, node)?;
        let (role, node) = table.nodes.remove(slot as usize);
        table.counts[role as usize] -= 1;
        Some((role, node))
    }

    /// Unless the node has left before.
    pub(crate) fn change_role(&mut self, slot: u32, node: &NodeRef, to: Role) {
        let Some(table) = &mut self.0 else { return };
        if table.role_of(slot as usize, node).is_some() {
            table.change_role(slot as usize, to);
        }
    }

    /// Makes all inner scopes orphans, and returns them.
    pub(crate) fn orphan_inner(&mut self) -> Vec<NodeRef> {
        let Some(table) = &mut self.0 else { return Vec::new() };
        let inner = table.nodes.iter().filter(|(_, (role, _))| *role == Role::Inner);
        let (slots, inner): (Vec<usize>, Vec<NodeRef>) = inner.map(|(slot, (_, node))| (slot, node.clone())).unzip();
        slots.into_iter().for_each(|slot| table.change_role(slot, Role::Orphan));
        inner
    }

    pub(crate) fn count(&self, role: Role) -> usize {
        self.0.as_ref().map_or(0, |table| table.counts[role as usize])
    }

    /// The number of children and daemons.
    pub(crate) fn tasks(&self) -> usize {
        self.count(Role::Child) + self.count(Role::Daemon)
    }

    /// The number of scopes that a draining scope waits for: children, daemons and orphans, and children to come.
    pub(crate) fn awaited(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.nodes.len() - table.counts[Role::Inner as usize] + table.pending)
    }

    /// Keeps the scope open for a child to come.
    pub(crate) fn add_pending(&mut self) {
        self.table().pending += 1;
    }

    /// No longer.
    pub(crate) fn remove_pending(&mut self) {
        // Not counted any more if the host was dropped meanwhile (L30).
        if let Some(table) = &mut self.0 {
            table.pending = table.pending.saturating_sub(1);
        }
    }

    /// Whether there is something to wait for, and nothing but daemons (L24).
    pub(crate) fn only_daemons(&self) -> bool {
        self.awaited() > 0 && self.awaited() == self.count(Role::Daemon)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.nodes.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, &NodeRef)> {
        self.0.iter().flat_map(|table| table.nodes.iter().map(|(_, (role, node))| (*role, node)))
    }

    pub(crate) fn of(&self, wanted: Role) -> impl Iterator<Item = &NodeRef> {
        self.iter().filter(move |(role, _)| *role == wanted).map(|(_, node)| node)
    }
}
