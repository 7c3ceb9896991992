//! Supervision: long-lived children that are started again when they fail.
//!
//! ```text
//!   one for one    a ────────────────────────▶      one for all    a ───────╳ stopped     a ──▶
//!                  b ────╳ fails ·· b ───────▶                     b ────╳ fails   ·· delay b ──▶
//!                  c ────────────────────────▶      rest for one   those that stand behind b, as c
//! ```
//!
//! The old life of a child has ended, with its tasks, threads and finalizers, before the new one begins: a port that it
//! holds is free again. The words are those of Erlang's `supervisor` behaviour, from which the strategies and the
//! intensity are taken (OTP Design Principles, "Supervisor Behaviour").

mod event;
mod life;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

use crate::retry::{Backoff, Delays};
use foster_channel::{Sender, unbounded};
use foster_core::nursery::Outcome;
use foster_core::{CancelScope, Instant, Nursery, NurseryOptions, ScopeHandle};

use life::{Life, Report, Settled, discard};

pub use event::{ChildExit, SupervisorEvent, TooManyRestarts};

/// Which children are started again when one of them has ended and is to be started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// That one: the children do not depend on each other.
    #[default]
    OneForOne,
    /// All: they are stopped first. For children that cannot do without each other.
    OneForAll,
    /// That one, and those that were added after it: they depend on it.
    RestForOne,
}

/// When a child is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// After a failure or a panic, and also when it has returned.
    Always,
    /// After a failure or a panic.
    #[default]
    OnFailure,
    /// Never: it has failed, and the others go on. One that is stopped with others is not started again with them.
    Never,
}

/// How many restarts in which time are too many, if nothing else is said: more than this many …
pub const DEFAULT_RESTARTS: usize = 5;

/// … in this time.
pub const DEFAULT_PERIOD: Duration = Duration::from_secs(30);

/// Runs children, and starts them again when they fail.
///
/// A child is made anew for each of its lives, by the closure it was added with. It is a task of the supervisor's
/// nursery; its error or panic does not cancel the others, but is looked at by the [strategy](Supervisor::strategy).
/// Before a restart passes a delay of the [backoff](Supervisor::backoff), which begins anew for a child that has lived
/// for longer than the period of the [intensity](Supervisor::intensity). Too many restarts, and the supervisor gives
/// up.
///
/// # Examples
///
/// ```
/// use foster::retry::{Backoff, Jitter};
/// use foster::supervise::{Supervisor, Strategy};
/// use foster::{sleep, sleep_forever, move_on_after};
/// use std::time::Duration;
///
/// async fn listen() -> Result<(), String> {
///     sleep(Duration::from_secs(10)).await;
///     Err("the connection was lost".to_owned())
/// }
///
/// async fn dispatch() {
///     sleep_forever().await;
/// }
///
/// # foster_sim::run(1, async {
/// let supervised = Supervisor::new()
///     .strategy(Strategy::RestForOne)
///     .backoff(Backoff::new().jitter(Jitter::None))
///     .intensity(3, Duration::from_secs(60))
///     .child("listener", listen)
///     .child("dispatcher", dispatch)
///     .observe(|event| println!("{event}"))
///     .run();
/// let gave_up = supervised.await.unwrap_err(); // after the fourth failure in a minute
/// assert_eq!(gave_up.child(), "listener");
/// assert_eq!(gave_up.restarts(), 3);
/// # });
/// ```
#[must_use = "nothing runs unless `run` is awaited"]
pub struct Supervisor<E> {
    strategy: Strategy,
    backoff: Backoff,
    restarts: usize,
    period: Duration,
    children: Vec<Spec<E>>,
    observer: Observe<E>,
}

type Make<E> = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = Result<(), E>> + Send>> + Send>;

