//! The runtime of a tree: the simulator, as seen from one of its hosts.

use std::any::{Any, TypeId};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::task::{Context, Poll};

use foster::Instant;
use foster::leaf::operation;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work};
use foster_net::Resolve;
use foster_net::contract::{
    Address, ConnectOptions, DatagramOptions, DatagramSocket, ListenOptions, ListenerSocket, Net, NetFuture,
    StreamSocket,
};

use super::failure::{Failure, gone};
use super::hosts::{HostId, MAIN};
use super::listener::SimListener;
use super::network::Network;
use super::stream::SimStream;
use super::udp::SimUdp;
#[cfg(unix)]
use super::unix::{SimUnixDatagram, unnamed};
use super::unsupported;
use crate::runtime::Sim;

/// The runtime of the trees on one host: the simulator, and the host's network (R14).
pub(crate) struct Machine {
    sim: Sim,
    net: Arc<dyn Net>,
}

impl Machine {
    /// The host of the code that is on no other.
    pub(crate) fn main(sim: &Sim) -> Self {
        Machine::on(sim, MAIN)
    }

    pub(super) fn on(sim: &Sim, host: HostId) -> Self {
        let sim = sim.on(host);
        Machine { net: Arc::new(SimNet { sim: sim.clone(), host }), sim }
    }
}

impl Runtime for Machine {
    fn name(&self) -> &'static str {
        self.sim.name()
    }

    fn spawn(&self, job: Job) {
        self.sim.spawn(job);
    }

    fn now(&self) -> Instant {
        self.sim.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.sim.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.sim.blocking(work)
    }

    fn entropy(&self) -> u64 {
        self.sim.entropy()
    }

    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sim.poll_budget(cx)
    }

    fn wait(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        self.sim.wait(poll);
    }

    fn give_way(&self) {
        self.sim.give_way();
    }

    fn capability(&self, wanted: TypeId) -> Option<&dyn Any> {
        (wanted == self.net.type_id()).then_some(&self.net)
    }
}

/// The network as seen from one host.
#[derive(Clone)]
struct SimNet {
    sim: Sim,
    host: HostId,
}

impl SimNet {
    fn open<T>(&self, open: impl FnOnce(&mut Network<'_>, HostId) -> Result<T, Failure>) -> io::Result<T> {
        let opened = self.sim.network(|network| {
            // A program that lost its power may still be dropping what it had.
            if network.host(self.host).powered {
                open(network, self.host).map_err(io::Error::from)
            } else {
                Err(gone())
            }
        });
        opened.unwrap_or_else(|| Err(gone()))
    }
}

impl Net for SimNet {
    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn ListenerSocket>> {
        let id = self.open(|network, host| match at {
            Address::Inet(at) => network.listen(host, *at, options),
            #[cfg(unix)]
            Address::Unix(at) => network.listen_at_path(host, at, options),
            _ => Err(Failure::OtherFamily),
        })?;
        Ok(Box::new(SimListener::new(self.sim.clone(), id)))
    }

    fn connect(&self, to: &Address, options: &ConnectOptions) -> NetFuture<'static, Box<dyn StreamSocket>> {
        let (net, to, options) = (self.clone(), to.clone(), options.clone());
        Box::pin(async move {
            let id = net.open(|network, host| match &to {
                Address::Inet(to) => network.connect(host, *to, &options),
                #[cfg(unix)]
                Address::Unix(to) => network.connect_to_path(host, to),
                _ => Err(Failure::OtherFamily),
            })?;
            // C5: dropped with this future.
            let stream = SimStream::new(net.sim, id);
            std::future::poll_fn(|cx| stream.poll_connected(cx)).await?;
            Ok(Box::new(stream) as _)
        })
    }

    fn datagram(&self, at: Option<&Address>, options: &DatagramOptions) -> io::Result<Box<dyn DatagramSocket>> {
        match at {
            Some(Address::Inet(at)) => {
                let id = self.open(|network, host| network.open_udp(host, *at, options))?;
                Ok(Box::new(SimUdp::new(self.sim.clone(), id)))
            }
            #[cfg(unix)]
            None => {
                let id = self.open(|network, host| network.open_unix_datagram(host, None))?;
                Ok(Box::new(SimUnixDatagram::new(self.sim.clone(), id)))
            }
            #[cfg(unix)]
            Some(Address::Unix(at)) => {
                let id = self.open(|network, host| network.open_unix_datagram(host, Some(at)))?;
                Ok(Box::new(SimUnixDatagram::new(self.sim.clone(), id)))
            }
            _ => Err(unsupported("sockets for datagrams of this family")),
        }
    }

    #[cfg(unix)]
    fn stream_pair(&self) -> io::Result<[Box<dyn StreamSocket>; 2]> {
        let pair = self.open(|network, host| Ok(network.unix_pair(host, [unnamed(), unnamed()])))?;
        Ok(pair.map(|id| Box::new(SimStream::new(self.sim.clone(), id)) as _))
    }

    #[cfg(unix)]
    fn datagram_pair(&self) -> io::Result<[Box<dyn DatagramSocket>; 2]> {
        let pair = self.open(|network, host| network.unix_datagram_pair(host))?;
        Ok(pair.map(|id| Box::new(SimUnixDatagram::new(self.sim.clone(), id)) as _))
    }

    fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(self.clone())
    }
}

impl Resolve for SimNet {
    fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        let lookup = async move {
            if host.eq_ignore_ascii_case("localhost") {
                return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
            }
            let found = self.sim.network(|network| {
                let named = network.world.hosts.iter().find(|one| one.name.eq_ignore_ascii_case(host));
                named.map(|found| vec![IpAddr::V4(found.v4), IpAddr::V6(found.v6)])
            });
            let unknown = || io::Error::new(io::ErrorKind::NotFound, "the simulation has no host of this name");
            found.ok_or_else(gone)?.ok_or_else(unknown)
        };
        Box::pin(operation("lookup", lookup))
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.sim.network(|network| network.host(self.host).name.clone());
        f.debug_struct("SimNet").field("host", &name.as_deref().unwrap_or("gone")).finish()
    }
}
