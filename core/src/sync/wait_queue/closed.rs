//! The error of a closed queue: by which task, where and with which text it was closed.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::reason::Origin;
use crate::tree::current;

/// The queue was closed: nobody is left to unpark those who wait there.
#[derive(Clone)]
pub struct Closed(Arc<Closer>);

struct Closer {
    text: Cow<'static, str>,
    task: Option<Origin>,
    location: &'static Location<'static>,
}

impl Closed {
    #[track_caller]
    pub(in crate::sync) fn new(text: Cow<'static, str>) -> Self {
        Closed(Arc::new(Closer { text, task: current::task_origin(), location: Location::caller() }))
    }

    /// Returns the text with which it was closed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Returns the task that closed it; none if it was done outside of any.
    #[must_use]
    pub fn task(&self) -> Option<&Origin> {
        self.0.task.as_ref()
    }

    /// Returns where it was closed.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed")?;
        if let Some(task) = &self.0.task {
            write!(f, " by {task}")?;
        }
        write!(f, ": {} (at {})", self.0.text, self.0.location)
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closed({self})")
    }
}

impl std::error::Error for Closed {}
