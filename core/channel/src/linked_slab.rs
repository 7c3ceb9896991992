//! A slab whose entries can be linked into lists.
//!
//! The lists are doubly linked through the entries, so removing an entry from the middle costs as much as removing the
//! first. An entry is in one list or in none. Free entries are reused, so nothing is allocated until there are more
//! than ever before.

use std::ops::{Index, IndexMut};

use slab::Slab;

/// The index of no entry: the end of a list.
const NONE: usize = usize::MAX;

/// The entries.
#[derive(Debug)]
pub(super) struct LinkedSlab<E> {
    slab: Slab<LinkedEntry<E>>,
}

#[derive(Debug)]
struct LinkedEntry<E> {
    prev: usize,
    next: usize,
    value: E,
}

/// A list of some entries of one [`LinkedSlab`].
#[derive(Debug)]
pub(super) struct SlabList {
    first: usize,
    last: usize,
    len: usize,
}

impl SlabList {
    pub(super) const fn new() -> Self {
        SlabList { first: NONE, last: NONE, len: 0 }
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

impl<E> LinkedSlab<E> {
    pub(super) const fn new() -> Self {
        LinkedSlab { slab: Slab::new() }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Adds an entry, in no list.
    pub(super) fn insert(&mut self, value: E) -> usize {
        self.slab.insert(LinkedEntry { prev: NONE, next: NONE, value })
    }

    /// Takes out an entry that is in no list.
    pub(super) fn remove(&mut self, key: usize) -> E {
        self.slab.remove(key).value
    }

    /// Returns the next entry in the list.
    pub(super) fn next_in_list(&self, key: usize) -> Option<usize> {
        let next = self.slab[key].next;
        if next == NONE { None } else { Some(next) }
    }

    /// Adds an entry at the end of `list`.
    #[inline]
    pub(super) fn append(&mut self, list: &mut SlabList, value: E) -> usize {
        let key = self.slab.insert(LinkedEntry { prev: list.last, next: NONE, value });
        self.link_last(list, key);
        key
    }

    /// Puts an entry that is in no list at the end of `list`.
    pub(super) fn push_back(&mut self, list: &mut SlabList, key: usize) {
        self.slab[key].prev = list.last;
        self.link_last(list, key);
    }

    /// Iterates over all entries, in whatever list.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.slab.iter_mut().map(|(_, entry)| &mut entry.value)
    }

    /// Takes an entry out of its list; it stays among the entries.
    pub(super) fn unlink(&mut self, list: &mut SlabList, key: usize) {
        let entry = &mut self.slab[key];
        let (prev, next) = (entry.prev, entry.next);
        (entry.prev, entry.next) = (NONE, NONE);
        debug_assert!(prev != NONE || list.first == key, "an entry is unlinked from the list that it is in");
        match self.slab.get_mut(prev) {
            Some(entry) => entry.next = next,
            None => list.first = next,
        }
        match self.slab.get_mut(next) {
            Some(entry) => entry.prev = prev,
            None => list.last = prev,
        }
        list.len -= 1;
    }

    /// Links `key` behind the last entry of `list`.
    #[inline]
    fn link_last(&mut self, list: &mut SlabList, key: usize) {
        match self.slab.get_mut(list.last) {
            Some(entry) => entry.next = key,
            None => list.first = key,
        }
        list.last = key;
        list.len += 1;
    }
}

impl<E> Index<usize> for LinkedSlab<E> {
    type Output = E;

    fn index(&self, key: usize) -> &E {
        &self.slab[key].value
    }
}

impl<E> IndexMut<usize> for LinkedSlab<E> {
    fn index_mut(&mut self, key: usize) -> &mut E {
        &mut self.slab[key].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(slab: &LinkedSlab<u32>, list: &SlabList) -> Vec<u32> {
        let mut order = Vec::new();
        let mut next = list.first();
        while let Some(key) = next {
            order.push(slab[key]);
            next = slab.next_in_list(key);
        }
        assert_eq!(order.len(), list.len());
        order
    }

    #[test]
    fn lists_keep_their_order_through_everything() {
        let mut slab = LinkedSlab::new();
        let (mut one, mut other) = (SlabList::new(), SlabList::new());
        let mut keys: Vec<_> = (0..4).map(|entry| slab.append(&mut one, entry)).collect();
        keys.push(slab.insert(4));
        keys.push(slab.append(&mut other, 5));
        slab.push_back(&mut other, keys[4]);
        assert_eq!((order(&slab, &one), order(&slab, &other)), (vec![0, 1, 2, 3], vec![5, 4]));
        slab.unlink(&mut one, keys[1]);
        slab.push_back(&mut other, keys[1]);
        slab.unlink(&mut one, keys[0]);
        slab.unlink(&mut one, keys[3]);
        slab.push_back(&mut one, keys[0]);
        assert_eq!((order(&slab, &one), order(&slab, &other)), (vec![2, 0], vec![5, 4, 1]));
        slab.iter_mut().for_each(|entry| *entry += 10);
        assert_eq!(order(&slab, &one), [12, 10]);
        for key in [keys[0], keys[2]] {
            slab.unlink(&mut one, key);
        }
        for key in [keys[5], keys[4], keys[1]] {
            slab.unlink(&mut other, key);
        }
        assert!(one.is_empty() && other.is_empty() && one.first().is_none());
        for key in keys {
            slab.remove(key);
        }
        assert!(slab.is_empty());
    }
}
