//! The handle to a connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::task::{Context, Poll};

use foster_net::contract::{Address, OptionName, Socket, SocketOption, StreamSocket};

use super::connection::{Connection, LINK_SEGMENT, Phase};
use super::failure::{Failure, gone};
use super::packet::SocketId;
use super::{Direction, inet, unsupported};
use crate::runtime::Sim;

/// The handle to a connection. It closes it when it is dropped.
pub(super) struct SimStream {
    sim: Sim,
    id: SocketId,
}

impl SimStream {
    pub(super) fn new(sim: Sim, id: SocketId) -> Self {
        SimStream { sim, id }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> io::Result<R> {
        self.sim.network(|network| network.connection(self.id).map(act)).flatten().ok_or_else(gone)
    }

    /// Waits until the connection is there, or has failed.
    pub(super) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Write, |network| {
            let Some(connection) = network.connection(self.id) else { return Some(Err(gone())) };
            match connection.phase {
                Phase::Connecting | Phase::Accepting(_) => None,
                Phase::Open => Some(Ok(())),
                Phase::Failed => Some(Err(connection.take_failure().unwrap_or(Failure::Refused).into())),
            }
        })
    }

    fn poll_read_with(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], peek: bool) -> Poll<io::Result<usize>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Read, |network| {
            let Some(connection) = network.connection(self.id) else { return Some(Err(gone())) };
            let borders = connection.borders();
            let longest = network.longest_segment(self.id);
            // Drawn beforehand, since the connection is a part of the network. On loopback a read takes all there is.
            let mut passes = if peek || longest != LINK_SEGMENT { borders } else { network.draw_borders(borders) };
            let mut stops = || match passes {
                0 => true,
                _ => {
                    passes -= 1;
                    false
                }
            };
            let connection = network.connection(self.id)?;
            let read = connection.read(bufs, peek, &mut stops)?;
            if !peek && connection.offers_more(longest) {
                network.answer(self.id);
            }
            Some(read.map_err(io::Error::from))
        })
    }
}

impl Socket for SimStream {
    fn local_address(&self) -> io::Result<Address> {
        self.with(|connection| connection.local.clone())
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let set = self.sim.network(|network| {
            let set = network.connection(self.id)?.options.set(option);
            // There may be room to write by now.
            network.wake_writer(self.id);
            Some(set)
        });
        match set.flatten().ok_or_else(gone)? {
            true => Ok(()),
            false => Err(unsupported("this option of a stream")),
        }
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        let options = self.with(|connection| connection.options.clone())?;
        Ok(match name {
            OptionName::NoDelay => SocketOption::NoDelay(options.nodelay),
            OptionName::Linger => SocketOption::Linger(options.linger),
            OptionName::KeepAlive => SocketOption::KeepAlive(options.keepalive),
            OptionName::Ttl => SocketOption::Ttl(options.ttl),
            OptionName::SendBuffer => SocketOption::SendBuffer(options.send_buffer),
            OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(options.receive_buffer),
            _ => return Err(unsupported("this option of a stream")),
        })
    }
}

impl StreamSocket for SimStream {
    fn peer_address(&self) -> io::Result<Address> {
        self.with(|connection| connection.peer.clone())
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, &mut [IoSliceMut::new(buf)], false)
    }

    fn poll_read_vectored(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, bufs, false)
    }

    fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, &mut [IoSliceMut::new(buf)], true)
    }

    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Write, |network| {
            #[cfg(unix)]
            if network.is_left(self.id) {
                return Some(Err(Failure::BrokenPipe.into()));
            }
            let Some(connection) = network.connection(self.id) else { return Some(Err(gone())) };
            let written = connection.write(bufs)?;
            network.pump(self.id);
            Some(written.map_err(io::Error::from))
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let shut = self.sim.network(|network| {
            let Some(connection) = network.connection(self.id) else { return Err(gone()) };
            if connection.phase != Phase::Open {
                return Err(Failure::NotConnected.into());
            }
            if how != Shutdown::Write {
                connection.deafen();
                let other = connection.other;
                network.wake_reader(self.id);
                // At the other end of a Unix socket nothing can be written from here on.
                other.into_iter().for_each(|other| network.wake_writer(other));
            }
            if how != Shutdown::Read {
                let Some(connection) = network.connection(self.id) else { return Ok(()) };
                connection.finish();
                network.pump(self.id);
                network.wake_writer(self.id);
            }
            if let Some(connection) = network.connection(self.id).filter(|connection| connection.refuses_data()) {
                connection.offer_to_refuse();
                network.answer(self.id);
            }
            Ok(())
        });
        shut.unwrap_or_else(|| Err(gone()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.sim.network(|network| network.close(self.id));
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.with(|connection| (inet(&connection.local), inet(&connection.peer)));
        f.debug_tuple("SimStream").field(&ends.ok()).finish()
    }
}
