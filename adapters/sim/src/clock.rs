//! The handle to the clock: reads virtual time, and moves it.

use std::fmt;
use std::task::Waker;
use std::time::Duration;

use foster::Instant;

use crate::runtime::Sim;

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
