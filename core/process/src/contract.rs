//! The contract of processes and signals: numbered clauses for runtimes, and the traits that an adapter implements.
//!
//! A program never calls anything in here. To bring processes to another runtime, answer
//! [`Runtime::capability`](foster_core::runtime::Runtime::capability) with an `Arc<dyn Processes>`. On Unix and on
//! Windows a runtime gets one from [`HostProcesses`](crate::host::HostProcesses): on Unix it needs only a `Reactor` for
//! that, and on Windows nothing.
//!
//! # The contract
//!
//! * **P1 From anywhere.** Every method may be called from any thread of the tree. An object that is made on one thread
//!   works on all of them.
//! * **P2 Exited is not reaped.** A process that has exited keeps its id until [`Process::reap`] is called. Only from
//!   then on may the host give the id to another one.
//! * **P3 No signal to a stranger.** [`Process::signal`] does nothing once the process was reaped. The two exclude each
//!   other.
//! * **P4 One waiter.** A `poll_*` method that is Pending wakes the waker of its latest call, and no earlier one.
//! * **P5 Attempt first.** A `poll_*` method does what can be done at once, and loses no wake-up between the attempt
//!   and the registration. When it is Pending, nothing was written, and what is read ahead goes to the next call.
//! * **P6 Nothing is waited for in `Drop`.** To drop a pipe closes it, or, where a thread is in a blocking call with it,
//!   has it closed when that returns. A [`Process`] that was not reaped is killed when it is dropped, and reaped
//!   somehow: that happens only when a tree is torn down (law L30). One that is held outside of that tree is killed by
//!   [`Process::signal`] then, and [`Process::reap_later`] is called.
//! * **P7 No policy.** An implementation does not retry, report, escalate or time out, and leaves out whether the code
//!   is cancelled.
//! * **P8 Errors as they are.** An error of the host comes back with its number, [`io::Error::raw_os_error`]. `EINTR`
//!   does not come back.
//! * **P9 Absent is an error.** A function that a runtime does not have is [`Unsupported`](io::ErrorKind::Unsupported),
//!   never a panic.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};

use foster_core::ScopedValue;
use foster_core::future::ScopedValueFuture;
use foster_core::runtime::capability;

use crate::signal_kind::SignalKind;

/// Makes processes, and hears signals. See the [contract](self).
pub trait Processes: Send + Sync + 'static {
    /// Starts a process. It may take as long as the host needs to start one, and waits for nothing else.
    ///
    /// # Errors
    ///
    /// As the host says. A process that has begun to run by then is killed, and reaped soon.
    fn spawn(&self, launch: Launch) -> io::Result<Spawned>;

    /// Listens for signals to this process.
    ///
    /// # Errors
    ///
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): one of them cannot be handled.
    /// * Other errors of the host.
    #[cfg(unix)]
    fn signals(&self, kinds: &[SignalKind]) -> io::Result<Box<dyn SignalSource>> {
        let _ = kinds;
        Err(absent("signals"))
    }
}

/// A process that is to be started.
#[derive(Debug)]
#[non_exhaustive]
pub struct Launch {
    /// The program: a path, or a name that the host looks up.
    pub program: OsString,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// It gets none of the variables that this process has at the moment of the start.
    pub clear_env: bool,
    /// Variables that are set, or removed, in this order.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Its directory, if it is not that of this process.
    pub directory: Option<PathBuf>,
    /// Where its input comes from.
    pub stdin: Target,
    /// Where its output goes.
    pub stdout: Target,
    /// Where its errors go.
    pub stderr: Target,
    /// The signal that will ask it to stop. A host that does not have it refuses to start the process. None if a
    /// function asks.
    pub stop_signal: Option<SignalKind>,
    /// The options that only Unix has.
    #[cfg(unix)]
    pub unix: UnixOptions,
}

impl Launch {
    pub(crate) fn new(program: OsString, stdin: Target, stdout: Target, stderr: Target) -> Self {
        Launch {
            program,
            args: Vec::new(),
            clear_env: false,
            env: Vec::new(),
            directory: None,
            stdin,
            stdout,
            stderr,
            stop_signal: None,
            #[cfg(unix)]
            unix: UnixOptions::default(),
        }
    }

    /// Whether the process is the first of a group of its own, which is signalled and ends as a whole.
    #[must_use]
    pub fn has_group(&self) -> bool {
        #[cfg(unix)]
        let group = self.unix.group != Group::Inherited;
        #[cfg(not(unix))]
        let group = false;
        group
    }
}

/// The options of a start that only Unix has.
#[cfg(unix)]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UnixOptions {
    /// The name that the program sees as its own, if it is not the one by which it was called.
    pub arg0: Option<OsString>,
    /// Its process group.
    pub group: Group,
    /// Its user.
    pub uid: Option<u32>,
    /// Its group of users.
    pub gid: Option<u32>,
}

