//! The conformance suite of foster's files.
//!
//! Every behaviour is a plain `pub async fn` in a module per section; its name begins with its number in the list of
//! behaviours, `N136` and so on. They use real files, in a temporary directory. [`suite!`] makes one `#[test]` of each,
//! for one adapter; its argument is that of `foster_conformance::suite!`. Behaviours that cannot be on the simulator,
//! because something outside of it has to act, are in [`real_suite!`].
//!
//! Tests that need a process of their own are in `tests/processes.rs`.
#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "panicking is how a test reports")]

use std::path::{Path, PathBuf};
use std::time::Duration;

pub mod directories;
pub mod entries;
pub mod files;
pub mod limits;
pub mod positions;
pub mod refusals;
pub mod replacing;
pub mod waiting;
pub mod writing;

/// Runs a behaviour, and panics if it takes five minutes: something that is broken waits for ever.
pub async fn in_time(behaviour: impl Future<Output = ()>) {
    let Ok(()) = foster::fail_after(LIMIT, behaviour).await else { panic!("it has not ended within {LIMIT:?}") };
}

const LIMIT: Duration = Duration::from_secs(300);

/// A directory that goes with the value, and a path in it. In memory, if the host has that: no disk is to be tested.
fn place(name: &str) -> (tempfile::TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::tempdir_in(within).expect("a temporary directory");
    let path = directory.path().join(name);
    (directory, path)
}

/// Whether each run of a seed is the same: then it can be said how often something happens. Elsewhere it depends on the
/// machine.
fn can_be_repeated() -> bool {
    foster::runtime::current().is_some_and(|runtime| runtime.name() == "sim")
}

/// Numbers that differ, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

/// Makes one `#[test]` of every behaviour of files.
#[macro_export]
macro_rules! suite {
    ($runner:ident) => {
        $crate::files_suite!($runner);
        $crate::positions_suite!($runner);
        $crate::writing_suite!($runner);
        $crate::limits_suite!($runner);
        $crate::refusals_suite!($runner);
        $crate::directories_suite!($runner);
        $crate::entries_suite!($runner);
        $crate::replacing_suite!($runner);
    };
}

/// Makes one `#[test]` of every behaviour that needs something outside to act.
#[macro_export]
macro_rules! real_suite {
    ($runner:ident) => {
        #[cfg(unix)]
        $crate::waiting_suite!($runner);
    };
}

/// Expands to one test per listed behaviour, in a module named after the section.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ($runner:ident; $section:ident { $($(#[$attribute:meta])* $name:ident,)* }) => {
        mod $section {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() {
                    super::$runner(concat!("fs::", stringify!($section), "::", stringify!($name)), || {
                        ::foster_conformance::harness::watched($crate::in_time($crate::$section::$name()))
                    });
                }
            )*
        }
    };
}
