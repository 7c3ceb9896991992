//! The lower neighbours of a scope: inner scopes, children, residue.

use super::node::NodeRef;
use super::seldom::Seldom;

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
pub(crate) struct Links(Seldom<Table>);

/// Made when there is something to be put in: most scopes have nothing below them.
struct Table {
    /// One block for those that never have more at once.
    few: [Slot; FEW],
    more: Vec<Slot>,
    /// The slot of what is inserted next.
    vacant: usize,
    counts: [usize; 4],
    /// Children to come, for which the scope is kept open: calls of `start` that were not answered.
    pending: usize,
}

const FEW: usize = 3;

enum Slot {
    Of(Role, NodeRef),
    /// With the slot that is vacant when this one is taken.
    Vacant(usize),
}

impl Default for Table {
    fn default() -> Self {
        Table {
            few: std::array::from_fn(|slot| Slot::Vacant(slot + 1)),
            more: Vec::new(),
            vacant: 0,
            counts: [0; 4],
            pending: 0,
        }
    }
}

impl Table {
    fn slot(&mut self, slot: usize) -> Option<&mut Slot> {
        match self.few.get_mut(slot) {
            None => self.more.get_mut(slot - FEW),
            few => few,
        }
    }

    /// What `node` is here, unless it has left before.
    fn role_of(&mut self, slot: usize, node: &NodeRef) -> Option<&mut Role> {
        match self.slot(slot)? {
            Slot::Of(role, there) if there.is(node) => Some(role),
            _ => None,
        }
    }

    fn insert(&mut self, role: Role, node: NodeRef) {
        self.counts[role as usize] += 1;
        let (new, vacant) = (Slot::Of(role, node), self.vacant);
        match self.slot(vacant) {
            None => {
                self.more.push(new);
                self.vacant += 1;
            }
            Some(slot) => match std::mem::replace(slot, new) {
                Slot::Vacant(next) => self.vacant = next,
                Slot::Of(..) => unreachable!("a scope stands where nothing was"),
            },
        }
    }

    fn remove(&mut self, slot: usize, node: &NodeRef) -> Option<(Role, NodeRef)> {
        let vacant = self.vacant;
        let place = self.slot(slot)?;
        if !matches!(place, Slot::Of(_, there) if there.is(node)) {
            return None;
        }
        let Slot::Of(role, node) = std::mem::replace(place, Slot::Vacant(vacant)) else { return None };
        self.vacant = slot;
        self.counts[role as usize] -= 1;
        Some((role, node))
    }

    fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    fn iter(&self) -> impl Iterator<Item = (Role, &NodeRef)> {
        self.few.iter().chain(&self.more).filter_map(|slot| match slot {
            Slot::Of(role, node) => Some((*role, node)),
            Slot::Vacant(_) => None,
        })
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Role, &NodeRef)> {
        self.few.iter_mut().chain(&mut self.more).filter_map(|slot| match slot {
            Slot::Of(role, node) => Some((role, &*node)),
            Slot::Vacant(_) => None,
        })
    }
}

impl Links {
    /// Nothing has ever been linked here.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    /// The slot of what is inserted next: half a word, of which each scope has one. There is no memory for more.
    #[inline]
    pub(crate) fn next_slot(&self) -> u32 {
        self.0.as_ref().map_or(0, |table| table.vacant as u32)
    }

    pub(crate) fn insert(&mut self, role: Role, node: NodeRef) {
        self.0.get_or_insert_default().insert(role, node);
    }

    /// Removes an entry: what it was here at the end, and the node, to be dropped where no lock is held; none if the node
    /// has left before.
    pub(crate) fn remove(&mut self, slot: u32, node: &NodeRef) -> Option<(Role, NodeRef)> {
        self.0.as_mut()?.remove(slot as usize, node)
    }

    /// Unless the node has left before.
    pub(crate) fn change_role(&mut self, slot: u32, node: &NodeRef, to: Role) {
        let Some(table) = &mut *self.0 else { return };
        let Some(role) = table.role_of(slot as usize, node) else { return };
        let from = std::mem::replace(role, to);
        table.counts[from as usize] -= 1;
        table.counts[to as usize] += 1;
    }

    /// Makes all inner scopes residue, and says which.
    pub(crate) fn leak(&mut self) -> Vec<NodeRef> {
        let Some(table) = &mut *self.0 else { return Vec::new() };
        let inner = table.iter_mut().filter(|(role, _)| **role == Role::Inner);
        let leaked: Vec<NodeRef> = inner
            .map(|(role, node)| {
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

    /// Children and daemons.
    pub(crate) fn tasks(&self) -> usize {
        self.count(Role::Child) + self.count(Role::Daemon)
    }

    /// A draining scope waits for these: children, daemons and residue, and children to come.
    pub(crate) fn awaited(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.len() - table.counts[Role::Inner as usize] + table.pending)
    }

    /// Keeps the scope open for a child to come.
    pub(crate) fn add_pending(&mut self) {
        self.0.get_or_insert_default().pending += 1;
    }

    /// No longer.
    pub(crate) fn remove_pending(&mut self) {
        // Not counted any more if the host was dropped meanwhile (L30).
        if let Some(table) = &mut *self.0 {
            table.pending = table.pending.saturating_sub(1);
        }
    }

    /// Whether there is something to wait for, and nothing but daemons (L24).
    pub(crate) fn only_daemons(&self) -> bool {
        self.awaited() > 0 && self.awaited() == self.count(Role::Daemon)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.len() == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, &NodeRef)> {
        self.0.iter().flat_map(|table| table.iter())
    }

    pub(crate) fn of(&self, wanted: Role) -> impl Iterator<Item = &NodeRef> {
        self.iter().filter(move |(role, _)| *role == wanted).map(|(_, node)| node)
    }
}
