//! Shields: code that is not to be interrupted.
//!
//! ```text
//!   cancel of a scope around      ▼ soft                    ▼ hard = soft + grace
//!   plain code        ────────────╳ stops here
//!   graceful(..)      ───────────── stopping() resolves ────╳ stops here
//!   shield(..)        ──────────────────────────────────────────────────────▶ its own end
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::cancel_scope::{CancelScope, CancelScopeFuture};
use crate::leaf::Gate;
use crate::tree::current;

/// Runs `future` to its end, whatever is cancelled further out (law L20).
///
/// The code around it stops when the shield has ended. So keep shields short, or give them a limit of their own:
/// `CancelScope::new().shielded().deadline_after(limit).run(future)`.
///
/// # Cancellation
///
/// *Not interrupted* by a request from outside. *Partial effect* if the future is dropped by foreign code (a `select!`), or
/// held without being polled while the scope around it is cancelled: then it is dropped at the point it had reached (law
/// L16).
///
/// # Panics
///
/// Resumes the panic of `future`. When it has to wait outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::{move_on_after, shield, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let start = foster::Instant::now();
/// let out = move_on_after(Duration::from_secs(1), async {
///     shield(sleep(Duration::from_secs(3))).await; // goes on to its end
///     sleep(Duration::from_secs(5)).await; // is not started any more
/// })
/// .await;
/// assert_eq!(out, None);
/// assert_eq!(start.elapsed(), Duration::from_secs(3));
/// # });
/// ```
#[track_caller]
pub fn shield<F: Future>(future: F) -> Shield<F, F::Output> {
    Shield { run: CancelScope::new().shielded().run(future) }
}

/// Runs `future` to its end if it can be done within the grace of whoever cancels further out (law L20).
///
/// Inside, [`stopping`] tells when the grace has begun. After it, the code is cancelled like any other.
///
/// # Cancellation
///
/// *Partial effect*, at the hard time of a request further out; before it as a [`shield`].
///
/// # Panics
///
/// As [`shield`].
///
/// # Examples
///
/// ```
/// use foster::{CancelScope, graceful, sleep, sleep_forever, stopping};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let start = foster::Instant::now();
/// let scope = CancelScope::new().deadline_after(Duration::from_secs(1)).grace(Duration::from_secs(10));
/// let _ = scope
///     .run(async {
///         graceful(async {
///             stopping().await; // after one second
///             sleep(Duration::from_secs(2)).await; // in-flight work is finished
///         })
///         .await;
///         sleep_forever().await
///     })
///     .await;
/// assert_eq!(start.elapsed(), Duration::from_secs(3));
/// # });
/// ```
#[track_caller]
pub fn graceful<F: Future>(future: F) -> Shield<F, F::Output> {
    Shield { run: CancelScope::new().graceful().run(future) }
}

pin_project! {
    /// Future of [`shield`] and [`graceful`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Shield<F, T> {
        #[pin]
        run: CancelScopeFuture<F, T>,
    }
}

impl<F: Future<Output = T>, T> Future for Shield<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(self.project().run.poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(_) => unreachable!("nobody has a handle to a bare shield"),
        }
    }
}

impl<F, T> fmt::Debug for Shield<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("run", &self.run).finish()
    }
}

/// Waits until a scope further out has been asked to stop and only the grace holds: time to finish what is in flight.
///
/// Useful inside [`graceful`]; in code that is not shielded it never returns, because such code is stopped instead. Nor
/// does it if the request has no grace, which [`CancelScope::grace`](crate::CancelScope::grace) or
/// [`cancel_within`](crate::ScopeHandle::cancel_within) gives it.
///
/// # Cancellation
///
/// *Strict*.
///
/// # Panics
///
/// When polled outside of any tree, if no adapter was installed.
pub async fn stopping() {
    let mut gate = Gate::new("stopping");
    poll_fn(|cx| {
        // A request wakes every scope and task down to the first full shield (L11), so this is polled again.
        ready!(gate.poll_start(cx));
        // Requests reach the code, and a graceful shield holds all of them off until their hard time. The clock is not
        // asked: it stays so when that time has come.
        if current::scope_for("`stopping`").lock().cancel_state().waits_for_hard() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
