//! A scripted program that runs, as it sees itself.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use foster::leaf::operation;
use foster_process::SignalKind;
use foster_process::contract::{ReadPipe, WritePipe};

use super::Shared;
use super::pipe::Writer;

/// The arguments and variables, streams and signals of a scripted program.
///
/// When the program returns, or this is dropped, its streams are closed.
pub struct Running {
    shared: Arc<Shared>,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    stdin: Option<Box<dyn ReadPipe>>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
}

impl Running {
    pub(super) fn new(
        shared: Arc<Shared>,
        args: Vec<OsString>,
        env: Vec<(OsString, Option<OsString>)>,
        stdin: Option<Box<dyn ReadPipe>>,
        stdout: Option<Writer>,
        stderr: Option<Writer>,
    ) -> Self {
        Running { shared, args, env, stdin, stdout, stderr }
    }

    /// Returns its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// Returns its arguments, without its own name.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Returns a variable that its command has set. A simulated host has no others.
    pub fn env(&self, key: impl AsRef<OsStr>) -> Option<&OsStr> {
        let set = self.env.iter().rev().find(|(name, _)| name == key.as_ref());
        set.and_then(|(_, value)| value.as_deref())
    }

    /// Reads what is there of its input, and waits if there is nothing. 0 is the end.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// None by itself: what the pipe says that is its input.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.stdin {
            Some(stdin) if !buf.is_empty() => operation("read", poll_fn(|cx| stdin.poll_read(cx, buf))).await,
            _ => Ok(0),
        }
    }

    /// Writes to its standard output. Waits as long as the pipe is full, which holds 64 KiB.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: any part may have been written.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe): nobody can read it any more.
    pub async fn print(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        write_all(self.stdout.as_ref(), text.as_ref()).await
    }

    /// Writes to its standard error.
    ///
    /// # Cancellation
    ///
    /// As [`print`](Running::print).
    ///
    /// # Errors
    ///
    /// As [`print`](Running::print).
    pub async fn eprint(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        write_all(self.stderr.as_ref(), text.as_ref()).await
    }

    /// Ignores a signal from now on, until it is [handled](Running::handle). There is no way to ignore
    /// [`SignalKind::KILL`].
    pub fn ignore(&mut self, kind: SignalKind) {
        let mut state = self.shared.lock();
        state.handled.retain(|other| *other != kind);
        state.ignored.push(kind);
    }

    /// Handles a signal from now on, until it is [ignored](Running::ignore): [`signal`](Running::signal) returns it.
    /// Any other ends the program, wherever it is, unless its default is to do nothing.
    pub fn handle(&mut self, kind: SignalKind) {
        let mut state = self.shared.lock();
        state.ignored.retain(|other| *other != kind);
        state.handled.push(kind);
    }

    /// Waits for a signal that it [handles](Running::handle). Several of a kind that come before it is read are one.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn signal(&mut self) -> SignalKind {
        let shared = &self.shared;
        let next = poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = shared.lock();
            let (polled, before) = if state.came.is_empty() {
                (Poll::Pending, state.listener.replace(waker))
            } else {
                (Poll::Ready(state.came.remove(0)), Some(waker))
            };
            drop(state);
            drop(before);
            polled
        });
        operation("wait for a signal", next).await
    }

    /// From now on no signal can be sent to it: that is refused with
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), as for a process that has become another user's.
    pub fn refuse_signals(&mut self) {
        self.shared.lock().out_of_reach = true;
    }
}

async fn write_all(pipe: Option<&Writer>, mut text: &[u8]) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    while !text.is_empty() {
        let written = operation("write", poll_fn(|cx| pipe.poll_write(cx, text))).await?;
        text = &text[written..];
    }
    Ok(())
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("id", &self.shared.id).field("args", &self.args).finish_non_exhaustive()
    }
}
