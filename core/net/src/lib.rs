//! Sockets for foster: TCP, UDP and Unix sockets, names and servers, on any runtime.
//!
//! A program, or a library, that is written with these names no runtime. It finds the network through the tree that its
//! code runs in: that of `foster-smol` is async-io's, that of `foster-tokio` is tokio's own, and that of `foster-sim`
//! is simulated.
//!
//! ```
//! use foster::fail_after;
//! use foster_net::TcpStream;
//! use std::io;
//! use std::time::Duration;
//!
//! /// One limit for the name, all its addresses, the question and the answer.
//! async fn ask(server: &str, question: &[u8]) -> io::Result<Vec<u8>> {
//!     fail_after(Duration::from_secs(5), async {
//!         let stream = TcpStream::connect(server).await?;
//!         stream.write_all(question).await?;
//!         let mut answer = vec![0; 512];
//!         let length = stream.read(&mut answer).await?;
//!         answer.truncate(length);
//!         Ok(answer)
//!     })
//!     .await?
//! }
//! # foster_smol::run(async { assert!(ask("localhost", b"?").await.is_err()) });
//! ```
//!
//! # Where to look
//!
//! | you want | it is |
//! |---|---|
//! | a connection | [`TcpStream::connect`](Stream::connect), [`Connect`], [`UnixStream`] |
//! | to read and write from two tasks | [`Stream::into_split`], [`Stream::split`] |
//! | a server | [`TcpListener`], [`serve`](serve()) |
//! | datagrams | [`UdpSocket`], [`UnixDatagram`] |
//! | names | [`lookup_host`], [`with_resolver`] |
//! | buffers, lines, copies | futures-lite: streams are [`futures_io::AsyncRead`] and [`AsyncWrite`](futures_io::AsyncWrite) |
//! | to bring it to another runtime | [`contract`], [`host`] |
//!
//! # What is guaranteed
//!
//! 1. **Each operation is a checkpoint** (law L14). Cancelled code starts none, and is given nothing: what is in the
//!    kernel stays there. An operation that was cancelled leaves its socket usable. Its documentation says what may
//!    have been transferred.
//! 2. **No wake-up is lost**, also if two tasks use a socket in a way that is a mistake: one is refused.
//! 3. **Nothing is left open.** Sockets are closed when they are dropped, at once; no task and no thread stands behind
//!    them.
//! 4. **The same on every runtime**: options, kinds of errors, and what closes what.
//!
//! # Questions that others answer differently
//!
//! | | question | here |
//! |---|---|---|
//! | D1 | two tasks read one stream | one reader and one writer; the second is refused with `ResourceBusy`. Datagram sockets and listeners have any number, first come, first served |
//! | D2 | a cancelled lookup that hangs in `getaddrinfo` | is abandoned; at most [`LOOKUP_THREADS`] run at once, abandoned ones included |
//! | D3 | `shutdown` twice, or when the peer has gone | `Ok` |
//! | D5 | files of Unix sockets | as std: `bind` takes no path that exists, and the file stays. [`bind_replacing_stale`](Listener::bind_replacing_stale) replaces one at which nobody listens, and [`remove_file_on_drop`](Listener::remove_file_on_drop) removes its own at the end |
//! | D6 | `TCP_NODELAY` | on, for connected and accepted streams |
//! | D7 | connecting where nobody answers | as the network has it: no error before the host gives up, so put a deadline around it |
//! | D8 | the order of addresses | RFC 8305: families alternate throughout, beginning with the resolver's first; 250 ms |
//! | D9 | the error of a handler | is reported, and the server lives; [`fail_fast`](ServeOptions::fail_fast). A panic follows the nursery |
//! | D10 | the pause when there are no descriptors | 100 ms; [`pause`](ServeOptions::pause) |
//!
//! D4, D11 and D12 are about processes and files, which are not part of this crate. D13, what the crash of a host looks
//! like, is the choice of a test: see `foster_sim::net`.
//!
//! # When not to use it
//!
//! With `io_uring`, or for a socket of a sort that is not here: [`foster_core::leaf::operation`] makes a checkpoint of
//! any future that a runtime's own crate has.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod target;

pub mod contract;
pub mod host;

mod direction;
mod line;
mod resolve;

mod bind;
mod connect;
mod datagram;
mod listener;
mod stream;

mod tcp;
mod udp;
#[cfg(unix)]
mod unix;

mod serve;

#[cfg(unix)]
pub use address::Unix;
pub use address::{Family, Inet};
pub use bind::BindError;
pub use connect::{Connect, ConnectError, STAGGER};
pub use datagram::Datagram;
pub use listener::Listener;
pub use resolve::{LOOKUP_THREADS, LookupError, Resolve, SystemResolver, lookup_host, with_resolver};
pub use serve::{Incident, ServeError, ServeOptions, serve, serve_in};
pub use stream::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, Stream, WriteHalf};
pub use target::{Target, ToTarget};
pub use tcp::{Listen, TcpListener, TcpStream};
pub use udp::UdpSocket;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use unix::PeerCredentials;
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
