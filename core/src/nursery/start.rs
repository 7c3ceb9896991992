//! Starting a child and waiting until it says that it is ready.
//!
//! ```text
//!   caller   ── n.start(…) ─────────┬──▶ v
//!   child         └── set up ── status.started(v) ── serve ──▶
//!                 child of the caller │ child of the nursery
//! ```
//!
//! 1. A [`PendingStart`] keeps the target open (L4).
//! 2. The child is spawned into an interim nursery, which is a scope of the caller.
//! 3. `started(v)` moves it (`Route::take`): the target, the interim nursery and the child are locked, and under these
//!    locks the signal is stored for the caller.
//! 4. The body of the interim nursery (`Start::finish`) waits for the signal, or for the child's end.
//!
//! A value that is declared before there is a child waits for it (`RouteState::Unknown`).

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::child_task;
use super::handle::Nursery;
use super::kind::ChildError;
use super::options::NurseryOptions;
use super::outcome::Outcome;
use super::task::Task;
use crate::errors::JoinError;
use crate::events::TaskStatus;
use crate::leaf::{Gate, Waiter};
use crate::reason::Origin;
use crate::sleep::sleep_forever;
use crate::sys::PlainMutex;
use crate::tree::Tree;
use crate::tree::children::Role;
use crate::tree::current;
use crate::tree::flags::{ABANDONED, LOCAL};
use crate::tree::node::{Life, NodeRef};

