//! The graceful root: a program that ends well when it is asked to.
//!
//! ```text
//!   first signal      ▼ stop                        ▼ grace over, or a second signal
//!   accept loops  ────╳
//!   graceful(..)  ───── stopping() ─── in flight ───╳
//!   bracket, defer                  └ within budget  └ within budget ───┐
//!   app                                                                  └─▶ ExitReport: an exit code, and who came late
//! ```
//!
//! The core knows no operating system: signals come as a [`Stream`] of [`Signal`]s. `foster_smol::signals()` and
//! `foster_tokio::signals()` give that of the process; a test gives any stream.

mod exit_report;
mod signal;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use foster_core::future::{CancelScopeFuture, Sleep};
use foster_core::observer::{Dump, ScopeState};
use foster_core::{CancelScope, Instant, ScopeHandle, sleep, sleep_until};

pub use exit_report::{ExitCause, ExitReport, Straggler};
pub use signal::{Signal, SignalAfter};

/// How long graceful work may go on after the first signal, if nothing else is said. Docker, for one, waits ten seconds
/// between its SIGTERM and its SIGKILL (`docker stop`).
pub const DEFAULT_GRACE: Duration = Duration::from_secs(8);

/// How long after the grace whatever has not ended is reported, if nothing else is said.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);

/// Runs `body` until it returns, or until a signal asks it to stop.
///
/// The first signal cancels everything, with a grace ([`App::grace`]): code in [`graceful`](foster_core::graceful)
/// shields goes on, is told by [`stopping`](foster_core::stopping()), and may finish what it has begun; the rest stops
/// at its next checkpoint. When the grace is over, or at a second signal, graceful work is cancelled as well. Releases
/// of brackets and finalizers run on every path, each within its own budget.
///
/// The future returns when everything has ended (law L2). Anything that has not ended a while after the time was over
/// is reported by name and spawn site: a thread that does not ask whether it is wanted, a shield without an end.
///
/// A stream of signals that ends, or never yields, leaves a body that runs to its own end.
///
/// # Cancellation
///
/// *Partial effect*, as [`CancelScope::run`].
///
/// # Panics
///
/// Resumes the panic of `body`, when everything inside has ended. When it has to wait outside of any tree, if no
/// adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::app::{ExitCause, Signal, app};
/// use foster::{Nursery, graceful, nursery, sleep, stopping};
/// use std::time::Duration;
///
/// async fn serve() {
///     let Ok(()) = nursery(async |n: Nursery| {
///         // In flight when the signal comes: finished, because the grace is long enough.
///         n.spawn(graceful(async {
///             stopping().await;
///             sleep(Duration::from_secs(2)).await;
///         }));
///         // The accept loop: ends at once.
///         loop {
///             sleep(Duration::from_secs(3600)).await;
///         }
///     })
///     .await;
/// }
///
/// # foster_sim::run(1, async {
/// // In a program: `app(foster_tokio::signals()?, serve())`; here the signal comes after one second.
/// let signals = Signal::after(Duration::from_secs(1), Signal::TERMINATE);
/// let ended = app(signals, serve()).grace(Duration::from_secs(5)).await;
/// assert_eq!(ended.cause(), &ExitCause::Stopped(Signal::TERMINATE));
/// assert_eq!(ended.code(), 0);
/// # });
/// ```
#[track_caller]
pub fn app<S, F>(signals: S, body: F) -> App<S, F, F::Output>
where
    S: Stream<Item = Signal>,
    F: Future,
{
    let mut scope = CancelScope::new().named("app");
    let handle = scope.handle();
    App {
        signals: Some(signals),
        run: scope.run(body),
        handle,
        grace: DEFAULT_GRACE,
        patience: DEFAULT_PATIENCE,
        report: print,
        phase: Phase::Running,
        timer: None,
        stragglers: Vec::new(),
    }
}

fn print(stragglers: &[Straggler]) {
    eprintln!("foster: the time to stop is over, and this has not ended:");
    for straggler in stragglers {
        eprintln!("  {straggler}");
    }
}

pin_project! {
    /// Future of [`app`].
    #[must_use = "futures do nothing unless polled"]
    pub struct App<S, F, T> {
        #[pin]
        signals: Option<S>,
        #[pin]
        run: CancelScopeFuture<F, T>,
        #[pin]
        timer: Option<Sleep>,
        handle: ScopeHandle,
        grace: Duration,
        patience: Duration,
        report: fn(&[Straggler]),
        phase: Phase,
        stragglers: Vec<Straggler>,
    }
}

/// How far the stop has come.
///
/// ```text
///   Running ──1──▶ Grace ──2──▶ Over ──3──▶ Reported
///      │             └────4──────▲
///      └──────────5──────────────┘
/// ```
///
/// 1. the first signal. 2. the grace is over. 3. `patience` later something is left. 4. another signal. 5. the first
///    signal, without a grace.
#[derive(Clone, Debug)]
enum Phase {
    Running,
    Grace { signal: Signal, over: Instant },
    Over(ExitCause),
    Reported(ExitCause),
}

