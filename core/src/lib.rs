//! The semantics of foster: the tree of scopes, and what tasks wait for.
//!
//! Programs and libraries use the crate `foster`, which re-exports all of this. This one is for those who build below
//! it: an adapter for another runtime needs [`runtime`] alone, and a library of operations needs [`leaf`].
//!
//! Locks and limiters are part of it, and not a crate on [`leaf`] as the channels are, because nurseries and threads
//! stand on them: a nursery's limit is a [`Semaphore`](sync::Semaphore), and the number of blocking threads a
//! [`CapacityLimiter`](sync::CapacityLimiter). They wait by means of [`leaf`], as an operation of yours would.
//!
//! Each item has one path: at the root if most programs name it, else in a module.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod bracket;
mod cancel_scope;
mod checkpoint;
mod defer;
mod dump;
mod errors;
mod events;
mod finalizer;
mod group;
mod installed;
mod instant;
pub mod leaf;
mod live_counts;
pub mod nursery;
mod opening;
#[cfg(test)]
mod races;
mod reason;
mod report;
pub mod runtime;
mod shield;
mod sleep;
pub mod sync;
pub mod thread;
mod timeout;
mod tree;
mod value;

use foster_cell::{self as raw, sys};

pub use bracket::bracket;
pub use cancel_scope::{CancelScope, ScopeHandle, deadline, remaining};
pub use checkpoint::{checkpoint, is_cancelled, yield_now};
pub use defer::defer;
pub use dump::dump;
pub use errors::{Cancelled, Elapsed};
pub use instant::Instant;
pub use leaf::checkpoint_if_cancelled::checkpoint_if_cancelled;
pub use nursery::handle::{LocalNursery, Nursery};
pub use nursery::local::options::local_nursery;
pub use nursery::options::{NurseryOptions, nursery};
pub use nursery::task::Task;
pub use shield::{graceful, shield, stopping};
pub use sleep::{interval, sleep, sleep_forever, sleep_until};
pub use thread::job_future::to_thread;
pub use timeout::{fail_after, fail_at, move_on_after, move_on_at};
pub use value::ScopedValue;

/// Cleanup beside [`bracket`](crate::bracket()) and [`defer`](crate::defer()): their variants and types.
pub mod cleanup {
    pub use crate::bracket::{BracketExit, ResourceGuard, try_bracket};
    pub use crate::defer::guard::DeferGuard;
    pub use crate::defer::{DEFAULT_BUDGET, FinalizerOutput, defer_within};
}

/// Errors beside [`Cancelled`] and [`Elapsed`]: of children, of spawning, and several as one.
pub mod error {
    pub use crate::errors::{JoinError, SpawnError, TaskFailure};
    pub use crate::group::{ErrorGroup, Member};
}

/// The futures that functions and methods return, by name: for fields, and for signatures without `impl`.
pub mod future {
    pub use crate::bracket::Bracket;
    pub use crate::cancel_scope::{CancelScopeFuture, Losers, give_up_together};
    pub use crate::checkpoint::{Checkpoint, YieldNow};
    pub use crate::leaf::checkpoint_if_cancelled::CheckpointIfCancelled;
    pub use crate::nursery::infallible::InfallibleNursery;
    pub use crate::nursery::local::options::LocalNurseryFuture;
    pub use crate::nursery::options::NurseryFuture;
    pub use crate::shield::Shield;
    pub use crate::sleep::{Interval, Sleep, SleepForever};
    pub use crate::thread::abandon::ToThreadAbandon;
    pub use crate::thread::job_future::{ToThread, TryToThread};
    pub use crate::thread::unblock::WithMut;
    pub use crate::timeout::{FailAfter, FailAfterFlatten, MoveOnAfter};
    pub use crate::value::ScopedValueFuture;
}

/// To watch a tree: hooks for what happens in it, and what is alive at a moment; see also [`dump`](crate::dump()).
pub mod observer {
    pub use crate::dump::{Dump, DumpedRequest, DumpedScope, ScopeState};
    pub use crate::events::{
        HostDropped, ObservedScope, ObservedTask, Observer, Orphan, OrphanKind, PollReport, PollWatch, PrintOrphans,
        ScopeEvent, TaskEvent,
    };
    pub use crate::live_counts::{LiveCounts, live_counts};
    pub use crate::report::{KeptPanic, report};
}

/// Why a scope was asked to stop, and where scopes were made.
pub mod scope {
    pub use crate::cancel_scope::reason;
    pub use crate::reason::{Origin, Reason, ReasonKind};
}
