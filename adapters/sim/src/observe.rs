//! Looking at a run from outside: what came of it, also if it failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::builder::{Builder, host};
use crate::runtime::Sim;
use crate::schedule::Schedule;
use crate::trace::Trace;

impl Builder {
    /// Runs a future to its end, and returns what is to be known about the run, also if it failed.
    #[track_caller]
    pub fn observe<F: Future>(&self, future: F) -> Run<F::Output> {
        let sim = Sim::new(self, true);
        let host = host(&sim, future);
        let outcome = catch_unwind(AssertUnwindSafe(|| host.run()));
        let mut state = sim.lock();
        Run {
            outcome,
            hash: state.recorder.hash(),
            steps: state.steps,
            elapsed: state.now - self.start,
            outside: state.outside,
            trace: state.recorder.take_trace(),
            schedule: Schedule { seed: self.schedule.seed, script: Some(state.choices.take_tape()) },
        }
    }
}

/// A run that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run<T> {
    /// The output of the future, or what it panicked with.
    pub outcome: thread::Result<T>,
    /// The hash of all events. The same program with the same settings and seed has the same hash in every process and on
    /// every machine.
    pub hash: u64,
    /// How many tasks were polled and blocking jobs run.
    pub steps: u64,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// How often another thread did something to the simulation; if not 0, the run need not repeat.
    pub outside: u64,
    /// The events, if [`Builder::record_trace`] was set.
    pub trace: Trace,
    /// The choices of this run, written out: replays it, and shows what there is to shrink.
    pub schedule: Schedule,
}
