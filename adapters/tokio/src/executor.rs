//! Where jobs go, and how a tree gets its threads.

use std::any::{Any, TypeId};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::Instant;
use foster::leaf::assert_may_block;
use foster::observer::{Observer, PollWatch, PrintOrphans};
use foster::runtime::{
    AlreadyInstalled, BlockingError, Job, Root, Runtime, Timer, Work, host_clock, is_own_budget_used_up,
    poll_own_budget,
};
use tokio::runtime::{self, Handle};
use tokio::task::coop::{has_budget_remaining, poll_proceed};

use crate::blocking;
use crate::clock::{self, TokioTimer};
#[cfg(feature = "net")]
use crate::net;
#[cfg(all(feature = "process", any(unix, windows)))]
use crate::process;

/// Runs a future, and everything that it starts, on a new multi-thread runtime, and returns its output.
///
/// The future is the root of a tree: `run` returns only after its last descendant has ended. It is polled by the
/// calling thread, as under `#[tokio::main]`, so neither it nor its output need be `Send`; the children of a nursery
/// do, and run on one worker thread per core. [`Builder`] makes a current-thread runtime instead, or sets the number of
/// workers.
///
/// # Panics
///
/// As [`Builder::run`].
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// let greeting = Rc::new("hello");
/// let length = foster_tokio::run(async { greeting.len() });
/// assert_eq!(length, 5);
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    Builder::new().run(future)
}

