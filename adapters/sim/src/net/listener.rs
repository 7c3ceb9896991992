//! Sockets that listen, and their backlog.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::task::{Context, Poll};

use foster_net::contract::{
    Address, ListenOptions, ListenerSocket, OptionName, Socket as SocketFace, SocketOption, StreamSocket,
};

use super::failure::{Failure, gone};
use super::hosts::{HostId, Protocol};
use super::network::{Network, SocketKind};
use super::packet::SocketId;
use super::stream::SimStream;
use super::waiting::Waiting;
use super::{inet, tcp, unsupported};
use crate::runtime::Sim;

/// A socket that listens.
pub(super) struct ListenerState {
    pub(super) local: Address,
    backlog: usize,
    /// Connections whose clients have not answered the SYN-ACK.
    pub(super) half_open: Vec<SocketId>,
    pub(super) queue: VecDeque<SocketId>,
    pub(super) acceptor: Option<Waiting>,
    ttl: u32,
}

impl ListenerState {
    pub(super) fn new(local: Address, options: &ListenOptions) -> Self {
        // As Linux has it, with its limit.
        let backlog = usize::try_from(options.backlog).unwrap_or(usize::MAX).min(4096);
        let (half_open, queue) = (Vec::new(), VecDeque::new());
        ListenerState { local, backlog, half_open, queue, acceptor: None, ttl: 64 }
    }

    /// Whether there is no room for another connection. Linux lets in one more than the backlog says.
    pub(super) fn is_full(&self) -> bool {
        self.half_open.len() + self.queue.len() > self.backlog
    }
}

impl Network<'_> {
    pub(super) fn listener(&mut self, id: SocketId) -> Option<&mut ListenerState> {
        match &mut self.socket(id)?.kind {
            SocketKind::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    pub(super) fn listen(
        &mut self,
        host: HostId,
        at: std::net::SocketAddr,
        options: &ListenOptions,
    ) -> Result<SocketId, Failure> {
        let id = self.next_id();
        let only_v6 = options.only_v6;
        let local = self.host(host).bind(Protocol::Tcp, tcp::canonical(at), only_v6, options.reuse_port, id)?;
        let listener = ListenerState::new(Address::Inet(local), options);
        Ok(self.add(host, SocketKind::Listener(listener)))
    }

    /// A connection is complete, and can be accepted.
    pub(super) fn enqueue(&mut self, listener: SocketId, connection: SocketId) {
        let Some(state) = self.listener(listener) else { return self.reset(connection) };
        state.half_open.retain(|other| *other != connection);
        state.queue.push_back(connection);
        self.wake_reader(listener);
    }

    /// The client of a connection has gone before it was complete.
    pub(super) fn forget_half_open(&mut self, connection: SocketId) {
        if let Some(super::connection::Phase::Accepting(listener)) = self.connection(connection).map(|one| one.phase) {
            if let Some(listener) = self.listener(listener) {
                listener.half_open.retain(|other| *other != connection);
            }
        }
        self.remove(connection);
    }

    fn close_listener(&mut self, id: SocketId) {
        let Some(listener) = self.listener(id) else { return };
        let mut waiting = std::mem::take(&mut listener.half_open);
        waiting.extend(listener.queue.drain(..));
        #[cfg(unix)]
        self.close_path(id);
        self.remove(id);
        for connection in waiting {
            self.reset(connection);
        }
    }
}

/// The handle to a socket that listens.
pub(super) struct SimListener {
    sim: Sim,
    id: SocketId,
}

impl SimListener {
    pub(super) fn new(sim: Sim, id: SocketId) -> Self {
        SimListener { sim, id }
    }

    fn with<R>(&self, act: impl FnOnce(&mut ListenerState) -> R) -> io::Result<R> {
        self.sim.network(|network| network.listener(self.id).map(act)).flatten().ok_or_else(gone)
    }
}

impl SocketFace for SimListener {
    fn local_address(&self) -> io::Result<Address> {
        self.with(|listener| listener.local.clone())
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        match option {
            SocketOption::Ttl(hops) => self.with(|listener| listener.ttl = hops),
            _ => Err(unsupported("this option of a listener")),
        }
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        match name {
            OptionName::Ttl => self.with(|listener| SocketOption::Ttl(listener.ttl)),
            _ => Err(unsupported("this option of a listener")),
        }
    }
}

impl ListenerSocket for SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        let accepted = super::wait_for(&self.sim, cx, self.id, super::Direction::Read, |network| {
            let Some(listener) = network.listener(self.id) else { return Some(Err(gone())) };
            let id = listener.queue.pop_front()?;
            let peer = network.connection(id).map(|connection| connection.peer.clone());
            peer.map(|peer| Ok((id, peer)))
        });
        accepted.map(|accepted| {
            let (id, peer) = accepted?;
            Ok((Box::new(SimStream::new(self.sim.clone(), id)) as _, peer))
        })
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.sim.network(|network| network.close_listener(self.id));
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.local_address();
        f.debug_tuple("SimListener").field(&local.as_ref().ok().and_then(inet)).finish()
    }
}
