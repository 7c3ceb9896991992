//! Files that are replaced as a whole: who reads sees the old contents, or the new ones.
//!
//! ```text
//!   temporary file in the same directory ──▶ written ──▶ synced ──▶ renamed over the old one ──▶ directory synced
//!          └──────────────────╳ error, cancel, panic: removed
//! ```

use std::fs::{Metadata, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foster_core::cleanup::try_bracket;
use tempfile::TempPath;

use crate::File;
use crate::blocking::run;

/// Replaces a file by one with these contents, or creates it: a reader sees all of the old contents or all of the new
/// ones, at any moment, even if the machine fails.
///
/// In one job: a temporary file in the same directory is written and synced to the disk, and renamed; then the
/// directory is synced.
///
/// The file at the path is replaced, and not changed: another name of the old file (a hard link) keeps the old
/// contents, and a symbolic link is itself replaced. The new file has the permissions of the old one, or `0o666` less
/// the process's mask; its owner is that of the process.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation): when it has started, the contents are the new ones when it
/// returns.
///
/// # Errors
///
/// The errors of the host. The old contents are there then, and no temporary file is left, unless the process was
/// killed; except for an error of the last step, when the new contents are there, and may be lost if the machine fails.
///
/// # Examples
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("settings.toml");
/// # foster_sim::run(1, async {
/// foster_fs::atomic_write(&path, "volume = 7\n").await?;
/// assert_eq!(foster_fs::read_to_string(&path).await?, "volume = 7\n");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn atomic_write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    run("atomic_write", move || {
        let (mut file, temporary) = Replacement::create(path)?;
        file.write_all(&contents)?;
        file.sync_all()?;
        drop(file);
        temporary.commit()
    })
    .await
}

/// Replaces a file, or creates it, by what `write` writes: as [`atomic_write`], for contents that come bit by bit.
///
/// `write` gets an empty [`File`], to write and to read. When it returns `Ok`, the file is synced and takes the place
/// of the old one. If it fails, panics, or is cancelled, the old contents stay, and the temporary file is removed
/// before this returns.
///
/// # Cancellation
///
/// *Partial effect*, all or nothing: `write` is cancelled by its own rules, and then nothing has changed. The last step
/// is one job, which is waited for.
///
/// # Errors
///
/// That of `write`; or, as those of [`atomic_write`], what the host says.
///
/// # Panics
///
/// Resumes the panic of `write`.
///
/// # Examples
///
/// ```
/// use futures_lite::AsyncWriteExt;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("report.csv");
/// # foster_sim::run(1, async {
/// foster_fs::replace(&path, async |file| {
///     for row in 0..100 {
///         file.write_all(format!("{row},{}\n", row * row).as_bytes()).await?;
///     }
///     Ok(())
/// })
/// .await?;
/// assert_eq!(foster_fs::read_to_string(&path).await?.lines().count(), 100);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn replace<T>(path: impl AsRef<Path>, write: impl AsyncFnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    // One await: so it is not cut half-way, and what it has created is removed.
    let create = run("replace", move || {
        let (file, replacement) = Replacement::create(path)?;
        Ok((file, Some(replacement)))
    });
    let create = async { create.await.map(|(file, replacement)| (Some(File::from_std(file)), replacement)) };
    try_bracket(
        create,
        async |mut resource| {
            let (file, replacement) = &mut *resource;
            let Some(open) = file else { unreachable!("the file is closed below") };
            let value = write(open).await?;
            open.sync_all().await?;
            // Some hosts do not rename what is open.
            if let Some(file) = file.take() {
                file.close().await?;
            }
            if let Some(replacement) = replacement.take() {
                run("replace", move || replacement.commit()).await?;
            }
            Ok(value)
        },
        |(file, replacement): (Option<File>, Option<Replacement>), _| async move {
            if let Some(file) = file {
                // Bytes that are being written go to a file that is about to be removed.
                let _ = file.close().await;
            }
            if let Some(replacement) = replacement {
                run("replace", move || replacement.discard()).await
            } else {
                Ok(())
            }
        },
    )
    // A job is waited for, however long it takes: with a limit the file would be left.
    .budget(Duration::MAX)
    .await
}

/// The name of the temporary file is longer than that of the old one, which may be as long as the host allows. So it
/// has that name in it only up to this many bytes.
const LONGEST_PREFIX: usize = 128;

/// A temporary file that is to take the place of another. Dropped, it is removed.
#[derive(Debug)]
struct Replacement {
    path: PathBuf,
    temporary: TempPath,
}

impl Replacement {
    /// Blocks: creates the temporary file beside the old one, with its permissions.
    fn create(path: PathBuf) -> io::Result<(std::fs::File, Replacement)> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let mut prefix = std::ffi::OsString::from(".");
        if name.len() <= LONGEST_PREFIX {
            prefix.push(name);
            prefix.push(".");
        }
        let old = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        let permissions = old.as_ref().filter(|old| old.is_file()).map(Metadata::permissions);
        #[cfg(unix)]
        {
            // Secret contents stay secret, even before the file has the permissions of the old one.
            let mode = if permissions.is_some() { 0o600 } else { 0o666 };
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        }
        let (file, temporary) = builder.tempfile_in(directory(&path))?.into_parts();
        let replacement = Replacement { path, temporary };
        if let Some(permissions) = permissions {
            replacement.take_permissions(&file, permissions)?;
        }
        Ok((file, replacement))
    }

    fn take_permissions(&self, file: &std::fs::File, permissions: Permissions) -> io::Result<()> {
        if permissions.readonly() && cfg!(windows) {
            // There it could be neither renamed nor removed.
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
        }
        file.set_permissions(permissions)
    }

    /// Blocks: the rename, and what makes it last.
    fn commit(self) -> io::Result<()> {
        let Replacement { path, temporary } = self;
        temporary.persist(&path).map_err(|refused| refused.error)?;
        #[cfg(unix)]
        std::fs::File::open(directory(&path))?.sync_all()?;
        Ok(())
    }

    /// Blocks: removes the temporary file.
    fn discard(self) -> io::Result<()> {
        self.temporary.close()
    }
}

/// The directory that a file is in.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
