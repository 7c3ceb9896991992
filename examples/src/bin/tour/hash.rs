//! The blocking part: reading directories and files. Everything here runs on a thread that may wait for the disk.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::thread;
use sha2::{Digest, Sha256};

/// The hash of a whole file.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub(crate) digest: [u8; 32],
    pub(crate) bytes: u64,
}

impl fmt::Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The contents of a directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) directories: Vec<PathBuf>,
    /// Everything else.
    pub(crate) files: Vec<PathBuf>,
}

/// Lists a directory.
pub(crate) fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Links are not followed here: a link to a directory above would make the tour endless.
        let paths = if entry.file_type()?.is_dir() { &mut listing.directories } else { &mut listing.files };
        paths.push(entry.path());
    }
    Ok(listing)
}

/// Hashes a file; `None` if it has no contents, or if the tour is over before the file is.
pub(crate) fn hash(path: &Path) -> io::Result<Option<Hashed>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = Open::new(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = [0; 64 * 1024];
    let mut bytes = 0;
    loop {
        // The thread cannot be interrupted, so it asks.
        if thread::is_cancelled() {
            return Ok(None);
        }
        match file.0.read(&mut buffer) {
            Ok(0) => return Ok(Some(Hashed { digest: hasher.finalize().into(), bytes })),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How many files are open at the moment.
pub(crate) fn open_files() -> usize {
    OPEN.load(Ordering::Relaxed)
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A file that is counted while it is open.
struct Open(File);

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true);
        // No wait for a writer, nor for the next line of a kernel's log: no such thing would look at the deadline.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        let file = options.open(path)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(Open(file))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
