//! Why a scope was asked to stop.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::Instant;

/// The kind of event that asked a scope to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// Somebody called `cancel` on a handle.
    Explicit,
    /// The scope's deadline passed.
    Deadline,
    /// A child of the fail-fast nursery failed.
    ChildFailed,
    /// The body of the nursery failed.
    BodyFailed,
    /// The body, a child or adopted work panicked.
    Panicked,
    /// The future that drove the scope was dropped by foreign code, or leaked.
    Abandoned,
    /// Only daemons were left in the nursery.
    OnlyDaemonsLeft,
    /// The future that hosts the whole tree was dropped.
    HostDropped,
}

/// The reason of a cancellation: its kind, a text, where it was asked for, and the task that caused it.
///
/// The first request on a scope stands, and its reason with it (law L6). Cloning is cheap.
///
/// # Examples
///
/// ```
/// use foster::scope::{Reason, ReasonKind};
///
/// let reason = Reason::from("no longer needed");
/// assert_eq!(reason.kind(), ReasonKind::Explicit);
/// assert_eq!(reason.text(), Some("no longer needed"));
/// assert!(reason.location().unwrap().file().ends_with(".rs"));
/// ```
#[derive(Clone)]
pub struct Reason(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ReasonKind,
    text: Option<Cow<'static, str>>,
    location: Option<&'static Location<'static>>,
    task: Option<Origin>,
    at: Option<Instant>,
    /// Whether it is the reason of a `cancel`, maybe handed on from another scope's deadline.
    explicit: bool,
}

impl Reason {
    pub(crate) fn new(kind: ReasonKind) -> Self {
        let explicit = kind == ReasonKind::Explicit;
        Reason(Arc::new(Inner { kind, text: None, location: None, task: None, at: None, explicit }))
    }

    /// Adds what is known; other clones of the reason stay as they are.
    fn edit(mut self, edit: impl FnOnce(&mut Inner)) -> Self {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn with_task(self, task: Origin) -> Self {
        self.edit(|inner| inner.task = Some(task))
    }

    pub(crate) fn with_text(self, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        self.edit(|inner| inner.text = Some(text))
    }

    pub(crate) fn with_location(self, location: &'static Location<'static>) -> Self {
        self.edit(|inner| inner.location = Some(location))
    }

    /// Makes it the reason of a `cancel`, whatever kind of event it names.
    pub(crate) fn made_explicit(self) -> Self {
        if self.0.explicit { self } else { self.edit(|inner| inner.explicit = true) }
    }

    /// Returns whether the request with this reason was made by a `cancel`.
    pub(crate) fn is_explicit(&self) -> bool {
        self.0.explicit
    }

    pub(crate) fn with_deadline(self, at: Instant) -> Self {
        self.edit(|inner| inner.at = Some(at))
    }

    /// Returns what kind of event it was.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        self.0.kind
    }

    /// The text given to `cancel`; for failures the failure as `Debug` prints it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.0.text.as_deref()
    }

    /// Where `cancel` was called, or where the scope with the deadline was made.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// The task that asked for it (an explicit cancel) or that caused it by failing; `None` for the body of the scope.
    #[must_use]
    pub fn task(&self) -> Option<&Origin> {
        self.0.task.as_ref()
    }

    /// The deadline that passed, on the runtime's clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.at
    }
}

impl From<&'static str> for Reason {
    #[track_caller]
    fn from(text: &'static str) -> Self {
        Reason::new(ReasonKind::Explicit).with_text(text).with_location(Location::caller())
    }
}

impl From<String> for Reason {
    #[track_caller]
    fn from(text: String) -> Self {
        Reason::new(ReasonKind::Explicit).with_text(text).with_location(Location::caller())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            ReasonKind::Explicit => "cancelled",
            ReasonKind::Deadline => "deadline passed",
            ReasonKind::ChildFailed => "a child failed",
            ReasonKind::BodyFailed => "the body failed",
            ReasonKind::Panicked => "a panic",
            ReasonKind::Abandoned => "its future was dropped",
            ReasonKind::OnlyDaemonsLeft => "only daemons were left",
            ReasonKind::HostDropped => "the host of the tree was dropped",
        })?;
        if let Some(task) = &self.0.task {
            write!(f, " by {task}")?;
        }
        if let Some(text) = &self.0.text {
            write!(f, ": {text}")?;
        }
        if let Some(location) = self.0.location {
            write!(f, " (at {location})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({self})")
    }
}

/// The name and source location of a task or scope.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    name: Name,
    location: &'static Location<'static>,
}

/// A name as the user has given it, or the compiler. Each scope has one, so a `Cow`, which is larger, would be felt: in the
/// bar of a waiting child, in `tests/bench`.
#[derive(Clone)]
enum Name {
    Static(&'static str),
    Made(Arc<String>),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Name::Static(name) => name,
            Name::Made(name) => name,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl Origin {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, location: &'static Location<'static>) -> Self {
        let name = match name.into() {
            Cow::Borrowed(name) => Name::Static(name),
            Cow::Owned(name) => Name::Made(Arc::new(name)),
        };
        Origin { name, location }
    }

    pub(crate) fn into_parts(self) -> (Cow<'static, str>, &'static Location<'static>) {
        let name = match self.name {
            Name::Static(name) => name.into(),
            Name::Made(name) => Arc::unwrap_or_clone(name).into(),
        };
        (name, self.location)
    }

    /// Returns the name it was given; by default the construct's name, or for a task the path of the function that its
    /// future was written in.
    #[must_use]
    pub fn name(&self) -> &str {
        // The type of a future is named after the function around it, with a part like this for each `async` and each
        // closure between.
        let mut name = self.name.as_str();
        while let Some(outer) = name.strip_suffix("::{{closure}}") {
            name = outer;
        }
        name
    }

    /// Where it was spawned or made.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name(), self.location)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
