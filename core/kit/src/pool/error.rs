//! Why there is no resource.

use std::error::Error;
use std::fmt;
use std::io;

use foster_core::Elapsed;

/// Why a use of a [`Pool`](super::Pool) got no resource, or was cut short by the pool.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError<E> {
    /// None could be opened. Also if the pool was closed meanwhile: no error is lost (law L35), and
    /// [`is_closed`](super::Pool::is_closed) tells whether it may be due to that.
    Open(E),
    /// It took longer than [`acquire_timeout`](super::PoolOptions::acquire_timeout), whose call is the
    /// [location](Elapsed::location).
    Timeout(Elapsed),
    /// Too many are waiting already.
    Busy,
    /// The pool is closed; or it was closed during the use, and the grace is over.
    Closed,
}

impl<E> fmt::Display for PoolError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolError::Open(_) => "a resource of the pool could not be opened",
            PoolError::Timeout(_) => "no resource of the pool was to be had in time",
            PoolError::Busy => "too many wait for the pool",
            PoolError::Closed => "the pool is closed",
        })
    }
}

impl<E: Error + 'static> Error for PoolError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PoolError::Open(error) => Some(error),
            PoolError::Timeout(elapsed) => Some(elapsed),
            PoolError::Busy | PoolError::Closed => None,
        }
    }
}

impl From<PoolError<io::Error>> for io::Error {
    fn from(error: PoolError<io::Error>) -> Self {
        match error {
            PoolError::Open(error) => error,
            PoolError::Timeout(_) => io::Error::new(io::ErrorKind::TimedOut, error),
            PoolError::Busy => io::Error::new(io::ErrorKind::WouldBlock, error),
            PoolError::Closed => io::Error::new(io::ErrorKind::NotConnected, error),
        }
    }
}
