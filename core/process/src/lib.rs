//! Child processes and signals for foster, on any runtime: each process belongs to a scope, and ends with it.
//!
//! A program, or a library, that is written with these names no runtime. It finds the processes through the tree that
//! its code runs in: those of `foster-smol` and `foster-tokio` are real ones, and the simulator runs scripted ones in
//! virtual time.
//!
//! ```
//! use foster::fail_after;
//! use foster_process::{Command, RunError};
//! use std::time::Duration;
//!
//! # #[cfg(unix)]
//! # foster_smol::run(async {
//! /// The process is gone when this returns: also if it did not answer in time.
//! async fn kernel() -> Result<String, RunError> {
//!     let output = fail_after(Duration::from_secs(5), Command::new("uname").arg("-s").run()).await;
//!     let output = output.map_err(std::io::Error::from)??;
//!     Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
//! }
//! assert!(!kernel().await.unwrap().is_empty());
//! # });
//! ```
//!
//! # Where to look
//!
//! | you want | it is |
//! |---|---|
//! | to run a command, with a check, its output, its input | [`Command`] |
//! | to limit what its output may take of the memory | [`Command::max_output`] |
//! | to talk with a process while it runs | [`Child`] |
//! | to say where its streams go | [`Stdio`] |
//! | to say how it is asked to stop | [`Command::grace`], [`Command::stop_signal`], [`Command::stop_with`] |
//! | to end what it has started, too | `Command::process_group`, on Unix |
//! | signals to this process | `signals`, on Unix |
//! | to bring it to another runtime, or to script processes | [`contract`], `host` on Unix and Windows |
//!
//! # A process ends with its scope
//!
//! ```text
//!   the scope is cancelled, or the child is dropped
//!     │ SIGTERM, or what the command says instead
//!     │ the grace passes ───▶ SIGKILL, and a report to the observer
//!     ▼                         ▼
//!   it exits ◀──────────────────┘
//!   it is reaped; the scope may end
//! ```
//!
//! 1. **Nothing is left.** When the scope has ended, the process has, and was reaped: no zombie, no pipe, no task and
//!    no thread stands for it. That does not depend on anything else being spawned or awaited. [`run`](Command::run),
//!    [`output`](Command::output) and [`status`](Command::status) have a scope of their own, and are inside-out: what
//!    the code around them holds, such as a temporary directory, is dropped after the process has ended. A [`Child`]
//!    that is dropped ends beside the code that goes on, and before its scope does.
//! 2. **The grace** is that of the command, if it [has one](Command::grace); else that of whoever cancels, as it is
//!    when the code that holds the process is dropped, if there is one; else [`DEFAULT_GRACE`]. Output in this time
//!    into a pipe that [`run`](Command::run), [`output`](Command::output) or the [`Child`] had is read and forgotten,
//!    so that the process can stop in its own way. A pipe that was taken out of the child is closed when it is dropped.
//! 3. **It is always waited for.** If a signal cannot be sent, as to a process of another user, that is reported, and
//!    the scope waits for the exit. A kill after the grace is reported, too, as an error in a finalizer, with the name
//!    and number of the process: see [`Observer::orphan`](foster_core::observer::Observer::orphan).
//! 4. **No signal to a stranger.** A process that was reaped gets none: the host may have given its number to another.
//! 5. **Only the process itself** is stopped, unless it has a group of its own: then the whole group is asked, and what
//!    is left of it when the process has ended, in whatever way, is killed, and not waited for.
//!
//! If the future of the whole tree is dropped (law L30), nothing can wait: the process is killed, wherever its [`Child`]
//! is, and a thread that ends with it reaps it.
//!
//! # Questions that others answer differently
//!
//! | | question | here |
//! |---|---|---|
//! | D4 | does `wait` close the child's input | no. [`status`](Command::status), [`output`](Command::output) and [`run`](Command::run) close what nobody has taken |
//! | D11 | how a command is cancelled | as above: a request, the grace of the scope or five seconds, a kill; the whole group if it has one of its own |
//! | D13 | what a crash looks like to the other side | a process that dies, here or in the simulator, closes its pipes: the other side reads the rest and then the end, and writes give `BrokenPipe`. A host that loses power has no pipes to another one |
//!
//! The other questions are about the network and files, which are not part of this crate.
//!
//! # Platforms
//!
//! On Linux an exit is seen through a pidfd, on other Unix systems, and on Linux before 5.3, at `SIGCHLD`: a program
//! that ignores that signal, or that waits for any of its children, keeps this crate from learning how they have ended.
//!
//! On Windows the same programs run, and these things differ:
//!
//! * **There are no signals.** [`terminate`](Child::terminate) kills, as [`start_kill`](Child::start_kill) does, and so
//!   does the end of a scope, without a grace: the exit code is 1. [`Command::stop_with`] asks in another way. Any other
//!   signal is [`Unsupported`](std::io::ErrorKind::Unsupported), and a command that is to be stopped by one is not
//!   started. Signals to this process are absent; for ctrl-C there is `foster::app`, with the `signals` of an adapter.
//! * **There are no process groups**, users and sessions; their methods are absent. Processes that a process has
//!   started go on when it ends.
//! * **Threads wait**, for the pipes that programs expect there cannot be waited for in an event loop: one for each
//!   process, and one for each of its pipes from the first use on. They are none of the runtime's, nothing waits for
//!   them, and they end with the process, a moment after its scope; but one whose pipe is kept open by something that
//!   the process has started ends with that.
//! * **A read that is cancelled goes on**, and the next one gets what it has read. Bytes to be [written](ChildStdin)
//!   are copied.
//!
//! # When not to use it
//!
//! For a daemon that is to outlive its parent: [`std::process::Command`] starts it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod contract;
#[cfg(any(unix, windows))]
pub mod host;

mod signal_kind;
#[cfg(unix)]
mod signals;

mod pipe;
mod stdio;

mod process;
mod stop;

mod output;
mod start_error;

mod child;
mod command;

pub use child::Child;
pub use command::Command;
pub use output::{CommandFailed, Output, RunError, TooMuchOutput};
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use signal_kind::SignalKind;
#[cfg(unix)]
pub use signals::{Signals, signals};
pub use start_error::StartError;
pub use stdio::Stdio;
pub use stop::{DEFAULT_GRACE, Stopping};
