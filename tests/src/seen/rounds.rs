//! Rounds: how often a program repeats its situation, and which time it is.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::groups::probe::is_virtual;

/// How many rounds have begun in the program that runs. One runs at a time: see [`check`](crate::check).
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// The rounds of a program in a tree: `real` of them on threads, where `FOSTER_ROUNDS` overrides it, and `sim` for each
/// seed of the simulator.
pub fn rounds(real: usize, sim: usize) -> impl Iterator<Item = usize> {
    counted(if is_virtual() { sim } else { chosen().unwrap_or(real) })
}

/// The rounds of a program that runs on threads only: `usual` of them, or as many as `FOSTER_ROUNDS` says.
pub fn real_rounds(usual: usize) -> impl Iterator<Item = usize> {
    counted(chosen().unwrap_or(usual))
}

fn counted(many: usize) -> impl Iterator<Item = usize> {
    (0..many).inspect(|_| {
        BEGUN.fetch_add(1, Ordering::SeqCst);
    })
}

/// The value of `FOSTER_ROUNDS`, if it is there.
pub(crate) fn chosen() -> Option<usize> {
    let text = std::env::var("FOSTER_ROUNDS").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("FOSTER_ROUNDS is no number: {text}")))
}

/// How many rounds have begun.
pub(crate) fn begun() -> usize {
    BEGUN.load(Ordering::SeqCst)
}

/// Begins to count.
pub(super) fn restart() {
    BEGUN.store(0, Ordering::SeqCst);
}
