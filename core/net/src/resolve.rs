//! Names: who looks them up, and how.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use foster_core::ScopedValue;
use foster_core::future::ScopedValueFuture;
use foster_core::leaf::operation;
use foster_core::sync::CapacityLimiter;
use foster_core::thread::to_thread_abandon;

use crate::contract::{NetFuture, net};
use crate::target::{Target, ToTarget};

/// Looks up names.
///
/// To be installed for a part of the program with [`with_resolver`]: a cache, a resolver that asks a server by itself,
/// the names of a test.
pub trait Resolve: Send + Sync + Debug {
    /// Returns the addresses of this name, in the order in which they should be tried.
    ///
    /// It may be dropped at any moment. An empty list is taken as an error.
    fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>>;

    /// Returns the same with this port. This is what foster asks for.
    ///
    /// For a resolver that knows more than an [`IpAddr`] can say: that of the host knows the scope of a link-local
    /// address, without which nobody can connect to it. Unless it is implemented, it is what
    /// [`resolve`](Resolve::resolve) returns.
    fn resolve_with_port<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Vec<SocketAddr>> {
        let found = self.resolve(host);
        Box::pin(async move { Ok(found.await?.into_iter().map(|address| SocketAddr::new(address, port)).collect()) })
    }
}

static RESOLVER: ScopedValue<Arc<dyn Resolve>> = ScopedValue::inherited();

/// Runs `future` with this resolver for all names that are looked up inside, also by the tasks of nurseries inside.
///
/// # Cancellation
///
/// *Partial effect*: as `future`.
///
/// # Panics
///
/// Resumes the panic of `future`. When polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster_net::contract::NetFuture;
/// use foster_net::{Resolve, lookup_host, with_resolver};
/// use std::io;
/// use std::net::{IpAddr, Ipv4Addr};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Names;
///
/// impl Resolve for Names {
///     fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
///         Box::pin(async move {
///             match host {
///                 "database" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
///                 _ => Err(io::Error::new(io::ErrorKind::NotFound, "the test has no such name")),
///             }
///         })
///     }
/// }
///
/// # foster_smol::run(async {
/// with_resolver(Arc::new(Names), async {
///     assert_eq!(lookup_host("database:5432").await?, ["127.0.0.1:5432".parse().unwrap()]);
///     assert!(lookup_host("example.org:443").await.is_err());
///     io::Result::Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[track_caller]
pub fn with_resolver<F: Future>(resolver: Arc<dyn Resolve>, future: F) -> ScopedValueFuture<F, F::Output> {
    RESOLVER.scope(resolver, future)
}

/// Looks up a name, and returns its addresses in the order in which they should be tried, each once. An address is
/// returned as it is, without asking a resolver.
///
/// The resolver is the innermost one of [`with_resolver`], or that of the network: on the host its `getaddrinfo`, on
/// blocking threads, at most [`LOOKUP_THREADS`] of them at once.
///
/// # Cancellation
///
/// *Strict*. `getaddrinfo` cannot be interrupted, so a cancelled lookup is *abandoned* and not waited for: its thread
/// goes on without anybody, as [`to_thread_abandon`] has it, and counts among those [`LOOKUP_THREADS`] until it ends. A
/// deadline around a connection is kept, however long the resolver takes.
///
/// # Errors
///
/// * [`InvalidInput`](io::ErrorKind::InvalidInput): see [`ToTarget`].
/// * [`NotFound`](io::ErrorKind::NotFound): the name has no address, or the host's resolver cannot say, now or ever.
/// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network.
/// * Other errors of the resolver. Each of these names the host.
///
/// # Examples
///
/// ```
/// # foster_smol::run(async {
/// let addresses = foster_net::lookup_host(("localhost", 80)).await?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback()));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn lookup_host(target: impl ToTarget) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = match target.to_target()? {
        Target::Addresses(addresses) => return operation("lookup", async { Ok(addresses) }).await,
        Target::Name(host, port) => (host, port),
    };
    let resolver = RESOLVER.get().map_or_else(|| Ok(net()?.resolver()), io::Result::Ok)?;
    // No operation around it: a resolver is written with foster's own, as anything else.
    let found = resolver.resolve_with_port(&host, port).await;
    let found = found.map_err(|error| io::Error::new(error.kind(), LookupError { host: host.clone(), error }))?;
    let mut addresses = Vec::with_capacity(found.len());
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, LookupError { host, error }));
    }
    Ok(addresses)
}

/// Why a name could not be looked up; inside of an [`io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub struct LookupError {
    /// The name.
    pub host: String,
    /// The error of the resolver.
    pub error: io::Error,
}

impl std::fmt::Display for LookupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot look up the host {:?}", self.host)
    }
}

impl std::error::Error for LookupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// How many threads the lookups of a runtime have at most; those that were abandoned and still run are among them.
pub const LOOKUP_THREADS: usize = 16;

/// The resolver of the host: `getaddrinfo`, on blocking threads.
#[derive(Debug)]
pub struct SystemResolver {
    limiter: Arc<CapacityLimiter>,
}

impl SystemResolver {
    /// Makes a resolver with a limit of its own.
    #[must_use]
    pub fn new() -> Self {
        SystemResolver { limiter: Arc::new(CapacityLimiter::new(LOOKUP_THREADS)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        let found = self.resolve_with_port(host, 0);
        Box::pin(async move { Ok(found.await?.iter().map(SocketAddr::ip).collect()) })
    }

    fn resolve_with_port<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Vec<SocketAddr>> {
        let host = host.to_owned();
        let lookup = move || Ok((host.as_str(), port).to_socket_addrs().map_err(host_error)?.collect());
        let lookup = to_thread_abandon(lookup).limiter(self.limiter.clone());
        Box::pin(async move { lookup.await? })
    }
}

/// The host has no kind for a name that does not exist: what `getaddrinfo` itself says comes without a number.
fn host_error(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (None, kind) if kind != io::ErrorKind::InvalidInput => io::Error::new(io::ErrorKind::NotFound, error),
        _ => error,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// N105: of all lookups of a resolver so many have threads, and the next one waits for one of them.
    #[test]
    fn n105_lookups_have_so_many_threads() {
        foster_smol::run(async {
            let resolver = SystemResolver::new();
            let mut running = Vec::new();
            for _ in 0..LOOKUP_THREADS {
                running.push(
                    resolver.limiter.clone().acquire_owned_on_behalf_of(format!("lookup {}", running.len())).await,
                );
            }
            let mut lookup = pin!(resolver.resolve("localhost"));
            assert!(lookup.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!((resolver.limiter.borrowed(), resolver.limiter.statistics().waiting), (LOOKUP_THREADS, 1));
            drop(running.pop());
            assert!(!lookup.await.unwrap().is_empty());
            assert_eq!(resolver.limiter.available(), 1);
        });
    }

    /// N103: the scope of a link-local address is there, which says by which network interface it is reached.
    #[test]
    fn n103_scopes_of_link_local_addresses_are_kept() {
        foster_smol::run(async {
            let lookup = with_resolver(Arc::new(SystemResolver::new()), lookup_host(("fe80::1%lo", 80)));
            let [SocketAddr::V6(found)] = lookup.await.unwrap()[..] else { panic!("it is one address") };
            assert_eq!((found.ip().to_string().as_str(), found.port()), ("fe80::1", 80));
            assert_ne!(found.scope_id(), 0);
            let found = SystemResolver::new().resolve("fe80::1%lo").await.unwrap();
            assert_eq!(found, ["fe80::1".parse::<IpAddr>().unwrap()]);
        });
    }
}
