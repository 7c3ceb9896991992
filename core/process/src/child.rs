//! A child process that runs, and belongs to a scope.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use foster_core::cleanup::DeferGuard;
use foster_core::leaf::operation;

use crate::contract::Spawned;
use crate::pipe::{ChildStderr, ChildStdin, ChildStdout};
use crate::process::{Process, Side};
use crate::signal_kind::SignalKind;
use crate::stop::end_with_scope;

/// A child process that runs; made by [`Command::spawn`](crate::Command::spawn).
///
/// It belongs to the scope that has spawned it: the task, the cancel scope, the timeout, or whatever else of foster is
/// innermost around the call. When the child is dropped, by anybody, or when the body of that scope is over while the
/// child is held somewhere else, the process is asked to stop, killed after a grace if it has not stopped by then, and
/// reaped. The scope waits for that. See [the crate's page](crate#a-process-ends-with-its-scope) for the steps.
///
/// So `fail_after(limit, command.spawn())` returns a child that has been stopped: put the timeout around what the child
/// is used for.
pub struct Child {
    /// Its standard input, if that is [piped](crate::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    process: Arc<Process>,
    /// Its finalizers stop the process. None if that has been reaped.
    guard: Option<DeferGuard>,
}

impl Child {
    /// Binds a process to the innermost scope around the caller.
    pub(crate) fn bind(spawned: Spawned, process: impl FnOnce(Box<dyn crate::contract::Process>) -> Process) -> Self {
        let process = Arc::new(process(spawned.process));
        let name = format!("process `{}`", process.program());
        let guard = DeferGuard::new(name, || end_with_scope(process.clone()));
        Child {
            stdin: spawned.stdin.map(ChildStdin::new),
            stdout: spawned.stdout.map(ChildStdout::new),
            stderr: spawned.stderr.map(ChildStderr::new),
            process,
            guard: Some(guard),
        }
    }

    /// Returns the number by which the host knows the process. When it has been reaped, the host may give the number to
    /// another process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the process has exited, and reaps it. May be called again, and returns the same.
    ///
    /// It leaves the pipes alone: a child that reads its input to the end does not end before [`stdin`](Child::stdin)
    /// is dropped, and one that writes more than a pipe holds, 64 KiB on Linux, does not before somebody reads it.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// * The host does not know how the process has ended, as when somebody else has reaped it, or when this process
    ///   ignores `SIGCHLD`.
    /// * The runtime that waits for it was shut down, and the process may be alive: [`try_wait`](Child::try_wait) tells.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::Command;
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn().await?;
    /// assert_eq!(child.wait().await?.code(), Some(3));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = operation("wait for a process", self.process.ended(Side::Holder)).await?;
        self.disarm();
        Ok(status)
    }

    /// Returns how the process has ended, and reaps it; `None` if it still runs. Does not wait, and is no checkpoint.
    ///
    /// # Errors
    ///
    /// The host does not know how the process has ended, as for [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait()?;
        if status.is_some() {
            self.disarm();
        }
        Ok(status)
    }

    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Ends the guard, whose finalizer finds that there is nothing to do.
    pub(crate) fn disarm(&mut self) {
        self.guard = None;
    }

    /// Sends a signal to the process, or to its group if that is its own. Does nothing if it has exited: once it was
    /// reaped, no signal is sent.
    ///
    /// # Errors
    ///
    /// As the host says: [`PermissionDenied`](io::ErrorKind::PermissionDenied), if the process runs for another user.
    /// [`Unsupported`](io::ErrorKind::Unsupported) where there is no such signal.
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        self.process.signal(kind)
    }

    /// Asks the process to end: `SIGTERM`. On Windows, which has no such request, it is killed, and its exit code is 1.
    ///
    /// # Errors
    ///
    /// As [`signal`](Child::signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(SignalKind::TERMINATE)
    }

    /// Kills the process, and does not wait for its end.
    ///
    /// # Errors
    ///
    /// As [`signal`](Child::signal).
    pub fn start_kill(&self) -> io::Result<()> {
        self.signal(SignalKind::KILL)
    }

    /// Kills the process, and waits until it has ended.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the process was killed, if this has begun.
    ///
    /// # Errors
    ///
    /// As [`signal`](Child::signal) and [`wait`](Child::wait).
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        let process = &self.process;
        let kill = async {
            process.signal(SignalKind::KILL)?;
            process.ended(Side::Holder).await
        };
        let status = operation("kill a process", kill).await?;
        self.disarm();
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Before the guard is dropped, and the process asked to stop.
        self.process.note_grace();
        let stdout = self.stdout.take().map(ChildStdout::into_pipe);
        let stderr = self.stderr.take().map(ChildStderr::into_pipe);
        stdout.into_iter().chain(stderr).for_each(|pipe| self.process.leave(pipe));
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Child");
        shown.field("program", &self.process.program()).field("id", &self.id());
        match self.process.try_wait() {
            Ok(None) => shown.field("status", &format_args!("running")),
            Ok(Some(status)) => shown.field("status", &format_args!("{status}")),
            Err(error) => shown.field("status", &format_args!("not known: {error}")),
        };
        shown.finish_non_exhaustive()
    }
}
