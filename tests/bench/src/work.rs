//! The pieces of work.
//!
//! Each is an async function of a number `n` that does `n` of something and returns 0 + 1 + … + (n − 1), added up from
//! what the children, calls and messages gave back: so none of them can be skipped.

mod cancel;
mod channel;
pub(crate) mod echo;
#[cfg(feature = "peers")]
mod file;
mod fire;
mod guard;
#[cfg(feature = "peers")]
pub(crate) mod http;
#[cfg(feature = "peers")]
mod least;
mod limit;
mod lock;
mod map;
mod net;
mod pool;
mod process;
mod program;
mod race;
mod reap;
mod size;
mod spawn;
mod tree;
mod turn;
mod udp;

use crate::row::{Row, Rows};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Rows::default();
    spawn::rows(&mut rows);
    turn::rows(&mut rows);
    reap::rows(&mut rows);
    tree::rows(&mut rows);
    map::rows(&mut rows);
    race::rows(&mut rows);
    limit::rows(&mut rows);
    fire::rows(&mut rows);
    guard::rows(&mut rows);
    cancel::rows(&mut rows);
    lock::rows(&mut rows);
    channel::rows(&mut rows);
    pool::rows(&mut rows);
    program::rows(&mut rows);
    echo::rows(&mut rows);
    net::rows(&mut rows);
    udp::rows(&mut rows);
    process::rows(&mut rows);
    #[cfg(feature = "peers")]
    {
        http::rows(&mut rows);
        file::rows(&mut rows);
    }
    size::rows(&mut rows);
    rows.0
}
