//! Quiescence: waiting until all other tasks wait.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::checkpoint_if_cancelled;
use foster::future::CheckpointIfCancelled;

use crate::runtime::Sim;

/// Waits until all tasks of the simulation are blocked: those that are runnable again and again, too.
///
/// The clock does not move meanwhile. If several tasks wait for this, they all go on at the same time.
///
/// # Cancellation
///
/// *Strict*: a drop releases the place among those who wait, and waiting again waits for the same.
///
/// # Panics
///
/// The future panics when it is polled where no simulation runs on this thread.
///
/// # Examples
///
/// ```
/// use foster_sim::{run, wait_all_tasks_blocked};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// run(7, async {
///     let count = Arc::new(AtomicU32::new(0));
///     let Ok(()) = foster::nursery(async |n: foster::Nursery| {
///         for _ in 0..10 {
///             let count = count.clone();
///             n.spawn(async move {
///                 foster::yield_now().await;
///                 count.fetch_add(1, Ordering::Relaxed);
///             });
///         }
///         wait_all_tasks_blocked().await;
///         assert_eq!(count.load(Ordering::Relaxed), 10);
///     })
///     .await;
/// });
/// ```
pub fn wait_all_tasks_blocked() -> Quiescent {
    wait_all_tasks_blocked_for(Duration::ZERO)
}

/// Waits until all tasks have been blocked for `cushion` of virtual time without a pause.
///
/// A timer that lets a task run meanwhile starts the cushion anew; one that is due at its very end comes too late.
/// Code that waits with a shorter cushion goes on first. On a manual clock nothing can happen during the cushion, so it
/// counts as passed as soon as all tasks are blocked.
///
/// # Cancellation
///
/// *Strict*, as [`wait_all_tasks_blocked`].
///
/// # Panics
///
/// The future panics when it is polled where no simulation runs on this thread.
pub fn wait_all_tasks_blocked_for(cushion: Duration) -> Quiescent {
    Quiescent { start: Some(checkpoint_if_cancelled()), cushion, place: None }
}

/// The future of [`wait_all_tasks_blocked`].
#[must_use = "futures do nothing unless awaited"]
pub struct Quiescent {
    /// Cancelled code does not start to wait (law L14).
    start: Option<CheckpointIfCancelled>,
    cushion: Duration,
    /// The simulation, and the ticket by which it knows this waiter.
    place: Option<(Sim, u64)>,
}

impl Future for Quiescent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(start) = &mut self.start {
            ready!(Pin::new(start).poll(context));
            self.start = None;
        }
        let cushion = self.cushion;
        // L36: cloned and dropped while the simulation is not locked.
        let waker = context.waker().clone();
        let before = match &self.place {
            Some((sim, ticket)) => match sim.lock().waiters.get_mut(&(cushion, *ticket)) {
                // The simulation took it out: everything was quiet.
                None => return Poll::Ready(()),
                Some(place) => Some(std::mem::replace(place, waker)),
            },
            None => {
                let sim = Sim::current("wait_all_tasks_blocked");
                let mut state = sim.lock();
                state.tickets += 1;
                let ticket = state.tickets;
                let before = state.waiters.insert((cushion, ticket), waker);
                drop(state);
                self.place = Some((sim, ticket));
                before
            }
        };
        drop(before);
        Poll::Pending
    }
}

impl Drop for Quiescent {
    fn drop(&mut self) {
        if let Some((sim, ticket)) = self.place.take() {
            let waker = sim.lock().waiters.remove(&(self.cushion, ticket));
            drop(waker);
        }
    }
}
