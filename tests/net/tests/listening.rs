//! N068: listening at all addresses of a name, where the host has some of them, and refuses others.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use foster_conformance::check;
use foster_net::contract::{
    Address, ConnectOptions, DatagramOptions, DatagramSocket, ListenOptions, ListenerSocket, Net, NetFuture,
    OptionName, Socket, SocketOption, StreamSocket, with_net,
};
use foster_net::{BindError, Listen, Resolve, SystemResolver, TcpListener, with_resolver};

/// A host that has errors for some addresses, and listens at all others.
#[derive(Debug, Default)]
struct Host {
    errors: BTreeMap<SocketAddr, i32>,
    next_port: AtomicU16,
    open: Arc<AtomicUsize>,
}

impl Net for Host {
    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn ListenerSocket>> {
        let Address::Inet(mut address) = at.clone() else { return Err(io::ErrorKind::Unsupported.into()) };
        assert!(options.only_v6, "each address is of its own family");
        if let Some(number) = self.errors.get(&address) {
            return Err(io::Error::from_raw_os_error(*number));
        }
        if address.port() == 0 {
            address.set_port(1000 + self.next_port.fetch_add(1, Ordering::SeqCst));
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Open { address, count: self.open.clone() }))
    }

    fn connect(&self, _: &Address, _: &ConnectOptions) -> NetFuture<'static, Box<dyn StreamSocket>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn datagram(&self, _: Option<&Address>, _: &DatagramOptions) -> io::Result<Box<dyn DatagramSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(SystemResolver::new())
    }
}

/// A socket that listens, and is counted.
struct Open {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Socket for Open {
    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Inet(self.address))
    }

    fn set_option(&self, _: SocketOption) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn option(&self, _: OptionName) -> io::Result<SocketOption> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl ListenerSocket for Open {
    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        Poll::Pending
    }
}

/// `EAFNOSUPPORT`.
const NO_SUCH_FAMILY: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    97
} else if cfg!(windows) {
    10047
} else {
    47
};

/// Any other error.
const OTHER: i32 = 13;

fn addresses(port: u16) -> [SocketAddr; 3] {
    let v4 = |last| SocketAddr::from(([10, 0, 0, last], port));
    [v4(1), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)), v4(2)]
}

/// Listens at all three addresses, on a host that has these errors. Returns how many sockets are open in between, too.
fn listen(errors: &[(usize, i32)], port: u16) -> (io::Result<Vec<TcpListener>>, usize) {
    let errors = errors.iter().map(|(which, number)| (addresses(port)[*which], *number)).collect();
    let host = Arc::new(Host { errors, ..Host::default() });
    let open = host.open.clone();
    let mut result = None;
    foster_sim::run(1, async {
        result = Some(with_net(host, async { Listen::new().at_all(addresses(port).as_slice()).await }).await);
    });
    (result.expect("it has run"), open.load(Ordering::SeqCst))
}

fn address_of(error: &io::Error) -> SocketAddr {
    error.get_ref().and_then(|inner| inner.downcast_ref::<BindError>()).expect("a `BindError`").address
}

/// The third is refused: the first two are closed, and the error names it.
#[test]
fn n068_one_that_is_refused_closes_the_others() {
    check("net::n068_one_that_is_refused_closes_the_others", || {
        let (listeners, open) = listen(&[(2, OTHER)], 80);
        let error = listeners.unwrap_err();
        assert_eq!((address_of(&error), open), (addresses(80)[2], 0));
        assert_eq!(error.kind(), io::Error::from_raw_os_error(OTHER).kind());
        // The first error ends it: the last address would have been another one.
        let (listeners, open) = listen(&[(0, OTHER), (2, OTHER)], 80);
        assert_eq!((address_of(&listeners.unwrap_err()), open), (addresses(80)[0], 0));
    });
}

/// A family that the host does not have is passed over; it is an error only if there is no other.
#[test]
fn n068_families_that_are_missing_are_passed_over() {
    check("net::n068_families_that_are_missing_are_passed_over", || {
        let (listeners, open) = listen(&[(1, NO_SUCH_FAMILY)], 80);
        let listeners = listeners.unwrap();
        let at: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert_eq!((at, open), (vec![addresses(80)[0], addresses(80)[2]], 2));
        let (listeners, open) = listen(&[(0, NO_SUCH_FAMILY), (1, NO_SUCH_FAMILY), (2, NO_SUCH_FAMILY)], 80);
        assert_eq!((address_of(&listeners.unwrap_err()), open), (addresses(80)[2], 0));
    });
}

/// `EADDRNOTAVAIL`.
const NO_SUCH_ADDRESS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    99
} else if cfg!(windows) {
    10049
} else {
    49
};

/// The names of a host whose file of names says more than it has.
#[derive(Debug)]
struct Names;

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        Box::pin(async { Ok(addresses(0).iter().map(SocketAddr::ip).collect()) })
    }
}

/// IPv6 is switched off, and a name has such an address all the same: that is passed over. One that was asked for by
/// itself is not, nor is one of IPv4, nor do all of them count as passed over.
#[test]
fn n068_addresses_of_a_name_that_are_missing_are_passed_over() {
    check("net::n068_addresses_of_a_name_that_are_missing_are_passed_over", || {
        let listen_at_name = |errors: &[usize]| {
            let errors = errors.iter().map(|which| (addresses(80)[*which], NO_SUCH_ADDRESS)).collect();
            let host = Arc::new(Host { errors, ..Host::default() });
            foster_sim::run(1, async {
                let listen = async { Listen::new().at_all("both:80").await };
                with_net(host, with_resolver(Arc::new(Names), listen)).await
            })
        };
        let listeners = listen_at_name(&[1]).unwrap();
        let at: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert_eq!(at, [addresses(80)[0], addresses(80)[2]]);
        drop(listeners);
        assert_eq!(address_of(&listen_at_name(&[0]).unwrap_err()), addresses(80)[0]);
        let (refused, open) = listen(&[(1, NO_SUCH_ADDRESS)], 80);
        assert_eq!((address_of(&refused.unwrap_err()), open), (addresses(80)[1], 0));
    });
}

/// Port 0: the host chooses one, and all get that.
#[test]
fn n068_one_port_for_all() {
    check("net::n068_one_port_for_all", || {
        let (listeners, open) = listen(&[], 0);
        let ports: Vec<_> = listeners.unwrap().iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!((ports, open), (vec![1000; 3], 3));
        let none: &[SocketAddr] = &[];
        foster_sim::run(1, async move {
            let host = Arc::new(Host::default());
            let nothing = with_net(host, async { Listen::new().at_all(none).await }).await;
            assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
    });
}