type Observe<E> = Box<dyn FnMut(&SupervisorEvent<'_, E>) + Send>;

/// A child, as it was added.
struct Spec<E> {
    name: Cow<'static, str>,
    restart: Restart,
    make: Make<E>,
    location: &'static Location<'static>,
}

impl<E: Debug + Send + 'static> Supervisor<E> {
    /// A supervisor without children: one for one, [`DEFAULT_RESTARTS`] restarts in [`DEFAULT_PERIOD`], the default
    /// [`Backoff`].
    pub fn new() -> Self {
        Supervisor {
            strategy: Strategy::default(),
            backoff: Backoff::new(),
            restarts: DEFAULT_RESTARTS,
            period: DEFAULT_PERIOD,
            children: Vec::new(),
            observer: Box::new(print),
        }
    }

    /// Which children are started again together.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How long a restart is delayed; each child has its own series.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Gives up at more than `restarts` restarts in any `period`; those that come along with another one are not
    /// counted. With 0 the first failure is the last; [`usize::MAX`] never gives up. The times of the
    /// restarts that count are kept, without a limit none.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Self {
        self.restarts = restarts;
        self.period = period;
        self
    }

    /// Adds a child that is started again when it fails.
    ///
    /// It returns what a child of a nursery may return: `()`, or a `Result` with the supervisor's error. A value is
    /// dropped.
    #[track_caller]
    pub fn child<T, R, F, Fut>(self, name: impl Into<Cow<'static, str>>, make: F) -> Self
    where
        T: 'static,
        R: Outcome<T, E>,
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.child_with(name, Restart::OnFailure, make)
    }

    /// Adds a child with a policy of its own.
    #[track_caller]
    pub fn child_with<T, R, F, Fut>(mut self, name: impl Into<Cow<'static, str>>, restart: Restart, mut make: F) -> Self
    where
        T: 'static,
        R: Outcome<T, E>,
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let make: Make<E> = Box::new(move || Box::pin(Settled::<Fut, T, E>::new(make())));
        self.children.push(Spec { name: name.into(), restart, make, location: Location::caller() });
        self
    }

    /// Sets the function that is told of each event, in the supervisor's own task. By default the ends of children are
    /// printed to standard error.
    ///
    /// A child that ends when the supervisor is being stopped, or after it has given up, is not an event of its any
    /// more: then an error goes to the [`Observer`](foster_core::observer::Observer) of the tree, and a panic resumes
    /// out of [`run`](Supervisor::run). One that had ended before, and whose end was not looked at by then, is told to the
    /// observer of the tree, whether it has failed or panicked. That is also told if an error panics as it is dropped.
    pub fn observe(mut self, observer: impl FnMut(&SupervisorEvent<'_, E>) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Runs the children, in the order in which they were added, until none is left that is to be started again.
    ///
    /// # Errors
    ///
    /// [`TooManyRestarts`]: too many restarts. The children have been cancelled, and have ended; their errors of then
    /// went to the [`Observer`](foster_core::observer::Observer) of the tree.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the children are cancelled; those that are [`graceful`](foster_core::graceful) have the grace
    /// of the request, and errors of theirs go to the [`Observer`](foster_core::observer::Observer) of the tree.
    ///
    /// # Panics
    ///
    /// If the closure of a child panics, or the observer; or a child, while the supervisor is being stopped or after it
    /// has given up.
    #[track_caller]
    pub fn run(self) -> impl Future<Output = Result<(), TooManyRestarts<E>>> + Send {
        let options = NurseryOptions::new().named("supervisor");
        // Boxed: the loop's state is not the caller's to carry.
        Box::pin(options.run(async move |nursery: Nursery<TooManyRestarts<E>>| {
            let (sender, receiver) = unbounded();
            let mut running = Running::new(self, nursery, sender);
            running.start_all();
            while running.alive > 0 {
                let Ok(report) = receiver.recv().await else { unreachable!("the supervisor has a sender") };
                running.ended(report)?;
            }
            Ok(())
        }))
    }
}

impl<E: Debug + Send + 'static> Default for Supervisor<E> {
    fn default() -> Self {
        Supervisor::new()
    }
}

