//! Commands: what is to be run, and how it ends.

mod run;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foster_core::leaf::Gate;

use crate::child::Child;
#[cfg(unix)]
use crate::contract::{Group, UnixOptions};
use crate::contract::{Launch, Spawned, Target, processes};
#[cfg(doc)]
use crate::output::TooMuchOutput;
use crate::process::Process;
use crate::signal_kind::SignalKind;
use crate::start_error::StartError;
use crate::stdio::Stdio;
use crate::stop::{StopPolicy, Stopping};

/// A program with its arguments, and how it is to run; as [`std::process::Command`]. It can run many times.
///
/// | to | call | standard streams that were not set |
/// |---|---|---|
/// | run it, capture what it writes, and fail if it fails | [`run`](Command::run) | no input; output and errors are captured |
/// | run it, and capture what it writes | [`output`](Command::output) | no input; output and errors are captured |
/// | run it | [`status`](Command::status) | those of this process |
/// | talk with it while it runs | [`spawn`](Command::spawn) | those of this process |
///
/// # Examples
///
/// ```
/// use foster_process::Command;
///
/// # #[cfg(unix)]
/// # foster_smol::run(async {
/// let sorted = Command::new("sort").arg("-r").input("a\nc\nb\n").run().await?;
/// assert_eq!(sorted.stdout, b"c\nb\na\n");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct Command {
    program: OsString,
    /// Where it was made.
    location: &'static Location<'static>,
    args: Vec<OsString>,
    clear_env: bool,
    env: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    input: Option<Vec<u8>>,
    max_output: usize,
    policy: StopPolicy,
    #[cfg(unix)]
    unix: UnixOptions,
}

