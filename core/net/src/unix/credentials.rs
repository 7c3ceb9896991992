//! The process at the other end of a Unix socket.

use std::io;

use nix::sys::socket::{getsockopt, sockopt};

use crate::address::Unix;
use crate::host::HostStream;
use crate::stream::Stream;

/// The process at the other end of a [`UnixStream`](crate::UnixStream), as the kernel knows it: as it was when that
/// process connected, listened, or made the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The number of the process. None if that process has no number here: it is outside of this process's PID
    /// namespace, such as the host is for a container.
    ///
    /// It may have ended, and its number may be that of another one by now: to be trusted are the user and the group.
    pub pid: Option<u32>,
    /// The user that it ran as.
    pub uid: u32,
    /// The group that it ran as.
    pub gid: u32,
}

impl Stream<Unix> {
    /// Asks the kernel who is at the other end. On Linux and Android.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): it is not a socket of the host.
    /// * Other errors of the host.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_net::UnixStream;
    ///
    /// # foster_smol::run(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_credentials()?.pid, Some(std::process::id()));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        let HostStream::Unix(host) = self.socket().to_host()? else { return Err(io::ErrorKind::Unsupported.into()) };
        let peer = getsockopt(&host, sockopt::PeerCredentials)?;
        Ok(PeerCredentials { pid: visible(peer.pid()), uid: peer.uid(), gid: peer.gid() })
    }
}

/// Returns the number of a process, for which the kernel has 0 if the process cannot be seen from here.
fn visible(pid: i32) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_namespace_has_no_number() {
        assert_eq!((visible(0), visible(1), visible(i32::MAX)), (None, Some(1), Some(i32::MAX as u32)));
    }
}
