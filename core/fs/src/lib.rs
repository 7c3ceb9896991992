//! Files for foster: what [`std::fs`] has, on counted threads, on any runtime.
//!
//! A program, or a library, that is written with these names no runtime, and needs nothing of one but threads that may
//! block. So it also runs in the simulator, where each call of the host is one step of the schedule.
//!
//! ```
//! use foster_fs::File;
//! use futures_lite::io::BufReader;
//! use futures_lite::{AsyncBufReadExt, StreamExt};
//! use std::io;
//!
//! /// How many lines the files of a directory have.
//! async fn count(directory: &str) -> io::Result<usize> {
//!     let mut count = 0;
//!     let mut entries = foster_fs::read_dir(directory).await?;
//!     while let Some(entry) = entries.next().await {
//!         let entry = entry?;
//!         if entry.file_type().await?.is_file() {
//!             count += BufReader::new(File::open(entry.path()).await?).lines().count().await;
//!         }
//!     }
//!     Ok(count)
//! }
//! # assert!(foster_sim::run(1, count("src")).unwrap() > 100);
//! ```
//!
//! # Where to look
//!
//! | you want | it is |
//! |---|---|
//! | a whole file | [`read`], [`read_to_string`], [`write()`], [`copy`] |
//! | a file that is replaced as a whole | [`atomic_write`], [`replace`] |
//! | a part of a file, or bit by bit | [`File`], [`OpenOptions`] |
//! | lines, buffers, copies | futures-lite: a file is [`futures_io::AsyncRead`], [`AsyncWrite`](futures_io::AsyncWrite) and [`AsyncSeek`](futures_io::AsyncSeek) |
//! | directories | [`read_dir`], [`create_dir_all`], [`remove_dir_all`], [`DirBuilder`] |
//! | names and links | [`rename`], [`hard_link`], `symlink`, [`read_link`], [`canonicalize`] |
//! | what is there | [`metadata`], [`symlink_metadata`], [`try_exists`], [`set_permissions`] |
//! | the standard streams | [`stdin`], [`stdout`], [`stderr`] |
//! | a named pipe that may stay silent | [`UnwaitedReader`] |
//! | fewer threads | [`with_limiter`] |
//!
//! # What is guaranteed
//!
//! 1. **Each operation is a checkpoint** (law L14). Cancelled code starts none.
//! 2. **Nothing goes on unseen.** Each call of the host is a job of the scope that asked for it, which ends after it
//!    (law L21), and counts among the tree's [threads](foster_core::thread::limiter). The one exception is
//!    [`UnwaitedReader`], and so [`stdin`].
//! 3. **Nothing is lost silently.** Bytes that a write took in are in the file when the scope has ended, flushed or
//!    not; or the error is reported, and stays.
//! 4. **The position is that of the caller**, whatever was read ahead.
//! 5. **As the standard library**: results, and kinds of errors. Functions that a platform lacks are absent when you
//!    compile for it.
//!
//! # Cancellation
//!
//! An operation that was cancelled before the [limiter](foster_core::thread::limiter) has given it a thread has done
//! nothing. From then on it cannot be interrupted: it is waited for, so it has happened when the owner of the cancelled
//! scope goes on, whether or not its result came to anybody. Reads and writes of a [`File`] promise more.
//!
//! # Questions that others answer differently
//!
//! | | question | here |
//! |---|---|---|
//! | D12 | writes that sit in a buffer when a file is dropped | they belong to the scope that wrote, which ends after them. An error that nobody can be told any more goes to the observer, or to standard error |
//! | | does a write that returned mean that the host has the bytes | no: that they cannot be lost. To wait for it after each piece is slower, and leaves open what a cancelled write has written; here it has written nothing |
//! | | is the error of a late write told once | no: each write, flush and sync that comes after it returns it. Bytes are missing, and the file cannot say which |
//! | | a read of standard input that never gets anything | does not keep the program from ending. The thread stays with the process, and what comes goes to the next reader |
//! | | output that nobody reads | is waited for, as `println!` waits |
//!
//! D13 is about the simulated network; a file system is not simulated: in the simulator files are those of the host.
//!
//! # When not to use it
//!
//! With `io_uring`. And in blocking code that reads many small files, [`foster_core::to_thread`] around a function that
//! uses [`std::fs`] is one job instead of many.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
mod job;
mod waker_slots;

mod contents;
mod entries;
mod replace;

mod write_behind;

mod file;
mod open_options;
mod read_dir;

mod standard;
mod unwaited;

pub use blocking::with_limiter;
pub use contents::{copy, read, read_to_string, write};
#[cfg(unix)]
pub use entries::symlink;
pub use entries::{
    canonicalize, create_dir, create_dir_all, hard_link, metadata, read_link, remove_dir, remove_dir_all, remove_file,
    rename, set_permissions, symlink_metadata, try_exists,
};
#[cfg(windows)]
pub use entries::{symlink_dir, symlink_file};
pub use file::{File, IntoStdError};
pub use open_options::{DirBuilder, OpenOptions};
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use replace::{atomic_write, replace};
pub use standard::{OutputStream, stderr, stdin, stdout};
pub use unwaited::UnwaitedReader;
