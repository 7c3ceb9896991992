//! How a process ends with its scope.
//!
//! ```text
//!   the scope ends, or the child is dropped
//!     │ the process is asked to stop: SIGTERM, another signal, or a function
//!     │ the grace passes ─────────────▶ SIGKILL, and a report
//!     ▼                                   ▼
//!   it exits ◀────────────────────────────┘
//!   it is reaped; the scope may end
//! ```
//!
//! These are finalizers without a limit: the scope waits for the exit, however long it takes. Where they are dropped with
//! the host of their tree (law L30), only the kill is left.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use foster_core::cleanup::defer_within;
use foster_core::observer::{OrphanKind, report};
use foster_core::{CancelScope, Instant, move_on_at, sleep_until};

use crate::process::{Process, Side};
use crate::signal_kind::SignalKind;

/// The time from the request to the kill, where neither the command nor the canceller says another.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// How a process is asked to stop, and for how long it is waited for.
#[derive(Clone)]
pub(crate) struct StopPolicy {
    pub(crate) signal: SignalKind,
    pub(crate) function: Option<StopFunction>,
    pub(crate) grace: Option<Duration>,
}

impl Default for StopPolicy {
    fn default() -> Self {
        StopPolicy { signal: SignalKind::TERMINATE, function: None, grace: None }
    }
}

type Stopped = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// A function that asks a process to stop.
pub(crate) type StopFunction = Arc<dyn Fn(Stopping) -> Stopped + Send + Sync>;

/// A process that is to stop; handed to the function of [`Command::stop_with`](crate::Command::stop_with).
#[derive(Clone)]
pub struct Stopping {
    process: Arc<Process>,
}

impl Stopping {
    /// Returns the number by which the host knows the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal to the process, or to its group if that is its own. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        self.process.signal(kind)
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stopping({})", self.process)
    }
}

/// Ends the process with the innermost scope around the call.
pub(crate) fn end_with_scope(process: Arc<Process>) {
    // The newest runs first. Two, so that the process ends also if a function that stops it panics.
    defer_within(Duration::MAX, End(process.clone()).run());
    defer_within(Duration::MAX, stop(process));
}

/// The last step. Where its finalizer is dropped with the host of its tree, it kills and waits for nothing: the process may
/// be held outside of the tree, and nobody else would end it.
struct End(Arc<Process>);

impl End {
    async fn run(self) {
        kill(&self.0).await;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let End(process) = self;
        if runs(process) {
            send_kill(process);
            process.reap_later();
        }
        process.close_unread();
    }
}

/// Asks the process to stop, if it still runs, and gives it the grace. Reaps it if it stops. Reads what it prints
/// meanwhile: one that may not print dies of it before it has stopped in its own way.
async fn stop(process: Arc<Process>) {
    match process.try_wait() {
        Ok(None) => {}
        // It was reaped, by whoever has waited for it, or just now.
        Ok(Some(_)) => return,
        Err(error) => return tell(&process, Incident::Lost(error)),
    }
    let policy = process.policy();
    let start = Instant::now();
    let until = match policy.grace {
        Some(grace) => start + grace,
        None => process.grace_ends().unwrap_or(start + DEFAULT_GRACE),
    };
    let mut asking = pin!(move_on_at(until, ask(&process)));
    let mut due = pin!(sleep_until(until));
    let (mut is_due, mut was_killed) = (false, false);
    let asked = poll_fn(|cx| {
        if let Poll::Ready(asked) = asking.as_mut().poll(cx) {
            return Poll::Ready(asked);
        }
        // A function that asks may have something to wait for, as a thread, which keeps it beyond the grace; not the
        // process.
        if !is_due && due.as_mut().poll(cx).is_ready() {
            is_due = true;
            was_killed = runs(&process);
            if was_killed {
                send_kill(&process);
            }
        }
        // Last, so that it leaves the others some of the budget.
        process.drain(cx);
        Poll::Pending
    });
    let in_time = asked.await.is_some();
    // If it runs, `kill` comes next.
    if was_killed || !in_time && runs(&process) {
        tell(&process, Incident::Killed { asked: asked_by(&process), after: until - start });
    }
}

