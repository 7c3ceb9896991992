//! The way from a producer's body to its stream: one item at a time.
//!
//! ```text
//!            ┌─────────4─────────┐
//!            ▼                   │
//!   Empty ──1──▶ Offered ──2──▶ Taken ──3──▶ Empty
//! ```
//!
//! 1. `Emit::poll`: its first   2. `Slot::poll_take`   3. `Slot::ask`: the next one is asked for, or never will be, so
//!    the body goes on
//! 4. `Emit::drop`: it was thrown away before; so is an item that was offered

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foster_core::checkpoint;
use foster_core::future::Checkpoint;
use foster_core::leaf::wake_all;

/// The handle with which the body of [`produce`](super::produce) emits its items.
///
/// It may be moved into a child that the body spawns.
pub struct Emitter<T> {
    slot: Arc<Slot<T>>,
}

impl<T> Emitter<T> {
    pub(super) fn new(slot: Arc<Slot<T>>) -> Self {
        Emitter { slot }
    }

    /// Hands `item` to the consumer of the stream, and goes on when the consumer asks for the next one; or, if that is
    /// cancelled, when it has got this one.
    ///
    /// In a shield, a cancelled consumer waits for the body as long as it awaits items; when it awaits anything else,
    /// the shield is dropped with the body (law L16).
    ///
    /// If the stream is gone, or has ended, the item is dropped, and this goes on at once. Only what is shielded from
    /// the cancellation of the body gets there, or an emitter that was moved out of it. A stream that was forgotten
    /// ([`mem::forget`]) is not gone: what is shielded waits for it, and so does the scope around.
    ///
    /// # Cancellation
    ///
    /// *Strict* for an item that the consumer has got; one that it has not is dropped.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    pub fn emit(&mut self, item: T) -> Emit<'_, T> {
        Emit { slot: &self.slot, stage: Stage::Fresh(item, checkpoint()) }
    }

    /// Whether the stream is gone or has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.slot.lock().closed
    }
}

impl<T> fmt::Debug for Emitter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("closed", &self.is_closed()).finish()
    }
}

/// Future of [`Emitter::emit`].
#[must_use = "futures do nothing unless polled"]
pub struct Emit<'a, T> {
    slot: &'a Slot<T>,
    stage: Stage<T>,
}

enum Stage<T> {
    Fresh(T, Checkpoint),
    /// In the slot, or taken.
    Out,
    Over,
}

// The item is only moved.
impl<T> Unpin for Emit<'_, T> {}

impl<T> Future for Emit<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match &mut this.stage {
            Stage::Over => panic!("`emit` was polled after it was ready"),
            Stage::Out => {}
            Stage::Fresh(_, gate) => {
                // L14: code that is cancelled starts nothing.
                if Pin::new(gate).poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        let waker = cx.waker().clone();
        let mut state = this.slot.lock();
        let fresh = match mem::replace(&mut this.stage, Stage::Out) {
            Stage::Fresh(item, _) => Some(item),
            Stage::Out | Stage::Over => None,
        };
        if state.closed || fresh.is_none() && matches!(state.item, Item::Empty) {
            drop(state);
            this.stage = Stage::Over;
            drop(fresh);
            return Poll::Ready(());
        }
        // The one before may still be there, if its `Emit` was forgotten.
        let before = fresh.map(|item| mem::replace(&mut state.item, Item::Offered(item)));
        let old = state.emitter.replace(waker);
        let consumer = state.consumer.take();
        drop(state);
        drop(old);
        wake_all(consumer);
        drop(before);
        Poll::Pending
    }
}

impl<T> Drop for Emit<'_, T> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Out) {
            let mut state = self.slot.lock();
            let item = mem::replace(&mut state.item, Item::Empty);
            let waker = state.emitter.take();
            drop(state);
            drop((item, waker));
        }
    }
}

impl<T> fmt::Debug for Emit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").field("fresh", &matches!(self.stage, Stage::Fresh(..))).finish_non_exhaustive()
    }
}

/// Where an item changes hands. No waker is called, and nothing of the user's dropped, below its lock.
///
/// It is a rendezvous that repeats, and no channel: an `emit` returns when the consumer asks for the item after its own.
pub(super) struct Slot<T>(Mutex<State<T>>);

struct State<T> {
    item: Item<T>,
    /// The waker of the code that waits in `emit`.
    emitter: Option<Waker>,
    /// The waker of the code that waits for an item, until it is told of one.
    consumer: Option<Waker>,
    closed: bool,
}

enum Item<T> {
    Empty,
    Offered(T),
    Taken,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Slot(Mutex::new(State { item: Item::Empty, emitter: None, consumer: None, closed: false })))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer asks for the next item: the code that emitted the one before goes on.
    pub(super) fn ask(&self) {
        let mut state = self.lock();
        // It is here: nobody has to call it.
        let consumer = state.consumer.take();
        let emitter = if matches!(state.item, Item::Taken) {
            state.item = Item::Empty;
            state.emitter.take()
        } else {
            None
        };
        drop(state);
        drop(consumer);
        wake_all(emitter);
    }

    /// Takes the item that is offered, or waits for one.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<T> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        match mem::replace(&mut state.item, Item::Taken) {
            Item::Offered(item) => Poll::Ready(item),
            before => {
                state.item = before;
                let old = state.consumer.replace(waker);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }

    /// Nobody will take anything any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let item = mem::replace(&mut state.item, Item::Empty);
        let (emitter, consumer) = (state.emitter.take(), state.consumer.take());
        drop(state);
        wake_all(emitter);
        drop((item, consumer));
    }
}
