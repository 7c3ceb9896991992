//! Slots: entries with numbers, and rows that put them in order.
//!
//! A slab whose entries are threaded into doubly linked rows. An entry is in one row or in none; taking it out of the middle
//! costs as much as taking the first. Slots that are free are used again, so what was once made room for allocates nothing.

use std::ops::{Index, IndexMut};

use slab::Slab;

/// No entry: the end of a row.
const NONE: usize = usize::MAX;

/// The entries.
#[derive(Debug)]
pub(super) struct Slots<E> {
    slab: Slab<Slot<E>>,
}

#[derive(Debug)]
struct Slot<E> {
    prev: usize,
    next: usize,
    entry: E,
}

/// An order of some of the entries. Belongs to one [`Slots`].
#[derive(Debug)]
pub(super) struct Row {
    first: usize,
    last: usize,
    len: usize,
}

impl Row {
    pub(super) const fn new() -> Self {
        Row { first: NONE, last: NONE, len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        if self.first == NONE { None } else { Some(self.first) }
    }
}

impl<E> Slots<E> {
    pub(super) const fn new() -> Self {
        Slots { slab: Slab::new() }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Adds an entry, in no row.
    pub(super) fn insert(&mut self, entry: E) -> usize {
        self.slab.insert(Slot { prev: NONE, next: NONE, entry })
    }

    /// Takes out an entry that is in no row.
    pub(super) fn remove(&mut self, key: usize) -> E {
        self.slab.remove(key).entry
    }

    /// The one behind it in its row.
    pub(super) fn after(&self, key: usize) -> Option<usize> {
        let next = self.slab[key].next;
        if next == NONE { None } else { Some(next) }
    }

    /// Adds an entry at the end of `row`.
    #[inline]
    pub(super) fn append(&mut self, row: &mut Row, entry: E) -> usize {
        let key = self.slab.insert(Slot { prev: row.last, next: NONE, entry });
        self.follow(row, key);
        key
    }

    /// Puts an entry that is in no row at the end of `row`.
    pub(super) fn push(&mut self, row: &mut Row, key: usize) {
        self.slab[key].prev = row.last;
        self.follow(row, key);
    }

    /// All of them, in whatever row.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.slab.iter_mut().map(|(_, slot)| &mut slot.entry)
    }

    /// Takes an entry out of its row; it stays among the entries.
    pub(super) fn unlink(&mut self, row: &mut Row, key: usize) {
        let slot = &mut self.slab[key];
        let (prev, next) = (slot.prev, slot.next);
        (slot.prev, slot.next) = (NONE, NONE);
        debug_assert!(prev != NONE || row.first == key, "an entry is unlinked from the row that it is in");
        match self.slab.get_mut(prev) {
            Some(slot) => slot.next = next,
            None => row.first = next,
        }
        match self.slab.get_mut(next) {
            Some(slot) => slot.prev = prev,
            None => row.last = prev,
        }
        row.len -= 1;
    }

    /// The end of `row` learns that `key` stands behind it.
    #[inline]
    fn follow(&mut self, row: &mut Row, key: usize) {
        match self.slab.get_mut(row.last) {
            Some(slot) => slot.next = key,
            None => row.first = key,
        }
        row.last = key;
        row.len += 1;
    }
}

impl<E> Index<usize> for Slots<E> {
    type Output = E;

    fn index(&self, key: usize) -> &E {
        &self.slab[key].entry
    }
}

impl<E> IndexMut<usize> for Slots<E> {
    fn index_mut(&mut self, key: usize) -> &mut E {
        &mut self.slab[key].entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(slots: &Slots<u32>, row: &Row) -> Vec<u32> {
        let mut order = Vec::new();
        let mut next = row.first();
        while let Some(key) = next {
            order.push(slots[key]);
            next = slots.after(key);
        }
        assert_eq!(order.len(), row.len());
        order
    }

    #[test]
    fn rows_keep_their_order_through_everything() {
        let mut slots = Slots::new();
        let (mut one, mut other) = (Row::new(), Row::new());
        let mut keys: Vec<_> = (0..4).map(|entry| slots.append(&mut one, entry)).collect();
        keys.push(slots.insert(4));
        keys.push(slots.append(&mut other, 5));
        slots.push(&mut other, keys[4]);
        assert_eq!((order(&slots, &one), order(&slots, &other)), (vec![0, 1, 2, 3], vec![5, 4]));
        slots.unlink(&mut one, keys[1]);
        slots.push(&mut other, keys[1]);
        slots.unlink(&mut one, keys[0]);
        slots.unlink(&mut one, keys[3]);
        slots.push(&mut one, keys[0]);
        assert_eq!((order(&slots, &one), order(&slots, &other)), (vec![2, 0], vec![5, 4, 1]));
        slots.iter_mut().for_each(|entry| *entry += 10);
        assert_eq!(order(&slots, &one), [12, 10]);
        for key in [keys[0], keys[2]] {
            slots.unlink(&mut one, key);
        }
        for key in [keys[5], keys[4], keys[1]] {
            slots.unlink(&mut other, key);
        }
        assert!(one.is_empty() && other.is_empty() && one.first().is_none());
        for key in keys {
            slots.remove(key);
        }
        assert!(slots.is_empty());
    }
}