impl<E> Debug for Supervisor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("restarts", &self.restarts)
            .field("period", &self.period)
            .field("children", &self.children.iter().map(|child| &child.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn print<E: Debug>(event: &SupervisorEvent<'_, E>) {
    if !matches!(event, SupervisorEvent::Started { .. }) {
        eprintln!("foster: {event}");
    }
}

/// A supervisor at work.
struct Running<E: Debug> {
    supervisor: Supervisor<E>,
    nursery: Nursery<TooManyRestarts<E>>,
    sender: Sender<Report<E>>,
    states: Vec<Child>,
    /// Children that have a life at the moment.
    alive: usize,
    /// When children were restarted, as far back as it counts; at most as many as may be.
    recent: VecDeque<Instant>,
    /// Children are being stopped together, to be started again.
    together: Option<Together>,
}

/// The state of a child while the supervisor runs.
struct Child {
    scope: Option<ScopeHandle>,
    /// In this life it was asked to stop, because another one is started again.
    asked: bool,
    /// It is one of those that are stopped together, and has not ended for good.
    together: bool,
    lives: u64,
    began: Instant,
    delays: Delays,
}

/// Those that are stopped together, and started again unless never: all that live from one child on.
struct Together {
    first: usize,
    /// How many of them have not ended yet.
    ending: usize,
    delay: Duration,
}

impl<E: Debug + Send + 'static> Running<E> {
    fn new(supervisor: Supervisor<E>, nursery: Nursery<TooManyRestarts<E>>, sender: Sender<Report<E>>) -> Self {
        let began = Instant::now();
        let child = |_: &Spec<E>| Child {
            scope: None,
            asked: false,
            together: false,
            lives: 0,
            began,
            delays: supervisor.backoff.clone().into_iter(),
        };
        let states = supervisor.children.iter().map(child).collect();
        Running { supervisor, nursery, sender, states, alive: 0, recent: VecDeque::new(), together: None }
    }

    fn start_all(&mut self) {
        for index in 0..self.states.len() {
            self.start(index, Duration::ZERO);
        }
    }

    /// Begins another life of a child, after a delay.
    fn start(&mut self, index: usize, delay: Duration) {
        let spec = &mut self.supervisor.children[index];
        let child = &mut self.states[index];
        child.lives += 1;
        child.began = Instant::now() + delay;
        let scope = CancelScope::new().named(spec.name.clone()).located(spec.location);
        let (life, scope) = Life::new(index, delay, (spec.make)(), scope, self.sender.clone());
        child.scope = Some(scope);
        child.asked = false;
        self.alive += 1;
        (self.supervisor.observer)(&SupervisorEvent::Started { child: &spec.name, lives: child.lives, delay });
        let _handle = self.nursery.child().named(spec.name.clone()).spawned_at(spec.location).spawn(life);
    }

    /// A child has ended: looks what to do.
    fn ended(&mut self, report: Report<E>) -> Result<(), TooManyRestarts<E>> {
        let index = report.index;
        self.alive -= 1;
        self.states[index].scope = None;
        let spec = &self.supervisor.children[index];
        let event = SupervisorEvent::Ended { child: &spec.name, location: spec.location, exit: report.exit() };
        (self.supervisor.observer)(&event);
        let again = match (spec.restart, report.exit()) {
            (_, ChildExit::Stopped) | (Restart::Never, _) => false,
            (Restart::Always, _) => true,
            (Restart::OnFailure, exit) => exit.is_failure(),
        };
        let stops_with_others = self.states[index].together;
        let now = Instant::now();
        if again && !stops_with_others && self.is_one_too_many(now) {
            let name = self.supervisor.children[index].name.clone().into_owned();
            return Err(TooManyRestarts::new(name, report.take(), self.recent.len()));
        }
        discard(report.take());
        if stops_with_others {
            self.has_stopped(index, again);
        } else if again {
            self.restart(index, now);
        }
        Ok(())
    }

    /// Counts a restart; says whether there have been as many as may be.
    fn is_one_too_many(&mut self, now: Instant) -> bool {
        // Without a limit there is nothing to be counted.
        if self.supervisor.restarts == usize::MAX {
            return false;
        }
        while self.recent.front().is_some_and(|first| now - *first > self.supervisor.period) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.supervisor.restarts {
            return true;
        }
        self.recent.push_back(now);
        false
    }

    /// One of those that are stopped together has ended. If it was asked to end, it is started again, whatever it ended
    /// with. By itself it has ended for good, or as one more that failed.
    fn has_stopped(&mut self, index: usize, again: bool) {
        let child = &mut self.states[index];
        child.together = again || child.asked;
        if let Some(together) = &mut self.together {
            together.ending -= 1;
        }
        self.start_together();
    }

    /// Starts a child again, and those that go with it.
    fn restart(&mut self, index: usize, now: Instant) {
        let child = &mut self.states[index];
        if now - child.began > self.supervisor.period {
            child.delays = self.supervisor.backoff.clone().into_iter();
        }
        let delay = child.delays.next().unwrap_or(Duration::ZERO);
        let first = match self.supervisor.strategy {
            Strategy::OneForOne => return self.start(index, delay),
            Strategy::OneForAll => 0,
            Strategy::RestForOne => index,
        };
        self.stop_together(first, index, delay);
        self.start_together();
    }

    /// Stops all from `first` on, to be started again together with `failed`, which has ended.
    fn stop_together(&mut self, first: usize, failed: usize, delay: Duration) {
        let together = self.together.get_or_insert(Together { first: self.states.len(), ending: 0, delay });
        together.delay = together.delay.max(delay);
        // If another one fails while others are being stopped, it goes with them. These are all that live from the first
        // of them on, so it stands before it, and each child is looked at once.
        let not_yet = first..std::mem::replace(&mut together.first, first);
        let reason = format!("`{}` is started again", self.supervisor.children[failed].name);
        // In one step: none of them sees another one stop.
        ScopeHandle::cancel_all(self.states[not_yet.clone()].iter().filter_map(|child| child.scope.as_ref()), reason);
        for child in &mut self.states[not_yet] {
            if let Some(scope) = &child.scope {
                // Not one that has ended by itself: its report is on its way.
                child.asked |= scope.is_cancelled();
                child.together = true;
                together.ending += 1;
            }
        }
        self.states[failed].together = true;
    }

    /// Starts those that were stopped together, once all of them have ended.
    fn start_together(&mut self) {
        let Some(Together { first, delay, .. }) = self.together.take_if(|together| together.ending == 0) else {
            return;
        };
        for index in first..self.states.len() {
            let again = std::mem::take(&mut self.states[index].together);
            if again && self.supervisor.children[index].restart != Restart::Never {
                self.start(index, delay);
            }
        }
    }
}
