//! The simulator of foster: a deterministic runtime for tests, with virtual time and a seeded schedule.
//!
//! A program that is written against [`foster`] runs here unchanged, on one thread, in no time:
//!
//! ```
//! use std::time::Duration;
//!
//! let answer = foster_sim::run(7, async {
//!     foster::sleep(Duration::from_secs(1_000_000)).await;
//!     42
//! });
//! assert_eq!(answer, 42);
//! ```
//!
//! # What is guaranteed
//!
//! * **Same seed, same run.** Which task runs next, which timer fires first, how long a blocking job takes: all comes
//!   from the seed, and nothing from the machine, the process or the clock on the wall. [`Run::hash`] tells two runs
//!   apart.
//! * **Time is exact.** The clock stands still while a task is runnable; when none is, it jumps to the next timer. A
//!   sleep of one second takes one second to the nanosecond.
//! * **A run ends.** A deadlock, a task that never blocks, and a run that goes on for ever are panics, which say what
//!   is probably wrong and show the live tree. The exception is a poll that does not return (`loop {}`): nothing else
//!   runs on its thread.
//!
//! # The way through a test
//!
//! ```text
//!   test("name", 200, body)           #[foster::test] does this: the body on 200 seeds
//!     └─ a seed fails ──▶ shrink ──▶ panic: message, FOSTER_SEED=…, the shortest failing trace
//!   FOSTER_SEED=17 cargo test name    runs it again, and shows its trace
//! ```
//!
//! [`explore`] does the same for a program outside of tests and returns a report. [`Builder`] has the settings: the
//! [`Policy`] of the schedule, a manual clock, limits, spurious polls. Inside a simulation there are tools: [`clock`],
//! [`wait_all_tasks_blocked`], [`Sequencer`], [`assert_checkpoints`], [`note`], [`random`], [`hold`].
//!
//! Programs that use `foster_net` run on a simulated network, the module [`net`]: with hosts, links, partitions and
//! crashes. It is the feature `net`, which is on by default.
//!
//! Scripted programs for `foster-process` are in the module `process`.
//!
//! # How fast
//!
//! Measured with `cargo run --release -p foster-sim --example speed`, on one core of a virtual x86-64 server that was
//! busy with other work:
//!
//! | program | polls | real time | polls per second |
//! |---|---|---|---|
//! | 100 tasks yield 10,000 times, by policy | 1,000,102 | 0.43 to 0.54 s | 1.9 to 2.3 million |
//! | one task sleeps for a million virtual seconds, in a thousand sleeps | 1,003 | 0.7 ms | 1.3 million |
//! | a thousand tasks do that side by side | 1,001,002 | 1.1 s | 0.9 million |
//! | 100,000 tasks are spawned and end | 100,002 | 0.12 s | 0.8 million |
//!
//! Of the network, with `cargo run --release -p foster-sim --example network_speed`, per second that the thread had a
//! core of that server:
//!
//! | program | packets | million packets per second |
//! |---|---|---|
//! | datagrams over a link, in batches, one way | 2,000,000 | 1.2 |
//! | a gigabyte by TCP over a link, with its answers | 1,744,966 | 2.5 |
//! | questions and answers by datagrams, each of which wakes a task | 600,000 | 0.45 to 0.6 |
//!
//! # When not to use it
//!
//! For what needs the machine: sockets of the host, files in an event loop, signals, the speed of anything. Code that
//! reads the wall clock, asks a random generator of its own, or iterates over a `HashMap` is run faithfully, but its
//! runs do not repeat: [`check_determinism`] tells, and where.
//!
//! # For authors of adapters
//!
//! The module `runtime` of this crate is the smallest complete [runtime](foster::runtime), made to be read: `builder`
//! starts it. A test keeps it at 1,420 lines at most, documentation included, and `builder` at 200. All other modules
//! are tools on top, none of which an adapter needs.
#![forbid(unsafe_code)]

mod runtime;

mod builder;

mod chance;
mod clock;
mod hold;
mod plain;
mod trace;

#[cfg(feature = "net")]
pub mod net;

mod determinism;
mod explore;
mod observe;
mod quiet;
mod schedule;
mod shrink;
mod test;

mod checkpoints;
mod quiescence;
mod sequencer;

#[cfg(any(unix, windows))]
pub mod process;

pub use builder::Builder;
pub use chance::{blocking_takes, random};
pub use checkpoints::{Probe, assert_checkpoints, assert_no_checkpoints, probe};
pub use clock::{BackwardsError, Clock, clock};
pub use determinism::{Nondeterminism, check_determinism};
pub use explore::{Exploration, Failure, explore};
pub use hold::{Hold, hold};
pub use observe::Run;
pub use plain::{PlainSleep, plain_sleep};
pub use quiescence::{Quiescent, wait_all_tasks_blocked, wait_all_tasks_blocked_for};
pub use runtime::Policy;
pub use schedule::{ParseScheduleError, Schedule};
pub use sequencer::{Sequencer, SequencerError, Turn, WaitForTurn};
pub use test::{Verdict, test};
pub use trace::{Event, Loss, Trace, note};

/// Runs a future to its end in a simulation with this seed, and returns its output.
///
/// The future need be neither `Send` nor `'static`. Shorthand for [`Builder::new`] and [`Builder::run`].
///
/// # Panics
///
/// Panics with what the future panicked with, and if the run cannot go on, see [`Builder::run`].
///
/// # Examples
///
/// A deadlock is a panic:
///
/// ```should_panic
/// foster_sim::run(7, std::future::pending::<()>());
/// ```
#[track_caller]
pub fn run<F: Future>(seed: u64, future: F) -> F::Output {
    Builder::new(seed).run(future)
}
