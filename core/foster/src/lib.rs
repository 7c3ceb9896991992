//! Structured concurrency for async Rust, on any executor.
//!
//! A **nursery** is the only place where tasks are born, and it waits for them. A **cancel scope** is the unit of
//! cancellation: it stops the code inside, and returns when everything started inside has ended. Both nest, and both
//! keep their promises when code fails, panics, times out, or when a future is dropped or forgotten half-way.
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
//! This crate names no runtime. An application picks one with an adapter crate (`foster-smol`, `foster-tokio`), tests
//! pick `foster-sim`, and a library written against `foster` runs on all of them.
//!
//! # What is guaranteed
//!
//! 1. **Nothing outlives its scope.** A scope ends when its subtree is empty: children, blocking jobs, finalizers.
//! 2. **Cancellation is an outcome, never an error that can be swallowed.** The code inside is dropped, inside-out, at
//!    its checkpoints; only the owner of the scope gets a value that says so.
//! 3. **Time and schedule are testable.** All time comes from the runtime, so the simulator can make it virtual.
//!
//! The rules behind this are numbered laws; the book lists them with the test of each.
//!
//! # Cancel safety
//!
//! The documentation of each function that waits says under *Cancellation* what it has done when it is cut, by the cancel of
//! its scope or by the drop of its future. It begins with one of these words:
//!
//! * *Strict*: nothing has happened, and nothing is lost; to call it again is as good as to have waited on.
//! * *Loses its place*: the same, but the next call waits at the end of the queue.
//! * *Partial effect*: a part may have been done; it says which.
//! * *Not interrupted*: once started it is waited for, even in cancelled code; before that it is strict.
//! * *As its future*: it leaves what the future that it runs leaves.
//!
//! # Where to look
//!
//! | you want | it is |
//! |---|---|
//! | tasks in parallel | [`nursery`](nursery()), [`Nursery::spawn`], [`NurseryOptions`] |
//! | children that borrow, in one task | [`local_nursery`](local_nursery()) |
//! | a time limit | [`move_on_after`], [`fail_after`] |
//! | to cancel by hand | [`CancelScope`], [`ScopeHandle`] |
//! | not to be cancelled | [`shield`], [`graceful`] |
//! | cleanup | [`bracket`], [`defer`] |
//! | blocking work | [`to_thread`], [`thread::Unblock`]; from there back into the tree: [`thread::from_thread`] |
//! | a `main` that is not async | [`mod@portal`] |
//! | a program that stops well when it gets a signal | [`mod@app`] |
//! | children that are started again when they fail | [`supervise`] |
//! | to see what is alive, and what it waits for | [`dump`](dump()), [`observer`] |
//! | to name an error | [`Elapsed`] and [`Cancelled`], here; those of tasks and nurseries, in [`error`]; others in their modules, such as [`channel`] and [`pool`] |
//! | to name a future that a function returns | [`future`](mod@future); those of a module with futures of its own there, as in [`combine::future`] |
//! | a loop that computes to be cancellable | [`checkpoint`] |
//! | locks, limiters, channels, pools | [`sync`], [`channel`], [`rate`], [`pool`] |
//! | to race, gather, retry, read streams | [`combine`], [`mod@retry`] |
//! | a value that code further in finds by itself | [`ScopedValue`] |
//! | to write an operation of one's own | [`leaf`] |
//!
//! # When not to use it
//!
//! For a fixed, small number of futures in one task that need neither handles nor cleanup, a plain `join!` is cheaper.
//! For work that must go on after the program's main future has ended, nothing here is right: that is what it prevents.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use foster_channel as channel;
#[doc(inline)]
pub use foster_core::*;
#[doc(inline)]
pub use foster_kit::*;
pub use foster_macros::{main, test};
