//! How the simulator chooses.
//!
//! Whenever a run could go on in more than one way, it asks [`Choices`]. A choice is a number below the count of
//! alternatives, and **0 is always the calm one**: the task that has been runnable for longest, the timer that was armed
//! first, no spurious poll. So a schedule is the list of the choices that are not 0. To replay a run is to answer from
//! that list, and to shrink one is to take entries off it.

use std::collections::VecDeque;
use std::time::Duration;

/// How many of the runnable tasks [`Policy::Pct`] compares.
const WINDOW: usize = 64;

/// How the next runnable task is picked.
///
/// Each policy is fair to a task that yields: one that woke itself while it was polled does not keep the others away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The task that has been runnable for longest. The seed does not matter for the order of tasks.
    Fifo,
    /// The task that became runnable last.
    Lifo,
    /// Any of the runnable tasks, with the same probability.
    Random,
    /// The runnable task of the highest priority. Priorities are random, and change at `depth - 1` random steps.
    ///
    /// Finds a bug that needs `depth` ordering constraints with a probability that a uniform choice does not reach in
    /// long programs ("probabilistic concurrency testing", Burckhardt et al., 2010). The length of a run is not known
    /// beforehand, so the steps are spread over its orders of magnitude. So that a pick takes constant time, it looks only
    /// at the 64 tasks that have waited for longest.
    Pct {
        /// How many ordering constraints the bug needs; 2 or 3 covers most.
        depth: u32,
    },
    /// One of the others, chosen by the seed; seed 0 is [`Policy::Fifo`]. The default.
    #[default]
    Mixed,
}

impl Policy {
    fn resolve(self, seed: u64) -> Policy {
        match (self, mix(seed) % 8) {
            (Policy::Mixed, _) if seed == 0 => Policy::Fifo,
            (Policy::Mixed, 0) => Policy::Lifo,
            (Policy::Mixed, draw @ 1..=3) => Policy::Pct { depth: draw as u32 + 1 },
            (Policy::Mixed, _) => Policy::Random,
            (policy, _) => policy,
        }
    }
}

/// A task in the queue of the runnable ones.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) key: usize,
    pub(crate) priority: i64,
}

/// The one source of choice of a run.
pub(crate) struct Choices {
    policy: Policy,
    rng: Rng,
    /// The numbers that the program itself draws: their own stream, so that taking entries off a script does not change it.
    program: Rng,
    script: Option<Script>,
    /// Position of the next choice.
    next: u64,
    /// The choices that were not 0, by position. Kept only for a run that may have to be replayed.
    tape: Option<Script>,
    /// The task polled last woke itself.
    gave_way: bool,
    pct: Pct,
}

impl Choices {
    pub(crate) fn new(seed: u64, policy: Policy, script: Option<Script>, keep_tape: bool) -> Self {
        let mut rng = Rng(mix(seed));
        let policy = policy.resolve(seed);
        let pct = Pct::new(policy, &mut rng);
        let program = Rng(mix(!seed));
        let tape = keep_tape.then(Script::default);
        Choices { policy, rng, program, script, next: 0, tape, gave_way: false, pct }
    }

    /// Takes the next task to poll out of `ready`, which is not empty; in constant time.
    pub(crate) fn pick(&mut self, ready: &mut VecDeque<Ready>) -> Ready {
        let gave_way = std::mem::take(&mut self.gave_way);
        let last = ready.len() as u64 - 1;
        let index = self.choose(last + 1, |this| match this.policy {
            Policy::Lifo if !gave_way => last,
            Policy::Random => this.rng.below(last + 1),
            Policy::Pct { .. } => this.pct.pick(ready, &mut this.rng) as u64,
            Policy::Fifo | Policy::Lifo | Policy::Mixed => 0,
        });
        take(ready, index)
    }

    /// Takes one of the things that happen at the same instant out of `events`, which is not empty.
    pub(crate) fn pick_event<T>(&mut self, events: &mut VecDeque<T>) -> T {
        let last = events.len() as u64 - 1;
        let index = self.choose(last + 1, |this| match this.policy {
            Policy::Fifo => 0,
            Policy::Lifo => last,
            _ => this.rng.below(last + 1),
        });
        take(events, index)
    }

    /// The priority of a new task.
    pub(crate) fn priority(&mut self) -> i64 {
        match self.policy {
            Policy::Pct { .. } => (self.rng.next() >> 1) as i64,
            _ => 0,
        }
    }

