//! The operation that wraps a foreign future: asked about cancellation before each poll.
//!
//! ```text
//!                 cancelled: Pending, and the future is not polled
//!                          │                         │
//!   poll ──▶ gate (first: one unit of budget) ──▶ cancelled? ──▶ poll of the foreign future ──▶ its result, whatever happened meanwhile
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{Gate, is_cancelled};

/// Makes `future`, which knows nothing of scopes, an operation with a name: a checkpoint that cancelled code does not
/// get past.
///
/// * Code that is cancelled does not start it: `future` is not polled, registers nothing, and wakes nobody (law L14).
/// * Code that is cancelled is not given its result. It is asked before each poll whether it is cancelled, exact to the
///   clock, and if it is, `future` is not polled any more. So none of the three places where a foreign operation may
///   complete in cancelled code (law L15) is left.
/// * It starts for one unit of the task's budget. A loop of such operations that are ready gives way to other tasks.
/// * A result that `future` has returned is handed on. A request that comes while it is being polled comes too late for
///   that poll.
/// * A [`dump`](crate::dump) of the tree says that the code waits for `what`.
///
/// # What is not guaranteed
///
/// An operation of foster decides under its own lock, and knows whose code waits. A foreign future does not, so two
/// things are different:
///
/// * *Given before the request, and not taken.* An operation of foster that was woken before the request takes what it
///   was given in the one poll that runnable code gets (law L12). This one is not polled: what `future` was given and
///   has not returned stays in it. In particular, a result that comes in the instant of a deadline loses.
/// * *Given after the request.* The side that gives does not know that the code is cancelled, and does not skip
///   it. It may give to `future` until that is dropped.
///
/// In both cases the drop of `future` decides what becomes of what it was given. A `recv` that takes its item out of a
/// channel in the poll that returns it loses nothing: the item stays in the channel. The receiver of a one-shot is
/// dropped with the value that it has got. If that must not be, write the resource by hand: see the
/// [rules](super#the-four-rules).
///
/// `future` should not have scopes of foster in it: an inner scope that still has to end, such as a shield or a
/// nursery, is not driven while the code is cancelled, and is abandoned (law L16). Futures of foster are operations
/// without this.
///
/// # Cancellation
///
/// *As its future*: a drop drops `future`, and loses what that loses. If it was not started, nothing is lost but `future`
/// itself.
///
/// # Panics
///
/// Panics if `future` panics. When it is polled after it was ready, it does what `future` does then.
///
/// # Examples
///
/// ```
/// use foster::leaf::operation;
/// use foster::{CancelScope, shield, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let mut scope = CancelScope::new();
/// let handle = scope.handle();
/// let outcome = scope.run(async {
///     shield(async {
///         handle.cancel("enough");
///         sleep(Duration::from_secs(1)).await;
///     })
///     .await;
///     // Cancelled by now. A foreign future that is ready would complete here; the operation does not.
///     operation("read", std::future::ready(7)).await
/// });
/// assert!(outcome.await.is_err());
///
/// // In code that is not cancelled, and outside of any tree, it is `future`.
/// assert_eq!(operation("read", std::future::ready(7)).await, 7);
/// # });
/// ```
pub fn operation<F: Future>(what: &'static str, future: F) -> Operation<F> {
    Operation { gate: Gate::new(what), future }
}

pin_project! {
    /// Future of [`operation`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Operation<F> {
        gate: Gate,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Operation<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // The gate asks by itself, as long as it was not passed.
        let asks = this.gate.has_started();
        ready!(this.gate.poll_start(cx));
        if asks && is_cancelled() {
            return this.gate.restart(cx);
        }
        this.future.poll(cx)
    }
}

impl<F: fmt::Debug> fmt::Debug for Operation<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("what", &self.gate.what()).field("future", &self.future).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};

    use super::*;
    use crate::leaf::{Waiter, has_to_yield, poll_budget};
    use foster_test_support::{ManualTask, at_once};

    /// L14: outside of any tree nothing is cancelled, and the budget has no limit.
    #[test]
    fn outside_of_any_tree_nothing_stops() {
        let mut gate = Gate::new("gate");
        at_once(poll_fn(|cx| {
            assert!(gate.poll_start_to_wait(cx).is_ready());
            for _ in 0..10_000 {
                assert!(poll_budget(cx).is_ready() && !has_to_yield());
                assert!(gate.poll_start(cx).is_ready());
            }
            // Of a waker that does nothing two may have different tables, if one is no clone of the other.
            let waker = cx.waker().clone();
            let cx = &mut Context::from_waker(&waker);
            let waiter = Waiter::new(cx);
            assert!(waiter.is_current(cx) && waiter.is_in_scope() && !waiter.is_cancelled());
            waiter.wake_by_ref();
            waiter.wake();
            Poll::Ready(())
        }));
        assert_eq!(at_once(operation("read", ready(7))), 7);
        drop(ManualTask::waiting(operation("read", pending::<()>())));
    }

    /// The debug form has the name of the operation.
    #[test]
    fn debug_names_the_operation() {
        let operation = operation("read", ready(7));
        assert_eq!(format!("{operation:?}"), "Operation { what: \"read\", future: Ready(Some(7)) }");
    }
}
