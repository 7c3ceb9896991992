//! Runs foster on tokio, on its multi-thread or its current-thread runtime.
//!
//! An application names this crate once, where it starts. Everything below that line is written against `foster` and
//! runs on any other adapter as well.
//!
//! | you have | you call |
//! |---|---|
//! | a `main` that is not async | [`run`], or [`Builder`] for another flavor, or `#[foster::main(tokio)]` |
//! | a `#[tokio::main]`, and one tree in it | [`attach`]`(…).await` |
//! | a `#[tokio::main]`, with scopes all over it | [`install`], once |
//! | a runtime of your own | [`Tokio::on`] |
//!
//! `signals` is the source of SIGINT and SIGTERM for [`foster::app`](foster::app::app()); it is left out without the
//! feature `signal`, which is on by default. So are `net`, without which the tree has no network for `foster-net`, and
//! `process`, without which it has no processes for `foster-process`.
//!
//! # Examples
//!
//! ```
//! let sum = foster_tokio::run(async { 1 + 2 });
//! assert_eq!(sum, 3);
//! ```
//!
//! # What tokio's users find unchanged
//!
//! Code in the tree runs in the context of the runtime: tokio's sockets, `spawn_blocking` and libraries that look for
//! `Handle::current()` work. A turn ends when tokio's cooperative budget is used up. Time is tokio's, so the tests that
//! pause its clock pause foster's. A task of `tokio::spawn` is outside of the tree, and nobody waits for it.
//!
//! # When not to use it
//!
//! Libraries do not depend on an adapter: they leave the choice to the application.
#![forbid(unsafe_code)]

mod executor;

mod clock;

mod blocking;

#[cfg(feature = "net")]
mod net;

#[cfg(all(feature = "process", any(unix, windows)))]
mod process;

#[cfg(feature = "signal")]
mod signals;

pub use executor::{Builder, Tokio, attach, install, run};
#[cfg(feature = "signal")]
pub use signals::{Signals, signals};
