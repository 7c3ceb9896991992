//! The budget of runtimes that have none of their own: so many ready operations may a job complete in one poll (R9).
//!
//! Code that is never made to wait, such as a loop that sends into a channel with room, would otherwise keep its thread
//! for ever: no timer would fire there, and no other task would run.

use std::cell::Cell;
use std::task::{Context, Poll};

/// How many operations may be ready in one poll; as many as in tokio.
const READY_OPERATIONS: u32 = 128;

crate::sys::thread_local! {
    /// The rest of the budget of the job or root that this thread is polling; none while it polls neither.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Runs `poll`, one poll of a job or of a root, with a new budget.
#[inline]
pub(crate) fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    /// Also when `poll` panics.
    struct Restore(Option<u32>);

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            LEFT.with(|left| left.set(self.0));
        }
    }

    let _restore = Restore(LEFT.with(|left| left.replace(Some(READY_OPERATIONS))));
    poll()
}

/// Takes one unit of the budget that foster gives to each poll of a job or a root, 128 operations; Pending, after waking
/// the task, if it is used up. Always ready on a thread that polls neither.
///
/// It is what [`Runtime::poll_budget`](super::Runtime::poll_budget) does, unless an adapter asks its host instead. A
/// host that knows a budget only in its own tasks asks this as well, for roots that another executor polls.
///
/// # Examples
///
/// ```
/// use foster::runtime::{is_own_budget_used_up, poll_own_budget};
/// use std::task::{Context, Waker};
///
/// # foster_sim::run(1, async {
/// let mut cx = Context::from_waker(Waker::noop());
/// while poll_own_budget(&mut cx).is_ready() {}
/// assert!(is_own_budget_used_up());
/// # });
/// ```
#[inline]
pub fn poll_own_budget(cx: &mut Context<'_>) -> Poll<()> {
    match LEFT.with(Cell::get) {
        None => Poll::Ready(()),
        Some(0) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Some(left) => {
            LEFT.with(|cell| cell.set(Some(left - 1)));
            Poll::Ready(())
        }
    }
}

/// Returns whether [`poll_own_budget`] has used up the budget of this poll.
#[must_use]
pub fn is_own_budget_used_up() -> bool {
    LEFT.with(Cell::get) == Some(0)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::task::Waker;

    use super::*;

    /// How many operations are ready until the budget is used up; at most a thousand.
    fn count() -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        (0..1000).take_while(|_| poll_own_budget(&mut cx).is_ready()).count()
    }

    #[test]
    fn a_poll_has_a_budget_and_other_code_has_no_limit() {
        assert_eq!((count(), is_own_budget_used_up()), (1000, false));
        with_budget(|| {
            assert!(!is_own_budget_used_up());
            assert_eq!((count(), count(), is_own_budget_used_up()), (128, 0, true));
            // A tree within a job of another.
            assert_eq!(with_budget(count), 128);
            assert!(is_own_budget_used_up(), "what another tree uses is its own");
        });
        assert_eq!(with_budget(count), 128);
        assert!(catch_unwind(|| with_budget(|| panic!("on purpose"))).is_err());
        assert_eq!(count(), 1000, "a poll that panics leaves nothing behind");
    }
}
