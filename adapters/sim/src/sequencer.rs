//! A sequencer: tasks take turns in the order of numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use foster::checkpoint_if_cancelled;
use foster::future::CheckpointIfCancelled;
use foster::leaf::wake_all;

/// Brings parts of several tasks into a fixed order, so that a test shows one interleaving and no other.
///
/// Slots are numbered from 0. A task enters its slot when the one before has been left, and leaves it by dropping the
/// [`Turn`]. Works on every adapter. Clones are handles to the same sequencer.
///
/// # Examples
///
/// ```
/// use foster_sim::{Sequencer, run};
///
/// run(7, async {
///     let sequencer = Sequencer::new();
///     let Ok(()) = foster::nursery(async |n: foster::Nursery| {
///         let handle = sequencer.clone();
///         n.spawn(async move {
///             let _turn = handle.turn(1).await.unwrap();
///             println!("second");
///         });
///         let _turn = sequencer.turn(0).await.unwrap();
///         println!("first");
///     })
///     .await;
/// });
/// ```
#[derive(Clone, Default)]
pub struct Sequencer {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The slot that may be entered, or is.
    current: u64,
    used: BTreeSet<u64>,
    waiting: BTreeMap<u64, Waker>,
    broken: bool,
}

impl Sequencer {
    /// Makes a sequencer that waits for slot 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until slot `slot` may be entered, and enters it.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: if it is dropped while it waits, having taken its slot, the sequencer is broken, because the
    /// slots after this one could never be entered. All who wait then fail, and so does who comes later.
    ///
    /// # Errors
    ///
    /// * [`SequencerError::Used`]: the slot has been taken before.
    /// * [`SequencerError::Broken`]: a task that waited for its slot was cancelled.
    pub fn turn(&self, slot: u64) -> WaitForTurn {
        WaitForTurn { start: Some(checkpoint_if_cancelled()), sequencer: self.clone(), slot, waits: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Sequencer")
            .field("current", &state.current)
            .field("broken", &state.broken)
            .finish_non_exhaustive()
    }
}

/// The future of [`Sequencer::turn`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForTurn {
    /// Cancelled code does not take a slot (law L14).
    start: Option<CheckpointIfCancelled>,
    sequencer: Sequencer,
    slot: u64,
    /// The slot is taken, and not entered.
    waits: bool,
}

impl Future for WaitForTurn {
    type Output = Result<Turn, SequencerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(start) = &mut self.start {
            ready!(Pin::new(start).poll(context));
            self.start = None;
        }
        let slot = self.slot;
        let mut waker = Some(context.waker().clone());
        let mut state = self.sequencer.lock();
        let outcome = if state.broken {
            Poll::Ready(Err(SequencerError::Broken))
        } else if !self.waits && !state.used.insert(slot) {
            Poll::Ready(Err(SequencerError::Used { slot }))
        } else if state.current == slot {
            Poll::Ready(Ok(Turn { sequencer: self.sequencer.clone(), slot }))
        } else {
            waker = waker.and_then(|waker| state.waiting.insert(slot, waker));
            Poll::Pending
        };
        drop(state);
        drop(waker);
        self.waits = outcome.is_pending();
        outcome
    }
}

impl Drop for WaitForTurn {
    fn drop(&mut self) {
        if self.waits {
            let mut state = self.sequencer.lock();
            state.broken = true;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            wake_all(waiting.into_values());
        }
    }
}

/// The permission to be in a slot; dropping it lets the next one in.
#[must_use = "the slot is left when the turn is dropped"]
pub struct Turn {
    sequencer: Sequencer,
    slot: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.sequencer.lock();
        state.current = self.slot + 1;
        let next = state.waiting.remove(&(self.slot + 1));
        drop(state);
        wake_all(next);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// A slot cannot be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SequencerError {
    /// The slot has been taken before.
    Used {
        /// The slot.
        slot: u64,
    },
    /// A task that waited for its slot was cancelled.
    Broken,
}

impl fmt::Display for SequencerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SequencerError::Used { slot } => write!(f, "slot {slot} of the sequencer has been taken before"),
            SequencerError::Broken => {
                f.write_str("the sequencer is broken: a task that waited for its slot was cancelled")
            }
        }
    }
}

impl std::error::Error for SequencerError {}
