//! The entries of a directory, one after the other.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use foster_core::leaf::Gate;
use futures_core::Stream;

use crate::blocking::run;
use crate::job::Job;

/// So many entries are read by one job.
const BATCH: usize = 32;

/// Opens a directory, to read what is in it.
///
/// # Cancellation
///
/// *Not interrupted*, as [all operations](crate#cancellation).
///
/// # Errors
///
/// As [`std::fs::read_dir`].
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let mut names = Vec::new();
/// let mut entries = foster_fs::read_dir("src").await?;
/// while let Some(entry) = entries.next().await {
///     let entry = entry?;
///     if entry.metadata().await?.is_file() {
///         names.push(entry.file_name());
///     }
/// }
/// assert!(names.contains(&"lib.rs".into()));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let batch = run("read_dir", move || {
        let mut batch = Batch { source: Some(std::fs::read_dir(path)?), entries: VecDeque::new() };
        batch.fill();
        Ok(batch)
    });
    Ok(ReadDir { batch: Arc::new(Mutex::new(batch.await?)), job: None })
}

/// The entries of a directory, in the order of the host: a [`Stream`], and [`next`](ReadDir::next). `.` and `..` are
/// not among them.
///
/// They are read some at a time, on a thread that is only used meanwhile. A `ReadDir` that is dropped half-way leaves
/// nothing behind. An entry that is created or removed meanwhile may or may not be among them.
#[must_use = "streams do nothing unless polled"]
pub struct ReadDir {
    batch: Arc<Mutex<Batch>>,
    job: Option<Job>,
}

struct Batch {
    /// None: that was all.
    source: Option<std::fs::ReadDir>,
    entries: VecDeque<io::Result<DirEntry>>,
}

impl Batch {
    /// Blocks: reads some entries more.
    fn fill(&mut self) {
        let Some(source) = &mut self.source else { return };
        let known = self.entries.len();
        self.entries.extend(source.take(BATCH).map(|entry| entry.map(DirEntry::new)));
        // After an error of a directory the standard library goes on; one that has no end would never be left.
        if self.entries.len() - known < BATCH || self.entries.iter().all(io::Result::is_err) {
            self.source = None;
        }
    }
}

impl ReadDir {
    /// Returns the next entry; none when there is no other.
    ///
    /// # Cancellation
    ///
    /// *Strict*: no entry is left out.
    pub async fn next(&mut self) -> Option<io::Result<DirEntry>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        ready!(Gate::poll_once("next entry", cx));
        self.job.take_if(|job| job.is_stale());
        loop {
            if let Some(job) = &mut self.job {
                let ended = ready!(job.poll(cx));
                self.job = None;
                if let Err(no_thread) = ended {
                    return Poll::Ready(Some(Err(no_thread)));
                }
            }
            let mut batch = self.lock();
            if let Some(entry) = batch.entries.pop_front() {
                return Poll::Ready(Some(entry));
            }
            if batch.source.is_none() {
                return Poll::Ready(None);
            }
            drop(batch);
            let batch = self.batch.clone();
            // Nobody else has the lock as long as a job is there.
            self.job = Some(Job::new("read_dir", move || batch.lock().unwrap_or_else(PoisonError::into_inner).fill()));
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    entry: Arc<std::fs::DirEntry>,
    /// None if the host could not tell.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Blocks, if the host does not list the types with the names.
    fn new(entry: std::fs::DirEntry) -> Self {
        DirEntry { file_type: entry.file_type().ok(), entry: Arc::new(entry) }
    }

    /// Returns its path: that of the directory, as it was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// Returns its name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// Returns its metadata; that of a link, if it is one.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let entry = self.entry.clone();
        run("metadata", move || entry.metadata()).await
    }

    /// Returns whether it is a file, a directory, or a link: what it was when it was listed. That takes no thread, unless
    /// the host could not tell then.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::file_type`].
    pub async fn file_type(&self) -> io::Result<FileType> {
        if let Some(file_type) = self.file_type {
            poll_fn(|cx| Gate::poll_once("file_type", cx)).await;
            return Ok(file_type);
        }
        let entry = self.entry.clone();
        run("file_type", move || entry.file_type()).await
    }
}
