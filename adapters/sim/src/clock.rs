//! Virtual time: it stands still while a task is runnable, and jumps to what comes next when none is.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::task::Waker;
use std::time::Duration;

use foster::Instant;
use foster::runtime::Timer;

use crate::builder::Builder;
use crate::executor::{Sim, State};
use crate::stuck::Stuck;
use crate::trace::Event;

/// The clock of the simulation that runs on this thread.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
#[must_use]
#[track_caller]
pub fn clock() -> Clock {
    Clock { sim: Sim::current("clock") }
}

/// Reads and moves virtual time.
///
/// By default the clock jumps by itself ("autojump"): when every task is blocked, straight to the next timer. It never
/// passes a blocking job that has not ended, nor a task that waits for quiescence. A manual clock moves only through
/// this handle. There is no clock that runs at some rate of real time: it would make the run depend on the machine.
///
/// # Examples
///
/// A manual clock is moved by a task of the test, when the others are blocked:
///
/// ```
/// use foster_sim::{Builder, clock, wait_all_tasks_blocked};
/// use std::time::Duration;
///
/// Builder::new(0).manual_clock().run(async {
///     let minute = Duration::from_secs(60);
///     let Ok(()) = foster::nursery(async |n: foster::Nursery| {
///         n.spawn(async move { foster::sleep(minute).await });
///         wait_all_tasks_blocked().await;
///         clock().jump(minute);
///     })
///     .await;
///     assert_eq!(clock().elapsed(), minute);
/// });
/// ```
#[derive(Clone)]
pub struct Clock {
    sim: Sim,
}

impl Clock {
    /// The present virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.sim.lock().now
    }

    /// The virtual time since the start of the run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now() - self.sim.config().start
    }

    /// Moves the clock forward, and fires the timers that are due then, earliest first.
    ///
    /// Tasks run only after the jump: each of them sees the new time.
    pub fn jump(&self, by: Duration) {
        let target = self.now() + by;
        // A clock never goes back by jumping forward, so there is no error to hand on.
        let _forward = self.jump_to(target);
    }

    /// Moves the clock to `at`, and fires the timers that are due then, earliest first.
    ///
    /// # Errors
    ///
    /// `at` is in the past: the clock stays.
    pub fn jump_to(&self, at: Instant) -> Result<(), BackwardsError> {
        let mut due = Vec::new();
        let mut state = self.sim.lock();
        if at < state.now {
            return Err(BackwardsError { now: state.now, at });
        }
        state.move_to(at, &mut due);
        self.sim.changed(state);
        due.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Whether the clock jumps by itself when every task is blocked.
    #[must_use]
    pub fn autojump(&self) -> bool {
        self.sim.lock().autojump
    }

    /// Lets the clock jump by itself, or stops it from doing so, from now on.
    pub fn set_autojump(&self, autojump: bool) {
        let mut state = self.sim.lock();
        state.autojump = autojump;
        self.sim.changed(state);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).field("autojump", &self.autojump()).finish_non_exhaustive()
    }
}

/// A clock was told to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackwardsError {
    /// The time of the clock.
    pub now: Instant,
    /// The time it was to go to.
    pub at: Instant,
}

impl fmt::Display for BackwardsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock cannot go back by {:?}", self.now - self.at)
    }
}

impl std::error::Error for BackwardsError {}

/// What is to happen at later times.
#[derive(Default)]
pub(crate) struct Timers {
    /// By time, then by the number of the arming.
    alarms: BTreeMap<(Instant, u64), Alarm>,
    armed: u64,
}

pub(crate) enum Alarm {
    Wake(Waker),
    /// A blocking job is to run: the key of its task.
    Run(usize),
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Instant, alarm: Alarm) -> (Instant, u64) {
        let key = (at, self.armed);
        self.armed += 1;
        self.alarms.insert(key, alarm);
        key
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    fn earliest(&self) -> Option<Instant> {
        self.alarms.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes out all alarms of the earliest instant, if that is not after `now`.
    fn take_due(&mut self, now: Instant) -> VecDeque<(u64, Alarm)> {
        let earliest = self.earliest().filter(|at| *at <= now);
        let mut due = VecDeque::new();
        while let Some(entry) = self.alarms.first_entry().filter(|entry| Some(entry.key().0) == earliest) {
            let ((_, number), alarm) = entry.remove_entry();
            due.push_back((number, alarm));
        }
        due
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
    fn move_to(&mut self, at: Instant, due: &mut Vec<Waker>) {
        self.set_now(at);
        loop {
            let mut batch = self.timers.take_due(at);
            if batch.is_empty() {
                break;
            }
            while !batch.is_empty() {
                let (timer, alarm) = self.choices.pick_event(&mut batch);
                self.recorder.add(at, Event::Fire(timer));
                match alarm {
                    Alarm::Wake(waker) => due.push(waker),
                    Alarm::Run(key) => self.make_runnable(key),
                }
            }
        }
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
    armed: Option<(Instant, u64)>,
}

impl SimTimer {
    pub(crate) fn new(sim: Sim) -> Self {
        SimTimer { sim, armed: None }
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
            self.armed = Some(state.timers.insert(at, Alarm::Wake(waker)));
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
