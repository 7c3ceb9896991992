//! hyper in a foster tree: HTTP servers and clients on smol, tokio and the simulator.
//!
//! hyper speaks HTTP over any stream, with any clock and any executor. Here it has those of foster: its streams are
//! foster's sockets, its timeouts the time of the tree, and what it spawns are children of a nursery. So a server or a
//! client has ended when its scope has: no task, no connection and no timer is left.
//!
//! | you want | it is |
//! |---|---|
//! | a server that stops gracefully | [`serve`](serve()), with [`HttpOptions`] |
//! | one connection of a server of your own, or over TLS | [`serve_connection`] |
//! | a client with a pool of connections | [`client::pool`] |
//! | a client of one connection | [`client::http1`], [`client::http2`] |
//! | hyper itself, with all its settings | [`Io`], [`Timer`], [`Executor`] |
//!
//! [`serve`](serve()) has an example. hyper, its types of requests and responses, and the bodies of `http-body-util` are used
//! as they are; axum's `Router` is a service for it by `TowerToHyperService` of hyper-util.
//!
//! No runtime of tokio is needed. hyper uses channels and traits of the tokio crate, which need none.
//!
//! # What is guaranteed
//!
//! 1. **Nothing is left.** Tasks that hyper spawns end with the connection, at the latest, and that with the scope of
//!    the server or client. Panics go the way of those of children (law L7).
//! 2. **A graceful stop waits for requests**, and for nothing else: not for connections that are idle, or new.
//! 3. **A client that goes away ends its requests**, as soon as hyper reads of it. Their finalizers run. hyper does not read
//!    while something of the client lies unread: a body that the service does not read, or the next request. So a limit
//!    of time for each request is the service's own, as is one for its body.
//! 4. **Time is the tree's.** In the simulator timeouts are virtual, to the nanosecond.
//!
//! # When not to use it
//!
//! HTTP/3, or a client with redirects, cookies and proxies: those are other crates' business. The `date` header of
//! answers has the host's time, even in the simulator; [`HttpOptions::http1`] and [`HttpOptions::http2`] switch it off.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod executor;
mod io;
mod timer;

pub mod client;
mod server;

pub use executor::Executor;
pub use io::Io;
pub use server::{ConnectionError, HttpOptions, serve, serve_connection};
pub use timer::Timer;