/// Makes a future the root of a tree on the runtime that is running, to be awaited in a `#[tokio::main]`, a
/// `tokio::spawn` or a `block_on`.
///
/// The future itself is polled where it is awaited; jobs go to the current runtime.
///
/// # Cancellation
///
/// *Partial effect*: a tree cannot wait for anything when its root is dropped. Every body and task in it is dropped at
/// once, and no async cleanup runs (L30). Await it to the end, or put a deadline inside.
///
/// # Panics
///
/// As [`Tokio::current`].
///
/// # Examples
///
/// ```
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() {
///     let sum = foster_tokio::attach(async { 1 + 2 }).await;
///     assert_eq!(sum, 3);
/// }
/// ```
#[track_caller]
pub fn attach<F: Future>(future: F) -> Root<F, F::Output> {
    foster::runtime::root(Arc::new(Tokio::current()), future)
}

/// Makes the runtime that is running now the runtime of all scopes in this process that are opened outside of a tree.
///
/// It has to be a runtime that lasts as long as the process. When it has been shut down, as that of a `#[tokio::test]`
/// is at the end of the test, nothing fires the timers of code that is in no tree any more: a `sleep` there waits for
/// ever. Tasks and finalizers that are cut off then are told to nobody.
///
/// # Errors
///
/// * [`AlreadyInstalled`]: a runtime was installed before, and stays.
///
/// # Panics
///
/// As [`Tokio::current`].
///
/// # Examples
///
/// ```
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     foster_tokio::install()?;
///     let refused = foster_tokio::install();
///     assert!(refused.is_err());
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn install() -> Result<(), AlreadyInstalled> {
    foster::runtime::install(Arc::new(Tokio::current()))
}

/// How [`run`] runs: on which of tokio's two runtimes, with how many worker threads.
///
/// # Examples
///
/// ```
/// let sum = foster_tokio::Builder::new().current_thread().run(async { 1 + 2 });
/// assert_eq!(sum, 3);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until its `run` is called"]
pub struct Builder {
    flavor: Flavor,
    observer: Arc<dyn Observer>,
    longest_poll: Option<Duration>,
    watched: bool,
}

#[derive(Clone, Debug)]
enum Flavor {
    CurrentThread,
    /// `None`: one worker per core, which is tokio's default.
    MultiThread(Option<usize>),
}

impl Builder {
    /// Starts with a multi-thread runtime that has one worker thread per core.
    pub fn new() -> Self {
        Builder {
            flavor: Flavor::MultiThread(None),
            observer: Arc::new(PrintOrphans),
            longest_poll: None,
            watched: false,
        }
    }

    /// Takes a current-thread runtime: the calling thread runs the root and all jobs.
    pub fn current_thread(mut self) -> Self {
        self.flavor = Flavor::CurrentThread;
        self
    }

    /// Takes a multi-thread runtime with this many worker threads. They run the jobs; the root is polled by the calling
    /// thread, which is not counted.
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    #[track_caller]
    pub fn worker_threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a tree cannot run on 0 worker threads; `current_thread` does without any");
        self.flavor = Flavor::MultiThread(Some(threads));
        self
    }

    /// Hands what has no caller to `observer`, such as errors of abandoned scopes. Without one it is printed to
    /// standard error.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Reports polls that take longer than `longest`, and tasks that go on for ten seconds after a cancel, on standard
    /// error; with the name of the task, and where it was spawned. A [`PollWatch`] as observer reports elsewhere, or
    /// with more patience.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// foster_tokio::Builder::new().watch_polls(Duration::from_millis(10)).run(async {});
    /// ```
    pub fn watch_polls(mut self, longest: Duration) -> Self {
        self.longest_poll = Some(longest);
        self
    }

    /// Notes what everybody in the tree waits for, so that [dumps](foster::dump) can tell. It costs a lock for each
    /// operation.
    pub fn watch(mut self) -> Self {
        self.watched = true;
        self
    }

    /// Runs a future to its end, as [`run`] does.
    ///
    /// The runtime has every driver that tokio was compiled with. When the tree has ended the runtime is shut down:
    /// jobs are dropped and threads joined. Only for work that is on a blocking thread and was not started by the tree,
    /// or was expressly abandoned there, `run` does not wait, or hardly: a tenth of a second in all.
    ///
    /// # Panics
    ///
    /// * If the calling thread is in the context of a tokio runtime, that of another `run` included. In async code use
    ///   [`attach`] and await it; on a blocking thread, hand it to `Handle::current().block_on`.
    /// * If the calling thread is polling code of a tree on another runtime, whose tasks it would block.
    /// * If tokio cannot build the runtime, because the host refuses threads or files.
    /// * With the panic of the future, if that is how it ended.
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> F::Output {
        assert!(
            Handle::try_current().is_err(),
            "foster_tokio::run was called inside a tokio runtime, and would block its tasks; await \
             `foster_tokio::attach(future)` there, or, on a blocking thread, hand it to `Handle::current().block_on`"
        );
        assert_may_block("foster_tokio::run", "the future");
        let runtime = match self.build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("foster_tokio cannot build a tokio runtime: {error}"),
        };
        let tokio = Arc::new(Tokio::on(runtime.handle().clone()));
        let root = foster::runtime::root(tokio, future).polled_by_its_runtime();
        let mut root = root.observe(match self.longest_poll {
            Some(longest) => Arc::new(PollWatch::new(longest).before(self.observer)),
            None => self.observer,
        });
        if self.watched {
            root = root.watch();
        }
        let output = catch_unwind(AssertUnwindSafe(|| runtime.block_on(root)));
        // Not here: the runtime's own `Drop`, which would wait for an abandoned blocking thread for ever.
        runtime.shutdown_timeout(LINGER);
        output.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn build(&self) -> io::Result<runtime::Runtime> {
        let mut builder = match self.flavor {
            Flavor::CurrentThread => runtime::Builder::new_current_thread(),
            Flavor::MultiThread(workers) => {
                let mut builder = runtime::Builder::new_multi_thread();
                if let Some(workers) = workers {
                    builder.worker_threads(workers);
                }
                builder
            }
        };
        builder.thread_name("foster-tokio").enable_all().build()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a `run` waits for its runtime's threads after the tree has ended. They need microseconds, unless one of
/// them is kept by blocking work that is none of the tree's.
const LINGER: Duration = Duration::from_millis(100);

/// tokio as a [`Runtime`]: jobs, timers and blocking threads come from one tokio runtime.
///
/// Only needed with a runtime of your own; otherwise [`run`], [`attach`] and [`install`] make it for you. Somebody must
/// drive the runtime: a current-thread runtime runs jobs and fires timers only while a thread is in its `block_on`.
///
/// A clock that a test has paused (tokio's `test-util`) is the tree's clock too. tokio shows it to threads in the
/// context of the runtime, and all of the runtime's own threads are; any other thread that touches the tree of such a
/// test needs [`Handle::enter`].
#[derive(Clone)]
pub struct Tokio {
    handle: Handle,
    #[cfg(feature = "net")]
    net: Arc<dyn foster_net::contract::Net>,
    #[cfg(all(feature = "process", any(unix, windows)))]
    processes: Arc<dyn foster_process::contract::Processes>,
}

// With the network as without it: what is in there is a handle of the runtime's, which a panic elsewhere leaves as it
// is.
impl UnwindSafe for Tokio {}
impl RefUnwindSafe for Tokio {}

impl Tokio {
    /// Hands the jobs to the runtime of this handle. It does not keep that runtime alive: once it has been shut down,
    /// jobs are dropped at once (R2), timers stay silent and blocking work is handed back.
    ///
    /// # Panics
    ///
    /// If the runtime was built without a time driver; the message names `enable_time`.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::runtime::root;
    /// use foster_tokio::Tokio;
    /// use std::sync::Arc;
    ///
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// let tree = root(Arc::new(Tokio::on(runtime.handle().clone())), async { 1 + 2 });
    /// assert_eq!(runtime.block_on(tree), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn on(handle: Handle) -> Self {
        TokioTimer::probe(&handle);
        Tokio {
            #[cfg(feature = "net")]
            net: net::of(handle.clone()),
            #[cfg(all(feature = "process", any(unix, windows)))]
            processes: process::of(handle.clone()),
            handle,
        }
    }

    /// Hands the jobs to the runtime in whose context the caller is.
    ///
    /// # Panics
    ///
    /// * If the caller is in no such context.
    /// * As [`Tokio::on`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::runtime::Runtime;
    /// use foster_tokio::Tokio;
    ///
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() {
    ///     assert_eq!(Tokio::current().name(), "tokio");
    /// }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        match Handle::try_current() {
            Ok(handle) => Tokio::on(handle),
            Err(_) => panic!(
                "there is no tokio runtime to attach to; call this in code that one runs, as in `#[tokio::main]` or \
                 `runtime.block_on(async {{ foster_tokio::attach(future).await }})`, or use `foster_tokio::run`, which \
                 brings a runtime"
            ),
        }
    }
}

