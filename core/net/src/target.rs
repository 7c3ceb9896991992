//! Targets to connect to, or to bind: addresses, or a name with a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where to connect, bind or send: addresses, or a name that has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Addresses, to be tried in this order.
    Addresses(Vec<SocketAddr>),
    /// A name and a port.
    Name(String, u16),
}

impl Target {
    fn host(host: &str, port: u16) -> io::Result<Target> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, port).into());
        }
        check(host)?;
        Ok(Target::Name(host.to_owned(), port))
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Target::Addresses(vec![address])
    }
}

/// Refuses what cannot be a name, before anybody is asked for it.
fn check(host: &str) -> io::Result<()> {
    let reason = if host.is_empty() {
        "the name of the host is empty"
    } else if host.len() > 255 {
        "the name of the host is longer than 255 bytes"
    } else if !host.is_ascii() {
        "the name of the host is not ASCII: encode it first, with the crate `idna`"
    } else if host.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        "the name of the host has a blank or a control character in it"
    } else {
        return Ok(());
    };
    Err(invalid(format!("{reason}: {host:?}")))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// A value that says where to connect, bind or send, as [`std::net::ToSocketAddrs`] does; but no name is looked up
/// here.
///
/// | | |
/// |---|---|
/// | `SocketAddr`, `SocketAddrV4`, `SocketAddrV6` | that address |
/// | `(IpAddr, u16)`, and both sorts of `IpAddr` by themselves | that address |
/// | `("example.org", 443)`, `(String, u16)` | a name, or an address as text |
/// | `"example.org:443"`, `"[::1]:80"`, `String` | the same, as one text |
/// | slices, arrays and `Vec`s of `SocketAddr` | all of them, in this order |
pub trait ToTarget {
    /// Returns the target.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): a text without a port, a port that is out of range, or a name
    /// that is empty, longer than 255 bytes, not ASCII, or has control characters in it.
    fn to_target(&self) -> io::Result<Target>;
}

impl ToTarget for Target {
    fn to_target(&self) -> io::Result<Target> {
        Ok(self.clone())
    }
}

macro_rules! addresses {
    ($($kind:ty),*) => {$(
        impl ToTarget for $kind {
            fn to_target(&self) -> io::Result<Target> {
                Ok(SocketAddr::from(*self).into())
            }
        }
    )*};
}

addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToTarget for (&str, u16) {
    fn to_target(&self) -> io::Result<Target> {
        Target::host(self.0, self.1)
    }
}

impl ToTarget for (String, u16) {
    fn to_target(&self) -> io::Result<Target> {
        Target::host(&self.0, self.1)
    }
}

impl ToTarget for str {
    fn to_target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Err(invalid(format!("there is no port in {self:?}: write \"host:port\"")));
        };
        let Ok(port) = port.parse() else {
            return Err(invalid(format!("the port in {self:?} is not a number up to 65535")));
        };
        Target::host(host, port)
    }
}

impl ToTarget for String {
    fn to_target(&self) -> io::Result<Target> {
        self.as_str().to_target()
    }
}

impl ToTarget for [SocketAddr] {
    fn to_target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.to_vec()))
    }
}

impl<const N: usize> ToTarget for [SocketAddr; N] {
    fn to_target(&self) -> io::Result<Target> {
        self.as_slice().to_target()
    }
}

impl ToTarget for Vec<SocketAddr> {
    fn to_target(&self) -> io::Result<Target> {
        self.as_slice().to_target()
    }
}

impl<T: ToTarget + ?Sized> ToTarget for &T {
    fn to_target(&self) -> io::Result<Target> {
        (**self).to_target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N100: an address as text is that address.
    #[test]
    fn n100_texts_of_addresses_are_addresses() {
        for text in ["127.0.0.1:8000", "[::1]:80"] {
            assert_eq!(text.to_target().unwrap(), text.parse::<SocketAddr>().unwrap().into());
        }
        assert_eq!(("::1", 80).to_target().unwrap(), "[::1]:80".to_target().unwrap());
        assert_eq!("localhost:80".to_target().unwrap(), Target::Name("localhost".to_owned(), 80));
    }

    /// N107: what can be no name is refused before anybody is asked.
    #[test]
    fn n107_names_that_cannot_be_are_refused() {
        for text in [":80", "host", "host:", "host:65536", "host:-1", "a\0b:80", "bücher.example:80", "a b:80"] {
            assert_eq!(text.to_target().unwrap_err().kind(), io::ErrorKind::InvalidInput, "{text:?}");
        }
        assert_eq!(("x".repeat(256), 80).to_target().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
