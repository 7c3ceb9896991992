//! Runs foster on smol: async-executor for the tasks, async-io for the timers, blocking for the threads.
//!
//! An application names this crate once, where it starts. Everything below that line is written against `foster` and
//! runs on any other adapter as well.
//!
//! | you have | you call |
//! |---|---|
//! | a `main` that is not async | [`run`], or [`Builder`] for more threads, or `#[foster::main(smol)]` |
//! | a smol program, and one tree in it | [`attach`]`(…).await` |
//! | a smol program, with scopes all over it | [`install`], once |
//! | an executor of your own | [`Smol::on`] |
//!
//! `signals` is the source of SIGINT and SIGTERM for [`foster::app`](foster::app::app()); it is left out without the
//! feature `signal`, which is on by default. So are `net`, without which the tree has no network for `foster-net`, and
//! `process`, without which it has no processes for `foster-process`.
//!
//! # Examples
//!
//! ```
//! let sum = foster_smol::run(async { 1 + 2 });
//! assert_eq!(sum, 3);
//! ```
//!
//! # What stays behind
//!
//! When [`run`] returns, its executor has been dropped and its worker threads have ended. Two things that smol shares
//! in the whole process stay: async-io's reactor thread, and the idle threads of the blocking pool.
//!
//! # When not to use it
//!
//! Libraries do not depend on an adapter: they leave the choice to the application. And a program that uses libraries
//! written for tokio is better off with `foster-tokio`, whose runtime those libraries find.
#![forbid(unsafe_code)]

mod executor;

mod turns;

mod clock;

mod blocking;

#[cfg(feature = "net")]
mod net;

#[cfg(all(feature = "process", any(unix, windows)))]
mod process;

#[cfg(feature = "signal")]
mod signals;

pub use executor::{Builder, Smol, attach, install, run};
#[cfg(feature = "signal")]
pub use signals::{Signals, signals};
