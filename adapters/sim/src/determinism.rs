//! Whether a program is the same each time: the same seed twice, compared event by event.

use std::fmt;

use crate::builder::Builder;
use crate::quiet::Quiet;
use crate::test::{Verdict, failure_of};
use crate::trace::Trace;

/// Runs `program` twice with the same seed, and compares what happens.
///
/// Everything that foster offers comes from the seed: time, names, blocking jobs, the network,
/// [`random`](crate::random). Other sources stay open to a program: the clock on the wall, a generator of random
/// numbers, the order of a `HashMap`, a thread, the resolver of the system, a `static` that is still as another run has
/// left it. As soon as one makes a difference, it is found: another order of tasks, another time, another packet, or
/// other bytes in a packet, or another [`note`](crate::note()). A source that makes none is not seen, such as a clock
/// that is only printed; a note shows it.
///
/// In tests, the environment variable `FOSTER_CHECK_DETERMINISM=1` does this with each seed, see
/// [`test()`](crate::test()).
///
/// A program that fails is the same if it does so twice.
///
/// # Errors
///
/// The runs were not the same, or need not be. See [`Nondeterminism`].
///
/// # Examples
///
/// ```
/// use foster_sim::{Nondeterminism, check_determinism};
/// use std::collections::HashMap;
/// use std::time::Duration;
///
/// let sleeps = || async {
///     let pauses: HashMap<u64, Duration> = (1..20).map(|number| (number, Duration::from_secs(number))).collect();
///     for pause in pauses.into_values() {
///         foster::sleep(pause).await;
///     }
/// };
/// let found = check_determinism(1, sleeps).unwrap_err();
/// println!("{found}");
/// assert!(matches!(found, Nondeterminism::Difference { .. }));
///
/// check_determinism(1, || async { foster::sleep(Duration::from_secs(1)).await }).unwrap();
/// ```
#[track_caller]
pub fn check_determinism<P, Fut>(seed: u64, program: P) -> Result<(), Nondeterminism>
where
    P: Fn() -> Fut,
    Fut: Future,
    Fut::Output: Verdict,
{
    Builder::new(seed).check_determinism(program)
}

/// Why the runs of a program do not repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nondeterminism {
    /// The second run of a seed was not the first one.
    Difference {
        /// How many events were the same.
        same: usize,
        /// The event of the first run then, as a line of its trace; none if it had ended.
        first: Option<String>,
        /// The event of the second run then.
        second: Option<String>,
    },
    /// The runs were the same, and need not have been: another thread did something to the simulation.
    OtherThread {
        /// How often, see [`Run::outside`](crate::Run::outside).
        times: u64,
    },
}

impl fmt::Display for Nondeterminism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nondeterminism::Difference { same, first, second } => {
                let line = |line: &Option<String>| line.clone().unwrap_or_else(|| "it has ended".to_owned());
                write!(
                    f,
                    "the same seed gave two different runs. After {same} events that are the same, the first run has\n{}\nand the \
                     second\n{}\nUsual causes: the clock on the wall (`std::time`), a generator of random numbers, the order of a `HashMap`, a \
                     thread, the resolver of the system, a `static` that the first run has changed",
                    line(first),
                    line(second)
                )
            }
            Nondeterminism::OtherThread { times } => write!(
                f,
                "another thread did something to the simulation, {times} times: when it does so is not a matter of the seed. Usual \
                 causes: `std::thread::spawn` instead of `foster::to_thread`, `foster_sim::hold`, `Builder::real_threads`, a crate that has \
                 threads of its own"
            ),
        }
    }
}

impl std::error::Error for Nondeterminism {}

impl Builder {
    /// As [`check_determinism`], with these settings and their schedule.
    ///
    /// # Errors
    ///
    /// As [`check_determinism`].
    #[track_caller]
    pub fn check_determinism<P, Fut>(&self, program: P) -> Result<(), Nondeterminism>
    where
        P: Fn() -> Fut,
        Fut: Future,
        Fut::Output: Verdict,
    {
        let _quiet = Quiet::new();
        let run = || self.clone().record_trace().observe(async { program().await });
        let runs = [run(), run()];
        let times = runs[0].outside.max(runs[1].outside);
        match difference(runs.map(|run| (run.trace, failure_of(run.outcome)))) {
            Some(difference) => Err(difference),
            None if times > 0 => Err(Nondeterminism::OtherThread { times }),
            None => Ok(()),
        }
    }
}

/// Returns the first difference between two runs, which are given with their failures.
fn difference(runs: [(Trace, Option<String>); 2]) -> Option<Nondeterminism> {
    let [(first, failure), (second, other_failure)] = &runs;
    let lines = first.events().len().max(second.events().len());
    let line = (0..lines).find(|line| first.line(*line) != second.line(*line));
    if line.is_none() && failure.is_some() == other_failure.is_some() {
        return None;
    }
    let same = line.unwrap_or(lines);
    let [(first, bytes), (second, other_bytes)] = runs.map(|(trace, failure)| match trace.line(same) {
        Some((line, bytes)) => (Some(line), bytes),
        None => (failure.map(|why| format!("it fails: {why}")), 0),
    });
    let only_bytes = first == second && bytes != other_bytes;
    let second = second.map(|line| if only_bytes { line + ", with other bytes" } else { line });
    Some(Nondeterminism::Difference { same, first, second })
}
