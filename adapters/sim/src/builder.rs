//! The settings of a simulation, and the ways to run one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foster::Instant;
use foster::runtime::{TreeHandle, root};

#[cfg(feature = "net")]
use crate::net::{Machine, host_trees, open_sockets, until_the_end};
use crate::observe::Onlookers;
use crate::quiet;
use crate::runtime::{Entered, Policy, Sim, State};
use crate::schedule::Schedule;

/// Settings of a simulation.
///
/// # Examples
///
/// ```
/// use foster_sim::{Builder, Policy};
/// use std::time::Duration;
///
/// let run = Builder::new(7)
///     .policy(Policy::Pct { depth: 3 })
///     .time_limit(Duration::from_secs(3600))
///     .observe(async { foster::sleep(Duration::from_secs(60)).await });
/// assert_eq!(run.elapsed, Duration::from_secs(60));
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it runs something"]
pub struct Builder {
    pub(crate) schedule: Schedule,
    pub(crate) policy: Policy,
    pub(crate) start: Instant,
    pub(crate) autojump: bool,
    pub(crate) poll_budget: u64,
    pub(crate) step_limit: u64,
    pub(crate) time_limit: Duration,
    pub(crate) spurious: f64,
    /// How late the timers of trees fire at the most.
    pub(crate) lateness: Duration,
    /// The shortest and the longest that a blocking job takes.
    pub(crate) blocking_time: (Duration, Duration),
    /// How long to wait, really, for other threads; zero if blocking jobs run on the thread of the simulation.
    pub(crate) patience: Duration,
    pub(crate) record: bool,
    pub(crate) onlookers: Onlookers,
}

impl Builder {
    /// The default settings, with a seed or a [`Schedule`].
    pub fn new(schedule: impl Into<Schedule>) -> Self {
        Builder {
            schedule: schedule.into(),
            policy: Policy::default(),
            start: Instant::from_nanos(0),
            autojump: true,
            poll_budget: 1_000_000,
            step_limit: 10_000_000,
            time_limit: Duration::MAX,
            spurious: 0.0,
            lateness: Duration::ZERO,
            blocking_time: (Duration::ZERO, Duration::ZERO),
            patience: Duration::ZERO,
            record: false,
            onlookers: Onlookers::default(),
        }
    }

    /// Takes another seed or [`Schedule`].
    pub fn schedule(self, schedule: impl Into<Schedule>) -> Self {
        Builder { schedule: schedule.into(), ..self }
    }

    /// How the next task is picked; [`Policy::Mixed`] if not set.
    pub fn policy(self, policy: Policy) -> Self {
        Builder { policy, ..self }
    }

    /// The time at which the clock starts; the origin if not set.
    pub fn start_at(self, start: Instant) -> Self {
        Builder { start, ..self }
    }

    /// Starts with a clock that moves only through [`clock`](crate::clock).
    pub fn manual_clock(self) -> Self {
        Builder { autojump: false, ..self }
    }

    /// After how many polls in a row, each ending with the task runnable again, a task counts as one that never blocks.
    /// A million if not set. A poll that was ended by the budget of operations (law L38) counts as sixteen: by default a
    /// task may complete eight million operations that are ready at once.
    pub fn poll_budget(self, polls: u64) -> Self {
        Builder { poll_budget: polls, ..self }
    }

    /// The greatest number of steps, polls and blocking jobs together; ten million if not set.
    pub fn step_limit(self, steps: u64) -> Self {
        Builder { step_limit: steps, ..self }
    }

    /// How far the clock may jump by itself, counted from the start; without limit if not set.
    pub fn time_limit(self, limit: Duration) -> Self {
        Builder { time_limit: limit, ..self }
    }

