//! Shrinking: the shortest schedule that still fails.

use crate::builder::Builder;
use crate::explore::Attempt;
use crate::quiet::Quiet;
use crate::runtime::Script;
use crate::schedule::Schedule;
use crate::test::Verdict;

/// The limits of the search: runs, and steps of all its runs together.
const RUNS: u64 = 2_000;
const STEPS: u64 = 5_000_000;

impl Builder {
    /// Makes a failing run shorter: takes choices off its script, in chunks and then one by one (delta debugging,
    /// Zeller and Hildebrandt, 2002), and brings those that are left as close to the calm one as possible.
    #[track_caller]
    pub(crate) fn shrink<P, Fut>(&self, failing: Attempt, program: &P) -> Attempt
    where
        P: Fn() -> Fut,
        Fut: Future,
        Fut::Output: Verdict,
    {
        let _quiet = Quiet::new();
        // A run that was stopped for its length alone is not worth the search.
        let runs = if failing.steps < STEPS { RUNS } else { 0 };
        let mut search = Search { settings: self, program, best: failing, runs, steps: STEPS };
        search.take_entries_off();
        search.calm_entries();
        // Once more, with its events.
        let best = search.best;
        let traced = self.clone().record_trace().attempt(best.schedule.clone(), program);
        if traced.failure.is_some() { traced } else { best }
    }
}

struct Search<'a, P> {
    settings: &'a Builder,
    program: &'a P,
    best: Attempt,
    /// The rest of the search's limits.
    runs: u64,
    steps: u64,
}

impl<P, Fut> Search<'_, P>
where
    P: Fn() -> Fut,
    Fut: Future,
    Fut::Output: Verdict,
{
    fn take_entries_off(&mut self) {
        let mut chunk = self.best.entries().len();
        while chunk > 0 && !self.is_exhausted() {
            let mut start = 0;
            let mut changed = false;
            while start < self.best.entries().len() && !self.is_exhausted() {
                let mut entries = self.best.entries().to_vec();
                entries.drain(start..entries.len().min(start + chunk));
                if self.try_shorter(entries) {
                    changed = true;
                } else {
                    start += chunk;
                }
            }
            // Another pass at the finest grain, as long as it helps: what one entry needed may be gone.
            chunk = if chunk == 1 && changed { 1 } else { chunk / 2 };
        }
    }

    fn calm_entries(&mut self) {
        for index in 0..self.best.entries().len() {
            let mut choice = 1;
            while !self.is_exhausted() && self.best.entries().get(index).is_some_and(|entry| choice < entry.1) {
                let mut entries = self.best.entries().to_vec();
                entries[index].1 = choice;
                if self.try_shorter(entries) {
                    break;
                }
                choice *= 2;
            }
        }
    }

    /// Runs a candidate, and takes it as the best if it fails and is shorter.
    fn try_shorter(&mut self, entries: Vec<(u64, u64)>) -> bool {
        let schedule = Schedule { seed: self.best.schedule.seed, script: Some(Script::new(entries)) };
        let limit = self.settings.step_limit.min(2 * self.best.steps + 1_000);
        let attempt = self.settings.clone().step_limit(limit).attempt(schedule, self.program);
        self.runs -= 1;
        self.steps = self.steps.saturating_sub(attempt.steps);
        // One that the lower limit has stopped may be a program that takes longer, and is right.
        let stopped = limit < self.settings.step_limit && attempt.steps >= limit;
        let accepted = attempt.failure.is_some() && !stopped && attempt.size() < self.best.size();
        if accepted {
            self.best = attempt;
        }
        accepted
    }

    fn is_exhausted(&self) -> bool {
        self.runs == 0 || self.steps == 0
    }
}

impl Attempt {
    fn entries(&self) -> &[(u64, u64)] {
        self.schedule.script.as_ref().map_or(&[], |script| &script.entries)
    }

    /// Choices that are not the calm one, steps, and how far the choices are from the calm one: less is shorter.
    fn size(&self) -> (usize, u64, u64) {
        let distance = self.entries().iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.1));
        (self.entries().len(), self.steps, distance)
    }
}
