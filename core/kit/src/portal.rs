//! The portal: sync code that starts work in a tree.
//!
//! ```text
//!   thread of main  ──▶ portal(run, |p| { p.call(f) ··▶ value   p.spawn(g)          }) ··············▶ returns
//!   background thread       └─ run ────── f ─────┘                 └─ g ──────────────── waits for g ┘
//! ```
//!
//! A portal *hosts* a nursery. [`portal`] gives it a runtime on a thread of its own; [`Portal::new`] gives the host as
//! a future, to be awaited in a tree that is there already.

mod task;

use std::fmt;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

use foster_channel::{OneshotSender, oneshot};
use foster_core::error::JoinError;
use foster_core::nursery::Started;
use foster_core::scope::Reason;
use foster_core::sync::{Event, Promise};
use foster_core::thread::block_on;
use foster_core::{CancelScope, Cancelled, Nursery, NurseryOptions, ScopeHandle};

use crate::payload::{catch_drop, drop_payload};
use task::join;

pub use task::{PortalError, PortalStartError, PortalTask};

/// Runs `body` on the calling thread, with a portal into a tree that runs on another: for a `main` that is not async.
///
/// `run` is that of an adapter: `foster_smol::run`, `foster_tokio::run`, or a closure that calls a `Builder`'s. It is
/// called on a new thread. When `body` returns, the portal is closed: the tasks that were started are waited for. When
/// it panics they are cancelled, waited for, and the panic goes on. See [`try_portal`] for a body that can fail.
///
/// # Panics
///
/// * Resumes the panic of `body`, or of `run`; the latter has that of a task that was [spawned](Portal::spawn), which
///   cancels the others. The panic of a future that was [called](Portal::call) resumes in `body`.
/// * If the host refuses the thread.
/// * In a task, or in other code of a tree.
///
/// # Examples
///
/// ```
/// use foster::portal::portal;
/// use foster::sleep;
/// use std::time::Duration;
///
/// // In a program this is `foster_smol::run`, or `foster_tokio::run`.
/// let run = |host| foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(host);
/// let total = portal(run, |tree| {
///     let slow = tree.spawn(async {
///         sleep(Duration::from_millis(5)).await;
///         40
///     })?;
///     let quick = tree.call(async { 2 })?;
///     Ok::<_, foster::portal::PortalError>(slow.join()? + quick)
/// });
/// assert_eq!(total?, 42);
/// # Ok::<(), foster::portal::PortalError>(())
/// ```
#[track_caller]
pub fn portal<R, T>(run: R, body: impl FnOnce(&Portal) -> T) -> T
where
    R: FnOnce(PortalHost) + Send,
{
    open(run, body, |_| false)
}

/// As [`portal`], but an `Err` of `body` cancels the tasks that were started, before it is returned.
///
/// # Errors
///
/// That of `body`.
///
/// # Panics
///
/// As [`portal`].
#[track_caller]
pub fn try_portal<R, T, E>(run: R, body: impl FnOnce(&Portal) -> Result<T, E>) -> Result<T, E>
where
    R: FnOnce(PortalHost) + Send,
{
    open(run, body, Result::is_err)
}

#[track_caller]
fn open<R, T>(run: R, body: impl FnOnce(&Portal) -> T, failed: impl FnOnce(&T) -> bool) -> T
where
    R: FnOnce(PortalHost) + Send,
{
    refuse_in_tree();
    let (portal, host) = Portal::new();
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("foster-portal".to_owned()).spawn_scoped(scope, || run(host));
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => panic!("a portal needs a thread, and the host refuses it: {error}"),
        };
        let output = panic::catch_unwind(AssertUnwindSafe(|| body(&portal)));
        match &output {
            Ok(output) if !failed(output) => portal.close(),
            Ok(_) => portal.cancel("the body of the portal has failed"),
            Err(_) => portal.cancel("the body of the portal has panicked"),
        };
        let hosted = thread.join();
        // An output that is not returned is dropped before a panic resumes: its destructor may panic as well.
        match (output, hosted) {
            (Ok(output), Ok(())) => output,
            (Ok(output), Err(payload)) => {
                catch_drop(output);
                panic::resume_unwind(payload)
            }
            (Err(payload), hosted) => {
                if let Err(later) = hosted {
                    drop_payload(later);
                }
                panic::resume_unwind(payload)
            }
        }
    })
}

