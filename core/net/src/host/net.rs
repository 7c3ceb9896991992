//! A network of what the host has.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::{HostDatagram, HostListener, HostStream, open};
use crate::contract::{
    Address, ConnectOptions, DatagramOptions, DatagramSocket, ListenOptions, ListenerSocket, Net, NetFuture,
    StreamSocket,
};
use crate::resolve::{Resolve, SystemResolver};

/// The part of an adapter that waits for the sockets of the host.
///
/// Each socket that it is given is in non-blocking mode.
pub trait Reactor: Send + Sync + 'static {
    /// Watches a connection.
    ///
    /// # Errors
    ///
    /// The reactor refuses it.
    fn stream(&self, stream: HostStream) -> io::Result<Box<dyn StreamSocket>>;

    /// Watches a connection that is being opened, and returns it when it is writable and has no error.
    fn connected(&self, stream: HostStream) -> NetFuture<'static, Box<dyn StreamSocket>>;

    /// Watches a listener. The connections that it accepts are in non-blocking mode, too.
    ///
    /// # Errors
    ///
    /// The reactor refuses it.
    fn listener(&self, listener: HostListener) -> io::Result<Box<dyn ListenerSocket>>;

    /// Watches a socket for datagrams.
    ///
    /// # Errors
    ///
    /// The reactor refuses it.
    fn datagram(&self, socket: HostDatagram) -> io::Result<Box<dyn DatagramSocket>>;
}

/// The network of the host, made of a [`Reactor`].
pub struct HostNet<R> {
    reactor: Arc<R>,
    resolver: Arc<SystemResolver>,
}

impl<R: Reactor> HostNet<R> {
    /// Makes the network of this reactor.
    pub fn new(reactor: R) -> Self {
        HostNet { reactor: Arc::new(reactor), resolver: Arc::new(SystemResolver::new()) }
    }
}

impl<R: Reactor> Net for HostNet<R> {
    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn ListenerSocket>> {
        self.reactor.listener(open::listener(at, options)?)
    }

    fn connect(&self, to: &Address, options: &ConnectOptions) -> NetFuture<'static, Box<dyn StreamSocket>> {
        let (reactor, to, options) = (self.reactor.clone(), to.clone(), options.clone());
        Box::pin(async move { reactor.connected(open::connecting(&to, &options)?).await })
    }

    fn datagram(&self, at: Option<&Address>, options: &DatagramOptions) -> io::Result<Box<dyn DatagramSocket>> {
        self.reactor.datagram(open::datagram(at, options)?)
    }

    #[cfg(unix)]
    fn stream_pair(&self) -> io::Result<[Box<dyn StreamSocket>; 2]> {
        let [one, other] = open::stream_pair()?;
        Ok([self.reactor.stream(one)?, self.reactor.stream(other)?])
    }

    #[cfg(unix)]
    fn datagram_pair(&self) -> io::Result<[Box<dyn DatagramSocket>; 2]> {
        let [one, other] = open::datagram_pair()?;
        Ok([self.reactor.datagram(one)?, self.reactor.datagram(other)?])
    }

    fn adopt_stream(&self, stream: HostStream) -> io::Result<Box<dyn StreamSocket>> {
        self.reactor.stream(stream)
    }

    fn adopt_listener(&self, listener: HostListener) -> io::Result<Box<dyn ListenerSocket>> {
        open::check_listens(&listener)?;
        self.reactor.listener(listener)
    }

    fn adopt_datagram(&self, socket: HostDatagram) -> io::Result<Box<dyn DatagramSocket>> {
        self.reactor.datagram(socket)
    }

    fn resolver(&self) -> Arc<dyn Resolve> {
        self.resolver.clone()
    }
}

impl<R> fmt::Debug for HostNet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostNet").finish_non_exhaustive()
    }
}
