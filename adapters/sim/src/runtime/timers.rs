//! Virtual time: it stands still while a task is runnable, and jumps to what comes next when none is.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use foster::Instant;
use foster::runtime::Timer;

use super::executor::{Sim, State};
use super::stuck::Stuck;
use crate::builder::Builder;
use crate::trace::Event;

/// The events that are to happen at later times.
#[derive(Default)]
pub(crate) struct Timers {
    /// By time, then by the number of the arming.
    pub(crate) alarms: BTreeMap<(Instant, u64), Alarm>,
    armed: u64,
}

#[cfg_attr(not(feature = "net"), expect(dead_code, reason = "only hosts are paused"))]
pub(crate) enum Alarm {
    /// A waker, and the group of the timer.
    Wake(Waker, usize),
    /// The timer of a tree: what else is due at its instant comes before it, so that an operation that ends at a deadline wins.
    Tree(Waker, usize),
    /// A blocking job is to run: the key of its task.
    Run(usize),
    /// Something happens on the network.
    #[cfg(feature = "net")]
    Network,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Instant, alarm: Alarm) -> (Instant, u64) {
        let key = (at, self.armed);
        self.armed += 1;
        self.alarms.insert(key, alarm);
        key
    }

    #[cfg(feature = "net")]
    pub(crate) fn remove(&mut self, key: &(Instant, u64)) -> Option<Alarm> {
        self.alarms.remove(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    fn earliest(&self) -> Option<Instant> {
        self.alarms.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes out all alarms of the earliest instant, if that is not after `now`: those of trees apart, to come last.
    fn take_due(&mut self, now: Instant) -> [VecDeque<(u64, Alarm)>; 2] {
        let earliest = self.earliest().filter(|at| *at <= now);
        let (mut due, mut of_trees) = (VecDeque::new(), VecDeque::new());
        while let Some(entry) = self.alarms.first_entry().filter(|entry| Some(entry.key().0) == earliest) {
            let ((_, number), alarm) = entry.remove_entry();
            let batch = if matches!(alarm, Alarm::Tree(..)) { &mut of_trees } else { &mut due };
            batch.push_back((number, alarm));
        }
        [due, of_trees]
    }
}

impl State {
    /// Goes on to what comes next when nothing is runnable; what is to be woken then is put into `due`. False if nothing
    /// comes.
    pub(crate) fn advance(&mut self, config: &Builder, due: &mut Vec<Waker>) -> Result<bool, Stuck> {
        let timer = self.timers.earliest().filter(|_| self.autojump);
        let cushion = self.waiters.first_key_value().map(|((cushion, _), _)| *cushion);
        // On a clock that stands nothing can flicker, so a cushion has passed as soon as everything is blocked.
        let quiet = cushion.map(|cushion| if self.autojump { self.active_at + cushion } else { self.now });
        let Some(next) = timer.into_iter().chain(quiet).min() else { return Ok(false) };
        if next - config.start > config.time_limit {
            return Err(Stuck::Time);
        }
        if quiet == Some(next) {
            // Before the timers of this instant: the clock does not pass a waiter.
            self.set_now(next);
            while let Some(entry) = self.waiters.first_entry().filter(|entry| Some(entry.key().0) == cushion) {
                due.push(entry.remove());
            }
        } else {
            self.move_to(next, due);
        }
        Ok(true)
    }

    /// Sets the clock to `at`, which is not in the past, and fires what is due.
    pub(crate) fn move_to(&mut self, at: Instant, due: &mut Vec<Waker>) {
        self.set_now(at);
        loop {
            let batches = self.timers.take_due(at);
            if batches.iter().all(VecDeque::is_empty) {
                break;
            }
            for mut batch in batches {
                while !batch.is_empty() {
                    let (timer, alarm) = self.choices.pick_event(&mut batch);
                    match alarm {
                        // Events of the network record themselves.
                        #[cfg(feature = "net")]
                        Alarm::Network => {
                            self.network_is_due(due);
                            continue;
                        }
                        Alarm::Wake(waker, _) | Alarm::Tree(waker, _) => due.push(waker),
                        Alarm::Run(key) => self.make_runnable(key),
                    }
                    self.recorder.add(at, Event::Fire(timer));
                }
            }
        }
    }

    /// Lets the clock pass to `at` in the middle of a step, unless something comes before. Where nothing ever will, it
    /// counts as a step, so that it comes to an end.
    pub(crate) fn pass_to(&mut self, at: Instant, config: &Builder) -> bool {
        let next = self.timers.earliest();
        let alone = self.autojump && self.ready.is_empty() && self.waiters.is_empty();
        let allowed = at - config.start <= config.time_limit && self.steps < config.step_limit;
        if !(alone && allowed && next.is_none_or(|next| next > at)) {
            return false;
        }
        self.steps += u64::from(next.is_none());
        (self.now, self.active_at) = (at, at);
        true
    }

    fn set_now(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.recorder.add(at, Event::Jump);
        }
    }
}

/// A timer of the simulation.
pub(crate) struct SimTimer {
    sim: Sim,
    alarm: fn(Waker, usize) -> Alarm,
    /// How late it may fire.
    lateness: Duration,
    armed: Option<(Instant, u64)>,
}

impl SimTimer {
    pub(crate) fn new(sim: Sim) -> Self {
        SimTimer { sim, alarm: Alarm::Wake, lateness: Duration::ZERO, armed: None }
    }

    /// The timer of a tree.
    pub(crate) fn of_tree(sim: Sim) -> Self {
        let lateness = sim.config().lateness;
        SimTimer { sim, alarm: Alarm::Tree, lateness, armed: None }
    }
}

impl Timer for SimTimer {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        self.disarm();
        if at == Instant::NEVER {
            return;
        }
        let waker = waker.clone();
        let mut state = self.sim.lock();
        if at <= state.now {
            drop(state);
            waker.wake();
        } else if !state.over {
            let at = at + state.choices.time_up_to(self.lateness);
            self.armed = Some(state.timers.insert(at, (self.alarm)(waker, self.sim.group)));
            self.sim.changed(state);
        }
    }

    fn disarm(&mut self) {
        let Some(key) = self.armed.take() else { return };
        let alarm = self.sim.lock().timers.alarms.remove(&key);
        // Dropped here, outside the lock: it holds a waker.
        drop(alarm);
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.disarm();
    }
}
