//! The contract of networks: numbered clauses, and the traits that an adapter implements.
//!
//! A program never calls anything in here. To bring foster's sockets to another runtime, answer
//! [`Runtime::capability`](foster_core::runtime::Runtime::capability) with an `Arc<dyn Net>`. A runtime whose sockets
//! are those of the host needs only a [`Reactor`](crate::host::Reactor), and gets the rest from
//! [`HostNet`](crate::host::HostNet).
//!
//! # The contract
//!
//! * **C1 From anywhere.** Every method may be called from any thread of the tree. A socket that is made on one thread
//!   works on all of them.
//! * **C2 One waiter a direction.** A `poll_*` method that is Pending wakes the waker of its latest call in that
//!   direction, and no earlier one. To read, to peek, to accept and to receive is one direction; to write and to send
//!   is the other. Neither replaces the other's waker. A caller that has more waiters puts a waker in front that wakes
//!   them all, as this crate does.
//! * **C3 Attempt first.** A `poll_*` method does what can be done at once, and is Pending only when the host would
//!   have to wait. No wake-up is lost between the attempt and the registration: what comes in between wakes the waker.
//!   Where the host's reactor has to learn first that a socket is ready, as tokio's has, that is all that is known: what
//!   has come since its last turn wakes the waker with its next one.
//! * **C4 Nothing in between.** A `poll_*` method that is Pending has transferred nothing. So a waiter that is dropped
//!   loses nothing.
//! * **C5 Nothing is waited for in `Drop`.** To drop a socket closes it at once; its port or path is free for the next
//!   one, as far as the host allows. To drop the future of [`Net::connect`] closes what it has opened.
//! * **C6 No policy.** A network does not retry, report, resolve or time out, and has no budget: that is done here. It
//!   leaves out whether the code is cancelled, too.
//! * **C7 Errors as they are.** An error of the host comes back with its number, [`io::Error::raw_os_error`]. `EINTR`
//!   does not come back at all: the call is repeated.
//! * **C8 Empty buffers do not come.** This crate answers calls with empty buffers, but sends empty datagrams.
//! * **C9 Absent is an error.** An operation that a network does not have is
//!   [`Unsupported`](io::ErrorKind::Unsupported), never a panic.

mod options;

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use foster_core::ScopedValue;
use foster_core::future::ScopedValueFuture;
use foster_core::runtime::capability;

pub use crate::address::Address;
use crate::host::{HostDatagram, HostListener, HostStream};
use crate::resolve::Resolve;
pub use options::{ConnectOptions, DatagramOptions, ListenOptions, OptionName, SocketOption};

/// A boxed future of a network.
pub type NetFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A network: makes sockets. See the [contract](self).
pub trait Net: Send + Sync + 'static {
    /// Opens a socket that listens.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn ListenerSocket>>;

    /// Opens a connection to one address. Nothing happens before the first poll.
    fn connect(&self, to: &Address, options: &ConnectOptions) -> NetFuture<'static, Box<dyn StreamSocket>>;

    /// Opens a socket for datagrams; without an address, one that only sends.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn datagram(&self, at: Option<&Address>, options: &DatagramOptions) -> io::Result<Box<dyn DatagramSocket>>;

    /// Opens two Unix streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn stream_pair(&self) -> io::Result<[Box<dyn StreamSocket>; 2]> {
        Err(absent("connected pairs of streams"))
    }

    /// Opens two Unix sockets for datagrams that are connected with each other.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn datagram_pair(&self) -> io::Result<[Box<dyn DatagramSocket>; 2]> {
        Err(absent("connected pairs of datagram sockets"))
    }

    /// Takes over a stream of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn adopt_stream(&self, stream: HostStream) -> io::Result<Box<dyn StreamSocket>> {
        drop(stream);
        Err(absent("sockets of the host"))
    }

    /// Takes over a listener of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn adopt_listener(&self, listener: HostListener) -> io::Result<Box<dyn ListenerSocket>> {
        drop(listener);
        Err(absent("sockets of the host"))
    }

    /// Takes over a datagram socket of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn adopt_datagram(&self, socket: HostDatagram) -> io::Result<Box<dyn DatagramSocket>> {
        drop(socket);
        Err(absent("sockets of the host"))
    }

    /// Returns what resolves names here, unless the program has [installed](crate::with_resolver) something else.
    fn resolver(&self) -> Arc<dyn Resolve>;
}

