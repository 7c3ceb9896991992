//! The book of items: which were sent, which received, which are alive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The record of the items that went through a channel.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    made: u64,
    alive: usize,
    fate: BTreeMap<u64, Fate>,
}

#[derive(Default)]
struct Fate {
    /// The sender was told that it is sent.
    sent: bool,
    received: usize,
}

/// Something that must not be lost, nor be there twice.
pub(crate) struct Item {
    id: u64,
    book: Book,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn item(&self) -> (u64, Item) {
        let mut entries = self.lock();
        entries.made += 1;
        entries.alive += 1;
        let id = entries.made;
        entries.fate.insert(id, Fate::default());
        (id, Item { id, book: self.clone() })
    }

    pub(crate) fn sent(&self, id: u64) {
        self.lock().fate.get_mut(&id).expect("it was made").sent = true;
    }

    pub(crate) fn received(&self, item: Item) {
        self.lock().fate.get_mut(&item.id).expect("it was made").received += 1;
        drop(item);
    }

    /// Checks that an item that was sent was received once, and one that was not, at most once; and that nothing is
    /// left anywhere.
    pub(crate) fn balances(&self, name: &str) {
        let entries = self.lock();
        assert!(entries.made > 0, "{name}: nothing was ever sent");
        assert_eq!(entries.alive, 0, "{name}: items are left");
        for (id, fate) in &entries.fate {
            assert!(fate.received <= 1, "{name}: item {id} was received {} times", fate.received);
            assert!(!fate.sent || fate.received == 1, "{name}: item {id} was sent, and lost");
        }
    }

    /// As [`balances`](Book::balances), where a receiver may go away with what it was sent.
    pub(crate) fn leaks_nothing(&self, name: &str) {
        let entries = self.lock();
        assert_eq!(entries.alive, 0, "{name}: items are left");
        assert!(entries.fate.values().all(|fate| fate.received <= 1), "{name}: received twice");
        assert!(entries.fate.values().any(|fate| fate.received == 1), "{name}: nothing ever came");
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.book.lock().alive -= 1;
    }
}