/// Returns whether the process still runs; reaps it if it has ended.
fn runs(process: &Process) -> bool {
    matches!(process.try_wait(), Ok(None))
}

/// Kills the process, if it still runs, and reaps it.
async fn kill(process: &Process) {
    // An error was reported when the process was to be asked.
    let Ok(None) = process.try_wait() else { return };
    send_kill(process);
    let mut ended = pin!(process.ended(Side::Finalizer));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(status) = ended.as_mut().poll(cx) {
            return Poll::Ready(status);
        }
        // One that cannot be killed prints on, and ends in its own way.
        process.drain(cx);
        Poll::Pending
    });
    if let Err(error) = ended.await {
        tell(process, Incident::Lost(error));
    }
}

/// Sends `SIGKILL`, which does nothing if the process has ended.
fn send_kill(process: &Process) {
    if let Err(error) = process.signal(SignalKind::KILL) {
        tell(process, Incident::NotDelivered { signal: SignalKind::KILL, error });
    }
}

/// Asks the process to stop, and waits until it has ended.
async fn ask(process: &Arc<Process>) {
    match &process.policy().function {
        None => {
            let signal = process.policy().signal;
            if let Err(error) = process.signal(signal) {
                tell(process, Incident::NotDelivered { signal, error });
            }
            if let Err(error) = process.ended(Side::Finalizer).await {
                tell(process, Incident::Lost(error));
            }
        }
        Some(function) => {
            let asking = function(Stopping { process: process.clone() });
            beside(process, asking).await;
        }
    }
}

/// Runs the function in a scope that is cancelled when the process has ended, and waits for both.
async fn beside(process: &Arc<Process>, asking: Stopped) {
    let mut scope = CancelScope::new().named("function that stops a process");
    let over = scope.handle();
    let mut asking = pin!(scope.run(asking));
    let mut ended = pin!(process.ended(Side::Finalizer));
    let (mut asks, mut runs) = (true, true);
    poll_fn(|cx| {
        if runs {
            if let Poll::Ready(status) = ended.as_mut().poll(cx) {
                runs = false;
                over.cancel("the process has ended");
                if let Err(error) = status {
                    tell(process, Incident::Lost(error));
                }
            }
        }
        if asks {
            if let Poll::Ready(asked) = asking.as_mut().poll(cx) {
                asks = false;
                // Cancelled: the process has ended, which was what it should achieve.
                if let Ok(Err(error)) = asked {
                    tell(process, Incident::FunctionFailed(error));
                }
            }
        }
        if asks || runs { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

fn asked_by(process: &Process) -> String {
    match &process.policy().function {
        None => process.policy().signal.to_string(),
        Some(_) => "its stop function".to_owned(),
    }
}

/// Hands to the observer what has no caller.
fn tell(process: &Process, incident: Incident) {
    report(&Report { process, incident }, OrphanKind::Finalizer);
}

/// A failure at the end of a process.
enum Incident {
    Killed { asked: String, after: Duration },
    NotDelivered { signal: SignalKind, error: io::Error },
    FunctionFailed(Box<dyn Error + Send + Sync>),
    Lost(io::Error),
}

struct Report<'a> {
    process: &'a Process,
    incident: Incident,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process;
        match &self.incident {
            Incident::Killed { asked, after } => {
                write!(f, "{process} did not stop within {after:?} of {asked}, and is killed")
            }
            Incident::NotDelivered { signal, error } => write!(f, "{signal} could not be sent to {process}: {error}"),
            Incident::FunctionFailed(error) => write!(f, "the function that stops {process} failed: {error}"),
            Incident::Lost(error) => write!(f, "how {process} has ended is not known: {error}"),
        }
    }
}
