//! The findings of the tour so far: shared by its tasks, and still there when they are cut short.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::hash::Hashed;

/// The journal of a tour. An entry is written in one step, so it is whole or not there.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Findings>);

/// The findings of a tour.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The files that are dealt with, and the directories that could not be read.
    pub(crate) entries: Vec<Entry>,
    /// The files that are not dealt with yet.
    pub(crate) files_left: usize,
    /// The directories that are not listed yet.
    pub(crate) directories_left: usize,
    pub(crate) bytes: u64,
    /// How many tries came after a first one.
    pub(crate) repeated: usize,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) outcome: Outcome,
}

/// The outcome for a file or directory.
#[derive(Debug)]
pub(crate) enum Outcome {
    Hashed(Hashed),
    /// It has no contents to hash: a socket, a pipe, a device, a link to a directory.
    Skipped,
    Unreadable {
        error: io::Error,
        tries: u32,
    },
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn directory_found(&self) {
        self.lock().directories_left += 1;
    }

    pub(crate) fn directory_listed(&self, files: usize) {
        let mut findings = self.lock();
        findings.directories_left -= 1;
        findings.files_left += files;
    }

    pub(crate) fn directory_unreadable(&self, path: PathBuf, error: io::Error, tries: u32) {
        let mut findings = self.lock();
        findings.directories_left -= 1;
        findings.entries.push(Entry { path, outcome: Outcome::Unreadable { error, tries } });
    }

    pub(crate) fn file(&self, path: PathBuf, outcome: Outcome) {
        let mut findings = self.lock();
        findings.files_left -= 1;
        if let Outcome::Hashed(hashed) = &outcome {
            findings.bytes += hashed.bytes;
        }
        findings.entries.push(Entry { path, outcome });
    }

    pub(crate) fn trying_again(&self) {
        self.lock().repeated += 1;
    }

    /// A line about how far it has come.
    pub(crate) fn progress(&self) -> String {
        let findings = self.lock();
        let done = findings.entries.len();
        format!(
            "{done} of {} files done, {} bytes, {} tried again",
            done + findings.files_left,
            findings.bytes,
            findings.repeated
        )
    }

    /// Closes the journal.
    pub(crate) fn take(&self) -> Findings {
        std::mem::take(&mut *self.lock())
    }
}
