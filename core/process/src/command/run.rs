//! Commands that run to their end: their input is written, and their output read, while they run.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, ready};

use foster_core::CancelScope;
use foster_core::leaf::{Gate, operation};
use futures_io::AsyncWrite;

use super::{Command, contradiction, start};
use crate::child::Child;
use crate::contract::Spawned;
use crate::output::{Output, RunError, TooMuchOutput};
use crate::pipe::{ChildStderr, ChildStdin, ChildStdout, Withheld};
use crate::process::{NoteGrace, Process, Side, Unread};
use crate::stdio::Stdio;
use crate::stop::end_with_scope;

impl Command {
    /// Runs it to its end, captures what it writes, and fails if it does.
    ///
    /// The output comes with the error, too. Streams that were [set](Command::stdout) go there, and are not captured.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the process is stopped, and has ended before the code around is dropped.
    ///
    /// # Errors
    ///
    /// * [`RunError::Io`]: it could not be run; see [`spawn`](Command::spawn). Or it has written more than
    ///   [`max_output`](Command::max_output).
    /// * [`RunError::Failed`]: its exit code is not 0, or a signal has ended it.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{Nursery, nursery};
    /// use foster_process::{Command, RunError};
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// // In the background: the first that fails stops the others, and is the error of the nursery.
    /// let built = nursery(async |n: Nursery<RunError>| {
    ///     n.spawn(async { Command::new("sleep").arg("300").run().await.map(drop) });
    ///     n.spawn(async { Command::new("false").run().await.map(drop) });
    ///     Ok(())
    /// });
    /// let error = built.await.unwrap_err();
    /// assert_eq!(error.output().unwrap().status.code(), Some(1));
    /// # });
    /// ```
    pub async fn run(&mut self) -> Result<Output, RunError> {
        Ok(self.run_to_end(Stdio::null, Stdio::piped).await?.checked()?)
    }

    /// Runs it to its end, and captures what it writes.
    ///
    /// It returns when the process has ended, and nobody can write to the pipes any more: a process that was started by
    /// it and goes on with the same output holds this up. `process_group`, on Unix, ends such processes with it.
    ///
    /// # Cancellation
    ///
    /// As [`run`](Command::run).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn); [`InvalidInput`](io::ErrorKind::InvalidInput), if output and errors go somewhere
    /// else, so that there is nothing to capture; a [`TooMuchOutput`], if it has written more than
    /// [`max_output`](Command::max_output). How the process ends is no error.
    pub async fn output(&mut self) -> io::Result<Output> {
        let elsewhere =
            |set: &Option<Stdio>| set.as_ref().is_some_and(|set| !set.is_piped() && !set.is_same_as_stdout());
        let follows = self.stderr.as_ref().is_some_and(Stdio::is_same_as_stdout);
        if elsewhere(&self.stdout) && (elsewhere(&self.stderr) || follows) {
            return Err(contradiction(
                "`output` has nothing to capture: output and errors go somewhere else. Use `status`",
            ));
        }
        self.run_to_end(Stdio::null, Stdio::piped).await
    }

    /// Runs it to its end. If its standard input is [piped](Stdio::piped), that is closed at once.
    ///
    /// # Cancellation
    ///
    /// As [`run`](Command::run).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn); [`InvalidInput`](io::ErrorKind::InvalidInput), if output or errors are piped,
    /// since nobody could read them.
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        if [&self.stdout, &self.stderr].into_iter().flatten().any(Stdio::is_piped) {
            return Err(contradiction("`status` hands out no pipe: use `output`, or `spawn`"));
        }
        Ok(self.run_to_end(Stdio::inherit, Stdio::inherit).await?.status)
    }

    async fn run_to_end(&mut self, stdin: fn() -> Stdio, others: fn() -> Stdio) -> io::Result<Output> {
        if self.input.is_some() && self.stdin.is_some() {
            return Err(contradiction("the command has an `input`, and a `stdin` that it comes from"));
        }
        start().await;
        let scope = CancelScope::new().named(format!("process `{}`", self.shown_program())).located(self.location);
        let run = scope.run(async {
            let stdin = if self.input.is_some() { Stdio::piped } else { stdin };
            let Spawned { process, stdin, stdout, stderr } = self.launch(stdin, others, others)?;
            let process = Arc::new(self.process(process));
            // No await since the start.
            end_with_scope(process.clone());
            let _note = NoteGrace(process.clone());
            let feeds = feed(stdin.map(ChildStdin::new), self.input.as_deref().unwrap_or_default());
            let room = AtomicUsize::new(process.max_output());
            let stdout = read_to_end(Unread { process: &process, pipe: stdout }, &room, READ_OUTPUT);
            let stderr = read_to_end(Unread { process: &process, pipe: stderr }, &room, READ_ERRORS);
            let (status, stdout, stderr) = together(&process, feeds, stdout, stderr).await?;
            Ok(Output::new(self.shown_program(), status, stdout, stderr))
        });
        run.await.unwrap_or_else(|_| unreachable!("nobody has a handle to the scope"))
    }
}

