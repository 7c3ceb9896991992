//! Looking at a run from outside: what happens in it, and what came of it, also if it failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use foster::observer::{Observer, PollWatch};
use foster::runtime::Root;

use crate::builder::{Builder, host};
use crate::quiet;
use crate::runtime::Sim;
use crate::schedule::Schedule;
use crate::trace::Trace;

/// The observers of a run.
#[derive(Clone, Default)]
pub(crate) struct Onlookers {
    observer: Option<Arc<dyn Observer>>,
    longest_poll: Option<Duration>,
    /// The tree does not note what its code waits for.
    unwatched: bool,
}

impl Builder {
    /// Hands what has no caller to `observer`: errors of reaped scopes, and what a run that failed has cut off.
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        let onlookers = Onlookers { observer: Some(observer), ..self.onlookers };
        Builder { onlookers, ..self }
    }

    /// Reports polls that take longer than `longest`, and tasks that go on for ten seconds after a cancel, on standard
    /// error; with the name of the task, and where it was spawned. A [`PollWatch`] as observer reports elsewhere, or
    /// with more patience.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// foster_sim::Builder::new(1).watch_polls(Duration::from_millis(10)).run(async {});
    /// ```
    pub fn watch_polls(self, longest: Duration) -> Self {
        let onlookers = Onlookers { longest_poll: Some(longest), ..self.onlookers };
        Builder { onlookers, ..self }
    }

    /// The tree does not note what its code waits for, as it does not on other runtimes unless they are told to
    /// [watch](foster::runtime::Root::watch).
    ///
    /// Reports then name scopes, and no operations. In return foster takes the same short cuts as there: for tests of
    /// code that depends on how scopes are made, as foster's own do.
    pub fn unwatched(self) -> Self {
        let onlookers = Onlookers { unwatched: true, ..self.onlookers };
        Builder { onlookers, ..self }
    }

    /// Keeps each event for [`Run::trace`].
    pub fn record_trace(self) -> Self {
        Builder { record: true, ..self }
    }

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

    /// A tree as it is to be looked at.
    pub(crate) fn looked_at<F: Future>(&self, root: Root<F, F::Output>) -> Root<F, F::Output> {
        let root = if self.onlookers.unwatched { root } else { root.watch() };
        match self.onlooker() {
            Some(observer) => root.observe(observer),
            None => root,
        }
    }

    /// The observer of the tree.
    fn onlooker(&self) -> Option<Arc<dyn Observer>> {
        let observer = self.onlookers.observer.clone().or_else(quiet::observer);
        let Some(watch) = self.onlookers.longest_poll.map(PollWatch::new) else { return observer };
        Some(match observer {
            Some(observer) => Arc::new(watch.before(observer)),
            None => Arc::new(watch),
        })
    }
}

/// A run that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run<T> {
    /// The output of the future, or what it panicked with.
    pub outcome: thread::Result<T>,
    /// The hash of all events. The same program with the same settings and seed has the same hash in every process and
    /// on every machine.
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