/// The methods that all sockets have.
pub trait Socket: Send + Sync + Debug {
    /// Returns its own address.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn local_address(&self) -> io::Result<Address>;

    /// Sets an option.
    ///
    /// # Errors
    ///
    /// As the host says; [`Unsupported`](io::ErrorKind::Unsupported) for an option that it does not have.
    fn set_option(&self, option: SocketOption) -> io::Result<()>;

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// As [`set_option`](Socket::set_option).
    fn option(&self, name: OptionName) -> io::Result<SocketOption>;
}

/// A connection.
pub trait StreamSocket: Socket {
    /// Returns the address of the other side.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn peer_address(&self) -> io::Result<Address>;

    /// Reads into a buffer that is not empty. `Ok(0)` is the end of the stream.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Does as [`poll_read`](StreamSocket::poll_read), into several buffers.
    fn poll_read_vectored(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>>;

    /// Does as [`poll_read`](StreamSocket::poll_read), and leaves the data where they are.
    fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes from a buffer that is not empty.
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Does as [`poll_write`](StreamSocket::poll_write), from several buffers.
    fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Shuts down one direction, or both. Does not wait.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Returns another handle to the same connection, of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn to_host(&self) -> io::Result<HostStream> {
        Err(absent("sockets of the host"))
    }
}

/// A socket that connections come from.
pub trait ListenerSocket: Socket {
    /// Takes the next connection, with the address of the other side.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>>;

    /// Returns another handle to the same socket, of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn to_host(&self) -> io::Result<HostListener> {
        Err(absent("sockets of the host"))
    }
}

/// A socket for datagrams.
pub trait DatagramSocket: Socket {
    /// Returns the address that it is connected to.
    ///
    /// # Errors
    ///
    /// As the host says; it is an error if there is none.
    fn peer_address(&self) -> io::Result<Address>;

    /// From now on only exchanges datagrams with this address. Does not wait.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn connect(&self, to: &Address) -> io::Result<()>;

    /// Sends a datagram, to the address or to the one that the socket is connected to.
    ///
    /// To the address of a Unix socket whose queue is full it may fail with [`WouldBlock`](io::ErrorKind::WouldBlock),
    /// if the host tells nobody when there is room again: then it is called again later.
    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>>;

    /// Receives a datagram, and returns how much of it there was room for; or only looks at it, which
    /// only UDP sockets are asked for.
    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8], peek: bool) -> Poll<io::Result<(usize, Address)>>;

    /// Waits until there is a datagram to receive.
    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until there is room to send.
    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Returns another handle to the same socket, of the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    fn to_host(&self) -> io::Result<HostDatagram> {
        Err(absent("sockets of the host"))
    }
}

/// The network of a subtree, where it is not that of the runtime.
static NET: ScopedValue<Arc<dyn Net>> = ScopedValue::inherited();

/// Runs `future` with another network than that of the runtime, for all code inside: a test's, or that of one host
/// among many.
///
/// # Cancellation
///
/// *Partial effect*: as `future`.
///
/// # Panics
///
/// Resumes the panic of `future`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn with_net<F: Future>(net: Arc<dyn Net>, future: F) -> ScopedValueFuture<F, F::Output> {
    NET.scope(net, future)
}

/// Returns the network of the code that calls this: the innermost one of [`with_net`], or that of the runtime.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported): the runtime has none. The error names it, and the fix.
pub fn net() -> io::Result<Arc<dyn Net>> {
    NET.get().map_or_else(|| capability::<dyn Net>("network"), Ok)
}

fn absent(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("this network has no {what}"))
}
