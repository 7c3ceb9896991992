//! Starting a child and waiting until it says that it is ready.
//!
//! ```text
//!   caller   ── n.start(…) ─────────┬──▶ v
//!   child         └── set up ── ready.notify(v) ── serve ──▶
//!                 child of the caller │ child of the nursery
//! ```

use std::fmt::{self, Debug};
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::outcome::Outcome;
use super::task;
use super::{Nursery, NurseryOptions, Task};
use crate::leaf::Gate;
use crate::observer::TaskStatus;
use crate::reason::Origin;
use crate::sleep::sleep_forever;
use crate::sys::{Mutex, MutexGuard, OnceLock};
use crate::tree::children::Role;
use crate::tree::flags::{ABANDONED, CANCELLED};
use crate::tree::node::{Life, NodeRef};

impl<E: Debug + Send + 'static> Nursery<E> {
    /// Spawns a child, waits until it calls [`Ready::notify`], and returns what it passes; the child goes on in the nursery.
    ///
    /// Until then the child belongs to the caller: if the caller is cancelled, so is the child, and an error or a panic of the
    /// child comes out of `start` and does not touch the nursery. From the notification on it is a child of the nursery like any
    /// other. If the caller has been cancelled when the notification comes, it is ignored: the child is not adopted, and `start`
    /// waits for its end.
    ///
    /// # Errors
    ///
    /// * the error of the child, if it fails before it is ready
    /// * [`StartError::NotReady`], if it ends without having said that it is ready
    /// * [`StartError::Closed`], if the nursery has ended
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a child that is not ready yet is cancelled and waited for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a child that was not ready yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{StartError, nursery, sleep};
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let done: Result<(), StartError> = nursery(async |n| {
    ///     let port = n
    ///         .start(async |ready| {
    ///             sleep(Duration::from_millis(5)).await; // bind, listen
    ///             ready.notify(8080);
    ///             sleep(Duration::from_millis(5)).await; // serve
    ///             Ok(())
    ///         })
    ///         .await?;
    ///     assert_eq!(port, 8080);
    ///     Ok(())
    /// })
    /// .await;
    /// assert!(done.is_ok());
    /// # });
    /// ```
    #[track_caller]
    pub fn start<V, R, C, F>(&self, child: C) -> impl Future<Output = Result<V, E>> + use<V, R, C, F, E>
    where
        V: Send + 'static,
        E: From<StartError>,
        R: Outcome<(), E> + Send + 'static,
        C: FnOnce(Ready<V>) -> F,
        F: Future<Output = R> + Send + 'static,
    {
        start(self.clone(), Location::caller(), child, |(value, _)| value)
    }

    /// As [`start`](Nursery::start), with a handle to the child.
    ///
    /// # Errors
    ///
    /// As [`start`](Nursery::start).
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`start`](Nursery::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Nursery::start).
    #[track_caller]
    pub fn start_task<V, T, R, C, F>(
        &self,
        child: C,
    ) -> impl Future<Output = Result<(V, Task<T>), E>> + use<V, T, R, C, F, E>
    where
        V: Send + 'static,
        T: Send + 'static,
        E: From<StartError>,
        R: Outcome<T, E> + Send + 'static,
        C: FnOnce(Ready<V>) -> F,
        F: Future<Output = R> + Send + 'static,
    {
        start(self.clone(), Location::caller(), child, |started| started)
    }
}

/// Subtle: neither the child's closure nor its future is held across an `await`, or it would be in here several times.
async fn start<V, T, E, R, C, F, O>(
    target: Nursery<E>,
    location: &'static Location<'static>,
    child: C,
    keep: fn((V, Task<T>)) -> O,
) -> Result<O, E>
where
    V: Send + 'static,
    T: Send + 'static,
    E: Debug + Send + 'static + From<StartError>,
    R: Outcome<T, E> + Send + 'static,
    C: FnOnce(Ready<V>) -> F,
    F: Future<Output = R> + Send + 'static,
{
    let Some(pending) = PendingStart::new(target.node.clone()) else { return Err(StartError::Closed.into()) };
    let start = Start::new(target.node.clone(), pending);
    let future = child(start.ready());
    // The child is born in a nursery of the caller's, and moves when it is ready.
    let spawn: Spawn<V, T, E> = Box::new(move |start, cradle| {
        let origin = Origin::new(std::any::type_name::<F>(), location);
        let begin = |node: &NodeRef| start.begin(node, cradle.node.clone());
        let spawned = task::spawn_with(&cradle, origin, Role::Child, future, begin);
        let Ok(task) = spawned else { unreachable!("the cradle is open") };
        task
    });
    let cradle = NurseryOptions::new().named("start");
    let started = cradle.run(move |cradle: Nursery<E>| async move {
        let task = spawn(&start, cradle);
        start.finish(task).await
    });
    started.await.map(keep)
}

