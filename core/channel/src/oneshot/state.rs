//! The state that the two ends of a oneshot share: the value, and how each end waits for the other.
//!
//! ```text
//!   Open ──┬─1──▶ Sent ──2──▶ Over
//!          └───────3───────────▲
//! ```
//!
//! 1. the sender sends: `finish`
//! 2. the receiver takes the value, or drops it when it goes away: `try_receive`, `receive`, `leave`
//! 3. the sender goes away without having sent, or the receiver is closed or goes away before: `finish`, `close`,
//!    `leave`
//!
//! An end that has to wait leaves its waiter here. The other end takes it out in the step that ends the wait, and notes
//! whether the code that waits was cancelled by then: such code is not woken, and does not see what came (law L14). Both
//! ends may wait at the same time: the sender waits until nobody wants the value any more.
//!
//! Invariant 1: the state has one reference for each end, and no other.
//! Invariant 2: while the sender is there, the stage is Over only if the receiver was closed or is gone.
//! Invariant 3: under the lock no value is dropped, and no waiter made, woken or dropped (law L36).

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::RecvError;
use crate::operation::{Attempt, AttemptCx, update_waiter};
use foster_cell::sys::{MutexGuard, PlainMutex};
use foster_core::leaf::Waiter;

/// The reference of one end.
pub(super) struct Shared<T>(Arc<PlainMutex<State<T>>>);

struct State<T> {
    stage: Stage<T>,
    sender: Wait,
    receiver: Wait,
}

/// See the picture at the head of this module.
enum Stage<T> {
    Open,
    Sent(T),
    Over,
}

/// How one end waits for the other.
#[derive(Default)]
struct Wait {
    waiter: Option<Waiter>,
    /// The wait was ended by the other end while the code that waits was not cancelled.
    in_time: bool,
}

impl<T> Shared<T> {
    /// The references of the sender and of the receiver.
    #[inline]
    pub(super) fn new() -> (Self, Self) {
        // Made where it stays, not moved there.
        let state = Arc::<PlainMutex<State<T>>>::default();
        (Shared(state.clone()), Shared(state))
    }

    // Of the sender.

    /// Leaves the value, or none, and wakes the receiver. Gives the value back if it is not wanted any more.
    #[inline]
    pub(super) fn finish(&self, value: Option<T>) -> Option<T> {
        let mut state = self.0.lock();
        if !matches!(state.stage, Stage::Open) {
            return value;
        }
        state.stage = value.map_or(Stage::Over, Stage::Sent);
        end_wait(state, |state| &mut state.receiver);
        None
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.0.lock().stage, Stage::Over)
    }

    /// Attempts to wait until the channel is closed.
    pub(super) fn wait_closed(&self, attempt_cx: &mut AttemptCx, cx: &Context<'_>) -> Attempt<()> {
        let mut state = self.0.lock();
        if !state.sender.may_look(attempt_cx) {
            Attempt::Cancelled
        } else if matches!(state.stage, Stage::Over) {
            if state.sender.in_time { Attempt::Done(()) } else { Attempt::Found(()) }
        } else {
            state.sender.wait(attempt_cx, cx)
        }
    }

    /// Ends such a wait. The waiter is to be dropped by the caller.
    pub(super) fn wait_no_more(&self) -> Option<Waiter> {
        self.0.lock().sender.waiter.take()
    }

    // Of the receiver.

    /// Takes the value. Ready without one if there will be none.
    #[inline]
    pub(super) fn try_receive(&mut self) -> Poll<Option<T>> {
        match self.last() {
            Some(state) => state.stage.receive(),
            None => self.0.lock().stage.receive(),
        }
    }

    /// Attempts to receive the value, or that there will be none.
    #[inline]
    pub(super) fn receive(
        &mut self,
        has_waited: bool,
        attempt_cx: &mut AttemptCx,
        cx: &Context<'_>,
    ) -> Attempt<Result<T, RecvError>> {
        if let Some(state) = self.last() {
            // L14: what has come may have come after a request that another thread made since this poll began.
            attempt_cx.cancelled |= !state.receiver.in_time && foster_core::is_cancelled();
            return state.receive(attempt_cx, cx);
        }
        if has_waited {
            let mut state = self.0.lock();
            if state.receiver.in_time || matches!(state.stage, Stage::Open) {
                return state.receive(attempt_cx, cx);
            }
            // L14: as above. A value that has come stays until this end takes it.
            drop(state);
            attempt_cx.cancelled |= foster_core::is_cancelled();
            return self.0.lock().receive(attempt_cx, cx);
        }
        // Most likely it has to wait: with a waiter at hand the lock is taken once.
        attempt_cx.waiter.get_or_insert_with(|| Waiter::new(cx));
        let mut state = self.0.lock();
        // L14: as above, and under the lock under which a value comes.
        attempt_cx.cancelled |= attempt_cx.waiter.as_ref().is_some_and(Waiter::is_cancelled);
        state.receive(attempt_cx, cx)
    }

    /// Lets nothing more in, and wakes the sender.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        if let Stage::Open = state.stage {
            state.stage = Stage::Over;
        }
        end_wait(state, |state| &mut state.sender);
    }

    /// Goes away: wakes the sender, and drops the value and the receiver's own waiter.
    #[inline]
    pub(super) fn leave(&self) {
        // If the sender is gone, all of that goes with this reference.
        if Arc::strong_count(&self.0) > 1 {
            self.leave_first();
        }
    }

    /// As `leave`, before the sender: apart from what most do.
    #[inline(never)]
    fn leave_first(&self) {
        let mut state = self.0.lock();
        // Both are dropped at the end of this, when the lock is released.
        let _stage = mem::replace(&mut state.stage, Stage::Over);
        let _waiter = state.receiver.waiter.take();
        end_wait(state, |state| &mut state.sender);
    }

    /// The state, if the other end is gone: there is nobody to be locked out.
    #[inline]
    fn last(&mut self) -> Option<&mut State<T>> {
        Arc::get_mut(&mut self.0).map(PlainMutex::get_mut)
    }
}

