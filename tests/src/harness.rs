//! What every test of the suite goes through: one at a time, and nothing may be left behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foster::{Census, census};

/// Tests count what is alive in the whole process, so they run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs one test and proves that it has left nothing: no scope, no task, no timer.
///
/// # Panics
///
/// If the test does, or if something is left.
pub fn check(name: &str, test: impl FnOnce()) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = census();
    test();
    let Some(before) = before else { return };
    // A runtime may release the last jobs a moment after its `run` has returned.
    let mut left = settled(before);
    for _ in 0..200 {
        if left.is_none() {
            return;
        }
        pause();
        left = settled(before);
    }
    panic!("{name} has left something behind: {left:?}, before it {before:?}");
}

fn settled(before: Census) -> Option<Census> {
    census().filter(|now| *now != before)
}

#[expect(clippy::disallowed_methods, reason = "outside of any runtime, waiting for threads that are ending")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// A short time, in milliseconds: long enough that two of them can be told apart on a busy machine.
#[must_use]
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
