//! Running programs on the simulator, and on real hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foster_conformance::harness::comes_true;
use foster_sim::{Builder, Policy};

use super::awaits;
use super::host::{self, Host};
use super::interpret;
use super::program::Program;
use super::world::{self, Hook, World, lock};

/// One way to run a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub seed: u64,
    pub policy: Policy,
    pub spurious: f64,
    pub light: bool,
    pub probes: bool,
    /// The host is dropped after this many steps.
    pub steps: Option<u64>,
    /// The root is cancelled at this time, with this grace.
    pub stop: Option<(Duration, Duration)>,
}

impl Setting {
    /// Everything follows from the number.
    pub(crate) fn of(number: u64) -> Self {
        let policy = match number % 6 {
            0 => Policy::Fifo,
            1 | 4 => Policy::Random,
            2 => Policy::Lifo,
            _ => Policy::Pct { depth: 3 },
        };
        Setting {
            seed: number,
            policy,
            spurious: if number % 2 == 1 { 0.15 } else { 0.0 },
            light: number % 3 == 2,
            probes: number % 4 < 3,
            steps: None,
            stop: None,
        }
    }
}

/// A run that is over: what was seen, and how many steps it took.
pub(crate) struct Run {
    pub world: World,
    pub steps: u64,
}

/// Runs a program once, and checks what has to hold for any program on any schedule.
pub(crate) fn run(program: &Arc<Program>, setting: Setting) -> Run {
    world::begin(program.clone(), setting.light, setting.probes);
    let builder = Builder::new(setting.seed)
        .policy(setting.policy)
        .spurious_polls(setting.spurious)
        .poll_budget(10_000)
        // Programs that compute take longer than two seconds.
        .time_limit(Duration::from_secs(20))
        .step_limit(setting.steps.unwrap_or(200_000))
        .observer(Arc::new(Hook));
    // Half of them with the short cuts that a tree takes where nobody watches.
    let builder = if setting.seed % 2 == 0 { builder } else { builder.unwatched() };
    let ran = builder.observe(interpret::run(program.root.clone(), setting.stop));
    let cut_off = setting.steps.is_some_and(|steps| ran.steps >= steps);
    if let Some(payload) = ran.outcome.err().filter(|_| !cut_off) {
        did_not_end(payload.downcast_ref::<String>().map_or("a panic", String::as_str));
    }
    Run { world: after(ran.elapsed.as_millis() as u64), steps: ran.steps }
}

/// Does as [`run`] on a real host, where a millisecond of the program takes as long as `step`. Returns None if the host was
/// late by so much that something else may come out. Every second program has scopes without handles, and probes.
pub(crate) fn run_on(host: Host, step: Duration, program: &Arc<Program>, number: u64) -> Option<Run> {
    world::begin(program.clone(), number % 4 < 2, number % 2 == 0);
    if !host::run_on(host, step, interpret::run(program.root.clone(), None)) {
        did_not_end("it takes too long");
    }
    let world = after(host::elapsed_at_end().as_millis() as u64);
    let was_late = host::end();
    (!was_late).then_some(Run { world, steps: 0 })
}

fn did_not_end(text: &str) {
    world::with(|world| world.broken(format!("I14: the run did not end: {text}")));
}

/// Ends the record of a run that is over, and checks it.
fn after(now: u64) -> World {
    world::with(|world| {
        world.scan(now);
        if world.root.is_some() && !world.host.gone {
            world.check_turns();
        }
    });
    world::clear_attic();
    world::with(World::check_run);
    awaits::forget();
    interpret::forget();
    world::end()
}

/// The result of many runs.
#[derive(Default)]
pub(crate) struct Summary {
    pub programs: u64,
    pub runs: u64,
    pub steps: u64,
    pub counts: BTreeMap<&'static str, u64>,
    /// The programs that failed, and how.
    pub failures: Vec<(u64, String)>,
}

impl Summary {
    pub(crate) fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.steps += run.steps;
        for (what, count) in &run.world.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    pub(crate) fn merge(&mut self, other: Summary) {
        self.programs += other.programs;
        self.runs += other.runs;
        self.steps += other.steps;
        self.failures.extend(other.failures);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// Fails if a program did, or if something that has to be covered did not happen.
    #[track_caller]
    pub(crate) fn verdict(&self, name: &str, covered: &[&str]) {
        println!("{name}: {self}");
        let at_most = std::env::var("FOSTER_SHOW").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
        // The shortest are the easiest to understand.
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(seed, text)| (text.len(), *seed));
        let shown = failures.iter().take(at_most).map(|(seed, text)| format!("program {seed}:\n{text}"));
        let shown = shown.collect::<Vec<_>>().join("\n");
        let (failed, all) = (self.failures.len(), self.programs);
        assert!(failed == 0, "{failed} of {all} programs failed; the shortest (FOSTER_SHOW says how many):\n{shown}");
        // A few programs that somebody looks at need not cover anything.
        let covered = if self.programs < 1000 { &[] } else { covered };
        let holes: Vec<_> = covered.iter().filter(|what| !self.counts.contains_key(*what)).collect();
        assert!(holes.is_empty(), "these runs were to cover {holes:?}, and did not");
        // Anything that is left of the runs would be counted here.
        let is_left =
            || foster::observer::live_counts().is_some_and(|live| (live.scopes, live.tasks, live.timers) != (0, 0, 0));
        // A real host may release its last threads a moment later.
        assert!(comes_true(|| !is_left()), "I1: something was left: {:?}", foster::observer::live_counts());
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} programs, {} runs, {} steps", self.programs, self.runs, self.steps)?;
        for (what, count) in &self.counts {
            write!(f, "\n  {what}: {count}")?;
        }
        Ok(())
    }
}

/// The tests of this binary take turns: the live_counts counts the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Calls `program` for each number, on all processors; it runs what belongs to the number and says what is wrong.
pub(crate) fn for_each(
    numbers: impl Iterator<Item = u64> + Send,
    program: impl Fn(u64, &mut Summary) -> String + Sync,
) -> Summary {
    for_each_beside(processors(), numbers.map(|number| (number, ())), |number, (), summary| program(number, summary))
}

/// Returns how many programs are best run at once, unless they wait for real clocks.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get())
}

/// The same as [`for_each`] for things that have numbers, taken as they come, on so many threads.
pub(crate) fn for_each_beside<T>(
    threads: usize,
    items: impl Iterator<Item = (u64, T)> + Send,
    program: impl Fn(u64, T, &mut Summary) -> String + Sync,
) -> Summary {
    quiet_panics();
    let items = Mutex::new(items);
    let total = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut summary = Summary::default();
                loop {
                    let next = lock(&items).next();
                    let Some((number, item)) = next else { break };
                    summary.programs += 1;
                    let wrong = program(number, item, &mut summary);
                    if !wrong.is_empty() {
                        summary.failures.push((number, wrong));
                    }
                }
                lock(&total).merge(summary);
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs one test at a time.
pub(crate) fn in_turn<R>(test: impl FnOnce() -> R) -> R {
    let _turn = lock(&TURN);
    test()
}

/// The simulator reports a run that is cut off by a panic; the threads of `for_each` expect that.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Only the threads of the tests themselves have names.
            if thread::current().name().is_some() {
                hook(info);
            }
        }));
    });
}
