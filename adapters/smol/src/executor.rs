//! Where jobs go, and how a tree gets its threads.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::{Arc, Once, Weak};
use std::thread;
use std::time::Duration;

use async_executor::Executor;
use async_io::block_on;
use foster::Instant;
use foster::leaf::assert_may_block;
use foster::observer::{Observer, PollWatch, PrintOrphans};
use foster::runtime::{AlreadyInstalled, BlockingError, Job, Root, Runtime, Timer, Work, host_clock};
use smol::channel;

use crate::blocking;
use crate::clock::{self, SmolTimer};
#[cfg(feature = "net")]
use crate::net;
#[cfg(all(feature = "process", any(unix, windows)))]
use crate::process;
use crate::turns::{RootRunner, run_tasks};

/// Runs a future, and everything that it starts, on the calling thread, and returns its output.
///
/// The future is the root of a tree: `run` returns only after its last descendant has ended. Neither the future nor its
/// output need be `Send`; the children of a nursery do. More threads are to be had from [`Builder::threads`].
///
/// The future has its turns as if it were a task: when it is woken, it is polled after the tasks that were woken before
/// it.
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
/// let length = foster_smol::run(async { greeting.len() });
/// assert_eq!(length, 5);
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    Builder::new().run(future)
}

/// Makes a future the root of a tree on smol's global executor, to be awaited in a program that smol already runs.
///
/// The future itself is polled where it is awaited; jobs go to the executor behind [`smol::spawn`]. To use another
/// executor, see [`Smol::on`].
///
/// # Cancellation
///
/// *Partial effect*: a tree cannot wait for anything when its root is dropped. Every body and task in it is dropped at
/// once, and no async cleanup runs (L30). Await it to the end, or put a deadline inside.
///
/// # Panics
///
/// As [`Smol::global`].
///
/// # Examples
///
/// ```
/// smol::block_on(async {
///     let sum = foster_smol::attach(async { 1 + 2 }).await;
///     assert_eq!(sum, 3);
/// });
/// ```
#[track_caller]
pub fn attach<F: Future>(future: F) -> Root<F, F::Output> {
    foster::runtime::root(Arc::new(Smol::global()), future)
}

/// Makes smol's global executor the runtime of all scopes in this process that are opened outside of a tree.
///
/// # Errors
///
/// * [`AlreadyInstalled`]: a runtime was installed before, and stays.
///
/// # Panics
///
/// As [`Smol::global`].
///
/// # Examples
///
/// ```
/// foster_smol::install()?;
/// let refused = foster_smol::install();
/// assert!(refused.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn install() -> Result<(), AlreadyInstalled> {
    foster::runtime::install(Arc::new(Smol::global()))
}

/// How [`run`] runs: on how many threads.
///
/// # Examples
///
/// ```
/// let sum = foster_smol::Builder::new().threads(4).run(async { 1 + 2 });
/// assert_eq!(sum, 3);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until its `run` is called"]
pub struct Builder {
    threads: NonZeroUsize,
    observer: Arc<dyn Observer>,
    longest_poll: Option<Duration>,
    watched: bool,
}

impl Builder {
    /// Starts with one thread: the calling one.
    pub fn new() -> Self {
        Builder { threads: NonZeroUsize::MIN, observer: Arc::new(PrintOrphans), longest_poll: None, watched: false }
    }

