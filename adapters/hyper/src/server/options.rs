//! How connections are served.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};

use crate::executor::Executor;
use crate::timer::Timer;

/// How [`serve`](crate::serve()) and [`serve_connection`](crate::serve_connection) speak HTTP. Clones are cheap.
///
/// # Examples
///
/// ```
/// use foster_hyper::HttpOptions;
/// use std::time::Duration;
///
/// let options = HttpOptions::new()
///     .header_timeout(Duration::from_secs(10))
///     .write_timeout(Duration::from_secs(10))
///     .http1(|builder| {
///         builder.max_headers(50);
///     })
///     .http2(|builder| {
///         builder.keep_alive_interval(Duration::from_secs(20));
///     });
/// # drop(options);
/// ```
#[derive(Clone)]
#[must_use = "options do nothing unless a server has them"]
pub struct HttpOptions {
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) http1: http1::Builder,
    pub(super) http2: Arc<dyn Fn(&mut http2::Builder<Executor>) + Send + Sync>,
}

/// As long as hyper's own.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// As long as that for a head: a client that reads takes something far more often.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl HttpOptions {
    /// Starts with what hyper has where nothing else is said, the clock of the tree, and timeouts of 30 s for
    /// heads and for writes.
    pub fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(Timer);
        let http2 = Arc::new(|_: &mut http2::Builder<Executor>| {});
        HttpOptions { header_timeout: HEADER_TIMEOUT, write_timeout: WRITE_TIMEOUT, http1, http2 }
            .header_timeout(HEADER_TIMEOUT)
    }

    /// Sets how long a client may take to say which version it speaks, which takes one byte of most; and again, with
    /// HTTP/1, how long it may take for the head of each request. An HTTP/1 connection that waits for the next request
    /// is closed then, too. (An HTTP/2 connection that has begun is closed by
    /// [`keep_alive_interval`](http2::Builder::keep_alive_interval), if it does not answer pings.) [`Duration::MAX`] is
    /// no limit.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self.http1(|builder| {
            builder.header_read_timeout((timeout != Duration::MAX).then_some(timeout));
        })
    }

    /// Sets how long a write may make no progress: then the connection is closed with
    /// [`ConnectionError::WriteTimeout`](crate::ConnectionError::WriteTimeout), and what it was answering is dropped. A
    /// client that takes what is written, however slowly, is not closed. [`Duration::MAX`] is no limit: a client that
    /// does not read then holds its connection, and its place of a [`limit`](foster_net::ServeOptions::limit), as long as
    /// it likes. There is a timer only while a write waits.
    ///
    /// With HTTP/2 it is for the connection as a whole. A client that reads, and does not give the stream of a response a
    /// window, makes no write wait, and is not closed by this; a server for strangers by HTTP/2 limits how long a
    /// connection may last, with [`fail_after`](foster::fail_after) around
    /// [`serve_connection`](crate::serve_connection).
    ///
    /// Upgraded connections (websockets, `CONNECT` of HTTP/1) have no limit from the upgrade on: what is normal there is
    /// known to the code that serves them. A stream that holds back what is written, as TLS does, makes progress when its
    /// write or flush is done.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Changes the settings of HTTP/1.
    pub fn http1(mut self, set: impl FnOnce(&mut http1::Builder)) -> Self {
        set(&mut self.http1);
        self
    }

    /// Changes the settings of HTTP/2; `set` is called for each connection, instead of what was here before.
    pub fn http2(mut self, set: impl Fn(&mut http2::Builder<Executor>) + Send + Sync + 'static) -> Self {
        self.http2 = Arc::new(set);
        self
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = f.debug_struct("HttpOptions");
        options.field("header_timeout", &self.header_timeout).field("write_timeout", &self.write_timeout);
        options.field("http1", &self.http1).finish_non_exhaustive()
    }
}