impl<E: ChildError> Nursery<E> {
    /// Spawns a child, waits until it calls [`Started::started`], and returns what it passes; the child goes on in the
    /// nursery.
    ///
    /// Until then the child belongs to the caller: if the caller is cancelled, so is the child, and an error or a panic
    /// of the child comes out of `start` and does not touch the nursery. From the notification on it is a child of the
    /// nursery like any other. If the caller has been cancelled when the notification comes, it is ignored: the child
    /// is not adopted, and `start` waits for its end.
    ///
    /// # Errors
    ///
    /// * the error of the child, if it fails before it is ready
    /// * [`JoinError::NotStarted`], if it ends without having said that it is ready
    /// * [`JoinError::NurseryClosed`], if the nursery has ended
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a child that is not ready yet is cancelled and waited for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a child that was not ready yet. Panics if it is called in another tree than that of the
    /// nursery.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::error::JoinError;
    /// use foster::{nursery, sleep};
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let done: Result<(), JoinError> = nursery(async |n| {
    ///     let port = n
    ///         .start(async |status| {
    ///             sleep(Duration::from_millis(5)).await; // bind, listen
    ///             status.started(8080);
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
        E: From<JoinError>,
        R: Outcome<(), E> + Send + 'static,
        C: FnOnce(Started<V>) -> F,
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
        E: From<JoinError>,
        R: Outcome<T, E> + Send + 'static,
        C: FnOnce(Started<V>) -> F,
        F: Future<Output = R> + Send + 'static,
    {
        start(self.clone(), Location::caller(), child, |started| started)
    }
}

/// Subtle: neither the child's closure nor its future is held across an `await`, or this future would have room for it several
/// times.
async fn start<V, T, E, R, C, F, O>(
    target: Nursery<E>,
    location: &'static Location<'static>,
    child: C,
    into_output: fn((V, Task<T>)) -> O,
) -> Result<O, E>
where
    V: Send + 'static,
    T: Send + 'static,
    E: ChildError + From<JoinError>,
    R: Outcome<T, E> + Send + 'static,
    C: FnOnce(Started<V>) -> F,
    F: Future<Output = R> + Send + 'static,
{
    let Some(pending) = PendingStart::new(target.kind.node.clone()) else {
        return Err(JoinError::NurseryClosed.into());
    };
    let start = Start::new(target.kind.node.clone(), pending);
    let future = child(start.token());
    // The child is spawned into an interim nursery of the caller's, and moves when it is ready.
    let spawn: Spawn<V, T, E> = Box::new(move |start, interim| {
        let origin = Origin::new(std::any::type_name::<F>(), location);
        let begin = |node: &NodeRef| start.move_early(start.begin(node, interim.kind.node.clone()));
        let spawned = child_task::spawn_with(&interim.kind.node, origin, Role::Child, future, begin);
        let Ok(task) = spawned else { unreachable!("the interim nursery is open") };
        task
    });
    let interim = NurseryOptions::new().named("start");
    let started = interim.run(move |interim: Nursery<E>| async move {
        start.wait_from_here();
        let task = spawn(&start, interim);
        start.finish(task).await
    });
    started.await.map(into_output)
}

/// Spawns the child in the interim nursery, which is the caller's.
type Spawn<V, T, E> = Box<dyn FnOnce(&Start<V>, Nursery<E>) -> Task<T> + Send>;

/// One call of `start`, of either kind of nursery.
pub(crate) struct Start<V> {
    shared: Arc<StartState<V>>,
}

impl<V> Start<V> {
    /// A start of a child for the nursery `target`.
    pub(crate) fn new(target: NodeRef, pending: PendingStart) -> Self {
        Start {
            shared: Arc::new(StartState {
                waiting: PlainMutex::new(Waiting { signal: None, waiter: None }),
                route: PlainMutex::new(RouteState::Unknown { early: None }),
                target,
                pending: PlainMutex::new(Some(pending)),
            }),
        }
    }

    /// Returns the token that the child is given.
    pub(crate) fn token(&self) -> Started<V> {
        Started { shared: self.shared.clone() }
    }

    /// The running code, which is the body of the interim nursery, is about to spawn the child, and to wait for its
    /// signal: from here on it may be given that. No lock may be held.
    pub(crate) fn wait_from_here(&self) {
        let waiter = Waiter::unpolled();
        self.shared.waiting.lock().waiter = Some(waiter);
    }

    /// The child is about to run, as a child of the nursery `interim`. Returns the value with which it was declared
    /// started before, by the closure that made its future; for [`move_early`](Start::move_early).
    #[must_use]
    pub(crate) fn begin(&self, child: &NodeRef, interim: NodeRef) -> Option<V> {
        // From here on the end of the interim nursery ends the wait, also if the future of `start` is forgotten.
        let pending = self.shared.pending.lock().take();
        if let Some(pending) = pending {
            interim.lock().cold_mut().start_into = Some(pending.into_target());
        }
        let route = Route { child: child.clone(), interim };
        let before = std::mem::replace(&mut *self.shared.route.lock(), RouteState::Known(route));
        let RouteState::Unknown { early } = before else { unreachable!("a child begins once") };
        early
    }

    /// Moves a child that was declared started before it was spawned. No lock may be held.
    pub(crate) fn move_early(&self, early: Option<V>) {
        let Some(value) = early else { return };
        let route = match &*self.shared.route.lock() {
            RouteState::Known(route) => route.clone(),
            RouteState::Unknown { .. } => unreachable!("`begin` comes first"),
        };
        self.shared.started(&route, value);
    }

    /// Waits for the child's signal; the body of the interim nursery.
    pub(crate) async fn finish<T, E: From<JoinError>>(self, mut task: Task<T>) -> Result<(V, Task<T>), E> {
        let signal = {
            let mut signal = pin!(self.shared.wait());
            let mut end = pin!(task.wait());
            poll_fn(|cx: &mut Context<'_>| match signal.as_mut().poll(cx) {
                Poll::Ready(signal) => Poll::Ready(Some(signal)),
                // The token may outlive the child; but it may have been used until the child's end.
                Poll::Pending => end.as_mut().poll(cx).map(|_| self.shared.waiting.lock().signal.take()),
            })
            .await
        };
        match signal {
            Some(Signal::Ready(value)) => Ok((value, task)),
            Some(Signal::Closed) => Err(JoinError::NurseryClosed.into()),
            None => match task.wait().await {
                // The interim nursery has recorded that, and is cancelled: this body goes no further.
                TaskStatus::Failed | TaskStatus::Panicked => match sleep_forever().await {},
                _ => Err(JoinError::NotStarted.into()),
            },
        }
    }
}

/// Says, once, that a child started with [`Nursery::start`] is ready.
///
/// Dropped without saying so, the child is never ready, and `start` waits for its end.
#[must_use = "call `started` when the child is ready; dropping this says that it never will be"]
pub struct Started<V> {
    shared: Arc<StartState<V>>,
}

impl<V> Started<V> {
    /// The child is ready: hands `value` to the caller of `start`, and moves the child into its nursery.
    ///
    /// Ignored if that caller has been cancelled meanwhile, or the child has ended. If the nursery has ended, `start` fails
    /// with [`JoinError::NurseryClosed`]. Returns whether the child was moved. Called by the closure that makes the child's
    /// future, when there is no child yet, it returns `true` whatever comes: `start` returns this value, or fails, once the
    /// child is spawned.
    pub fn started(self, value: V) -> bool {
        let route = match &mut *self.shared.route.lock() {
            RouteState::Unknown { early } => {
                // `begin` moves the child.
                *early = Some(value);
                return true;
            }
            RouteState::Known(route) => route.clone(),
        };
        self.shared.started(&route, value)
    }
}

impl<V> fmt::Debug for Started<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Started")
    }
}

struct StartState<V> {
    waiting: PlainMutex<Waiting<V>>,
    route: PlainMutex<RouteState<V>>,
    target: NodeRef,
    /// Until the child is spawned.
    pending: PlainMutex<Option<PendingStart>>,
}