    /// Sets the number of threads that run the tree, the calling one included. The root is always polled by the calling
    /// thread, jobs by any of them.
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    #[track_caller]
    pub fn threads(mut self, threads: usize) -> Self {
        let Some(threads) = NonZeroUsize::new(threads) else {
            panic!("a tree cannot run on 0 threads; 1 is the calling thread alone");
        };
        self.threads = threads;
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
    /// foster_smol::Builder::new().watch_polls(Duration::from_millis(10)).run(async {});
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
    /// # Panics
    ///
    /// * If the calling thread is running a tree already. Await the future in that tree instead, or move the call to a
    ///   blocking thread.
    /// * If it is polling code of a tree on another runtime, whose tasks it would block.
    /// * If the host refuses a worker thread.
    /// * With the panic of the future, if that is how it ended.
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> F::Output {
        let _running = Running::claim();
        assert_may_block("foster_smol::run", "the future");
        let executor = Arc::new(Executor::new());
        let runner = RootRunner::new(&executor);
        let root = foster::runtime::root(Arc::new(Smol::on(&executor)), future).polled_by_its_runtime();
        let mut root = root.observe(match self.longest_poll {
            Some(longest) => Arc::new(PollWatch::new(longest).before(self.observer)),
            None => self.observer,
        });
        if self.watched {
            root = root.watch();
        }
        // Nobody ever sends: the workers stop when `stop` is dropped, also by a panic of the root.
        let (stop, stopped) = channel::bounded::<Infallible>(1);
        thread::scope(|scope| {
            let _stop = stop;
            for n in 1..self.threads.get() {
                let work = || {
                    let _running = Running::claim();
                    block_on(run_tasks(&executor, stopped.recv()))
                };
                let name = format!("foster-smol-{n}");
                if let Err(error) = thread::Builder::new().name(name).spawn_scoped(scope, work) {
                    panic!("foster_smol cannot start worker thread {n}: {error}");
                }
            }
            block_on(runner.run(root))
        })
        // R10: here the last reference to the executor is dropped, and with it any job that is left.
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// smol as a [`Runtime`]: jobs go to an executor, time and threads come from async-io and blocking.
///
/// Only needed with an executor of your own; otherwise [`run`], [`attach`] and [`install`] make it for you.
///
/// smol gives tasks no budget, so foster's own counts: 128 ready operations a poll ([R9](Runtime::poll_budget)).
#[derive(Clone, Debug)]
pub struct Smol {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    /// The executor behind `smol::spawn`, which lives as long as the process.
    Global,
    /// Subtle: weak, because jobs hold the runtime and the executor holds the jobs. A strong reference would keep both
    /// alive for ever once their owner has dropped the executor with a job in it (R10).
    Own(Weak<Executor<'static>>),
}

impl Smol {
    /// Hands the jobs to an executor of your own.
    ///
    /// It is for you to run that executor, on as many threads as you like, and to keep it: dropping the last [`Arc`]
    /// tears the runtime down (R10).
    ///
    /// `Executor::run`, as below, polls the tree's root once in 200 polls of tasks if they are always busy. In [`run`] it
    /// has its turns among them.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::runtime::root;
    /// use foster_smol::Smol;
    /// use smol::Executor;
    /// use std::sync::Arc;
    ///
    /// let executor = Arc::new(Executor::new());
    /// let tree = root(Arc::new(Smol::on(&executor)), async { 1 + 2 });
    /// assert_eq!(smol::block_on(executor.run(tree)), 3);
    /// ```
    #[must_use]
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Smol { target: Target::Own(Arc::downgrade(executor)) }
    }

    /// Hands the jobs to smol's global executor, and starts it if this is its first use. It runs on one background
    /// thread, or on as many as the environment variable `SMOL_THREADS` says.
    ///
    /// # Panics
    ///
    /// If the executor must be started and the host refuses it a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::runtime::Runtime;
    /// use foster_smol::Smol;
    ///
    /// assert_eq!(Smol::global().name(), "smol");
    /// ```
    #[must_use]
    pub fn global() -> Self {
        // R1: the executor's first use may panic, so it must not be the `spawn` of a job.
        static START: Once = Once::new();
        #[expect(clippy::disallowed_methods, reason = "starts the executor; there is nothing in this task")]
        START.call_once(|| smol::spawn(async {}).detach());
        Smol { target: Target::Global }
    }
}

impl Runtime for Smol {
    fn name(&self) -> &'static str {
        "smol"
    }

    fn spawn(&self, job: Job) {
        match &self.target {
            #[expect(clippy::disallowed_methods, reason = "a job is foster's own, and knows its place in the tree")]
            Target::Global => smol::spawn(job).detach(),
            Target::Own(executor) => match executor.upgrade() {
                Some(executor) => executor.spawn(job).detach(),
                // R2: the executor is gone.
                None => drop(job),
            },
        }
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
        Box::new(SmolTimer::new())
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        blocking::spawn(work)
    }

    fn capability(&self, wanted: TypeId) -> Option<&dyn Any> {
        let offered: &[&(dyn Any + Send + Sync)] = &[
            #[cfg(feature = "net")]
            net::of_the_process(),
            #[cfg(all(feature = "process", any(unix, windows)))]
            process::of_the_process(),
        ];
        offered.iter().find(|offered| wanted == (***offered).type_id()).map(|offered| *offered as _)
    }
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// The mark of a thread that runs a tree. Another `run` on it would block the very tasks that it waits for.
struct Running {
    /// The mark belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

impl Running {
    #[track_caller]
    fn claim() -> Self {
        assert!(
            !RUNNING.replace(true),
            "foster_smol::run was called on a thread that is running a tree already, and would block its tasks; \
             await the future there, or call `run` on a blocking thread (`foster::to_thread`)"
        );
        Running { _not_send: PhantomData }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}
