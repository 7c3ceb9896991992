//! A small random generator for jitter, and where its seed comes from.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foster_core::Instant;
use foster_core::runtime::{self, Runtime};

/// SplitMix64: small, fast, and good enough to spread delays. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        SplitMix(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `0` to `max`, both included.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        // The high half of the product; its bias is far below what a delay can show.
        let scaled = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(scaled >> 64).unwrap_or(max)
    }
}

/// A seed that no other generator of this runtime has: from its clock, its entropy, and a counter. Outside of any
/// runtime it is the standard library's, which differs from use to use and from process to process.
///
/// The counter is the runtime's own, so that a simulation is repeated exactly, also beside others in one process (law
/// L39).
pub(super) fn fresh() -> u64 {
    let Some(runtime) = runtime::current() else { return RandomState::new().hash_one(()) };
    let count = count(&runtime);
    // Mixed before they are joined: a batch of tasks has neighbouring clocks and neighbouring counts.
    SplitMix::new(Instant::now().as_nanos()).next() ^ SplitMix::new(!count).next() ^ runtime.entropy()
}

fn count(runtime: &Arc<dyn Runtime>) -> u64 {
    static COUNTS: Mutex<Vec<(Weak<dyn Runtime>, u64)>> = Mutex::new(Vec::new());
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    // A weak reference keeps the address from being used again, so addresses identify runtimes.
    let mine = Arc::as_ptr(runtime).cast::<()>();
    if let Some((_, count)) = counts.iter_mut().find(|(other, _)| std::ptr::eq(other.as_ptr().cast::<()>(), mine)) {
        *count += 1;
        return *count;
    }
    counts.retain(|(other, _)| other.strong_count() > 0);
    counts.push((Arc::downgrade(runtime), 0));
    0
}
