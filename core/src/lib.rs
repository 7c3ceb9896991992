//! Structured concurrency for async Rust, on any executor.
//!
//! A **nursery** is the only place where tasks are born, and it waits for them. A **cancel scope** is the unit of
//! cancellation: it stops the code inside, and returns when everything started inside has ended. Both nest, and both keep their
//! promises when code fails, panics, times out, or when a future is dropped or forgotten half-way.
//!
//! ```
//! use foster::{Nursery, fail_after, nursery, sleep};
//! use std::time::Duration;
//!
//! async fn fetch(name: &str) -> std::io::Result<String> {
//!     sleep(Duration::from_millis(20)).await;
//!     Ok(format!("page of {name}"))
//! }
//!
//! async fn app() -> std::io::Result<usize> {
//!     // Both pages, in parallel; an error of either cancels the other; at most one second in all.
//!     fail_after(
//!         Duration::from_secs(1),
//!         nursery(async |n: Nursery<std::io::Error>| {
//!             let ann = n.spawn(fetch("ann"));
//!             let bob = n.spawn(fetch("bob"));
//!             Ok(ann.await?.len() + bob.await?.len())
//!         }),
//!     )
//!     .await?
//! }
//!
//! // `foster_smol::run(app())`, `foster_tokio::run(app())`; here the simulator, in virtual time:
//! assert_eq!(foster_sim::run(1, app()).unwrap(), 22);
//! ```
//!
//! This crate names no runtime. An application picks one with an adapter crate (`foster-smol`, `foster-tokio`), tests pick
//! `foster-sim`, and a library written against `foster` runs on all of them.
//!
//! # What is guaranteed
//!
//! 1. **Nothing outlives its scope.** A scope ends when its subtree is empty: children, blocking jobs, finalizers.
//! 2. **Cancellation is an outcome, never an error that can be swallowed.** The code inside is dropped, inside-out, at its
//!    checkpoints; only the owner of the scope gets a value that says so.
//! 3. **Time and schedule are testable.** All time comes from the runtime, so the simulator can make it virtual.
//!
//! The rules behind this are numbered laws; the book lists them with the test of each.
//!
//! # Where to look
//!
//! | you want | it is |
//! |---|---|
//! | tasks in parallel | [`nursery`](nursery()), [`Nursery::spawn`], [`collecting_nursery`] |
//! | tasks that borrow, in one thread | [`mod@local_nursery`] |
//! | a time limit | [`move_on_after`], [`fail_after`] |
//! | to cancel by hand | [`CancelScope`], [`ScopeHandle`] |
//! | not to be cancelled | [`shield`], [`graceful`] |
//! | cleanup | [`bracket`], [`defer`] |
//! | blocking work | [`to_thread`], [`thread::Unblock`]; from there back into the tree: [`thread::from_thread`] |
//! | a `main` that is not async | [`portal`](portal()) |
//! | a program that stops well when it gets a signal | [`app`](app()) |
//! | children that are started again when they fail | [`supervise`] |
//! | to see what is alive, and what it waits for | [`dump`] |
//! | a loop that computes to be cancellable | [`checkpoint`] |
//! | locks, limiters, channels, pools | [`sync`], [`channel`], [`rate`], [`pool`] |
//! | to race, gather, retry, read streams | [`combine`], [`mod@retry`] |
//! | a value that code further in finds by itself | [`ScopedValue`] |
//! | to write an operation of one's own | [`leaf`] |
//!
//! # When not to use it
//!
//! For a fixed, small number of futures in one task that need neither handles nor cleanup, a plain `join!` is cheaper. For work that
//! must go on after the program's main future has ended, nothing here is right: that is what it prevents.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod app;
mod bracket;
pub mod channel;
mod checkpoint;
pub mod combine;
mod defer;
mod error;
mod group;
mod instant;
pub mod leaf;
pub mod local_nursery;
mod nursery;
mod observer;
mod opening;
pub mod pool;
pub mod portal;
#[cfg(test)]
mod races;
pub mod rate;
mod raw;
mod ready_queue;
mod reason;
pub mod retry;
pub mod runtime;
mod scope;
mod shield;
mod sleep;
pub mod supervise;
pub mod sync;
mod sys;
pub mod thread;
mod timeout;
mod tree;
mod value;

pub use app::app;
pub use bracket::{Bracket, Exit, Lent, bracket, try_bracket};
pub use checkpoint::{
    Checkpoint, CheckpointIfCancelled, YieldNow, checkpoint, checkpoint_if_cancelled, is_cancelled, yield_now,
};
pub use combine::{
    as_completed, batch, first_ok, for_each_concurrent, gather, gather_settled, join, map_concurrent,
    map_concurrent_settled, merge, partition_results, produce, quorum, race, race_all, staggered, throttle, try_join,
    try_produce,
};
pub use defer::{DEFAULT_BUDGET, FinalizerOutput, defer, defer_within};
pub use error::{Cancelled, Elapsed, JoinError, SpawnError, TaskFailure};
pub use foster_macros::{main, test};
pub use group::{ErrorGroup, Member};
pub use instant::Instant;
pub use local_nursery::{
    LocalNursery, UnsendNursery, collecting_local_nursery, collecting_local_nursery_unsend, local_nursery,
    local_nursery_unsend,
};
pub use nursery::{
    Child, Nursery, NurseryFuture, NurseryOptions, Outcome, Ready, StartError, Task, TellingOptions,
    collecting_nursery, nursery,
};
pub use observer::{
    HostDropped, ObservedScope, ObservedTask, Observer, Orphan, OrphanKind, PollReport, PollWatch, PrintOrphans,
    ScopeEvent, TaskEvent, TaskStatus,
};
pub use portal::{Portal, portal, try_portal};
pub use reason::{Origin, Reason, ReasonKind};
pub use retry::{Backoff, retry};
pub use scope::{CancelScope, Run, ScopeHandle, deadline, reason, remaining};
pub use shield::{Shield, graceful, shield, stopping};
pub use sleep::{Interval, Sleep, SleepForever, interval, sleep, sleep_forever, sleep_until};
pub use thread::{to_thread, to_thread_abandon, try_to_thread};
pub use timeout::{FailAfter, FailAfterFlat, MoveOn, fail_after, fail_at, move_on_after, move_on_at};
pub use tree::{Dump, DumpedRequest, DumpedScope, LiveCounts, ScopeState, dump, live_counts, report};
pub use value::{ScopedValue, ValueScope};