/// The process group of a process.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Group {
    /// That of this process.
    #[default]
    Inherited,
    /// One of its own.
    Own,
    /// One of its own, in a session of its own, without a terminal.
    Session,
}

/// Where one of the standard streams of a process comes from, or goes to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Target {
    /// It is that of this process.
    Inherited,
    /// Nothing comes, and nobody reads it.
    Null,
    /// A new pipe, whose other end comes back.
    Piped,
    /// Errors go where the output goes, in the order in which they are written.
    SameAsStdout,
    /// A file, or whatever else of the host.
    File(File),
    /// The output of another process.
    Pipe(Box<dyn ReadPipe>),
}

/// A process that was started, with our ends of its pipes: one for each [`Target::Piped`].
#[derive(Debug)]
pub struct Spawned {
    /// The process.
    pub process: Box<dyn Process>,
    /// Its input.
    pub stdin: Option<Box<dyn WritePipe>>,
    /// Its output.
    pub stdout: Option<Box<dyn ReadPipe>>,
    /// Its errors.
    pub stderr: Option<Box<dyn ReadPipe>>,
}

/// A process that was started.
pub trait Process: Send + Sync + Debug {
    /// Returns the number by which the host knows it.
    fn id(&self) -> u32;

    /// Waits until the process has exited, and does not reap it (P2). An error says that the runtime cannot wait for it,
    /// as when that was shut down: the process may be alive.
    fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reaps the process if it has exited, and returns how; the same each time. If it is the first of a group of its
    /// own, what is left of the group is killed before.
    ///
    /// # Errors
    ///
    /// The host does not know how it has ended, as when somebody else has reaped it. It counts as reaped then.
    fn reap(&self) -> io::Result<Option<ExitStatus>>;

    /// Has the process, which was killed, reaped when it has ended: its tree was torn down, and nobody waits for it any
    /// more (P6). Called in `Drop`, and waits for nothing. May be called again.
    ///
    /// The default does nothing, for hosts where a process that was not reaped leaves nothing behind.
    fn reap_later(&self) {}

    /// Sends a signal to the process, or to its group if that is its own. Does nothing, and is `Ok`, if it was reaped
    /// (P3), or if nobody is left to receive it.
    ///
    /// # Errors
    ///
    /// As the host says, such as [`PermissionDenied`](io::ErrorKind::PermissionDenied).
    fn signal(&self, kind: SignalKind) -> io::Result<()>;
}

/// The end of a pipe that is read.
pub trait ReadPipe: Send + Sync + Debug {
    /// Reads into a buffer that is not empty. `Ok(0)` is the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Returns it as the host has it, for another process: it blocks then.
    ///
    /// # Errors
    ///
    /// * [`ResourceBusy`](io::ErrorKind::ResourceBusy): something was read ahead.
    /// * Other errors of the host.
    fn into_host(self: Box<Self>) -> io::Result<File> {
        Err(absent("pipes of the host"))
    }
}

/// The end of a pipe that is written.
pub trait WritePipe: Send + Sync + Debug {
    /// Writes from a buffer that is not empty. A host that copies it, and writes later, returns an error of that at the
    /// next call. Bytes that were written go to the process, even if the pipe is dropped.
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Waits until the host has taken what was written.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// Signals to this process.
///
/// When the last source of a signal is dropped, the signal does what it did before the first one was made, as far as
/// the host allows. One that came and that no source has taken, also none that is gone, is raised again then. If a source
/// is dropped that leaves one behind, and none of the others has got it, it goes to them.
#[cfg(unix)]
pub trait SignalSource: Send + Sync + Debug {
    /// Takes the next signal. Several of a kind that came before it was taken are one, and one that comes again and again
    /// does not keep those of other kinds from being taken.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>>;
}

/// The processes of a subtree, where they are not those of the runtime.
static PROCESSES: ScopedValue<Arc<dyn Processes>> = ScopedValue::inherited();

/// Runs `future` with other processes than those of the runtime, for all code inside: scripted ones, of a test.
///
/// # Cancellation
///
/// *Partial effect*: as `future`.
///
/// # Panics
///
/// Resumes the panic of `future`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn with_processes<F: Future>(processes: Arc<dyn Processes>, future: F) -> ScopedValueFuture<F, F::Output> {
    PROCESSES.scope(processes, future)
}

/// Returns the processes of the code that calls this: the innermost ones of [`with_processes`], or those of the
/// runtime.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported): the runtime has none. The error names it, and the fix.
pub fn processes() -> io::Result<Arc<dyn Processes>> {
    PROCESSES.get().map_or_else(|| capability::<dyn Processes>("processes"), Ok)
}

fn absent(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("this runtime has no {what}"))
}
