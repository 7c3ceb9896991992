//! The runtime below foster: all that an adapter has to have, and nothing else.
//!
//! For authors of adapters, in reading order, with the clauses of the [contract](foster::runtime) that each keeps:
//!
//! | module | what it is | clauses |
//! |---|---|---|
//! | `executor`, `current` | the queue, the wakers, and the loop that polls | R1–R4, R9, R10 |
//! | `timers` | the clock and the timers | R5–R7 |
//! | `blocking`, `lockstep` | closures that may block, and wait for tasks | R8, R12, R13 |
//!
//! An adapter for a real executor has the same three parts, and is shorter, since its executor has the queue. The other
//! modules make runs repeatable: `choices` picks among the things that could happen next, `recorder` hashes what
//! happened, and `stuck` says why a run cannot go on.
//!
//! Of the rest of the crate this uses only the settings ([`Builder`](crate::Builder)), the list that it records to
//! ([`Trace`](crate::Trace)), and the silence of a search (`quiet`). `tests/size.rs` checks that, and that this has at most
//! 1,420 lines, and the builder that starts it 200, documentation included.

mod current;
mod executor;

mod timers;

mod blocking;
mod lockstep;

mod choices;
mod recorder;
mod stuck;

pub use choices::Policy;

pub(crate) use choices::Script;
pub(crate) use current::Entered;
pub(crate) use executor::{Sim, State};
pub(crate) use timers::SimTimer;
#[cfg(feature = "net")]
pub(crate) use {choices::Choices, executor::Body, recorder::Recorder, timers::Alarm};