/// Spawns the child in its cradle.
type Spawn<V, T, E> = Box<dyn FnOnce(&Start<V>, Nursery<E>) -> Task<T> + Send>;

/// One call of `start`, of either sort of nursery.
pub(crate) struct Start<V> {
    shared: Arc<Shared<V>>,
}

impl<V> Start<V> {
    /// A start of a child for the nursery `target`.
    pub(crate) fn new(target: NodeRef, pending: PendingStart) -> Self {
        let pending = Mutex::new(Some(pending));
        Start { shared: Arc::new(Shared { signal: Mutex::default(), route: OnceLock::new(), target, pending }) }
    }

    /// What the child is given.
    pub(crate) fn ready(&self) -> Ready<V> {
        Ready { shared: self.shared.clone() }
    }

    /// The child is about to run, as a child of `cradle`.
    pub(crate) fn begin(&self, child: &NodeRef, cradle: NodeRef) {
        // From here on the end of the cradle ends the wait, also if the future of `start` is forgotten.
        let pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pending) = pending {
            cradle.lock().cold_mut().start_into = Some(pending.into_target());
        }
        drop(self.shared.route.set(Route { child: child.clone(), cradle }));
    }

    /// Waits for the child's word; the body of the cradle.
    pub(crate) async fn finish<T, E: From<StartError>>(self, mut task: Task<T>) -> Result<(V, Task<T>), E> {
        let signal = {
            let mut signal = pin!(self.shared.wait());
            let mut end = pin!(task.wait());
            poll_fn(|cx: &mut Context<'_>| match signal.as_mut().poll(cx) {
                Poll::Ready(signal) => Poll::Ready(signal),
                // The token may outlive the child; but it may have been used until the child's end.
                Poll::Pending => end.as_mut().poll(cx).map(|_| self.shared.lock().signal.take().flatten()),
            })
            .await
        };
        match signal {
            Some(Signal::Ready(value)) => Ok((value, task)),
            Some(Signal::Closed) => Err(StartError::Closed.into()),
            None => match task.wait().await {
                // Its error, or its panic, is what comes out.
                TaskStatus::Failed | TaskStatus::Panicked => match sleep_forever().await {},
                _ => Err(StartError::NotReady.into()),
            },
        }
    }
}

/// Says, once, that a child started with [`Nursery::start`] is ready.
///
/// Dropped without saying so, the child counts as not ready.
#[must_use = "call `notify` when the child is ready; dropping this says that it never will be"]
pub struct Ready<V> {
    shared: Arc<Shared<V>>,
}

impl<V> Ready<V> {
    /// The child is ready: hands `value` to the caller of `start`, and moves the child into its nursery.
    ///
    /// Ignored if that caller has been cancelled meanwhile, or the child has ended; says whether it was heard.
    pub fn notify(self, value: V) -> bool {
        let Some(route) = self.shared.route.get() else { unreachable!("set before the child runs") };
        let (signal, heard) = match route.take(&self.shared.target) {
            Moved::Yes => (Signal::Ready(value), true),
            Moved::NurseryClosed => (Signal::Closed, false),
            Moved::CallerCancelled | Moved::TooLate => return false,
        };
        self.shared.set(Some(signal));
        heard
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        self.shared.set(None);
    }
}

impl<V> fmt::Debug for Ready<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

struct Shared<V> {
    signal: Mutex<Waiting<V>>,
    route: OnceLock<Route>,
    target: NodeRef,
    /// Until the child is spawned.
    pending: Mutex<Option<PendingStart>>,
}

