//! How a server behaves, and what it has to tell.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use foster_core::observer::{OrphanKind, report};

use crate::address::Address;

/// How [`serve`](crate::serve()) behaves.
///
/// # Examples
///
/// ```
/// use foster_net::{Incident, ServeOptions};
/// use std::io;
/// use std::time::Duration;
///
/// let options: ServeOptions<io::Error> = ServeOptions::new()
///     .limit(1000)
///     .pause(Duration::from_millis(500))
///     .on_incident(|incident| match incident {
///         Incident::Handler { peer, error, .. } => eprintln!("{peer:?}: {error}"),
///         other => eprintln!("{other:?}"),
///     });
/// # drop(options);
/// ```
#[must_use = "options do nothing unless a server has them"]
pub struct ServeOptions<E> {
    pub(super) limit: Option<usize>,
    pub(super) pause: Duration,
    pub(super) fails_fast: bool,
    on_incident: Arc<dyn Fn(Incident<E>) + Send + Sync>,
}

/// How long a server pauses when there is no room for another connection, if nothing else is said.
const PAUSE: Duration = Duration::from_millis(100);

impl<E: fmt::Debug> ServeOptions<E> {
    /// Starts without a limit, with a pause of 100 ms; incidents go to the
    /// [`Observer`](foster_core::observer::Observer) of the tree.
    pub fn new() -> Self {
        let to_observer = |incident: Incident<E>| report(&incident, OrphanKind::Incident);
        ServeOptions { limit: None, pause: PAUSE, fails_fast: false, on_incident: Arc::new(to_observer) }
    }
}

impl<E> ServeOptions<E> {
    /// Sets how many connections are handled at once. While there are so many, none is accepted.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(limit > 0, "a server that handles 0 connections at once never accepts one");
        self.limit = Some(limit);
        self
    }

    /// Sets how long it waits before it accepts again, when there was no room for another connection.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Makes the first error of a handler the end of the server.
    pub fn fail_fast(mut self) -> Self {
        self.fails_fast = true;
        self
    }

    /// Hands what happens beside the accepted connections to `tell`, instead of to the observer. It should be quick:
    /// the server waits for it.
    pub fn on_incident(mut self, tell: impl Fn(Incident<E>) + Send + Sync + 'static) -> Self {
        self.on_incident = Arc::new(tell);
        self
    }

    pub(super) fn tell(&self, incident: Incident<E>) {
        (self.on_incident)(incident);
    }
}

impl<E: fmt::Debug> Default for ServeOptions<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for ServeOptions<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions").field("limit", &self.limit).field("pause", &self.pause).finish_non_exhaustive()
    }
}

/// An event in a server that goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incident<E> {
    /// There was no room for another connection.
    #[non_exhaustive]
    Accept {
        /// The error of the host.
        error: io::Error,
        /// How long the server waits now.
        pause: Duration,
    },
    /// A handler has failed.
    #[non_exhaustive]
    Handler {
        /// The other end of the connection.
        peer: Address,
        /// The error.
        error: E,
    },
}

/// Why a server has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError<E> {
    /// The listener failed.
    Accept(io::Error),
    /// A handler failed, and the server was to fail fast.
    Handler(E),
}

impl<E> fmt::Display for ServeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServeError::Accept(_) => "the server cannot accept connections any more",
            ServeError::Handler(_) => "a handler of the server has failed",
        })
    }
}

impl<E: Error + 'static> Error for ServeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ServeError::Accept(error) => Some(error),
            ServeError::Handler(error) => Some(error),
        }
    }
}