    /// Notes that the task polled last woke itself, and returns its new priority.
    pub(crate) fn give_way(&mut self) -> i64 {
        self.gave_way = true;
        self.pct.floor -= 1;
        self.pct.floor
    }

    /// Picks a number up to `most`, whatever the policy.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let alternatives = most.saturating_add(1);
        self.choose(alternatives, |this| this.rng.below(alternatives))
    }

    /// Picks a time up to `longest`, to the nanosecond.
    pub(crate) fn time_up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.up_to(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Decides for a yes with probability `yes`, whatever the policy.
    pub(crate) fn chance(&mut self, yes: f64) -> bool {
        let threshold = (yes * u64::MAX as f64) as u64;
        yes > 0.0 && self.choose(2, |this| u64::from(this.rng.next() <= threshold)) == 1
    }

    /// A number for the program.
    pub(crate) fn random(&mut self) -> u64 {
        self.program.next()
    }

    pub(crate) fn take_tape(&mut self) -> Script {
        self.tape.take().unwrap_or_default()
    }

    fn choose(&mut self, alternatives: u64, by_policy: impl FnOnce(&mut Self) -> u64) -> u64 {
        if alternatives < 2 {
            return 0;
        }
        let position = self.next;
        self.next += 1;
        let choice = match &mut self.script {
            Some(script) => script.at(position).min(alternatives - 1),
            None => by_policy(self),
        };
        if let Some(tape) = self.tape.as_mut().filter(|_| choice != 0) {
            tape.push(position, choice);
        }
        choice
    }
}

/// Takes the entry at `index` out in constant time: if it is not an end, the front takes its place.
fn take<T>(queue: &mut VecDeque<T>, index: u64) -> T {
    let index = index as usize;
    let taken = if index + 1 == queue.len() { queue.pop_back() } else { queue.swap_remove_front(index) };
    taken.expect("a choice is below the count of alternatives")
}

/// Choices that are not 0, in the order of their positions. All others are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) entries: Vec<(u64, u64)>,
    cursor: usize,
}

impl Script {
    pub(crate) fn new(entries: Vec<(u64, u64)>) -> Self {
        Script { entries, cursor: 0 }
    }

    pub(crate) fn push(&mut self, position: u64, choice: u64) {
        self.entries.push((position, choice));
    }

    /// The choice at `position`; positions are asked in rising order.
    pub(crate) fn at(&mut self, position: u64) -> u64 {
        while self.entries.get(self.cursor).is_some_and(|(next, _)| *next < position) {
            self.cursor += 1;
        }
        self.entries.get(self.cursor).filter(|(next, _)| *next == position).map_or(0, |(_, choice)| *choice)
    }
}

/// The state of [`Policy::Pct`].
struct Pct {
    /// Picks at which the task that would run is put behind those that were not, latest first.
    changes: Vec<u64>,
    picks: u64,
    /// The lowest priority given so far.
    floor: i64,
}

impl Pct {
    fn new(policy: Policy, rng: &mut Rng) -> Self {
        let count = match policy {
            Policy::Pct { depth } => depth.saturating_sub(1),
            _ => 0,
        };
        let mut some_step = || {
            let scale = 1 << rng.below(14);
            rng.below(scale)
        };
        let mut changes: Vec<u64> = (0..count).map(|_| some_step()).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Pct { changes, picks: 0, floor: i64::MIN / 2 }
    }

    fn pick(&mut self, ready: &mut VecDeque<Ready>, rng: &mut Rng) -> usize {
        let pick = self.picks;
        self.picks += 1;
        while self.changes.last().is_some_and(|change| *change <= pick) {
            self.changes.pop();
            // Below every task that was not lowered, above every task that gave way, in random order among the lowered.
            let running = highest(ready);
            ready[running].priority = -1 - rng.below(1 << 32) as i64;
        }
        highest(ready)
    }
}

/// The first of the entries with the highest priority.
fn highest(ready: &VecDeque<Ready>) -> usize {
    let (mut best, mut priority) = (0, i64::MIN);
    for (index, entry) in ready.iter().take(WINDOW).enumerate() {
        if entry.priority > priority {
            (best, priority) = (index, entry.priority);
        }
    }
    best
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        let state = self.0;
        self.0 = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(state)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// One output of SplitMix64.
pub(crate) const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