    /// The probability that a step polls some task that nobody woke.
    ///
    /// Any executor may do that, and few do it often: it finds futures that take each poll for a sign that what they
    /// waited for has happened.
    ///
    /// # Panics
    ///
    /// Panics if `probability` is not between 0 and 1.
    #[track_caller]
    pub fn spurious_polls(self, probability: f64) -> Self {
        assert!((0.0..=1.0).contains(&probability), "a probability is between 0 and 1, not {probability}");
        Builder { spurious: probability, ..self }
    }

    /// How late the timers of trees fire: up to `longest` after their time, as the seed says. If not set, they are on time.
    ///
    /// Real runtimes are late, by a millisecond or more under load. So code may see by the clock that a deadline has passed,
    /// whose timer has not fired. A program that relies on exact times fails with this.
    pub fn late_timers(self, longest: Duration) -> Self {
        Builder { lateness: longest, ..self }
    }

    /// How long blocking jobs take in virtual time: between `shortest` and `longest`, as the seed says. They run at the
    /// end of that time. If not set, they take none.
    ///
    /// # Panics
    ///
    /// Panics if `longest` is less than `shortest`.
    #[track_caller]
    pub fn blocking_time(self, shortest: Duration, longest: Duration) -> Self {
        assert!(shortest <= longest, "blocking jobs cannot take at least {shortest:?} and at most {longest:?}");
        Builder { blocking_time: (shortest, longest), ..self }
    }

    /// Runs blocking jobs on threads of their own, and counts on wake-ups from other threads.
    ///
    /// For programs whose closures wait for tasks, or that start threads themselves. When nothing is runnable, the
    /// simulation waits for other threads up to `patience` of real time before it moves the clock past a job that has
    /// not ended, and before it reports a deadlock. The actions of the threads come in no fixed order: such a run
    /// cannot be replayed exactly ([`Run::outside`](crate::Run::outside) counts why).
    pub fn real_threads(self, patience: Duration) -> Self {
        Builder { patience, ..self }
    }

    /// Runs a future to its end, and returns its output.
    ///
    /// # Panics
    ///
    /// Panics with what the future panicked with, and, with the live tree in the message, if the run cannot go on:
    /// deadlock, a task that never blocks, step or time limit. With the feature `net`, also if a program in the
    /// background of a host fails, or a socket is open at the end. The seed is printed to standard error.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let sim = Sim::new(self, false);
        let _tell = quiet::TellSeed(&self.schedule);
        host(&sim, future).run()
    }
}

/// A tree in its simulation. Dropped in this order: the tree first, while the simulation still takes in what its end
/// spawns; then the rest is torn down.
pub(crate) struct Host<M> {
    main: Pin<Box<M>>,
    tree: TreeHandle,
    entered: Entered,
}

/// Plants the tree whose body is `future` in a simulation.
#[track_caller]
pub(crate) fn host<F: Future>(sim: &Sim, future: F) -> Host<impl Future<Output = F::Output>> {
    let entered = sim.enter();
    #[cfg(feature = "net")]
    let runtime = Arc::new(Machine::main(sim));
    #[cfg(not(feature = "net"))]
    let runtime = Arc::new(sim.clone());
    let main = root(runtime, future).polled_by_its_runtime();
    let main = sim.config().looked_at(main);
    let tree = main.tree();
    #[cfg(feature = "net")]
    let main = until_the_end(sim.clone(), main);
    Host { tree, main: Box::pin(main), entered }
}

impl<M: Future> Host<M> {
    #[track_caller]
    pub(crate) fn run(mut self) -> M::Output {
        match self.entered.sim.drive(self.main.as_mut()) {
            Ok(output) => output,
            Err(stuck) => {
                let tree = self.tree.dump();
                #[cfg(feature = "net")]
                let tree = format!("{tree}{}{}", host_trees(&self.entered.sim), open_sockets(&self.entered.sim));
                let State { steps, now, .. } = *self.entered.sim.lock();
                panic!(
                    "{stuck}\n\nThe live tree after {steps} steps, at {now:?} (a leaf that names nothing to wait for waits \
                     for something that is not of foster's):\n{tree}"
                );
            }
        }
    }
}
