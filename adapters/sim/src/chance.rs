//! Functions for the program under test: random numbers from the seed, and notes for the run.

use std::time::Duration;

use crate::runtime::Sim;

/// Draws a number that depends on nothing but the seed and on how often the program has drawn.
///
/// For whatever a program under test would take from a random generator: jitter, sizes, which scope to cancel next.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
#[must_use]
#[track_caller]
pub fn random() -> u64 {
    Sim::current("random").lock().choices.random()
}

/// The next blocking job of this simulation takes `duration` of virtual time, whatever
/// [`Builder::blocking_time`](crate::Builder::blocking_time) says.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
#[track_caller]
pub fn blocking_takes(duration: Duration) {
    Sim::current("blocking_takes").lock().next_blocking = Some(duration);
}