/// A way into a tree for threads that are not in it. Clonable; usable from any thread.
///
/// # Examples
///
/// In a tree that is there already, for a thread that foster did not start:
///
/// ```
/// use foster::portal::Portal;
///
/// # foster_sim::Builder::new(1).real_threads(std::time::Duration::from_secs(60)).run(async {
/// let (portal, host) = Portal::new();
/// let thread = std::thread::spawn(move || {
///     let value = portal.call(async { 7 });
///     portal.close();
///     value
/// });
/// host.await; // until the portal is closed, and its tasks have ended
/// assert_eq!(thread.join().unwrap().unwrap(), 7);
/// # });
/// ```
///
/// For sync code of which several parts share a tree that lives as long as one of them: the portal closes, and the
/// thread ends, when the last clone is dropped.
///
/// ```
/// use foster::portal::Portal;
///
/// # let run = |host| foster_sim::Builder::new(1).real_threads(std::time::Duration::from_secs(60)).run(host);
/// let (portal, host) = Portal::new();
/// // In a program this is `foster_smol::run(host)`, or `foster_tokio::run(host)`.
/// let thread = std::thread::spawn(move || run(host));
/// let (one, other) = (portal.clone(), portal);
/// assert_eq!(one.call(async { 1 }).unwrap() + other.call(async { 2 }).unwrap(), 3);
/// drop((one, other));
/// thread.join().unwrap();
/// ```
#[derive(Clone)]
pub struct Portal {
    /// Shared by the clones.
    handle: Arc<CloseOnDrop>,
}

/// Closes the portal when its last clone is dropped.
struct CloseOnDrop(Arc<PortalState>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.closed.set();
    }
}

/// The state that a portal shares with its host.
struct PortalState {
    /// Closed if the host is gone before it was polled. Nothing fails in it: the error is what `start` asks for.
    nursery: Promise<Nursery<JoinError>>,
    closed: Event,
    scope: ScopeHandle,
}

impl Portal {
    /// A portal, and the future that hosts its tasks: somebody has to await it in a tree.
    ///
    /// The host is ready when the portal is [closed](Portal::close), or its last clone dropped, and all its tasks have
    /// ended. If it is cancelled or dropped, so are the tasks.
    #[track_caller]
    pub fn new() -> (Portal, PortalHost) {
        let mut scope = CancelScope::new().named("portal");
        let state = Arc::new(PortalState { nursery: Promise::new(), closed: Event::new(), scope: scope.handle() });
        let mine = state.clone();
        let body = NurseryOptions::new().named("portal").run(async move |nursery: Nursery<JoinError>| {
            if mine.nursery.set(nursery).is_ok() {
                mine.closed.wait().await;
            }
            Ok(())
        });
        let host = PortalHost { host: Box::pin(scope.run(body)), state: state.clone() };
        (Portal { handle: Arc::new(CloseOnDrop(state)) }, host)
    }

    /// Runs `future` in the tree, and blocks the calling thread until it has ended.
    ///
    /// # Errors
    ///
    /// * [`PortalError::Closed`]: the portal was closed before, or its host is gone. The future was not polled.
    /// * [`PortalError::Cancelled`]: it was cancelled with the portal.
    ///
    /// # Panics
    ///
    /// Resumes the panic of `future`. In a task, or in other code of a tree: await the future there.
    #[track_caller]
    pub fn call<T, F>(&self, future: F) -> Result<T, PortalError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        match self.call_guarded(future)? {
            Ok(value) => Ok(value),
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// As [`call`](Portal::call), with the panic of `future` as a value.
    #[track_caller]
    fn call_guarded<T, F>(&self, future: F) -> Result<thread::Result<T>, PortalError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        refuse_in_tree();
        let nursery = self.nursery()?;
        let child = nursery.child().named(std::any::type_name::<F>());
        let task = child.try_spawn(Guarded { future }).map_err(|_| PortalError::Closed)?;
        join(task)
    }

