//! How an app ended.

use std::convert::Infallible;
use std::fmt;
use std::process::{ExitCode, Termination};

use super::Signal;
use foster_core::observer::{Dump, ScopeState};
use foster_core::scope::Origin;

/// The cause of an app's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCause {
    /// Its body has returned by itself.
    Finished,
    /// This signal asked it to stop, and all had ended within the grace; or there was no grace, and no graceful work that
    /// was cut off, however long the finalizers took.
    Stopped(Signal),
    /// This signal asked it to stop, and the grace was over before all had ended: graceful work was cut off, or something
    /// that a stop does not cut went on beyond the grace, such as a finalizer, a shield or a thread. Without a grace,
    /// graceful work was cut off.
    CutOff(Signal),
    /// A second signal, this one, came within the grace, before all had ended: graceful work was cut off, or something that
    /// a stop does not cut was still going on, such as a finalizer, a shield or a thread.
    Forced(Signal),
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitCause::Finished => f.write_str("finished"),
            ExitCause::Stopped(signal) => write!(f, "stopped by {signal}"),
            ExitCause::CutOff(signal) => write!(f, "stopped by {signal}, cut off at the end of the grace"),
            ExitCause::Forced(signal) => write!(f, "cut off by a second signal, {signal}"),
        }
    }
}

/// The result of [`app`](super::app): the value of the body, how it came to its end, and an exit code that tells which
/// it was.
///
/// Returned from `main` it ends the process with that code, and prints an error of the body to standard error.
///
/// | cause | [code](ExitReport::code) |
/// |---|---|
/// | the body has returned an error, whatever was asked meanwhile | 1 |
/// | finished; stopped within the grace, as service managers expect it | 0 |
/// | the grace was over before all had ended, or without one graceful work was cut off | 124, which `timeout(1)` of GNU coreutils gives when the time is over |
/// | a second signal came within the grace, before all had ended | 128 + its number, as a shell reports a process that a signal has ended; 130 for one without |
#[derive(Debug)]
#[must_use = "it has the exit code"]
pub struct ExitReport<T> {
    value: Option<T>,
    cause: ExitCause,
    stragglers: Vec<Straggler>,
}

impl<T> ExitReport<T> {
    pub(super) fn new(value: Option<T>, cause: ExitCause, stragglers: Vec<Straggler>) -> Self {
        ExitReport { value, cause, stragglers }
    }

    /// Returns the value that the body has returned, if it has: also a body that was asked to stop may, such as a
    /// graceful one.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// As [`value`](ExitReport::value), by value.
    pub fn into_value(self) -> Option<T> {
        self.value
    }

    /// Returns the cause of its end.
    pub fn cause(&self) -> &ExitCause {
        &self.cause
    }

    /// Returns all that was late, and was reported for it. It has ended since.
    pub fn stragglers(&self) -> &[Straggler] {
        &self.stragglers
    }

    /// The exit code, if the body did not fail.
    #[must_use]
    pub fn code(&self) -> u8 {
        match &self.cause {
            ExitCause::Finished | ExitCause::Stopped(_) => 0,
            ExitCause::CutOff(_) => 124,
            ExitCause::Forced(signal) => signal.number().map_or(130, |number| 128_u8.saturating_add(number)),
        }
    }
}

impl Termination for ExitReport<()> {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl Termination for ExitReport<Infallible> {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl<E: fmt::Debug> Termination for ExitReport<Result<(), E>> {
    fn report(self) -> ExitCode {
        match &self.value {
            Some(Err(error)) => {
                eprintln!("Error: {error:?}");
                ExitCode::FAILURE
            }
            _ => ExitCode::from(self.code()),
        }
    }
}

/// Something that had not ended when the time was over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Straggler {
    /// Its kind: `"thread"`, `"shield"`, `"finalizer"`, `"task"` and so on.
    pub kind: &'static str,
    /// Its name, and where it was made.
    pub origin: Origin,
    /// The task that it belongs to, and where that was spawned; none for what stands directly in the root.
    pub task: Option<Origin>,
    /// How far it has come.
    pub state: ScopeState,
}

impl Straggler {
    /// The innermost of what lives: the others wait for it.
    pub(super) fn all(dump: &Dump) -> Vec<Straggler> {
        let late = dump.leaves().map(|scope| Straggler {
            kind: scope.kind,
            origin: scope.origin.clone(),
            task: dump.task_of(scope).map(|task| task.origin.clone()),
            state: scope.state,
        });
        late.collect()
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.origin)?;
        if let Some(task) = self.task.as_ref().filter(|_| self.kind != "task") {
            write!(f, ", in task {task}")?;
        }
        match self.state {
            ScopeState::Finalizing => f.write_str(", runs finalizers"),
            _ => Ok(()),
        }
    }
}
