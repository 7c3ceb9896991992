//! Helpers that the unit tests of several crates of foster share. None of them is published.
#![forbid(unsafe_code)]

mod dice;
mod manual;
#[cfg(foster_shuttle)]
pub mod races;

pub use dice::Dice;
pub use manual::{ManualTask, WakeCounter, at_once, block_on, counter};
