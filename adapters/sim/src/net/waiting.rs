//! Tasks that wait for a socket.

use std::task::{Context, Waker};

use foster::leaf::current_task;
use foster::scope::Origin;

/// A task that waits in one direction of a socket: the last that has asked (contract C2).
pub(super) struct Waiting {
    pub(super) waker: Waker,
    /// The task, to be named when the run is stuck.
    pub(super) task: Option<Origin>,
}

impl Waiting {
    /// Made while no lock is held: it clones a waker.
    pub(super) fn new(cx: &Context<'_>) -> Self {
        Waiting { waker: cx.waker().clone(), task: current_task() }
    }
}
