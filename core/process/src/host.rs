//! Processes of the host, for adapters of real runtimes.
//!
//! | on | an adapter brings | there are |
//! |---|---|---|
//! | Unix | a `Reactor`: it watches descriptors that were opened here, in non-blocking mode | processes and signals |
//! | Windows | nothing | processes |
//!
//! `HostProcesses` makes [`Processes`](crate::contract::Processes) of that.
//!
//! An adapter that has handlers of its own, such as those of the signals for `foster::app`, keeps these signals from their
//! default with `keep_from_default`, on Unix: else they end the process when the last of the streams here is dropped.
//!
//! A process is one of the standard library's, and this is what reaps it: so no signal is sent to a process that was
//! reaped. On Unix its exit is seen through a pidfd where there are any, and elsewhere at `SIGCHLD`, by asking for this
//! process alone. On Windows, where an event loop can wait neither for a process nor for the pipes that a program
//! expects, threads do: one for each process, and one for each pipe from its first use on.

mod launch;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Direction, HostProcesses, KeepFromDefault, Reactor, Watched, keep_from_default};
#[cfg(windows)]
pub use windows::HostProcesses;
