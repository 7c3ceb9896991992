//! SQLite for async code: connections that live on threads, a pool of them, and transactions.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foster::cleanup::{BracketExit, try_bracket};
use foster::pool::{Manage, Pool, PoolOptions, PoolStatistics};
use foster::sync::Mutex;
use foster::thread::Unblock;
use foster::to_thread;
use rusqlite::Connection;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A connection. A call on it runs on a thread that may block; once begun it is waited for, and its value stands, even
/// in code that is cancelled.
pub(crate) type Session = Unblock<Connection>;

/// How the pool opens, checks, cleans and closes its connections.
struct File(PathBuf);

impl Manage for File {
    type Resource = Session;
    type Error = rusqlite::Error;

    async fn open(&self) -> rusqlite::Result<Session> {
        let path = self.0.clone();
        to_thread(move || {
            let connection = Connection::open(path)?;
            // With a write-ahead log readers and the writer do not wait for each other.
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
            Ok(Session::new(connection))
        })
        .await
    }

    async fn is_alive(&self, session: &mut Session) -> bool {
        session.with_mut(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await.is_ok()
    }

    async fn reset(&self, session: &mut Session, _exit: &BracketExit) -> bool {
        // However the use ended: without an open transaction the connection is as good as new.
        session.with_mut(|connection| connection.is_autocommit()).await
    }

    async fn close(&self, session: Session) {
        to_thread(move || drop(session)).await;
    }
}

/// A database in a file.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool<File>,
    /// SQLite has one writer at a time. They wait here, in line, where a wait can be cancelled; not on a thread.
    writer: Arc<Mutex<()>>,
}

impl Database {
    pub(crate) fn new(path: PathBuf) -> Self {
        let pool = PoolOptions::new()
            .size(4)
            .overflow(2)
            .max_waiting(1000)
            .acquire_timeout(Duration::from_secs(30))
            .recycle_after(Duration::from_secs(3600))
            .build(File(path));
        Database { pool, writer: Arc::default() }
    }

    /// Reads, beside other readers and the writer.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.pool.run(async |session| Ok(session.with_mut(work).await?)).await
    }

    /// Runs `body` in a transaction: all that it does counts if it returns `Ok`, and nothing if it fails, panics or is cancelled.
    pub(crate) async fn transaction<T, F, Fut>(&self, body: F) -> Result<T>
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        // `run`, because a guard in a variable is gone at once if foreign code drops this future, and the roll-back is not.
        self.writer.run(async |_turn| self.pool.run(async |session| transact(session.clone(), body).await).await).await
    }

    pub(crate) fn statistics(&self) -> PoolStatistics {
        self.pool.statistics()
    }

    /// Closes all connections, and waits for those in use; says how many uses it had to cut off.
    pub(crate) async fn close(&self) -> usize {
        self.pool.close(Duration::from_secs(5)).await
    }
}

async fn transact<T, F, Fut>(session: Session, body: F) -> Result<T>
where
    F: FnOnce(Session) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    try_bracket(
        async {
            session.with_mut(|connection| connection.execute_batch("BEGIN IMMEDIATE")).await?;
            Ok(session.clone())
        },
        async |session| {
            let value = body(session.clone()).await?;
            // Here and not in the release, so that its error is an error. A deadline that comes meanwhile has come too late.
            session.with_mut(|connection| connection.execute_batch("COMMIT")).await?;
            Ok(value)
        },
        |session, exit| async move {
            match exit {
                BracketExit::Returned => Ok(()),
                _ => session.with_mut(|connection| connection.execute_batch("ROLLBACK")).await,
            }
        },
    )
    .await
}
