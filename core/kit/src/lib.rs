//! Everything that is derived from the core of foster: combinators, retry, rates, pools, supervision, and the way into
//! a program and out of it.
//!
//! Programs use the crate `foster`, which re-exports all of this. It is a crate of its own to show that it needs
//! nothing that a user of foster does not have: it is written with the public interface of the others alone.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod app;
pub mod combine;
mod first_panic;
mod payload;
pub mod pool;
pub mod portal;
pub mod rate;
pub mod retry;
pub mod supervise;
#[doc(hidden)]
pub mod test_limit;
