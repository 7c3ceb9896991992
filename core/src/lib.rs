//! Structured concurrency for async Rust, on any executor.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bracket;
mod checkpoint;
mod defer;
mod error;
mod group;
mod instant;
pub mod local_nursery;
mod nursery;
mod observer;
mod opening;
mod reason;
pub mod runtime;
mod scope;
mod shield;
mod sleep;
pub mod thread;
mod timeout;
mod tree;

pub use bracket::{Bracket, Exit, Lent, bracket, try_bracket};
pub use checkpoint::{
    Checkpoint, CheckpointIfCancelled, YieldNow, checkpoint, checkpoint_if_cancelled, is_cancelled, yield_now,
};
pub use defer::{DEFAULT_BUDGET, FinalizerOutput, defer, defer_within};
pub use error::{Cancelled, Elapsed, JoinError, SpawnError};
pub use group::{ErrorGroup, Member};
pub use instant::Instant;
pub use local_nursery::{
    LocalNursery, UnsendNursery, collecting_local_nursery, collecting_local_nursery_unsend, local_nursery,
    local_nursery_unsend,
};
pub use nursery::{
    Child, Nursery, NurseryFuture, NurseryOptions, Outcome, Ready, StartError, Task, TaskStatus, collecting_nursery,
    nursery,
};
pub use observer::{HostDropped, Observer, Orphan, OrphanKind, PrintOrphans};
pub use reason::{Origin, Reason, ReasonKind};
pub use scope::{CancelScope, Run, ScopeHandle, deadline, reason, remaining};
pub use shield::{Shield, graceful, shield, stopping};
pub use sleep::{Interval, Sleep, SleepForever, interval, sleep, sleep_forever, sleep_until};
pub use thread::{to_thread, to_thread_abandon, try_to_thread};
pub use timeout::{FailAfter, MoveOn, fail_after, fail_at, move_on_after, move_on_at};
pub use tree::{Census, Dump, census};
