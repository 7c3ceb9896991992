//! All the unsafe code of foster, and the primitives that its mechanisms are built of.
//!
//! An implementation detail of the other crates: it promises nothing, and changes with them. Programs use the crate
//! `foster`.
//!
//! | module | structure | used by `foster-core` for |
//! |---|---|---|
//! | `block` | a reference-counted block with a body that one thread at a time uses | nodes and tasks: `tree/node.rs` |
//! | `stack` | values that lie in the stack frames of those who entered them | the current scope: `tree/frames.rs` |
//! | [`lock`] | a value behind a lock whose waiters are queued elsewhere | `sync::Mutex`, `sync::RwLock` |
//! | [`sys`] | locks and atomics, which models exchange for shuttle's; no unsafe code | everything |
//!
//! Each file but [`sys`] is one structure that safe code can only have at a price which was measured: another
//! allocation, another lock, a copy. Its fields are its own, its interface is safe to use, and what makes it so is
//! written at each `unsafe`: the obligation (aliasing, lifetime, pinning, `Send`) and why it holds. The states that it
//! relies on (`block/body.rs`, `block/count.rs`, `lock/state.rs`) are in files that forbid unsafe code. The tests run
//! under Miri (`cargo +nightly miri test -p foster-cell --lib`); what several threads do at once has models in
//! `core/src/races.rs`.
#![allow(unsafe_code, reason = "the one crate that may: see above, and tests/tests/ceilings.rs")]

mod block;
pub mod lock;
mod stack;
pub mod sys;

pub use block::{BlockRef, BodyGuard, Erase, Head, WakerTable};
pub use stack::{EitherRef, Frame, Stack};
