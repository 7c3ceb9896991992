//! Nurseries: tasks are spawned into them alone, and they wait for their tasks.
//!
//! ```text
//!            nursery(async |n| { … })
//!   body    ───┬────────┬─────────────▶ Ok(v) ┐
//!   child a    └──────────────▶ Ok            ├─▶ returns when all have ended
//!   child b             └─────────────────▶ Ok┘
//!
//!   body    ───┬────────┬───────╳ dropped ────┐
//!   child a    └──────────▶ Err(e)            ├─▶ Err(e), when child b has cleaned up
//!   child b             └───────╳ ── cleanup ─┘
//! ```
//!
//! [`nursery`](crate::nursery()), [`local_nursery`](crate::local_nursery()) and their handles are at the root of the
//! crate; here is what programs name less often.
//!
//! # Local nurseries
//!
//! The children of a [`nursery`](crate::nursery()) are tasks of the executor: they run in parallel, and own what they
//! use. The children of a [`local_nursery`](crate::local_nursery()) live in the parent's own task: they take turns, may
//! borrow from the code around, and cost less. Everything else is the same: the semantics, the methods, and
//! [`NurseryOptions`](crate::NurseryOptions); except that a local nursery whose future is dropped by foreign code drops
//! its children's futures in place (law L41).
//!
//! ```text
//!   one task   ─┬─ body ───────▶┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┬─▶ returns when all have ended
//!               ├─ child a ─▶                  │
//!               └─ child b, borrows a local ─▶ ┘
//! ```
//!
//! Why not parallel and borrowing and without blocking, all at once? Because a future can be forgotten:
//! `std::mem::forget` is safe. A child that runs on another thread and borrows from its parent would go on using memory
//! that the parent has given up, and nothing runs at that moment that could stop it. Scoped threads get around that by
//! *blocking* the parent until they have ended; async code must not block. So one of the three has to go: a nursery
//! gives up borrowing, a local nursery gives up parallelism.

mod body;
mod builder;
mod child_task;
mod error_mode;
pub(crate) mod errors;
pub(crate) mod handle;
pub(crate) mod infallible;
mod kind;
mod limited;
pub(crate) mod local;
pub(crate) mod options;
mod outcome;
mod policy;
pub(crate) mod start;
pub(crate) mod task;

pub use crate::events::TaskStatus;
pub use builder::TaskBuilder;
pub use error_mode::{CollectErrors, ErrorMode, FailFast, HandleErrors};
pub use infallible::{infallible, infallible_local};
pub use kind::{ChildError, NurseryKind, Parallel, Spawns};
pub use local::{Local, SendBox, UnsendBox, UnsendNursery};
pub use outcome::Outcome;
pub use start::Started;
