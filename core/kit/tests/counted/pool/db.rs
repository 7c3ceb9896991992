//! A pool of connections that know when they are misused, to a server that counts them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foster::cleanup::BracketExit;
use foster::pool::{Manage, Pool, PoolError, PoolOptions};
use foster::sleep;

use super::ms;

/// Why a use failed.
#[derive(Debug)]
pub(crate) enum Failed {
    Pool(PoolError<&'static str>),
    Body(&'static str),
}

impl From<PoolError<&'static str>> for Failed {
    fn from(error: PoolError<&'static str>) -> Self {
        Failed::Pool(error)
    }
}

/// A server, as its connections see it.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) next: AtomicU32,
    pub(crate) open: Mutex<BTreeSet<u32>>,
    /// Said good-bye, as opposed to just gone.
    pub(crate) closed: AtomicUsize,
    pub(crate) peak: AtomicUsize,
    pub(crate) down: AtomicBool,
}

impl Server {
    pub(crate) fn open(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u32,
    /// In the middle of something.
    pub(crate) dirty: bool,
    pub(crate) dead: bool,
    pub(crate) server: Arc<Server>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        assert!(self.server.open.lock().unwrap().remove(&self.id));
    }
}

/// How long everything takes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) open: u64,
    pub(crate) check: u64,
    pub(crate) reset: u64,
    pub(crate) close: u64,
}

pub(crate) struct Db {
    pub(crate) server: Arc<Server>,
    pub(crate) times: Times,
}

impl Manage for Db {
    type Resource = Connection;
    type Error = &'static str;

    async fn open(&self) -> Result<Connection, &'static str> {
        sleep(ms(self.times.open)).await;
        if self.server.down.load(Ordering::SeqCst) {
            return Err("down");
        }
        let id = self.server.next.fetch_add(1, Ordering::SeqCst);
        let mut open = self.server.open.lock().unwrap();
        open.insert(id);
        self.server.peak.fetch_max(open.len(), Ordering::SeqCst);
        Ok(Connection { id, dirty: false, dead: false, server: self.server.clone() })
    }

    async fn is_alive(&self, connection: &mut Connection) -> bool {
        assert!(!connection.dirty, "a dirty connection was kept");
        connection.dirty = true;
        sleep(ms(self.times.check)).await;
        connection.dirty = false;
        !connection.dead
    }

    async fn reset(&self, connection: &mut Connection, exit: &BracketExit) -> bool {
        sleep(ms(self.times.reset)).await;
        exit.is_success() && !connection.dirty
    }

    async fn close(&self, connection: Connection) {
        sleep(ms(self.times.close)).await;
        self.server.closed.fetch_add(1, Ordering::SeqCst);
        drop(connection);
    }
}

pub(crate) fn pool(options: PoolOptions, times: Times) -> (Pool<Db>, Arc<Server>) {
    let server = Arc::new(Server::default());
    (options.build(Db { server: server.clone(), times }), server)
}

pub(crate) type Used<T = u32> = Result<T, Failed>;

pub(crate) async fn id_of(pool: &Pool<Db>) -> Used {
    pool.run(async |connection| Ok(connection.id)).await
}

/// Uses a connection, which is dead afterwards.
pub(crate) async fn spoil(pool: &Pool<Db>) {
    let used: Used<()> = pool
        .run(async |mut connection| {
            connection.dead = true;
            Ok(())
        })
        .await;
    used.unwrap();
}
