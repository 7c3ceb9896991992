//! An open file.
//!
//! `polled.rs` reads, writes and seeks; `shared.rs` is what the jobs of a file do, on their threads; what is on its way
//! to the file is in [`write_behind`](crate::write_behind).

mod polled;
#[cfg(unix)]
mod positioned;
mod shared;

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use foster_core::leaf::Gate;
use futures_io::AsyncSeek;

use crate::blocking::run;
use crate::job::{CompleteOnDrop, DetachedCalls};
use crate::open_options::OpenOptions;
use crate::write_behind::WriteBehind;
use polled::CursorJob;
use shared::Shared;

/// An open file: [`AsyncRead`](futures_io::AsyncRead), [`AsyncWrite`](futures_io::AsyncWrite) and
/// [`AsyncSeek`](futures_io::AsyncSeek).
///
/// # Reading
///
/// A read asks the host for as much as there is room for, up to 2 MiB, and never for more: a [clone](File::try_clone)
/// and the caller see the same position. Each is a job on a thread, so wrap a file in a `BufReader` to read little at a
/// time. Bytes that a cancelled read has brought are there for the next one, and do not count in the position; a clone
/// finds the position behind them, until this file is used again.
///
/// # Writing
///
/// A write returns when the file has *taken in* the bytes, up to 2 MiB of them, and a job writes them. The job belongs
/// to the scope of the code that wrote. So:
///
/// * **Nothing is lost with the file.** Bytes of a write that returned are in the host's file when the scope around it
///   has ended, even if the file was dropped without a flush, or the scope was cancelled. A write that is Pending has
///   taken nothing in.
/// * **In order.** Reads, seeks, metadata, `sync_all` and clones wait for what is being written; and all that comes
///   next for a call that goes on although its future was dropped.
/// * **An error stays.** A write may fail late, when the disk is full. The next write, and each flush and sync from
///   then on, returns that error: bytes are missing, and the file cannot say which. Open it again to go on. If the file
///   is dropped before anybody was told, the error goes to the [`Observer`](foster_core::observer::Observer); or to
///   standard error, if it comes after that.
///
/// Until the next operation, a file refers to the task that has written to it last, and keeps the memory of that task
/// and of those around it, also when they have ended. A flush is such an operation: flush a file that will lie unused
/// for long.
///
/// To know that the host has the bytes, flush. To know that its disk has them, [`sync_all`](File::sync_all).
///
/// # Threads
///
/// A read, write or seek waits if all threads that the [limiter](foster_core::thread::limiter) allows are in use, and
/// takes one that is free when it is polled. A file that nobody polls any more takes none. So it has no fixed place
/// among those who wait: others may come first, as long as they use up the limit.
///
/// # Closing
///
/// A file is closed when it is dropped, or at the end of the job that is using it. Where closing blocks, as on some
/// network file systems, use [`close`](File::close).
///
/// # Cancellation
///
/// | operation | when it was cancelled |
/// |---|---|
/// | read | *strict*: what it would have returned is there for the next one |
/// | write | *strict*: nothing of that call was taken in. `write_all`: a part from the beginning, it is not known how much |
/// | flush | *strict*: the bytes are written all the same |
/// | seek | *partial effect*: the position is where it was, or where it was to go; the same seek again goes to the same place |
/// | all others | before they have a thread, *strict*; from then on they are waited for, and have happened |
///
/// In all cases the file can be used again. The same seek again, from the beginning or the end, is done again: but in the
/// scope of one that foreign code has dropped, and with nothing else done with this file in between, it may return what
/// that one has found.
///
/// # Examples
///
/// ```
/// use foster_fs::File;
/// use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
/// use std::io::SeekFrom;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("notes");
/// # foster_sim::run(1, async {
/// let mut file = File::options().read(true).write(true).create_new(true).open(path).await?;
/// file.write_all(b"first line\nsecond line\n").await?;
/// file.seek(SeekFrom::Start(6)).await?;
/// let mut word = [0; 4];
/// file.read_exact(&mut word).await?;
/// assert_eq!(&word, b"line");
/// assert_eq!(file.stream_position().await?, 10);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct File {
    shared: Arc<Shared>,
    writer: WriteBehind<Shared>,
    cursor_job: Option<CursorJob>,
    detached: DetachedCalls,
}

