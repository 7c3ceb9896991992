//! The entries of directories: names, links, metadata, permissions.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::blocking::run;

/// Renames a file or directory, over a file that is there. Both are on one file system.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::rename`].
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    run("rename", move || std::fs::rename(from, to)).await
}

/// Removes a file, or a link and not what it leads to.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::remove_file`].
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("remove_file", move || std::fs::remove_file(path)).await
}

/// Makes a directory. [`DirBuilder`](crate::DirBuilder) has more to choose.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::create_dir`].
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("create_dir", move || std::fs::create_dir(path)).await
}

/// Makes a directory and those around it; is content if it exists.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::create_dir_all`].
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("create_dir_all", move || std::fs::create_dir_all(path)).await
}

/// Removes an empty directory.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::remove_dir`].
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("remove_dir", move || std::fs::remove_dir(path)).await
}

/// Removes a directory with all that is in it. Links are removed, and not what they lead to.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`].
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("remove_dir_all", move || std::fs::remove_dir_all(path)).await
}

/// Returns the metadata of what is at the path; links are followed.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::metadata`].
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    run("metadata", move || std::fs::metadata(path)).await
}

/// Returns the metadata of what is at the path, which may be a link.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::symlink_metadata`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    run("symlink_metadata", move || std::fs::symlink_metadata(path)).await
}

/// Changes the permissions of what is at the path.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    run("set_permissions", move || std::fs::set_permissions(path, permissions)).await
}

/// Gives a file another name.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::hard_link`].
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    run("hard_link", move || std::fs::hard_link(original, link)).await
}

/// Makes a symbolic link that leads to `original`, which need not exist.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::os::unix::fs::symlink`].
#[cfg(unix)]
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    run("symlink", move || std::os::unix::fs::symlink(original, link)).await
}

/// Makes a symbolic link to a file.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As `std::os::windows::fs::symlink_file`.
#[cfg(windows)]
pub async fn symlink_file(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    run("symlink_file", move || std::os::windows::fs::symlink_file(original, link)).await
}

/// Makes a symbolic link to a directory.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As `std::os::windows::fs::symlink_dir`.
#[cfg(windows)]
pub async fn symlink_dir(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    run("symlink_dir", move || std::os::windows::fs::symlink_dir(original, link)).await
}

/// Returns where a symbolic link leads.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::read_link`].
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    run("read_link", move || std::fs::read_link(path)).await
}

/// Returns the absolute path, without links.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::canonicalize`].
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    run("canonicalize", move || std::fs::canonicalize(path)).await
}

/// Returns whether there is something at the path; links are followed. `Ok(false)` means that there is nothing.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::exists`]: where it cannot be found out, as in a directory that may not be
/// searched. That does not mean that it does not exist.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    run("try_exists", move || std::fs::exists(path)).await
}
