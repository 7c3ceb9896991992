//! Scripted programs: the processes of a simulation, in virtual time.
//!
//! A program is an async closure. It reads its input, prints, sleeps, hears signals, and returns its exit code.
//! [`Programs::run`] gives all code inside the programs that it has, instead of real ones: a
//! [`Command`](foster_process::Command) with the name of one starts it.
//!
//! ```
//! use foster::{Instant, fail_after, sleep};
//! use foster_process::{Command, SignalKind};
//! use foster_sim::process::Programs;
//! use std::time::Duration;
//!
//! foster_sim::run(1, async {
//!     let programs = Programs::new().program("server", async |mut server| {
//!         server.ignore(SignalKind::TERMINATE);
//!         server.print("listening\n").await.unwrap();
//!         sleep(Duration::from_secs(1_000_000)).await;
//!         0
//!     });
//!     let test = async {
//!         let start = Instant::now();
//!         let cut = fail_after(Duration::from_secs(1), Command::new("server").run()).await;
//!         assert!(cut.is_err());
//!         // It has ignored the request to stop for the five seconds of the grace.
//!         assert_eq!(start.elapsed(), Duration::from_secs(6));
//!     };
//!     programs.run(test).await;
//! });
//! ```
//!
//! To kill a program is to cancel its task. It ends at its next `await`, and its exit status tells of the kill,
//! whatever it returns. But its [shields](foster::shield) and finalizers run to their end first, and hold the kill off
//! so long: a program that is to die as a real one does has none.
//!
//! The programs are tasks of a nursery of their own around that code, and so end with it. They do not need the
//! simulator: on another adapter they run in its time.

mod pipe;
mod running;

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use foster::{CancelScope, Nursery, ScopeHandle, nursery};
use foster_process::SignalKind;
use foster_process::contract::{Launch, Process, Processes, ReadPipe, Spawned, Target, WritePipe, with_processes};

use pipe::pipe;
pub use running::Running;

type Code = Pin<Box<dyn Future<Output = i32> + Send>>;
type Script = Arc<dyn Fn(Running) -> Code + Send + Sync>;

/// The programs of a simulated host, by name. See the [module's page](self).
#[derive(Default)]
pub struct Programs {
    scripts: HashMap<OsString, Script>,
    started: Arc<Mutex<Vec<Weak<Shared>>>>,
}

impl Programs {
    /// Starts without any: no command is found.
    #[must_use]
    pub fn new() -> Self {
        Programs::default()
    }

    /// Adds a program. Its output is its exit code.
    #[must_use]
    pub fn program<F, Fut>(mut self, name: impl AsRef<OsStr>, program: F) -> Self
    where
        F: Fn(Running) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = i32> + Send + 'static,
    {
        self.scripts.insert(name.as_ref().to_owned(), Arc::new(move |running| Box::pin(program(running))));
        self
    }

    /// Runs `body`, whose commands are these programs. Those that are left when it is over are killed.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: as `body`; the programs are killed.
    ///
    /// # Panics
    ///
    /// Resumes the panic of `body` or of a program.
    pub async fn run<F: Future>(&self, body: F) -> F::Output {
        let ran = nursery(async |nursery: Nursery<Infallible>| {
            let host =
                Host { nursery, scripts: self.scripts.clone(), started: self.started.clone(), ids: AtomicU32::new(1) };
            Ok(with_processes(Arc::new(host), body).await)
        });
        match ran.await {
            Ok(output) => output,
            Err(never) => match never {},
        }
    }

    /// Kills all programs that run, as when their host dies. They cannot handle it; what they have shielded [holds it
    /// off](self).
    pub fn crash(&self) {
        let started = std::mem::take(&mut *self.started.lock().unwrap_or_else(PoisonError::into_inner));
        for process in started.into_iter().filter_map(|process| process.upgrade()) {
            process.die(SignalKind::KILL);
        }
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.scripts.keys()).finish()
    }
}

/// The host that starts them.
struct Host {
    nursery: Nursery<Infallible>,
    scripts: HashMap<OsString, Script>,
    started: Arc<Mutex<Vec<Weak<Shared>>>>,
    ids: AtomicU32,
}

impl Processes for Host {
    fn spawn(&self, launch: Launch) -> io::Result<Spawned> {
        let Some(script) = self.scripts.get(&launch.program) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no scripted program of this name"));
        };
        let mut streams = Streams::default();
        let (stdin, input): (_, Option<Box<dyn ReadPipe>>) = match launch.stdin {
            Target::Piped => {
                let (ours, theirs) = pipe();
                (Some(Box::new(theirs) as Box<dyn WritePipe>), Some(Box::new(ours)))
            }
            Target::Pipe(pipe) => (None, Some(pipe)),
            Target::Inherited | Target::Null => (None, None),
            _ => return Err(unsupported()),
        };
        let stdout = streams.output(launch.stdout)?;
        let stderr = streams.output(launch.stderr)?;
        let [stdout_end, stderr_end] = [streams.ends.remove(0), streams.ends.remove(0)];

