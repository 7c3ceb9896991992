//! Listeners: what those of TCP and of Unix sockets have in common.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use foster_core::leaf::poll_budget;

use crate::address::Family;
use crate::contract::ListenerSocket;
use crate::line::Line;
use crate::stream::Stream;
#[cfg(unix)]
use crate::unix::own_file::OwnFile;

/// A socket that connections come from: a [`TcpListener`](crate::TcpListener) or a
/// [`UnixListener`](crate::UnixListener).
///
/// Any number of tasks may [`accept`](Listener::accept) on one listener; they get the connections in turn.
/// [`serve`](crate::serve()) is the loop that a server needs.
///
/// To drop it closes it, and so does [`close`](Listener::close): a client that connects then is refused, what was
/// accepted goes on, and connections that nobody has accepted are reset. The port or path is free for the next
/// listener.
pub struct Listener<F: Family> {
    /// None when it is closed.
    socket: Mutex<Option<Arc<dyn ListenerSocket>>>,
    local: F::Addr,
    /// The file of a Unix socket.
    #[cfg(unix)]
    pub(crate) own_file: Option<OwnFile>,
    /// The code that waits to accept.
    line: Line,
    family: PhantomData<F>,
}

impl<F: Family> Listener<F> {
    pub(crate) fn new(socket: Box<dyn ListenerSocket>) -> io::Result<Self> {
        let local = F::unpack(socket.local_address()?)?;
        let socket = Mutex::new(Some(socket.into()));
        Ok(Listener {
            socket,
            local,
            #[cfg(unix)]
            own_file: None,
            line: Line::new(),
            family: PhantomData,
        })
    }

    pub(crate) fn socket(&self) -> io::Result<Arc<dyn ListenerSocket>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone();
        socket.ok_or_else(closed)
    }

    /// Returns the address at which it listens.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        Ok(self.local.clone())
    }

    /// Takes the next connection, with the address of the other end.
    ///
    /// A connection that was broken before it could be accepted is passed over, as is whatever else concerns one
    /// connection only. An error that may concern the listener as well, as that of a firewall, is passed over 100 times
    /// in a row.
    ///
    /// # Cancellation
    ///
    /// *Loses its place* among those who wait to accept. No connection is lost. Those behind do not wait for code that is
    /// cancelled. They do wait for a future that was polled, and is held without being polled any more.
    ///
    /// # Errors
    ///
    /// * `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `ENOSPC`: the process or the host has no more room. The connection
    ///   waits: pause, and try again.
    /// * [`NotConnected`](io::ErrorKind::NotConnected): the listener was closed, before or meanwhile.
    /// * Other errors of the host; the listener is of no use then.
    pub async fn accept(&self) -> io::Result<(Stream<F>, F::Addr)> {
        let mut refusals = 0;
        let accept = self.line.operation("accept", |cx| {
            let socket = self.socket()?;
            loop {
                match socket.poll_accept(cx) {
                    Poll::Pending => {
                        refusals = 0;
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((stream, peer))) => {
                        let peer = F::unpack(peer)?;
                        F::accepted(&*stream);
                        return Poll::Ready(Ok((Stream::new(stream, peer.clone()), peer)));
                    }
                    Poll::Ready(Err(error)) if concerns_one_connection(&error) => {
                        refusals = if may_come_for_ever(&error) { refusals + 1 } else { 0 };
                        if refusals > MOST_REFUSALS {
                            return Poll::Ready(Err(error));
                        }
                        ready!(poll_budget(cx));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
        });
        accept.await
    }

    /// Closes it at once, also for tasks that wait in [`accept`](Listener::accept).
    pub fn close(&self) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A task that is polling it at this moment has it until that poll ends.
        drop(socket);
        self.line.open();
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the listener was closed")
}

/// Whether an error of `accept` is about the connection, and the next one may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    let kinds = [
        ConnectionAborted,
        ConnectionRefused,
        ConnectionReset,
        HostUnreachable,
        Interrupted,
        NetworkDown,
        NetworkUnreachable,
        PermissionDenied,
        TimedOut,
    ];
    // Where a connection has gone already, macOS accepts one without an address, which the standard library refuses.
    let has_no_address =
        cfg!(target_vendor = "apple") && error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none();
    kinds.contains(&error.kind()) || is_one_of(error, PROTOCOL_ERRORS) || has_no_address
}

/// So often in a row an error is passed over that may come for ever.
const MOST_REFUSALS: u32 = 100;

/// Whether an error of `accept` may be one of the listener, which is said without taking a connection from the queue:
/// by a policy of the host, or since it is no listener.
fn may_come_for_ever(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || is_one_of(error, PROTOCOL_ERRORS)
}

/// Whether an error of `accept` says that there is no room for another connection, for the time being.
pub(crate) fn is_out_of_resources(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || is_one_of(error, NO_ROOM)
}

fn is_one_of(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

#[cfg(unix)]
use rustix::io::Errno;

/// The manual page of `accept` wants these to be taken as `EAGAIN`.
#[cfg(unix)]
const PROTOCOL_ERRORS: &[i32] =
    &[Errno::PROTO.raw_os_error(), Errno::NOPROTOOPT.raw_os_error(), Errno::OPNOTSUPP.raw_os_error()];

#[cfg(unix)]
const NO_ROOM: &[i32] = &[
    Errno::MFILE.raw_os_error(),
    Errno::NFILE.raw_os_error(),
    Errno::NOBUFS.raw_os_error(),
    Errno::NOMEM.raw_os_error(),
    // So many descriptors are watched: epoll's `max_user_watches`.
    Errno::NOSPC.raw_os_error(),
];

#[cfg(not(unix))]
const PROTOCOL_ERRORS: &[i32] = &[];

/// `WSAEMFILE` and `WSAENOBUFS`.
#[cfg(not(unix))]
const NO_ROOM: &[i32] = &[10024, 10055];

impl<F: Family> fmt::Debug for Listener<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(&format!("{}Listener", F::NAME)).field(&self.local).finish()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A server pauses, and does not end: `serve` asks this.
    #[test]
    fn no_room_for_another_watched_descriptor_is_no_room() {
        let says = |errno: Errno| is_out_of_resources(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(says(Errno::NOSPC) && says(Errno::MFILE) && !says(Errno::INVAL));
    }
}
