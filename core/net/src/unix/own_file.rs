//! A listener that removes its file when it is closed.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crate::contract::{Address, ListenerSocket, OptionName, Socket, SocketOption, StreamSocket};
use crate::host::HostListener;

/// The file of a socket, to be known again.
#[derive(Clone)]
pub(crate) struct OwnFile {
    /// Absolute: the process may change its directory meanwhile.
    path: PathBuf,
    /// Another server may put its own file there.
    identity: (u64, u64),
}

impl OwnFile {
    /// Looks for the file of a socket that was bound just now.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(OwnFile { path, identity })
    }
}

/// A socket, and the file that goes with it.
pub(super) struct WithOwnFile {
    socket: Arc<dyn ListenerSocket>,
    file: OwnFile,
    /// The socket was handed to the host, where it goes on listening.
    given_away: AtomicBool,
}

impl WithOwnFile {
    pub(super) fn new(socket: Arc<dyn ListenerSocket>, file: OwnFile) -> Self {
        WithOwnFile { socket, file, given_away: AtomicBool::new(false) }
    }
}

/// Returns device and number of a file. Not those of what a symbolic link leads to: `bind` makes the file itself.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for WithOwnFile {
    /// While it still listens: so a client that connects is never told that nobody listens at a file that is there.
    fn drop(&mut self) {
        let OwnFile { path, identity: own } = &self.file;
        if !*self.given_away.get_mut() && identity(path).is_ok_and(|now| now == *own) {
            // Nobody can be told. A stale file stays, as of a process that was killed.
            drop(fs::remove_file(path));
        }
    }
}

impl fmt::Debug for WithOwnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl Socket for WithOwnFile {
    fn local_address(&self) -> io::Result<Address> {
        self.socket.local_address()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.socket.set_option(option)
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.socket.option(name)
    }
}

impl ListenerSocket for WithOwnFile {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        self.socket.poll_accept(cx)
    }

    fn to_host(&self) -> io::Result<HostListener> {
        let host = self.socket.to_host()?;
        self.given_away.store(true, Ordering::Relaxed);
        Ok(host)
    }
}