impl File {
    /// Opens a file that exists, to read it.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation); a file that was opened for nobody is closed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write it from the beginning: creates it, or empties the one that is there.
    ///
    /// # Cancellation
    ///
    /// As [`open`](File::open); it may have been created or emptied.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`].
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file that does not exist, to read and to write it.
    ///
    /// # Cancellation
    ///
    /// As [`open`](File::open); it may have been created.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`]: above all [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Returns options, with which nothing is chosen yet.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Makes a file of one of the standard library, at the position where that is.
    #[must_use]
    pub fn from_std(file: std::fs::File) -> Self {
        let shared = Arc::new(Shared::new(file));
        File { writer: WriteBehind::new(shared.clone()), shared, cursor_job: None, detached: DetachedCalls::default() }
    }

    /// Makes a file of the standard library of this one, at the position of the caller, with everything written.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the file is closed, when everything is written.
    ///
    /// # Errors
    ///
    /// Bytes that were taken in could not be written; or a cancelled read has brought bytes that cannot be given back,
    /// as from a pipe. The file comes back with the error.
    pub async fn into_std(mut self) -> Result<std::fs::File, IntoStdError> {
        if let Err(error) = self.settled().await.and_then(|()| self.writer.check()) {
            return Err(IntoStdError { file: self, error });
        }
        self.cursor_job = None;
        let File { shared, writer, .. } = self;
        drop(writer);
        let shared = match Arc::try_unwrap(shared) {
            Ok(shared) => return Ok(shared.std),
            // The job that used it last is not quite gone. Another descriptor of the same open file does not block.
            Err(shared) => shared,
        };
        shared.std.try_clone().map_err(|error| {
            let writer = WriteBehind::new(shared.clone());
            IntoStdError { file: File { shared, writer, cursor_job: None, detached: DetachedCalls::default() }, error }
        })
    }

