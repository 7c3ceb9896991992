//! The events of a supervisor.

use std::any::Any;
use std::fmt::{self, Debug};
use std::panic::Location;
use std::time::Duration;

/// How one life of a supervised child ended.
pub enum ChildExit<E> {
    /// It has returned.
    Returned,
    /// It has failed.
    Failed(E),
    /// It has panicked; the process's panic hook has reported it.
    Panicked(Box<dyn Any + Send>),
    /// The supervisor has stopped it, because another one is started again. It will be, too, unless its policy is
    /// [`Never`](super::Restart::Never).
    Stopped,
}

impl<E> ChildExit<E> {
    /// Whether it has failed or panicked.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, ChildExit::Failed(_) | ChildExit::Panicked(_))
    }
}

impl<E: Debug> fmt::Display for ChildExit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildExit::Returned => f.write_str("has returned"),
            ChildExit::Failed(error) => write!(f, "has failed: {error:?}"),
            ChildExit::Panicked(payload) => match text(&**payload) {
                Some(text) => write!(f, "has panicked: {text}"),
                None => f.write_str("has panicked"),
            },
            ChildExit::Stopped => f.write_str("was stopped, because another one is started again"),
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl<E: Debug> Debug for ChildExit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildExit({self})")
    }
}

/// An event in a supervisor; given to its observer.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorEvent<'a, E> {
    /// A life of a child begins, after this delay.
    Started {
        /// Its name.
        child: &'a str,
        /// Which one it is; the first is 1.
        lives: u64,
        /// How long the restart is held back.
        delay: Duration,
    },
    /// A life of a child has ended.
    Ended {
        /// Its name.
        child: &'a str,
        /// Where it was added.
        location: &'static Location<'static>,
        /// How.
        exit: &'a ChildExit<E>,
    },
}

impl<E: Debug> fmt::Display for SupervisorEvent<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SupervisorEvent::Started { child, lives, delay } => {
                write!(f, "`{child}` begins life {lives}, in {delay:?}")
            }
            SupervisorEvent::Ended { child, location, exit } => write!(f, "`{child}` ({location}) {exit}"),
        }
    }
}

/// A supervisor has given up: a child was to be started again once too often.
#[derive(Debug)]
pub struct TooManyRestarts<E> {
    child: String,
    exit: ChildExit<E>,
    restarts: usize,
}

impl<E> TooManyRestarts<E> {
    pub(super) fn new(child: String, exit: ChildExit<E>, restarts: usize) -> Self {
        TooManyRestarts { child, exit, restarts }
    }

    /// The child that ended last.
    #[must_use]
    pub fn child(&self) -> &str {
        &self.child
    }

    /// How it ended.
    #[must_use]
    pub fn exit(&self) -> &ChildExit<E> {
        &self.exit
    }

    /// As [`exit`](TooManyRestarts::exit), by value: to return the error, or to resume the panic.
    #[must_use]
    pub fn into_exit(self) -> ChildExit<E> {
        self.exit
    }

    /// How many restarts of all children there had been within the period.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.restarts
    }
}

impl<E: Debug> fmt::Display for TooManyRestarts<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the supervisor has given up after {} restarts: `{}` {}", self.restarts, self.child, self.exit)
    }
}

impl<E: Debug> std::error::Error for TooManyRestarts<E> {}