impl fmt::Debug for Tokio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokio").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Runtime for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn spawn(&self, job: Job) {
        drop(self.handle.spawn(job));
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn instant_to_std(&self, at: Instant) -> Option<std::time::Instant> {
        host_clock::to_std(at)
    }

    fn instant_from_std(&self, at: std::time::Instant) -> Option<Instant> {
        Some(host_clock::from_std(at))
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(TokioTimer::new(self.handle.clone()))
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        blocking::spawn(&self.handle, work)
    }

    fn capability(&self, wanted: TypeId) -> Option<&dyn Any> {
        let offered: &[&dyn Any] = &[
            #[cfg(feature = "net")]
            &self.net,
            #[cfg(all(feature = "process", any(unix, windows)))]
            &self.processes,
        ];
        offered.iter().find(|offered| wanted == (***offered).type_id()).copied()
    }

    /// The cooperative budget of tokio's task, which foster's operations share with tokio's own.
    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Foster's own first: tokio's has no limit where another executor polls a root.
        ready!(poll_own_budget(cx));
        poll_proceed(cx).map(|unit| unit.made_progress())
    }

    /// Whether the task is at the end of tokio's cooperative budget. Without this, code that polls many futures in one
    /// task would poll on while tokio's own operations refuse to work: quadratic time.
    fn should_yield(&self) -> bool {
        is_own_budget_used_up() || !has_budget_remaining()
    }
}