    /// Writes what was taken in, and closes the file on a thread that may block.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the file is closed all the same, when everything is written.
    ///
    /// # Errors
    ///
    /// Bytes that were taken in could not be written.
    pub async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| self.writer.poll_written(cx)).await;
        self.idle().await;
        let failure = self.writer.take_failure();
        run("close", move || {
            drop(self);
            Ok(())
        })
        .await?;
        failure.tell()
    }

    /// Waits until the host's disk has everything, metadata included.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_all`], or bytes that were taken in could not be written. From then on it never returns
    /// `Ok` again: a host forgets such an error once it has told it. Nothing is lost, and the file can be used, if
    /// there is no thread for the job, or if what is open cannot be synced, as a pipe.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync("sync_all", std::fs::File::sync_all).await
    }

    /// Waits until the host's disk has the contents, and what is needed to read them.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`sync_all`](File::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync("sync_data", std::fs::File::sync_data).await
    }

    async fn sync(&self, name: &'static str, sync: fn(&std::fs::File) -> io::Result<()>) -> io::Result<()> {
        self.idle().await;
        poll_fn(|cx| Gate::poll_once(name, cx)).await;
        self.writer.check()?;
        let failures = self.writer.failures();
        // The job itself keeps the error: a host that has told it once forgets it, and this future may be gone by then.
        let synced = self.with_std(name, move |file| Ok(sync(file).inspect_err(|error| failures.note(error)))).await?;
        self.writer.check()?;
        synced
    }

    /// Cuts the file off at this length, or fills it up with zeros. The position stays.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`].
    pub async fn set_len(&self, length: u64) -> io::Result<()> {
        self.with_std("set_len", move |file| file.set_len(length)).await
    }

    /// Returns the metadata: with all that was taken in before.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.with_std("metadata", std::fs::File::metadata).await
    }

    /// Changes the permissions.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_permissions`].
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.with_std("set_permissions", move |file| file.set_permissions(permissions)).await
    }

    /// Changes the times of the last access and the last modification: when everything that was taken in is written, which
    /// would change them.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_times`].
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.with_std("set_times", move |file| file.set_times(times)).await
    }

    /// Changes the time of the last modification, as [`set_times`](File::set_times) does.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_modified`].
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }

    /// Makes another handle to the same open file: with the same position, which either moves for both.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_clone`]; or a cancelled read has brought bytes that cannot be given back, as from a
    /// pipe.
    pub async fn try_clone(&self) -> io::Result<File> {
        let clone = self.with_shared("try_clone", |shared| {
            shared.settle()?;
            shared.std.try_clone()
        });
        clone.await.map(File::from_std)
    }

    /// Returns the position: where the next read or write begins, whatever was read ahead.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// As [`std::io::Seek::stream_position`]: a pipe has no positions.
    pub async fn stream_position(&mut self) -> io::Result<u64> {
        poll_fn(|cx| Pin::new(&mut *self).poll_seek(cx, SeekFrom::Current(0))).await
    }

    /// Waits for the jobs of this file that were started by polls, and for calls that go on without their futures.
    async fn idle(&self) {
        let cursor_job = || self.cursor_job.as_ref().and_then(|cursor_job| cursor_job.job.completion());
        while let Some(completion) = self.writer.completion().or_else(cursor_job).or_else(|| self.detached.any()) {
            completion.wait().await;
        }
    }

    /// Moves the host's position to that of the caller.
    async fn settled(&self) -> io::Result<()> {
        self.with_shared("settle", Shared::settle).await
    }

    /// Runs a call of the host when no job of a poll is going on.
    async fn with_std<T: Send + 'static>(
        &self,
        name: &'static str,
        call: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.with_shared(name, move |shared| {
            // Bytes that were read and not taken are read again: the call may change them. Where there are no
            // positions, as in a pipe, they are kept.
            let _ = shared.settle();
            call(&shared.std)
        })
        .await
    }

    async fn with_shared<T: Send + 'static>(
        &self,
        name: &'static str,
        call: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.idle().await;
        // The call may change what a seek has found that nobody has asked for yet.
        self.shared.forget_sought();
        let shared = self.shared.clone();
        let complete = CompleteOnDrop::default();
        // Dropped after the future of the job: a job that has no thread by then has ended.
        let _call = self.detached.call(&complete);
        run(name, move || {
            let called = call(&shared);
            drop((shared, complete));
            called
        })
        .await
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        File::from_std(file)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("std", &self.shared.std).finish_non_exhaustive()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.shared.std.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsHandle for File {
    fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
        self.shared.std.as_handle()
    }
}

/// Why a file could not become one of the standard library; it comes back.
#[derive(Debug)]
#[non_exhaustive]
pub struct IntoStdError {
    /// The file, as it was.
    pub file: File,
    /// The reason.
    pub error: io::Error,
}

impl fmt::Display for IntoStdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file cannot become one of the standard library")
    }
}

impl std::error::Error for IntoStdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::poll_once;

    use super::*;

    /// N143: the error of a sync that nobody waits for any more is that of the next one.
    #[test]
    fn the_error_of_a_sync_that_was_left_stays() {
        foster_sim::run(1, async {
            let file = File::from_std(tempfile::tempfile().unwrap());
            let mut sync = Box::pin(file.sync("sync", |_| Err(io::Error::from(io::ErrorKind::StorageFull))));
            assert!(poll_once(sync.as_mut()).await.is_none());
            drop(sync);
            foster::sleep(std::time::Duration::from_secs(1)).await;
            assert_eq!(file.sync_all().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        });
    }
}