/// A `start` that was not answered: keeps its target open (L4).
pub(crate) struct PendingStart(Option<NodeRef>);

impl PendingStart {
    /// None if the target takes no further children.
    pub(crate) fn new(target: NodeRef) -> Option<Self> {
        let mut state = target.lock();
        if !state.admits() {
            return None;
        }
        state.children.add_pending();
        drop(state);
        Some(PendingStart(Some(target)))
    }

    /// The target, which the caller has to tell of the answer.
    fn into_target(mut self) -> NodeRef {
        match self.0.take() {
            Some(target) => target,
            None => unreachable!("taken by this alone"),
        }
    }
}

impl Drop for PendingStart {
    fn drop(&mut self) {
        if let Some(target) = self.0.take() {
            target.start_answered();
        }
    }
}

struct Waiting<V> {
    signal: Option<Option<Signal<V>>>,
    waker: Option<Waker>,
}

enum Signal<V> {
    Ready(V),
    Closed,
}

impl<V> Default for Waiting<V> {
    fn default() -> Self {
        Waiting { signal: None, waker: None }
    }
}

impl<V> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, Waiting<V>> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first signal stands; `None` says that there will be none.
    fn set(&self, signal: Option<Signal<V>>) {
        let mut waiting = self.lock();
        if waiting.signal.is_some() {
            return;
        }
        waiting.signal = Some(signal);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) -> Option<Signal<V>> {
        let mut gate = Gate::new("start: the child to be ready");
        poll_fn(|cx: &mut Context<'_>| {
            if gate.poll_start(cx).is_pending() {
                return Poll::Pending;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            let waker = cx.waker().clone();
            let mut waiting = self.lock();
            match waiting.signal.take() {
                Some(signal) => {
                    drop(waiting);
                    Poll::Ready(signal)
                }
                None => {
                    let old = waiting.waker.replace(waker);
                    drop(waiting);
                    drop(old);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

enum Moved {
    Yes,
    NurseryClosed,
    CallerCancelled,
    /// The child has ended; the token outlived it.
    TooLate,
}

/// Where the child is, until it is ready.
struct Route {
    child: NodeRef,
    cradle: NodeRef,
}

impl Route {
    /// Moves the child to `target`, if that is still wanted.
    ///
    /// Its typed part finds out by looking at its parent.
    fn take(&self, target: &NodeRef) -> Moved {
        // The one place where several nodes are locked at once: the link must not be in both tables, nor in none, and a child
        // that ends meanwhile leaves one of them. Nobody else knows the cradle, so no other thread can lock the two the other way
        // round.
        let mut above = target.lock();
        let mut cradle = self.cradle.lock();
        if self.cradle.flagged(CANCELLED) {
            return Moved::CallerCancelled;
        }
        // Nor is a local child taken by a nursery that was forgotten, and drives nobody any more (L28).
        let forgotten = self.child.is_local() && target.flagged(ABANDONED);
        if forgotten || !above.admits() {
            return Moved::NurseryClosed;
        }
        let mut child = self.child.lock();
        if child.life == Life::Closed {
            return Moved::TooLate;
        }
        let link = cradle.children.remove(child.slot, &self.child);
        let place = above.link(target, Role::Child, &self.child);
        let answered = cradle.cold_mut().start_into.take();
        let parent = child.move_to(&place, self.child.shield);
        drop(child);
        drop(cradle);
        drop(above);
        drop((link, parent));
        if let Some(target) = answered {
            target.start_answered();
        }
        self.child.inherit_anew(place);
        Moved::Yes
    }
}

/// A child of [`Nursery::start`] did not get ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// It ended without having said that it is ready.
    NotReady,
    /// The nursery has ended.
    Closed,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartError::NotReady => "the child ended without having said that it is ready",
            StartError::Closed => "the nursery has ended; it takes no further tasks",
        })
    }
}

impl std::error::Error for StartError {}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        io::Error::other(error)
    }
}

impl From<StartError> for String {
    fn from(error: StartError) -> Self {
        error.to_string()
    }
}