/// A `start` that was not answered: keeps its target open (L4).
pub(crate) struct PendingStart(Option<NodeRef>);

impl PendingStart {
    /// None if the target takes no further children.
    pub(crate) fn new(target: NodeRef) -> Option<Self> {
        let is_here = |tree: &Arc<Tree>| target.tree().is_some_and(|other| Arc::ptr_eq(tree, other));
        assert!(
            current::with_tree(is_here) != Some(false),
            "`start` was called in another tree than the nursery's: the child would begin on the clock and the timers of a tree that it \
             may outlive. Use `spawn`, with a channel for what the child reports",
        );
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
    signal: Option<Signal<V>>,
    /// The caller, from before the child is spawned until the signal.
    waiter: Option<Waiter>,
}

enum Signal<V> {
    Ready(V),
    Closed,
}

impl<V> StartState<V> {
    /// Moves the child, and tells the caller of `start`; returns whether that heard it.
    fn started(&self, route: &Route, value: V) -> bool {
        let (mut ready, mut waiter) = (Some(Signal::Ready(value)), None);
        let moved = route.take(&self.target, || {
            waiter = self.store_signal(&mut ready);
            waiter.is_some()
        });
        if let Moved::NurseryClosed = moved {
            waiter = self.store_signal(&mut Some(Signal::Closed));
        }
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        matches!(moved, Moved::Yes)
    }

    /// Stores the child's signal where the caller finds it, and returns the caller, to be woken when no lock is held. None
    /// if it is cancelled, and so will not come for it (L14).
    fn store_signal(&self, signal: &mut Option<Signal<V>>) -> Option<Waiter> {
        let mut waiting = self.waiting.lock();
        if !waiting.waiter.as_ref()?.claim() {
            return None;
        }
        waiting.signal = signal.take();
        waiting.waiter.take()
    }

    async fn wait(&self) -> Signal<V> {
        let mut gate = Gate::new("start: the child to be ready");
        poll_fn(|cx: &mut Context<'_>| {
            // The signal of the child is given, though it may come before this has begun to wait: it gets past the gate.
            let was_given = self.waiting.lock().signal.is_some();
            if !was_given && gate.poll_start(cx).is_pending() {
                return Poll::Pending;
            }
            // No lock is held while a waiter is made or dropped (L36).
            let waiter = Waiter::new(cx);
            let mut waiting = self.waiting.lock();
            match waiting.signal.take() {
                Some(signal) => {
                    drop(waiting);
                    Poll::Ready(signal)
                }
                None => {
                    let old = waiting.waiter.replace(waiter);
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

/// Whether the child was spawned.
enum RouteState<V> {
    /// Not yet: the closure that makes its future is running. It may have the child declared started already, with this
    /// value.
    Unknown {
        early: Option<V>,
    },
    Known(Route),
}

/// Where the child is, until it is ready.
#[derive(Clone)]
struct Route {
    child: NodeRef,
    interim: NodeRef,
}

impl Route {
    /// Moves the child to `target`, if that is still wanted. `signal_caller` stores the signal, and returns whether the
    /// caller will take it; all locks are held then, so it finds the child moved. A caller that is cancelled takes none
    /// (`store_signal`): so no child is moved out of an interim nursery that is cancelled.
    ///
    /// What ends the child (`finish_task`, `LocalChild::run`) goes by the parent that it has then.
    fn take(&self, target: &NodeRef, signal_caller: impl FnOnce() -> bool) -> Moved {
        // Three nodes locked at once, as nowhere else: the child must not be in both tables, nor in none, and a child
        // that ends meanwhile leaves one of them. No handle to the interim nursery exists, so it is never a target: no
        // thread locks them the other way round.
        let mut above = target.lock();
        // A local child is not taken by a nursery that was forgotten, and drives nobody any more (L28).
        let forgotten = self.child.flagged(LOCAL) && target.flagged(ABANDONED);
        if forgotten || !above.admits() {
            return Moved::NurseryClosed;
        }
        let mut interim = self.interim.lock();
        let mut child = self.child.lock();
        if child.life == Life::Closed {
            return Moved::TooLate;
        }
        if !signal_caller() {
            return Moved::CallerCancelled;
        }
        let entry = child.place.as_ref().and_then(|place| interim.children.remove(place.slot, &self.child));
        let place = above.attachment(target, Role::Child);
        above.children.insert(Role::Child, self.child.clone());
        let answered = interim.cold_mut().start_into.take();
        let parent = child.move_to(&place);
        drop(child);
        drop(interim);
        drop(above);
        drop((entry, parent));
        if let Some(target) = answered {
            target.start_answered();
        }
        self.child.inherit_anew(place);
        Moved::Yes
    }
}
