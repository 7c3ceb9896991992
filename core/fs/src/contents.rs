//! Whole files: read, written and copied in one job each.

use std::io;
use std::path::Path;

use crate::blocking::run;

/// Reads a whole file.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::read`].
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    run("read", move || std::fs::read(path)).await
}

/// Reads a whole file of UTF-8.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::read_to_string`].
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_owned();
    run("read_to_string", move || std::fs::read_to_string(path)).await
}

/// Writes a whole file: creates it, or replaces the contents of the one that is there.
///
/// A reader of the file meanwhile sees a part of it; [`atomic_write`](crate::atomic_write) shows all or nothing.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::write`].
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    run("write", move || std::fs::write(path, contents)).await
}

/// Copies a file with its permissions, over one that is there, and returns how many bytes it has.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::copy`].
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    run("copy", move || std::fs::copy(from, to)).await
}