        let mut scope = CancelScope::new();
        let shared = Arc::new(Shared {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            kill: scope.handle(),
            state: Mutex::default(),
        });
        let running = Running::new(shared.clone(), launch.args, launch.env, input, stdout_end, stderr_end);
        let (script, ends) = (script.clone(), Ends(shared.clone()));
        let name = format!("program `{}`", launch.program.to_string_lossy());
        let task = self.nursery.child().named(name).daemon().try_spawn::<(), Result<(), Infallible>, _>(async move {
            let code = scope.run(script(running)).await;
            ends.with(code.ok());
            Ok(())
        });
        if task.is_err() {
            return Err(io::Error::other("the simulated host is gone"));
        }
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|process| process.strong_count() > 0);
        started.push(Arc::downgrade(&shared));
        drop(started);
        Ok(Spawned { process: Box::new(Scripted(shared)), stdin, stdout, stderr })
    }
}

/// The streams that a program writes to: each with our end for it.
#[derive(Default)]
struct Streams {
    ends: Vec<Option<pipe::Writer>>,
}

impl Streams {
    fn output(&mut self, target: Target) -> io::Result<Option<Box<dyn ReadPipe>>> {
        let (read, end) = match target {
            Target::Piped => {
                let (ours, theirs) = pipe();
                (Some(Box::new(ours) as Box<dyn ReadPipe>), Some(theirs))
            }
            Target::SameAsStdout => (None, self.ends.first().cloned().flatten()),
            Target::Inherited | Target::Null => (None, None),
            _ => return Err(unsupported()),
        };
        self.ends.push(end);
        Ok(read)
    }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a scripted program has no files of the host")
}

/// A process, as its program and its starter share it.
struct Shared {
    id: u32,
    kill: ScopeHandle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Signals that do nothing, and those that the program asks for. None is in both.
    ignored: Vec<SignalKind>,
    handled: Vec<SignalKind>,
    came: Vec<SignalKind>,
    /// No signal can be sent to it.
    out_of_reach: bool,
    /// The signal that has killed it.
    killed_by: Option<SignalKind>,
    status: Option<ExitStatus>,
    reaped: bool,
    /// The wakers of the task that waits for its exit, and of the program, when it waits for a signal.
    waiter: Option<Waker>,
    listener: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program, wherever it is.
    fn die(&self, by: SignalKind) {
        self.lock().killed_by.get_or_insert(by);
        self.kill.cancel(format!("killed by {by}"));
    }

    /// It has ended: by the signal that has killed it, whatever it has returned after that, or with its code.
    fn ended(&self, code: Option<i32>) {
        let mut state = self.lock();
        if state.status.is_none() {
            state.status = Some(match (state.killed_by, code) {
                (Some(by), _) => status_of_signal(by),
                (None, Some(code)) => status_of_code(code),
                (None, None) => status_of_signal(SignalKind::KILL),
            });
        }
        let waiter = state.waiter.take();
        drop(state);
        // L36: called with the lock released.
        foster::leaf::wake_all(waiter);
    }
}

/// Returns whether a program that has not asked for the signal goes on.
fn does_nothing(kind: SignalKind) -> bool {
    #[cfg(unix)]
    let nothing = [SignalKind::CHILD, SignalKind::CONTINUE, SignalKind::WINDOW_CHANGE].contains(&kind);
    #[cfg(not(unix))]
    let nothing = kind != SignalKind::TERMINATE;
    nothing
}

#[cfg(unix)]
fn status_of_code(code: i32) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw((code & 0xff) << 8)
}

#[cfg(unix)]
fn status_of_signal(kind: SignalKind) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(kind.as_raw())
}

#[cfg(windows)]
fn status_of_code(code: i32) -> ExitStatus {
    std::os::windows::process::ExitStatusExt::from_raw(u32::from_ne_bytes(code.to_ne_bytes()))
}

#[cfg(windows)]
fn status_of_signal(_: SignalKind) -> ExitStatus {
    status_of_code(1)
}

/// Tells that the program has ended, also if its task is dropped.
struct Ends(Arc<Shared>);

impl Ends {
    fn with(self, code: Option<i32>) {
        self.0.ended(code);
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended(None);
    }
}

/// A process, as its starter sees it.
struct Scripted(Arc<Shared>);

impl Process for Scripted {
    fn id(&self) -> u32 {
        self.0.id
    }

    fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        let (polled, before) = match state.status {
            Some(_) => (Poll::Ready(Ok(())), Some(waker)),
            None => (Poll::Pending, state.waiter.replace(waker)),
        };
        drop(state);
        drop(before);
        polled
    }

    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.0.lock();
        state.reaped = state.status.is_some();
        Ok(state.status)
    }

    fn signal(&self, kind: SignalKind) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.reaped || state.status.is_some() {
            return Ok(());
        }
        if state.out_of_reach {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if kind != SignalKind::KILL {
            if state.ignored.contains(&kind) {
                return Ok(());
            }
            if state.handled.contains(&kind) {
                if !state.came.contains(&kind) {
                    state.came.push(kind);
                }
                let listener = state.listener.take();
                drop(state);
                foster::leaf::wake_all(listener);
                return Ok(());
            }
            if does_nothing(kind) {
                return Ok(());
            }
        }
        drop(state);
        self.0.die(kind);
        Ok(())
    }
}

impl Drop for Scripted {
    /// P6.
    fn drop(&mut self) {
        if self.0.lock().status.is_none() {
            self.0.die(SignalKind::KILL);
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0.lock().status;
        f.debug_struct("Scripted").field("id", &self.0.id).field("status", &status).finish()
    }
}