impl Child {
    /// Closes the child's input, waits for its end, and returns what it writes until then, as far as its output and errors
    /// are [piped](Stdio::piped) and were not taken.
    ///
    /// As [`Command::output`], it waits until nobody can write to the pipes any more.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the child is dropped, and the process stopped with it.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait), or a pipe could not be read, or it has written more than
    /// [`max_output`](Command::max_output). The process is stopped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::{Command, Stdio};
    /// use futures_lite::AsyncWriteExt;
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
    /// child.stdin.as_mut().unwrap().write_all(b"pear\napple\n").await?;
    /// let output = child.wait_with_output().await?.checked()?;
    /// assert_eq!(output.stdout, b"apple\npear\n");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) =
            (self.stdout.take().map(ChildStdout::into_pipe), self.stderr.take().map(ChildStderr::into_pipe));
        let process = self.process().clone();
        let room = AtomicUsize::new(process.max_output());
        let stdout = read_to_end(Unread { process: &process, pipe: stdout }, &room, READ_OUTPUT);
        let stderr = read_to_end(Unread { process: &process, pipe: stderr }, &room, READ_ERRORS);
        let (status, stdout, stderr) = together(&process, feed(None, &[]), stdout, stderr).await?;
        self.disarm();
        Ok(Output::new(process.program().to_owned(), status, stdout, stderr))
    }
}

/// The names of these reads in dumps.
const READ_OUTPUT: &str = "read the output of a child";
const READ_ERRORS: &str = "read the errors of a child";

/// Waits for the end of the process and of its output, or for the first error.
async fn together(
    process: &Process,
    feeds: impl Future<Output = io::Result<()>>,
    stdout: impl Future<Output = io::Result<Vec<u8>>>,
    stderr: impl Future<Output = io::Result<Vec<u8>>>,
) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let ends = operation("wait for a process", process.ended(Side::Holder));
    let (mut feeds, mut stdout, mut stderr, mut ends) = (pin!(feeds), pin!(stdout), pin!(stderr), pin!(ends));
    let (mut fed, mut out, mut err, mut status) = (None, None, None, None);
    poll_fn(|cx| {
        // Not waited for: the process may end without reading it, and leave the pipe to one that it has started.
        poll_once(feeds.as_mut(), &mut fed, cx)?;
        let pending = [
            poll_once(stdout.as_mut(), &mut out, cx)?,
            poll_once(stderr.as_mut(), &mut err, cx)?,
            poll_once(ends.as_mut(), &mut status, cx)?,
        ];
        if pending.contains(&true) { Poll::Pending } else { Poll::Ready(io::Result::Ok(())) }
    })
    .await?;
    match (status, out, err) {
        (Some(status), Some(out), Some(err)) => Ok((status, out, err)),
        _ => unreachable!("none of them is pending"),
    }
}

/// Polls it, unless its value is there. Returns whether it is still pending.
fn poll_once<T>(
    future: Pin<&mut impl Future<Output = io::Result<T>>>,
    value: &mut Option<T>,
    cx: &mut std::task::Context<'_>,
) -> io::Result<bool> {
    if value.is_none() {
        match future.poll(cx) {
            Poll::Ready(ready) => *value = Some(ready?),
            Poll::Pending => return Ok(true),
        }
    }
    Ok(false)
}

/// Writes the input, and closes the pipe. A process that does not want it all is no error.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    let mut written = 0;
    poll_fn(|cx| {
        while written < input.len() {
            match ready!(Pin::new(&mut stdin).poll_write(cx, &input[written..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Reads a pipe to its end, if there is one; as much as there is room for, of which another reader may take, too.
async fn read_to_end(mut unread: Unread<'_>, room: &AtomicUsize, what: &'static str) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut chunk = if unread.pipe.is_some() { vec![0; 16 * 1024] } else { Vec::new() };
    let mut withheld = Withheld::default();
    while let Some(pipe) = &unread.pipe {
        let more = poll_fn(|cx| withheld.poll(Gate::new(what), cx, |cx| pipe.poll_read(cx, &mut chunk)));
        match more.await? {
            0 => unread.pipe = None,
            more => {
                if room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(more)).is_err() {
                    return Err(TooMuchOutput::of(unread.process).into());
                }
                read.extend_from_slice(&chunk[..more]);
            }
        }
    }
    Ok(read)
}