impl Command {
    /// Makes a command without arguments. A name without a separator is looked up in the `PATH`.
    #[track_caller]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            program: program.as_ref().to_owned(),
            location: Location::caller(),
            args: Vec::new(),
            clear_env: false,
            env: Vec::new(),
            directory: None,
            stdin: None,
            stdout: None,
            stderr: None,
            input: None,
            max_output: usize::MAX,
            policy: StopPolicy::default(),
            #[cfg(unix)]
            unix: UnixOptions::default(),
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment. The others are those that this process has when the command is run.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Sets variables of its environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, vars: impl IntoIterator<Item = (K, V)>) -> &mut Self {
        for (key, value) in vars {
            self.env(key, value);
        }
        self
    }

    /// Removes a variable from its environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// Removes all variables from its environment, those included that were set before.
    pub fn env_clear(&mut self) -> &mut Self {
        self.clear_env = true;
        self.env.clear();
        self
    }

    /// Sets the directory that it runs in.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets where its standard input comes from.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sets where its standard output goes.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Sets where its standard error goes.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Writes these bytes to its standard input, and then closes it; for [`run`](Command::run),
    /// [`output`](Command::output) and [`status`](Command::status). It is no error if the command does not read them
    /// all; what is not taken when the process has ended is not written, also if a process that it has started could
    /// still read it.
    pub fn input(&mut self, input: impl Into<Vec<u8>>) -> &mut Self {
        self.input = Some(input.into());
        self
    }

    /// Limits what is captured, output and errors together, to so many bytes; for [`run`](Command::run),
    /// [`output`](Command::output) and [`Child::wait_with_output`]. Without it a program that never stops printing fills
    /// the memory.
    ///
    /// One byte more is an error, with a [`TooMuchOutput`] inside. The process is stopped then as if it had been
    /// cancelled, with its grace, and what it prints meanwhile is forgotten. `run` and `output` return the error when it
    /// has been reaped.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::{Command, TooMuchOutput};
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// let error = Command::new("yes").max_output(1_000_000).output().await.unwrap_err();
    /// let why = error.get_ref().and_then(|why| why.downcast_ref::<TooMuchOutput>()).unwrap();
    /// assert_eq!(why.to_string(), "`yes` has written more than 1000000 bytes, and is stopped");
    /// # });
    /// ```
    pub fn max_output(&mut self, bytes: usize) -> &mut Self {
        self.max_output = bytes;
        self
    }

    /// Sets the time from the request to stop to the kill. Without it, that is the
    /// [grace](foster_core::CancelScope::grace) of whoever cancels, where it gives one, and else
    /// [`DEFAULT_GRACE`](crate::DEFAULT_GRACE); also where code in a [`graceful`](foster_core::graceful) shield has used
    /// up that grace before it has let go of the process.
    pub fn grace(&mut self, grace: Duration) -> &mut Self {
        self.policy.grace = Some(grace);
        self
    }

    /// Sets the signal that asks it to stop; without it, that is [`SignalKind::TERMINATE`]. With one that cannot be sent,
    /// such as a real-time signal, the command is not started: [`Unsupported`](io::ErrorKind::Unsupported). On Windows
    /// that is each but `TERMINATE` and [`KILL`](SignalKind::KILL), which both kill it.
    pub fn stop_signal(&mut self, signal: SignalKind) -> &mut Self {
        self.policy.signal = signal;
        self
    }

    /// Sets a function that asks it to stop, instead of a signal: one that sends it a request, for example, or several
    /// signals in turn.
    ///
    /// It is shielded from all cancellation but one: it is cancelled when the process has exited, or the grace is over.
    /// Its error goes to the [`Observer`](foster_core::observer::Observer) of the tree; the process has the grace to
    /// stop all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::{Command, SignalKind};
    /// use std::time::Duration;
    ///
    /// # #[cfg(unix)]
    /// # foster_smol::run(async {
    /// let mut server = Command::new("sleep");
    /// server.arg("300").stop_with(async |server| {
    ///     server.signal(SignalKind::HANGUP)?;
    ///     foster::sleep(Duration::from_secs(1)).await;
    ///     server.signal(SignalKind::TERMINATE)
    /// });
    /// drop(server.spawn().await?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn stop_with<F, Fut, E>(&mut self, function: F) -> &mut Self
    where
        F: Fn(Stopping) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.policy.function = Some(Arc::new(move |stopping| {
            let stopped = function(stopping);
            Box::pin(async move { stopped.await.map_err(Into::into) })
        }));
        self
    }

    /// Starts it. The process belongs to the innermost scope around this call; see [`Child`].
    ///
    /// All the work of the host to start a process is done in the poll, as by [`std::process::Command::spawn`].
    ///
    /// # Cancellation
    ///
    /// *Strict*: cancelled code starts nothing. There is no await after the start.
    ///
    /// # Errors
    ///
    /// * [`NotFound`](io::ErrorKind::NotFound): there is no such program, or no such directory. For the directory,
    ///   Windows has [`NotADirectory`](io::ErrorKind::NotADirectory).
    /// * [`PermissionDenied`](io::ErrorKind::PermissionDenied): the program must not be executed, or the user must not
    ///   be taken.
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): options that contradict each other, such as
    ///   [`input`](Command::input).
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no processes, or the host has no such
    ///   [`stop_signal`](Command::stop_signal).
    /// * Other errors of the host.
    ///
    /// An error of the host is wrapped in a [`StartError`], which names the program, and the directory if that does not
    /// exist; the number of the host's error is in its [source](std::error::Error::source).
    ///
    /// No process exists then; or it could be started, and not be watched, and then it is killed, and reaped soon.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_process::{Command, Stdio};
    /// use futures_lite::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[cfg(unix)]
    /// # foster_tokio::run(async {
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
    /// let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    /// stdin.write_all(b"hello").await?;
    /// drop(stdin);
    /// let mut echo = String::new();
    /// stdout.read_to_string(&mut echo).await?;
    /// assert_eq!(echo, "hello");
    /// assert!(child.wait().await?.success());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn spawn(&mut self) -> io::Result<Child> {
        if self.input.is_some() {
            return Err(contradiction(
                "`input` is for `run`, `output` and `status`: write to the `stdin` of the child instead",
            ));
        }
        start().await;
        let spawned = self.launch(Stdio::inherit, Stdio::inherit, Stdio::inherit)?;
        Ok(Child::bind(spawned, |host| self.process(host)))
    }

    fn process(&self, host: Box<dyn crate::contract::Process>) -> Process {
        Process::new(host, self.shown_program(), self.location, self.max_output, self.policy.clone())
    }

    fn shown_program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Starts a process, with these streams where none were set.
    fn launch(&mut self, stdin: fn() -> Stdio, stdout: fn() -> Stdio, stderr: fn() -> Stdio) -> io::Result<Spawned> {
        self.check()?;
        let host = processes()?;
        let target = |set: &mut Option<Stdio>, default: fn() -> Stdio| -> io::Result<Target> {
            match set {
                Some(set) => set.for_one(),
                None => default().for_one(),
            }
        };
        let stdin = target(&mut self.stdin, stdin)?;
        let stdout = target(&mut self.stdout, stdout)?;
        let stderr = target(&mut self.stderr, stderr)?;
        let mut launch = Launch::new(self.program.clone(), stdin, stdout, stderr);
        launch.args.clone_from(&self.args);
        launch.clear_env = self.clear_env;
        launch.env.clone_from(&self.env);
        launch.directory.clone_from(&self.directory);
        launch.stop_signal = self.policy.function.is_none().then_some(self.policy.signal);
        #[cfg(unix)]
        launch.unix.clone_from(&self.unix);
        host.spawn(launch).map_err(|error| StartError::wrap(self.program.clone(), self.directory.clone(), error))
    }

    /// Refuses options that contradict each other, whatever is done with the command.
    fn check(&self) -> io::Result<()> {
        if self.stdin.as_ref().is_some_and(Stdio::is_same_as_stdout)
            || self.stdout.as_ref().is_some_and(Stdio::is_same_as_stdout)
        {
            return Err(contradiction("only errors can go where the output goes"));
        }
        Ok(())
    }
}

