//! How a pool opens, checks, resets and closes its resources.

use std::future::{Future, ready};

use foster_core::cleanup::BracketExit;

/// How the resources of a [`Pool`](super::Pool) are opened, checked, cleaned and closed.
///
/// A closure that opens one is enough: `Pool::new(10, || connect("db"))`. Then resources count as alive as long as they
/// are young, only a use that has returned `Ok` leaves them clean, and closing is dropping. Where that is not enough,
/// implement it for a type of your own.
///
/// # Examples
///
/// ```
/// use foster::cleanup::BracketExit;
/// use foster::pool::{Manage, Pool};
/// use std::io;
///
/// struct Database;
///
/// # struct Connection { broken: bool, dirty: bool }
/// impl Manage for Database {
///     type Resource = Connection;
///     type Error = io::Error;
///
///     async fn open(&self) -> io::Result<Connection> {
///         Ok(Connection { broken: false, dirty: false }) // connect
///     }
///
///     async fn is_alive(&self, connection: &mut Connection) -> bool {
///         !connection.broken // ping
///     }
///
///     async fn reset(&self, connection: &mut Connection, exit: &BracketExit) -> bool {
///         // Rolls back after an error of the program; a connection that was cut in the middle of something is not trusted.
///         connection.dirty = false;
///         matches!(exit, BracketExit::Returned | BracketExit::Failed)
///     }
///
///     async fn close(&self, _connection: Connection) {
///         // say good-bye
///     }
/// }
///
/// # foster_sim::run(1, async {
/// let pool = Pool::new(5, Database);
/// let out: io::Result<()> = pool.run(async |mut connection| {
///     connection.dirty = true;
///     Err(io::Error::other("no such table"))
/// })
/// .await;
/// assert!(out.is_err());
/// assert_eq!(pool.statistics().idle, 1);
/// # });
/// ```
pub trait Manage: Send + Sync + 'static {
    /// The resource.
    type Resource: Send + 'static;

    /// Why one cannot be opened.
    type Error: Send + 'static;

    /// Opens one. If it is cancelled half-way, it cleans up by itself.
    fn open(&self) -> impl Future<Output = Result<Self::Resource, Self::Error>> + Send;

    /// Whether an idle resource can be used; asked before each use. One that is not is [closed](Manage::close), and the
    /// next one tried, or another opened.
    fn is_alive(&self, resource: &mut Self::Resource) -> impl Future<Output = bool> + Send {
        let _ = resource;
        ready(true)
    }

    /// Cleans a resource after a use that has ended so; says whether it can be used again. By default if the use has
    /// returned `Ok`.
    ///
    /// Runs in the release of the use: shielded, within its budget. Cut short there, the resource is dropped.
    fn reset(&self, resource: &mut Self::Resource, exit: &BracketExit) -> impl Future<Output = bool> + Send {
        let _ = resource;
        ready(exit.is_success())
    }

    /// Closes a resource. By default drops it.
    ///
    /// It cannot wait for [`Pool::close`](super::Pool::close), which waits for this.
    fn close(&self, resource: Self::Resource) -> impl Future<Output = ()> + Send {
        drop(resource);
        ready(())
    }
}

impl<F, Fut, R, E> Manage for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send,
    R: Send + 'static,
    E: Send + 'static,
{
    type Resource = R;
    type Error = E;

    fn open(&self) -> impl Future<Output = Result<R, E>> + Send {
        self()
    }
}
