//! Exploration: many schedules of one program, and the shortest one that fails.

use std::collections::BTreeSet;
use std::fmt;

use crate::builder::Builder;
use crate::quiet::Quiet;
use crate::schedule::Schedule;
use crate::test::{Verdict, failure_of};
use crate::trace::Trace;

/// Runs `program` once with each of the seeds, and reports what it saw.
///
/// A run fails if it panics, deadlocks, reaches a limit, or ends with an `Err`. All seeds are run, also after a
/// failure; panics are not printed meanwhile. A failure is then shrunk, see [`Failure::shortest`].
///
/// # Examples
///
/// A check that is not one with the act that follows:
///
/// ```
/// use foster_sim::explore;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let found = explore(0..100, || async {
///     let sold = Arc::new(AtomicU32::new(0));
///     let Ok(()) = foster::nursery(async |n: foster::Nursery| {
///         for _ in 0..2 {
///             let sold = sold.clone();
///             n.spawn(async move {
///                 if sold.load(Relaxed) == 0 {
///                     foster::yield_now().await;
///                     sold.fetch_add(1, Relaxed);
///                 }
///             });
///         }
///     })
///     .await;
///     assert_eq!(sold.load(Relaxed), 1, "the last seat was sold twice");
/// });
/// let failure = found.failure.expect("a race");
/// assert!(failure.message.contains("sold twice"));
/// println!("{}", failure.trace);
/// ```
#[track_caller]
pub fn explore<P, Fut>(seeds: impl IntoIterator<Item = u64>, program: P) -> Exploration
where
    P: Fn() -> Fut,
    Fut: Future,
    Fut::Output: Verdict,
{
    Builder::new(0).explore(seeds, program)
}

/// The findings of [`explore`]; `Display` prints them as a report.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Exploration {
    /// How many seeds were run.
    pub runs: u64,
    /// How many different schedules there were among them, by trace hash.
    pub distinct: usize,
    /// How many runs failed.
    pub failed: u64,
    /// The failure, if there was one.
    pub failure: Option<Failure>,
}

/// A failure that [`explore`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The first seed that failed.
    pub seed: u64,
    /// How it failed.
    pub message: String,
    /// The shortest failing schedule that was found: as few choices as possible that are not the calm one, then as few
    /// steps as possible. It need not fail in the same way as `seed`.
    pub shortest: Schedule,
    /// How the shortest one failed.
    pub shortest_message: String,
    /// The steps of the shortest one.
    pub steps: u64,
    /// The events of the shortest one.
    pub trace: Trace,
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} distinct schedules, {} failed", self.runs, self.distinct, self.failed)?;
        let Some(failure) = &self.failure else { return Ok(()) };
        writeln!(f, "first failure, seed {}: {}", failure.seed, failure.message)?;
        writeln!(f, "shortest, schedule {}, {} steps: {}", failure.shortest, failure.steps, failure.shortest_message)?;
        write!(f, "{}", failure.trace)
    }
}

impl Builder {
    /// As [`explore`], with these settings; their own seed is not used.
    #[track_caller]
    pub fn explore<P, Fut>(&self, seeds: impl IntoIterator<Item = u64>, program: P) -> Exploration
    where
        P: Fn() -> Fut,
        Fut: Future,
        Fut::Output: Verdict,
    {
        let _quiet = Quiet::new();
        let mut seen = BTreeSet::new();
        let mut found = Exploration::default();
        let mut first = None;
        let mut shortest: Option<Attempt> = None;
        for seed in seeds {
            let attempt = self.attempt(Schedule::from(seed), &program);
            found.runs += 1;
            seen.insert(attempt.hash);
            if let Some(message) = &attempt.failure {
                found.failed += 1;
                first.get_or_insert_with(|| (seed, message.clone()));
                if shortest.as_ref().is_none_or(|shortest| attempt.steps < shortest.steps) {
                    shortest = Some(attempt);
                }
            }
        }
        found.distinct = seen.len();
        if let Some(((seed, message), attempt)) = first.zip(shortest) {
            let shortest = self.shrink(attempt, &program);
            found.failure = Some(Failure {
                seed,
                message,
                shortest: shortest.schedule,
                shortest_message: shortest.failure.unwrap_or_default(),
                steps: shortest.steps,
                trace: shortest.trace,
            });
        }
        found
    }

    #[track_caller]
    pub(crate) fn attempt<P, Fut>(&self, schedule: Schedule, program: &P) -> Attempt
    where
        P: Fn() -> Fut,
        Fut: Future,
        Fut::Output: Verdict,
    {
        // The program is called inside the run: it may use the tools of the simulation, and it may panic.
        let run = self.clone().schedule(schedule).observe(async { program().await });
        let failure = failure_of(run.outcome);
        Attempt { schedule: run.schedule, hash: run.hash, steps: run.steps, failure, trace: run.trace }
    }
}

/// A run as the search sees it.
pub(crate) struct Attempt {
    /// Written out: with a script.
    pub(crate) schedule: Schedule,
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    pub(crate) failure: Option<String>,
    pub(crate) trace: Trace,
}
