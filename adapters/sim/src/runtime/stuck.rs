//! Why a run cannot go on, and what to tell whoever has to find out.

use std::fmt;

/// A run that cannot go on.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// Nothing is runnable, and nothing will be.
    Deadlock,
    /// As `Deadlock`, but there are timers, on a clock that does not move by itself.
    ClockStands,
    /// A task that is runnable again whenever its poll ends.
    Restless(String),
    Steps,
    Time,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stuck::Deadlock => f.write_str(
                "deadlock: no task is runnable, no timer is armed, no blocking job is outstanding. Usual causes: a receiver \
                 whose own task, or a task that waits for it, keeps a sender; two locks taken in both orders; a hand-written \
                 future that returns `Pending` without having stored the waker, or that is dropped with a wake-up it does not \
                 pass on; a thread of your own that would wake a task \
                 later (see `Builder::real_threads`)",
            ),
            Stuck::ClockStands => f.write_str(
                "deadlock: no task is runnable, and the timers that are armed wait for a manual clock. Usual causes: the task \
                 that moves the clock has ended or waits itself; `Clock::set_autojump(false)` without a `jump`",
            ),
            Stuck::Restless(task) => write!(
                f,
                "{task} does not block: whenever its poll ended it was runnable again. Usual causes: a loop that yields until \
                 something has happened, or until it is late enough (virtual time stands still while a task is runnable: \
                 sleep instead); a future that wakes itself each time it is polled; a loop of operations that are always \
                 ready. If it is legitimate, raise `Builder::poll_budget`"
            ),
            Stuck::Steps => f.write_str(
                "the run reached its step limit. Usual causes: tasks that wake each other for ever while time stands still; \
                 a periodic task that nobody stops; a `to_thread` closure that asks `is_cancelled()` where nothing cancels it. \
                 If it is legitimate, raise `Builder::step_limit`",
            ),
            Stuck::Time => f.write_str(
                "the run reached its limit of virtual time. Usual causes: a periodic task that nobody stops; a wait without \
                 end beside one. If it is legitimate, raise `Builder::time_limit`",
            ),
        }
    }
}
