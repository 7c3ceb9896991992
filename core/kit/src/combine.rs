//! Several futures at once: wait for all, for the first, for enough of them, or for one after the other.
//!
//! | to | use |
//! |---|---|
//! | wait for a few, of different types | [`join`]; [`try_join`] if an error is to cancel the others |
//! | wait for all in a list | [`gather`]; [`gather_results`] to get every result, [`partition_results`] to sort them |
//! | have the results as they come | [`as_completed`] |
//! | do the same for many inputs, with a limit | [`map_concurrent`], [`map_concurrent_results`], [`for_each_concurrent`] |
//! | take the first that completes | [`race`], [`race_all`] |
//! | take the first that succeeds | [`first_ok`]; [`quorum`] for the first `k` |
//! | try one after the other, but not wait too long | [`staggered`] |
//! | write a stream as code | [`produce`], [`try_produce`] |
//! | read several streams as one | [`merge`] |
//! | read a stream in batches, or not too fast | [`batch`], [`throttle`] |
//!
//! # What all of them keep
//!
//! ```text
//!   race   ─┬─ a ──────────╳ cancelled ── cleanup ─┐
//!           ├─ b ───── Ok  ┆                       ├─▶ returns b's value
//!           └─ c ──────────╳ cancelled ────────────┘
//! ```
//!
//! * **Losers are waited for.** A future that is no longer needed is cancelled inside-out, in a scope of its own: its
//!   shields hold, its finalizers, tasks and blocking jobs end, and only then does the combinator return. This is the
//!   difference to `select!` and to combinators that just drop. (Only [`join`] has no losers, and gives its futures no
//!   scopes.)
//! * **An outcome is settled once.** A value that a loser returns while it is being cancelled is dropped; an error is
//!   handed to the tree's [`Observer`](foster_core::observer::Observer). To [`race`] and [`race_all`] a `Result` is a
//!   value like any other: they drop the error of a loser, and tell nobody. A panic counts more than any outcome: it
//!   cancels the others, and resumes when they have ended. If foreign code drops the combinator before that, the error
//!   that it would have returned goes to the observer, and a panic fails the scope around (law L29).
//! * **A branch that has not begun does not begin** when the outcome is settled, or the code around is cancelled (law
//!   L13).
//! * **Cancelled from further out, nothing comes back**: the call never returns, and the code around it is dropped. An
//!   error that was there before is returned even so (law L31).
//! * **A turn is fair**: it polls the futures that were woken before it began, in that order. Those of a tuple are all
//!   polled, and each turn begins with the next one. So one that uses up the task's budget keeps no other from its
//!   operations.
//!
//! # Local, not parallel
//!
//! The futures run in the task of the caller and take turns, so they may borrow, and need be neither `Send` nor
//! `'static`. For parallel ones, spawn them into a nursery and combine the handles:
//!
//! ```
//! use foster::combine::gather;
//! use foster::{Nursery, nursery};
//!
//! # foster_sim::run(1, async {
//! async fn count(chunk: u32) -> Result<u32, std::io::Error> {
//!     Ok(chunk * 2)
//! }
//!
//! let counts = nursery(async |n: Nursery<std::io::Error>| {
//!     let tasks: Vec<_> = (0..4).map(|chunk| n.spawn(count(chunk))).collect();
//!     Ok(gather(tasks).await?)
//! })
//! .await;
//! assert_eq!(counts.unwrap(), [0, 2, 4, 6]);
//! # });
//! ```
//!
//! This module is written with the public API alone: each branch is a [`CancelScope`](foster_core::CancelScope), and a
//! loser is stopped through the future of its scope: [`give_up`](foster_core::future::CancelScopeFuture::give_up),
//! [`cancel`](foster_core::future::CancelScopeFuture::cancel). Combinators that are missing here can be built in the
//! same way outside.

mod as_completed;
mod batch;
mod branch;
mod emitter;
mod failures;
mod feed;
mod gather;
mod group;
mod kept_outcome;
mod map_concurrent;
mod merge;
mod partition;
mod produce;
mod quorum;
mod settlement;
mod staggered;
mod tuples;
mod turns_without_budget;

use std::fmt::Debug;

pub use as_completed::as_completed;
pub use batch::{batch, throttle};
pub use emitter::Emitter;
pub use failures::{AllFailed, NoQuorum};
pub use gather::{gather, gather_results};
pub use map_concurrent::{for_each_concurrent, map_concurrent, map_concurrent_results};
pub use merge::merge;
pub use partition::partition_results;
pub use produce::{produce, try_produce};
pub use quorum::{first_ok, quorum, race_all};
pub use staggered::staggered;
pub use tuples::{join, race, try_join};

/// The futures and streams that the functions return, by name, and the traits of their arguments.
pub mod future {
    pub use super::as_completed::{AsCompleted, Indexed};
    pub use super::batch::{Batch, Throttle};
    pub use super::emitter::Emit;
    pub use super::gather::{Gather, GatherResults};
    pub use super::map_concurrent::{Each, ForEachConcurrent, MapConcurrent, MapConcurrentResults};
    pub use super::merge::Merge;
    pub use super::produce::{Produce, TryProduce};
    pub use super::quorum::{FirstOk, Quorum, RaceAll};
    pub use super::staggered::Staggered;
    pub use super::tuples::{
        Join2, Join3, Join4, Join5, Join6, Join7, Join8, Joined, Race2, Race3, Race4, Race5, Race6, Race7, Race8,
        RaceArray, Raced, TryJoin2, TryJoin3, TryJoin4, TryJoin5, TryJoin6, TryJoin7, TryJoin8, TryJoined,
    };
}

/// A result that nobody takes: its error goes where all such errors do.
fn error_later<T, E: Debug>(result: Result<T, E>) {
    if let Err(error) = result {
        later(error);
    }
}

/// An error that comes when the outcome is settled: there is no place for it but the observer (law L35).
fn later<E: Debug>(error: E) {
    foster_core::observer::report(&error, foster_core::observer::OrphanKind::Later);
    drop(error);
}
