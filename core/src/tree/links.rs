//! The lower neighbours of a scope: inner scopes, children, residue.

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
    /// A lost scope that the parent waits for.
    Residue,
}

/// All lower neighbours of one scope. Its size is that of the live ones.
#[derive(Default)]
pub(crate) struct Links(Option<Box<Table>>);

/// Made when there is something to be put in: most scopes have nothing below them.
#[derive(Default)]
struct Table {
    slots: Slab<(Role, NodeRef)>,
    counts: [usize; 4],
}

impl Links {
    /// The slot of what is inserted next.
    pub(crate) fn next_slot(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.slots.vacant_key())
    }

    pub(crate) fn insert(&mut self, role: Role, node: NodeRef) {
        let table = self.0.get_or_insert_default();
        table.counts[role as usize] += 1;
        table.slots.insert((role, node));
    }

    /// Removes an entry: what it was here at the end, and the node, to be dropped where no lock is held; none if the node
    /// has left before.
    pub(crate) fn remove(&mut self, slot: usize, node: &NodeRef) -> Option<(Role, NodeRef)> {
        let table = self.0.as_mut()?;
        table.slots.get(slot).filter(|(_, there)| there.is(node))?;
        let (role, node) = table.slots.remove(slot);
        table.counts[role as usize] -= 1;
        Some((role, node))
    }

    /// Unless the node has left before.
    pub(crate) fn change_role(&mut self, slot: usize, node: &NodeRef, to: Role) {
        let Some(table) = &mut self.0 else { return };
        let Some((role, _)) = table.slots.get_mut(slot).filter(|(_, there)| there.is(node)) else { return };
        table.counts[*role as usize] -= 1;
        table.counts[to as usize] += 1;
        *role = to;
    }

    /// Makes all inner scopes residue, and says which.
    pub(crate) fn leak(&mut self) -> Vec<NodeRef> {
        let Some(table) = &mut self.0 else { return Vec::new() };
        let inner = table.slots.iter_mut().filter(|(_, (role, _))| *role == Role::Inner);
        let leaked: Vec<NodeRef> = inner
            .map(|(_, (role, node))| {
                *role = Role::Residue;
                node.clone()
            })
            .collect();
        table.counts[Role::Inner as usize] -= leaked.len();
        table.counts[Role::Residue as usize] += leaked.len();
        leaked
    }

    pub(crate) fn count(&self, role: Role) -> usize {
        self.0.as_ref().map_or(0, |table| table.counts[role as usize])
    }

    /// Children, daemons and residue: what a draining scope waits for.
    pub(crate) fn awaited(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.slots.len() - table.counts[Role::Inner as usize])
    }

    /// Whether there is something to wait for, and nothing but daemons (L24).
    pub(crate) fn only_daemons(&self) -> bool {
        self.awaited() > 0 && self.awaited() == self.count(Role::Daemon)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.slots.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, &NodeRef)> {
        self.0.iter().flat_map(|table| table.slots.iter()).map(|(_, (role, node))| (*role, node))
    }

    pub(crate) fn of(&self, wanted: Role) -> impl Iterator<Item = &NodeRef> {
        self.iter().filter(move |(role, _)| *role == wanted).map(|(_, node)| node)
    }
}