    /// Spawns `future` as a task into the tree, and goes on.
    ///
    /// The portal waits for the task, whether or not its handle is kept. A panic cancels the other tasks of the portal,
    /// and goes on where the host is awaited.
    ///
    /// # Errors
    ///
    /// [`PortalError::Closed`]: the portal was closed before, or its host is gone. The future was not polled.
    ///
    /// # Panics
    ///
    /// In code of a tree, if the host was not polled yet: it would have to wait for it.
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Result<PortalTask<T>, PortalError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let nursery = self.nursery()?;
        let child = nursery.child().named(std::any::type_name::<F>());
        let (sender, output) = oneshot();
        let task = child.try_spawn(SendOutput { future, sender: Some(sender) }).map_err(|_| PortalError::Closed)?;
        Ok(PortalTask::new(task, output))
    }

    /// Starts a task in the tree, and blocks the calling thread until the task says that it is ready; returns what it
    /// said, and a handle.
    ///
    /// As [`Nursery::start`], for threads: until it is ready the task is the caller's own, from then on it is a task of
    /// the portal like those of [`spawn`](Portal::spawn). For servers that have to listen before others connect, and
    /// for a resource that sync code uses while it is open in the tree.
    ///
    /// # Errors
    ///
    /// * [`PortalStartError::NotReady`]: the task has ended without having said that it is ready; with what it
    ///   returned. If it says so after the portal was cancelled, it is not heard: [`Started::started`] returns `false`,
    ///   and drops the value.
    /// * [`PortalStartError::Portal`]: the portal was closed before, or the task was cancelled with it, and has returned
    ///   nothing.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a task that was not ready yet. In a task, or in other code of a tree: use
    /// [`Nursery::start`] there.
    ///
    /// # Examples
    ///
    /// A bracket, held open by sync code:
    ///
    /// ```
    /// use foster::bracket;
    /// use foster::portal::portal;
    /// use foster::sync::Event;
    /// use std::sync::Arc;
    ///
    /// # let run = |host| foster_sim::Builder::new(1).real_threads(std::time::Duration::from_secs(60)).run(host);
    /// portal(run, |tree| {
    ///     let done = Arc::new(Event::new());
    ///     let wait = done.clone();
    ///     let (port, server) = tree.start(|status| {
    ///         let listen = async { 8080 };
    ///         bracket(listen, async move |port| { status.started(*port); wait.wait().await }, |_port, _exit| async { /* close it */ })
    ///     })?;
    ///     assert_eq!(port, 8080);
    ///     done.set();
    ///     server.join()?; // it is closed
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn start<V, T, C, F>(&self, child: C) -> Result<(V, PortalTask<T>), PortalStartError<T>>
    where
        V: Send + 'static,
        T: Send + 'static,
        C: FnOnce(Started<V>) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let nursery = self.nursery()?.clone();
        let (sender, mut output) = oneshot();
        let start = async move {
            nursery.start_task(move |status| SendOutput { future: child(status), sender: Some(sender) }).await
        };
        let error = match self.call_guarded(start) {
            Ok(Ok(Ok((value, task)))) => return Ok((value, PortalTask::new(task, output))),
            Ok(Ok(Err(_))) => PortalError::Closed,
            Ok(Err(payload)) => {
                // It has returned, and then a finalizer of it has panicked: the destructor of its value may, too.
                catch_drop(output.try_recv());
                panic::resume_unwind(payload)
            }
            // The caller's part in the tree was cut off. The task itself may have gone on, in a shield, to its end.
            Err(error @ PortalError::Cancelled(_)) => error,
            Err(error) => return Err(PortalStartError::Portal(error)),
        };
        Err(match output.try_recv() {
            Ok(value) => PortalStartError::NotReady(value),
            Err(_) => PortalStartError::Portal(error),
        })
    }

    /// Lets nothing in any more; what was started goes on, and the host waits for it.
    pub fn close(&self) {
        self.handle.0.closed.set();
    }

    /// Cancels all tasks, and lets nothing in any more.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) {
        self.handle.0.scope.cancel(reason);
        self.close();
    }

    /// Whether nothing is let in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let state = &self.handle.0;
        state.closed.is_set() || state.nursery.closed().is_some() || state.nursery.get().is_some_and(Nursery::is_closed)
    }

    #[track_caller]
    fn nursery(&self) -> Result<&Nursery<JoinError>, PortalError> {
        let state = &self.handle.0;
        if self.is_closed() {
            return Err(PortalError::Closed);
        }
        match state.nursery.get() {
            Some(nursery) => Ok(nursery),
            // The host is on its way.
            None => block_on(state.nursery.wait()).map_err(|_| PortalError::Closed),
        }
    }
}

/// As `block_on` does, but before anything was begun.
#[track_caller]
fn refuse_in_tree() {
    block_on(std::future::ready(()));
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Hosts the tasks of a [`Portal`]; made by [`Portal::new`].
///
/// # Cancellation
///
/// *Partial effect*: the tasks of the portal are cancelled. If it is dropped by foreign code, the scope around it waits
/// for them.
#[must_use = "a portal lets nothing in unless its host is polled"]
pub struct PortalHost {
    host: Pin<Box<dyn Future<Output = Result<Result<(), JoinError>, Cancelled>> + Send>>,
    state: Arc<PortalState>,
}

impl Future for PortalHost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Cancelled by the portal's own handle it has ended, too: each task's handle says so.
        self.host.as_mut().poll(cx).map(drop)
    }
}

impl Drop for PortalHost {
    fn drop(&mut self) {
        // For threads that still wait for a host that was never polled.
        self.state.nursery.close("the host of the portal was dropped");
        self.state.closed.set();
    }
}

impl fmt::Debug for PortalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalHost").finish_non_exhaustive()
    }
}

pin_project! {
    /// A child that sends its value past its nursery, whatever it is: also where nobody has got its handle. A value that
    /// nobody wants any more is dropped here, in the child.
    struct SendOutput<F, T> {
        #[pin]
        future: F,
        sender: Option<OneshotSender<T>>,
    }
}

impl<F: Future<Output = T>, T> Future for SendOutput<F, T> {
    type Output = Result<(), JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.future.poll(cx).map(|value| {
            if let Some(sender) = this.sender.take() {
                drop(sender.send(value));
            }
            Ok(())
        })
    }
}

pin_project! {
    /// A future whose panic is a value: it is the caller's.
    struct Guarded<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<thread::Result<F::Output>, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match panic::catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(|value| Ok(Ok(value))),
            Err(payload) => Poll::Ready(Ok(Err(payload))),
        }
    }
}