#[cfg(unix)]
impl Command {
    /// Makes it the first of a process group of its own: then signals go to the whole group, and the group ends with the
    /// process. So nothing stays of what it has started, unless that has made itself a group of its own. Without this
    /// only the process itself is stopped, and what it has started goes on.
    ///
    /// **When the process has ended, all that is left of the group is sent `SIGKILL`**, as the process is reaped, and
    /// not waited for: it ends soon. That is so however the process has ended:
    ///
    /// * By itself, with success, too. A script that leaves a service behind needs `setsid` for it, or no group.
    /// * When it was asked to stop. The others are asked at the same time, but the grace is that of the first, for no
    ///   host tells when the last of a group has ended. A shell that only starts others ends at once, and they have no
    ///   time to stop in their own way: let it wait for them (`trap wait TERM`), or be replaced by the one that counts
    ///   (`exec`).
    ///
    /// A process in another group than the terminal's does not get ctrl-C from it, and is paused when it reads from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::move_on_after;
    /// use foster_process::Command;
    /// use std::time::Duration;
    ///
    /// # foster_smol::run(async {
    /// let mut script = Command::new("sh");
    /// script.args(["-c", "sleep 300 & sleep 300"]).process_group();
    /// // Both sleeps have been killed when this returns.
    /// assert!(move_on_after(Duration::from_millis(50), script.status()).await.is_none());
    /// # });
    /// ```
    pub fn process_group(&mut self) -> &mut Self {
        self.unix.group = Group::Own;
        self
    }

    /// Makes it the first of a session of its own, without a terminal, and of a [group](Command::process_group) of its
    /// own, which ends with it.
    pub fn new_session(&mut self) -> &mut Self {
        self.unix.group = Group::Session;
        self
    }

    /// Sets what the program sees as its own name.
    pub fn arg0(&mut self, arg0: impl AsRef<OsStr>) -> &mut Self {
        self.unix.arg0 = Some(arg0.as_ref().to_owned());
        self
    }

    /// Sets the user that it runs as.
    pub fn uid(&mut self, uid: u32) -> &mut Self {
        self.unix.uid = Some(uid);
        self
    }

    /// Sets the group of users that it runs as.
    pub fn gid(&mut self, gid: u32) -> &mut Self {
        self.unix.gid = Some(gid);
        self
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("program", &self.program).field("args", &self.args).finish_non_exhaustive()
    }
}

/// Waits at the checkpoint at which an operation begins.
async fn start() {
    let mut gate = Gate::new("start a process");
    poll_fn(|cx| gate.poll_start(cx)).await;
}

fn contradiction(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
