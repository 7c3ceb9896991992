//! How a TCP listener is opened.

use std::io;
use std::net::SocketAddr;

use super::TcpListener;
use crate::address::Inet;
use crate::bind::{failed, first_of};
use crate::contract::{Address, ListenOptions, net};
use crate::listener::Listener;
use crate::resolve::lookup_host;
use crate::target::{Target, ToTarget};

/// How to listen.
///
/// # Examples
///
/// ```
/// use foster_net::Listen;
///
/// # foster_smol::run(async {
/// let listener = Listen::new().backlog(16).only_v6(true).at("[::1]:0").await?;
/// assert!(listener.local_addr()?.is_ipv6());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it opens nothing before `at` is awaited"]
pub struct Listen {
    options: ListenOptions,
}

impl Listen {
    /// Starts with a backlog of 1024, and with what std has: a port whose connections were closed lately can be had.
    pub fn new() -> Self {
        Listen::default()
    }

    /// Sets how many connections wait to be accepted. The host clamps it to a limit of its own.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// Sets whether several sockets may listen at the same port, and share what comes (`SO_REUSEPORT`). Unix only.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Sets whether `[::]` stands for IPv6 alone.
    pub fn only_v6(mut self, only: bool) -> Self {
        self.options.only_v6 = only;
        self
    }

    /// Sets whether the port may be one whose connections were closed lately. It is so, unless this says no; then it
    /// cannot be had for a minute or two. No effect on Windows, where the option means something else.
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Listens at the first address that can be had; see [`TcpListener::bind`].
    ///
    /// # Cancellation
    ///
    /// *Strict*, as [`TcpListener::bind`].
    ///
    /// # Errors
    ///
    /// *Strict*, as [`TcpListener::bind`].
    pub async fn at(&self, target: impl ToTarget) -> io::Result<TcpListener> {
        let listen = |address| Listener::new(net()?.listen(&Address::Inet(address), &self.options)?);
        first_of(target, listen).await
    }

    /// Listens at all addresses of `target`: those of a name that has several, say, or those of both families. With
    /// port 0 the host chooses a port for the first one, and all others get the same. `[::]` stands for IPv6 alone
    /// here, so that `0.0.0.0` may be beside it.
    ///
    /// An address of a family that the host does not have is passed over; so is an IPv6 address of a name if the host has
    /// no such address, as where IPv6 is switched off. Any other error closes what is open already.
    ///
    /// # Cancellation
    ///
    /// *Strict*, as [`TcpListener::bind`].
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`]; inside is a [`BindError`](crate::BindError), which names the address. If all addresses
    /// were passed over, that is the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_net::Listen;
    ///
    /// # foster_smol::run(async {
    /// let listeners = Listen::new().at_all("localhost:0").await?;
    /// let port = listeners[0].local_addr()?.port();
    /// assert!(listeners.iter().all(|listener| listener.local_addr().is_ok_and(|address| address.port() == port)));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn at_all(&self, target: impl ToTarget) -> io::Result<Vec<TcpListener>> {
        let options = ListenOptions { only_v6: true, ..self.options.clone() };
        let target = target.to_target()?;
        let is_name = matches!(target, Target::Name(..));
        let (mut listeners, mut missing, mut chosen) = (Vec::new(), None, 0);
        for mut address in lookup_host(target).await? {
            if address.port() == 0 {
                address.set_port(chosen);
            }
            match net()?.listen(&Address::Inet(address), &options).and_then(Listener::<Inet>::new) {
                Ok(listener) => {
                    chosen = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(error) if is_missing_family(&error) || is_name && is_missing_v6(address, &error) => {
                    missing = Some((address, error));
                }
                Err(error) => return Err(failed(Some((address, error)))),
            }
        }
        if listeners.is_empty() { Err(failed(missing)) } else { Ok(listeners) }
    }
}

/// Whether the host has no IPv6 address like this one. Where IPv6 is switched off by a setting, and not left out of the
/// host, the family is there, and has no addresses; the file of names may have some all the same, such as `::1`.
fn is_missing_v6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Whether the host has no addresses of this family: IPv6 may have been left out of it.
fn is_missing_family(error: &io::Error) -> bool {
    #[cfg(unix)]
    const NUMBER: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    /// `WSAEAFNOSUPPORT`.
    #[cfg(not(unix))]
    const NUMBER: i32 = 10047;
    error.raw_os_error() == Some(NUMBER)
}