impl<S, F, T> App<S, F, T> {
    /// How long graceful work may go on after the first signal; by default [`DEFAULT_GRACE`]. With zero it is cut off at
    /// once: the cause is [`CutOff`](ExitCause::CutOff) if there is any, and else [`Stopped`](ExitCause::Stopped), however
    /// long the finalizers take.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long after the end of the grace, or after the second signal, it is [reported](App::on_stragglers) what has
    /// not ended; by default [`DEFAULT_PATIENCE`]. Choose more than the budgets of the finalizers take.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the function that is told of whatever refuses to stop; by default it is printed to standard error. A
    /// program that must end all the same may call [`std::process::exit`] here.
    pub fn on_stragglers(mut self, report: fn(&[Straggler])) -> Self {
        self.report = report;
        self
    }
}

impl<S, F, T> Future for App<S, F, T>
where
    S: Stream<Item = Signal>,
    F: Future<Output = T>,
{
    type Output = ExitReport<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitReport<T>> {
        let mut this = self.project();
        // L12: signals first, so that one that has come is not overlooked by a body that is busy; a body that returns
        // all the same has completed.
        while let Some(signals) = this.signals.as_mut().as_pin_mut() {
            let is_first = match &*this.phase {
                Phase::Running => true,
                Phase::Grace { .. } => false,
                // There is nothing left to be done for a further one.
                Phase::Over(_) | Phase::Reported(_) => break,
            };
            match signals.poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => this.signals.set(None),
                Poll::Ready(Some(signal)) if is_first && !this.grace.is_zero() => {
                    let over = Instant::now() + *this.grace;
                    // First, so that it is due whenever the grace is over: what ends then has not ended within it.
                    this.timer.set(Some(sleep_until(over)));
                    this.handle.cancel_within(*this.grace, signal.to_string());
                    *this.phase = Phase::Grace { signal, over };
                }
                Poll::Ready(Some(signal)) => {
                    let reason = signal.to_string();
                    let cause = match is_first {
                        // Without a grace there is no time in which something might end: it is asked what is to be cut.
                        true if has_graceful_work(&this.handle.dump()) => ExitCause::CutOff(signal),
                        true => ExitCause::Stopped(signal),
                        false => ExitCause::Forced(signal),
                    };
                    // L6: the same request, with a hard time of now.
                    this.handle.cancel_within(Duration::ZERO, reason);
                    this.timer.set(Some(sleep(*this.patience)));
                    *this.phase = Phase::Over(cause);
                }
            }
        }
        // Before the body: what it does from here on, it does after the time was over.
        while let Some(timer) = this.timer.as_mut().as_pin_mut() {
            if timer.poll(cx).is_pending() {
                break;
            }
            this.timer.set(None);
            match &*this.phase {
                Phase::Grace { signal, .. } => {
                    // Not asked, as without a grace: other threads may have dropped what was cut by now.
                    let cause = ExitCause::CutOff(signal.clone());
                    this.timer.set(Some(sleep(*this.patience)));
                    *this.phase = Phase::Over(cause);
                }
                Phase::Over(cause) => {
                    *this.stragglers = Straggler::all(&this.handle.dump());
                    *this.phase = Phase::Reported(cause.clone());
                    if !this.stragglers.is_empty() {
                        (this.report)(this.stragglers);
                    }
                }
                Phase::Running | Phase::Reported(_) => {}
            }
        }
        if let Poll::Ready(outcome) = this.run.poll(cx) {
            let cause = match &*this.phase {
                Phase::Running => ExitCause::Finished,
                // A timer gives way in its first poll, also if it is due.
                Phase::Grace { signal, over } if Instant::now() >= *over => ExitCause::CutOff(signal.clone()),
                Phase::Grace { signal, .. } => ExitCause::Stopped(signal.clone()),
                Phase::Over(cause) | Phase::Reported(cause) => cause.clone(),
            };
            return Poll::Ready(ExitReport::new(outcome.ok(), cause, std::mem::take(this.stragglers)));
        }
        Poll::Pending
    }
}

/// Whether there is something that a request without a grace cuts off: a graceful shield with code inside, and nothing
/// around it that such a request does not pass (L20, L21, L22).
fn has_graceful_work(dump: &Dump) -> bool {
    let mut reached: Vec<bool> = Vec::new();
    dump.scopes().iter().any(|scope| {
        // Each comes after the scope around it.
        let is_reached = scope.parent.is_none_or(|parent| reached[parent])
            && !matches!(scope.kind, "shield" | "thread" | "finalizer");
        reached.push(is_reached);
        is_reached && scope.kind == "graceful shield" && matches!(scope.state, ScopeState::Open | ScopeState::Draining)
    })
}

impl<S, F, T> fmt::Debug for App<S, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("grace", &self.grace).field("phase", &self.phase).finish_non_exhaustive()
    }
}
