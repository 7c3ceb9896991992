//! The standard streams of the process.

use std::fmt;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_io::AsyncWrite;

use crate::UnwaitedReader;
use crate::write_behind::{Sink, WriteBehind};

/// Returns a reader of the standard input.
///
/// A read that never gets anything does not keep the program from ending: see [`UnwaitedReader`], which says what that
/// means, and how it is done. All readers of the process share what has come: a line whose reader was cancelled goes to
/// the next one. It reads through [`std::io::stdin`], and no more than there is; still, a program had better read its
/// input in one of the two ways.
///
/// # Examples
///
/// ```no_run
/// use foster::fail_after;
/// use std::time::Duration;
///
/// # foster_smol::run(async {
/// // A limit that is kept, whether or not a key is pressed.
/// let name = fail_after(Duration::from_secs(60), foster_fs::stdin().next_line()).await??;
/// println!("hello {}", name.unwrap_or_default());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[must_use]
pub fn stdin() -> UnwaitedReader {
    static STDIN: OnceLock<UnwaitedReader> = OnceLock::new();
    STDIN.get_or_init(|| UnwaitedReader::of("foster-stdin", |buf| io::stdin().lock().read(buf))).clone()
}

/// Returns a writer to the standard output.
///
/// # Examples
///
/// ```
/// use futures_lite::AsyncWriteExt;
///
/// # foster_sim::run(1, async {
/// foster_fs::stdout().write_all(b"hello\n").await // is out when this scope has ended
/// # }).unwrap();
/// ```
#[must_use]
pub fn stdout() -> OutputStream {
    OutputStream::new(Standard::Output)
}

/// Returns a writer to the standard error.
#[must_use]
pub fn stderr() -> OutputStream {
    OutputStream::new(Standard::Error)
}

/// A writer to the [standard output](stdout) or [error](stderr). There may be many.
///
/// It writes as a [`File`](crate::File) does: bytes of a write that returned are out when the scope around it has
/// ended, and an error stays. So the end of a program waits until somebody reads what it has printed, as it does with
/// `println!`: the output is complete, or there was an error. The output of two writers, or of this and `println!`, is
/// in order if each is flushed.
pub struct OutputStream {
    stream: Standard,
    writer: WriteBehind<Standard>,
}

#[derive(Clone, Copy, Debug)]
enum Standard {
    Output,
    Error,
}

impl OutputStream {
    fn new(stream: Standard) -> Self {
        OutputStream { stream, writer: WriteBehind::new(Arc::new(stream)) }
    }
}

impl Sink for Standard {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Standard::Output => io::stdout().lock().write_all(bytes),
            Standard::Error => io::stderr().lock().write_all(bytes),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self {
            Standard::Output => io::stdout().lock().flush(),
            Standard::Error => io::stderr().lock().flush(),
        }
    }
}

impl AsyncWrite for OutputStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }

    /// Flushes; the stream stays open.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl fmt::Debug for OutputStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}
