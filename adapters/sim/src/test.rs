//! Tests: one body, many seeds. `#[foster::test]` calls this for the simulator.

use std::any::Any;
use std::env;
use std::fmt::Debug;
use std::thread;

use crate::builder::Builder;
use crate::schedule::Schedule;

/// How many lines of the trace a failure shows.
const LINES: usize = 40;

/// Runs the body of a test on the seeds from 0 to `seeds`, and panics if one of the runs fails.
///
/// The message of the panic names the test, the seed, how to repeat that run, and the end of the shortest failing trace
/// that could be found.
///
/// Two environment variables replace `seeds`: `FOSTER_SEEDS` is another number of seeds, and `FOSTER_SEED` a single
/// [`Schedule`] to be run, such as the message of a failure gives. If `FOSTER_CHECK_DETERMINISM` is `1`, each run is
/// also repeated and compared, as by [`check_determinism`](crate::check_determinism); a difference fails the test.
///
/// # Panics
///
/// Panics if a run fails, if there is no seed, or if one of the variables cannot be read.
///
/// # Examples
///
/// ```
/// foster_sim::test("an_hour_passes", 20, || async {
///     let hour = std::time::Duration::from_secs(3600);
///     foster::sleep(hour).await;
///     assert_eq!(foster_sim::clock().elapsed(), hour);
/// });
/// ```
#[track_caller]
pub fn test<B, Fut>(name: &str, seeds: u64, body: B)
where
    B: Fn() -> Fut,
    Fut: Future,
    Fut::Output: Verdict,
{
    Builder::new(0).test(name, seeds, body);
}

impl Builder {
    /// As [`test()`], with these settings; their own seed is not used.
    ///
    /// # Panics
    ///
    /// Panics if a run fails, if there is no seed, or if one of the environment variables cannot be read.
    #[track_caller]
    pub fn test<B, Fut>(&self, name: &str, seeds: u64, body: B)
    where
        B: Fn() -> Fut,
        Fut: Future,
        Fut::Output: Verdict,
    {
        if let Some(schedule) = variable::<Schedule>("FOSTER_SEED") {
            let attempt = self.clone().record_trace().attempt(schedule.clone(), &body);
            if let Some(message) = &attempt.failure {
                let trace = last_lines(&attempt.trace.to_string());
                panic!("test `{name}` failed on the simulator with FOSTER_SEED={schedule}: {message}\n{trace}");
            }
            return;
        }
        let checks = variable::<u8>("FOSTER_CHECK_DETERMINISM") == Some(1);
        let seeds = variable("FOSTER_SEEDS").unwrap_or(seeds);
        assert!(seeds > 0, "test `{name}` has no seed to run with, and would pass unseen");
        for seed in 0..seeds {
            if checks {
                if let Err(why) = self.clone().schedule(seed).check_determinism(&body) {
                    panic!("test `{name}` does not repeat on the simulator with seed {seed}: {why}");
                }
            }
            let attempt = self.attempt(Schedule::from(seed), &body);
            let Some(message) = attempt.failure.clone() else { continue };
            let shortest = self.shrink(attempt, &body);
            let trace = shortest.trace.to_string();
            // The rest of a message may be a dump, which is another one at each step.
            let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            let other = shortest.failure.as_deref().map(first_line).filter(|other| *other != first_line(&message));
            let note = match other {
                _ if trace.is_empty() => {
                    "\nthis one passed when it was run again: FOSTER_CHECK_DETERMINISM=1 says where two runs of a seed differ"
                        .to_owned()
                }
                Some(other) => format!(", which fails in another way: {other}"),
                None => String::new(),
            };
            let trace = last_lines(&trace);
            panic!(
                "test `{name}` failed on the simulator with seed {seed}: {message}\n\
                 repeat this run:                FOSTER_SEED={seed}\n\
                 the shortest found, {:>6} steps: FOSTER_SEED={}{note}\n{trace}",
                shortest.steps, shortest.schedule,
            );
        }
    }
}

/// The output of a test, an explored program, or one that a host runs in the background: `()`, or a `Result` whose
/// `Err` is a failure.
pub trait Verdict {
    /// The message of the failure, if it is one.
    fn failure(self) -> Option<String>;
}

impl Verdict for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Debug> Verdict for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("it returned Err({error:?})"))
    }
}

pub(crate) fn failure_of<T: Verdict>(outcome: thread::Result<T>) -> Option<String> {
    match outcome {
        Ok(output) => output.failure(),
        Err(payload) => Some(panic_message(&*payload)),
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked with a payload that is no text").to_owned()
}

/// The value of an environment variable, if it is set.
#[track_caller]
fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().unwrap_or_else(|_| panic!("the environment variable {name} cannot be `{text}`"));
    Some(value)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    let note = if skipped > 0 { format!("({skipped} lines before)\n") } else { String::new() };
    note + &lines[skipped..].join("\n")
}