/// Ends the wait of one end, because the other one has done its part; notes whether that is in time, and wakes the
/// waiter.
#[inline]
fn end_wait<T>(mut state: MutexGuard<'_, State<T>>, of: impl FnOnce(&mut State<T>) -> &mut Wait) {
    let wait = of(&mut state);
    let Some(waiter) = wait.waiter.take() else { return };
    wait.in_time = waiter.claim();
    drop(state);
    waiter.wake();
}

impl<T> Default for State<T> {
    #[inline]
    fn default() -> Self {
        State { stage: Stage::Open, sender: Wait::default(), receiver: Wait::default() }
    }
}

impl<T> State<T> {
    #[inline]
    fn receive(&mut self, attempt_cx: &mut AttemptCx, cx: &Context<'_>) -> Attempt<Result<T, RecvError>> {
        if !self.receiver.may_look(attempt_cx) {
            return Attempt::Cancelled;
        }
        match self.stage.receive() {
            Poll::Ready(None) if !self.receiver.in_time => Attempt::Found(Err(RecvError::Disconnected)),
            Poll::Ready(value) => Attempt::Done(value.ok_or(RecvError::Disconnected)),
            Poll::Pending => self.receiver.wait(attempt_cx, cx),
        }
    }
}

impl<T> Stage<T> {
    #[inline]
    fn receive(&mut self) -> Poll<Option<T>> {
        match self {
            Stage::Open => Poll::Pending,
            Stage::Sent(_) | Stage::Over => match mem::replace(self, Stage::Over) {
                Stage::Sent(value) => Poll::Ready(Some(value)),
                Stage::Open | Stage::Over => Poll::Ready(None),
            },
        }
    }
}

impl Wait {
    /// Whether the code that comes may see what the other end has done.
    #[inline]
    fn may_look(&self, attempt_cx: &AttemptCx) -> bool {
        !attempt_cx.cancelled || self.in_time
    }

    /// Waits with the waiter of `attempt_cx`; as `update_waiter`.
    fn wait<R>(&mut self, attempt_cx: &mut AttemptCx, cx: &Context<'_>) -> Attempt<R> {
        match &mut self.waiter {
            Some(waiter) => update_waiter(waiter, attempt_cx, cx),
            None if attempt_cx.waiter.is_none() => Attempt::NeedsWaiter,
            none => {
                *none = attempt_cx.waiter.take();
                Attempt::Waiting
            }
        }
    }
}
