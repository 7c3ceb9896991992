//! The state that a file shares with its jobs: the host's file, and bytes that were read and not taken.
//!
//! One job at a time reads, seeks or writes (`polled.rs` sees to that), so the lock of the cursor is never held while
//! the host blocks for long.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::write_behind::Sink;

/// The most that is read at once.
const LARGEST_READ: usize = 2 * 1024 * 1024;

/// The memory that a file keeps for the next read.
const KEPT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) std: fs::File,
    cursor: Mutex<Cursor>,
}

/// The position that the caller sees is that of the host's file, less what is unread.
#[derive(Debug, Default)]
struct Cursor {
    /// Bytes of the last read. If any are left, somebody has asked for them and not taken them.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The outcome of the last read if it brought nothing: the end of the file, or an error.
    outcome: Option<io::Result<()>>,
    /// The result of the last seek, with its argument.
    sought: Option<(SeekFrom, io::Result<u64>)>,
}

impl Cursor {
    fn unread(&self) -> usize {
        self.end - self.start
    }

    fn forget_unread(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

impl Shared {
    pub(super) fn new(std: fs::File) -> Self {
        Shared { std, cursor: Mutex::default() }
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves unread bytes to the caller.
    pub(super) fn take_unread(&self, out: &mut [u8]) -> usize {
        let mut cursor = self.cursor();
        let count = cursor.unread().min(out.len());
        let start = cursor.start;
        out[..count].copy_from_slice(&cursor.buffer[start..start + count]);
        cursor.start += count;
        if cursor.unread() == 0 {
            cursor.forget_unread();
        }
        count
    }

    /// Takes what a read that brought nothing had to say.
    pub(super) fn take_outcome(&self) -> Option<io::Result<()>> {
        self.cursor().outcome.take()
    }

    /// Takes what a seek has returned.
    pub(super) fn take_sought(&self) -> Option<io::Result<u64>> {
        self.cursor().sought.take().map(|(_, sought)| sought)
    }

    /// Forgets what a seek has returned, unless it must not be done again.
    pub(super) fn forget_sought(&self) {
        let sought = self.cursor().sought.take_if(|(to, _)| !matches!(to, SeekFrom::Current(_)));
        drop(sought);
    }

    /// Blocks: reads up to `length` bytes, unless some are unread.
    pub(super) fn read(&self, length: usize) {
        let mut cursor = self.cursor();
        cursor.outcome = None;
        if cursor.unread() > 0 {
            return;
        }
        let mut buffer = std::mem::take(&mut cursor.buffer);
        drop(cursor);
        let length = length.min(LARGEST_READ);
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let read = loop {
            match (&self.std).read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let mut cursor = self.cursor();
        match read {
            Ok(0) => cursor.outcome = Some(Ok(())),
            Ok(count) => (cursor.start, cursor.end) = (0, count),
            Err(error) => cursor.outcome = Some(Err(error)),
        }
        if cursor.unread() > 0 || buffer.len() <= KEPT {
            cursor.buffer = buffer;
        }
    }

    /// Blocks: moves the position that the caller sees.
    pub(super) fn seek(&self, to: SeekFrom) {
        let mut cursor = self.cursor();
        let sought = match to {
            SeekFrom::Current(by) => {
                let back = i64::try_from(cursor.unread()).unwrap_or(i64::MAX);
                match by.checked_sub(back) {
                    Some(by) => (&self.std).seek(SeekFrom::Current(by)),
                    None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the position would be too far back")),
                }
            }
            to => (&self.std).seek(to),
        };
        if sought.is_ok() {
            cursor.forget_unread();
        }
        cursor.sought = Some((to, sought));
    }

    /// Blocks: moves the host's position to that of the caller.
    ///
    /// # Errors
    ///
    /// There are unread bytes, and they cannot be given back.
    pub(super) fn settle(&self) -> io::Result<()> {
        let mut cursor = self.cursor();
        let back = i64::try_from(cursor.unread()).unwrap_or(i64::MAX);
        if back > 0 {
            (&self.std).seek(SeekFrom::Current(-back))?;
            cursor.forget_unread();
        }
        Ok(())
    }
}

impl Sink for Shared {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        // Where there are no positions, as in a pipe, what is written does not depend on what was read.
        let _ = self.settle();
        (&self.std).write_all(bytes)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
