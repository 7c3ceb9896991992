//! All the unsafe code of this crate.
//!
//! Each file is one structure that safe code can only have at a price which was measured: another allocation, another lock, a
//! copy. Its fields are its own, its face is safe to use, and what makes it so stands at each `unsafe`. The tests of each file run
//! under Miri (`cargo +nightly miri test -p foster --lib raw::`); what several threads do at once has models in `races.rs`.
#![allow(unsafe_code, reason = "the one module that may: see above, and tests/tests/layers.rs")]

mod block;
pub(crate) mod lock;
mod stack;

pub(crate) use block::{BlockRef, Erase, Head};
pub(crate) use stack::{Frame, Lent, Stack};

/// Counts its wake-ups, and who holds it.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Counter(std::sync::atomic::AtomicUsize);

#[cfg(test)]
impl Counter {
    pub(crate) fn wakes(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
impl std::task::Wake for Counter {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) fn counter() -> (std::sync::Arc<Counter>, std::task::Waker) {
    let counter = std::sync::Arc::new(Counter::default());
    (counter.clone(), counter.into())
}
