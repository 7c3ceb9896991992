//! A baton that one task holds at a time, and that is passed on in the order in which it was asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use foster::leaf::{Gate, Waiter, may_take};
use foster::{is_cancelled, yield_now};

#[derive(Default)]
pub(crate) struct Baton {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It is held, or was given to a waiter.
    taken: bool,
    /// The waiter that was given it, and has not been polled since.
    given: Option<u64>,
    /// Those that wait, in order. A waiter that is neither here nor `given` was skipped.
    waiting: BTreeMap<u64, Waiter>,
    next_key: u64,
}

impl Baton {
    /// Waits until it is this code's turn to hold the baton.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. If it was given the baton, that goes to the next waiter.
    pub(crate) fn take(&self) -> Take<'_> {
        Take { baton: self, gate: Gate::new("baton"), key: None }
    }

    /// Takes it if it is free.
    pub(crate) fn try_take(&self) -> Option<Held<'_>> {
        let was_taken = std::mem::replace(&mut self.state().taken, true);
        (!was_taken).then(|| Held(self))
    }

    /// Gives way until `count` tasks wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        while self.state().waiting.len() < count {
            yield_now().await;
        }
    }

    /// Gives it to the first waiter whose code is not cancelled. It is free if there is none.
    fn pass_on(&self) {
        let mut woken = Vec::new();
        let mut state = self.state();
        state.given = None;
        // Rule 3: decided under the lock. A waiter that is skipped leaves the queue, and is woken, too.
        while let Some((key, waiter)) = state.waiting.pop_first() {
            if waiter.claim() {
                state.given = Some(key);
            }
            woken.push(waiter);
            if state.given.is_some() {
                break;
            }
        }
        state.taken = state.given.is_some();
        // Waiters are called with the lock released.
        drop(state);
        woken.into_iter().for_each(Waiter::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[must_use = "futures do nothing unless polled"]
pub(crate) struct Take<'a> {
    baton: &'a Baton,
    gate: Gate,
    /// Its key in the queue, once it had to wait.
    key: Option<u64>,
}

impl<'a> Future for Take<'a> {
    type Output = Held<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Held<'a>> {
        let Take { baton, gate, key } = &mut *self;
        // Rule 1: nothing starts in cancelled code.
        ready!(gate.poll_start(cx));
        let cancelled = is_cancelled();
        // Made before the lock is taken; locals are dropped in reverse order, so what is left in it is dropped after the lock.
        let mut waiter = Waiter::new(cx);
        let mut state = baton.state();
        if let Some(key) = *key {
            if let Some(waits) = state.waiting.get_mut(&key) {
                if !waits.is_current(cx) {
                    std::mem::swap(waits, &mut waiter);
                }
                return Poll::Pending;
            }
            // Rule 4: what was given is taken. A waiter that was skipped waits on while it is cancelled, and else starts again.
            if state.given != Some(key) && cancelled {
                return Poll::Pending;
            }
        }
        if key.is_some() && state.given == *key {
            state.given = None;
        } else if state.taken {
            // Rule 2: the waiter is left where it will be found.
            let new = state.next_key;
            state.next_key += 1;
            state.waiting.insert(new, waiter);
            *key = Some(new);
            return Poll::Pending;
        } else if !may_take() {
            // Rule 1: it may be free since another thread has cancelled this code.
            drop(state);
            *key = None;
            return gate.restart(cx);
        }
        state.taken = true;
        *key = None;
        Poll::Ready(Held(baton))
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut state = self.baton.state();
        let waiter = state.waiting.remove(&key);
        let was_given = state.given == Some(key);
        drop(state);
        drop(waiter);
        // Rule 4: what it was given goes to the next.
        if was_given {
            self.baton.pass_on();
        }
    }
}

/// The baton, held. A drop passes it on.
pub(crate) struct Held<'a>(&'a Baton);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use foster::combine::join;
    use foster::{CancelScope, Nursery, move_on_after, nursery, shield, sleep};
    use foster_sim::{Exploration, explore, random};

    use super::*;

    fn all_went_well(found: &Exploration) {
        println!("{found}");
        assert!(found.failure.is_none() && found.failed == 0, "{found}");
    }

    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }

    /// Cancelled code does not take a baton that is free.
    #[test]
    fn nothing_starts_in_cancelled_code() {
        all_went_well(&explore(0..20, || async {
            let baton = Baton::default();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(async {
                handle.cancel("now");
                drop(baton.take().await);
            });
            assert!(outcome.await.is_err());
            assert_eq!(baton.state().next_key, 0, "nor has it waited");
            assert!(baton.try_take().is_some());
        }));
    }

    /// Two wait; the first one is cancelled, and kept alive by a shield; the second one is given the baton.
    #[test]
    fn a_cancelled_waiter_is_skipped() {
        all_went_well(&explore(0..300, || async {
            let baton = Arc::new(Baton::default());
            let held_it = Arc::new(AtomicBool::new(false));
            let held = baton.take().await;
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let Ok(()) = nursery(async |n: Nursery| {
                let (first, held_it_too) = (baton.clone(), held_it.clone());
                n.spawn(async move {
                    let take = async {
                        let _held = first.take().await;
                        held_it_too.store(true, Ordering::SeqCst);
                    };
                    let outcome = scope.run(join((take, shield(sleep(Duration::from_secs(1)))))).await;
                    assert!(outcome.is_err());
                });
                baton.until_waiting(1).await;
                let second = baton.clone();
                let second = n.spawn(async move { drop(second.take().await) });
                baton.until_waiting(2).await;
                handle.cancel("the first one");
                assert!(baton.try_take().is_none() && baton.try_take().is_none());
                drop(held);
                assert!(second.await.is_ok());
                assert!(baton.try_take().is_some());
            })
            .await;
            assert!(!held_it.load(Ordering::SeqCst), "cancelled code held the baton");
        }));
    }

    /// Given before the cancel, it is taken in the one poll of code that was woken (law L12).
    #[test]
    fn what_was_given_before_the_cancel_is_taken() {
        all_went_well(&explore(0..300, || async {
            let baton = Arc::new(Baton::default());
            let held = baton.take().await;
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let Ok(()) = nursery(async |n: Nursery| {
                let waits = baton.clone();
                let waits = n.spawn(async move { Ok(scope.run(async { drop(waits.take().await) }).await.is_ok()) });
                baton.until_waiting(1).await;
                drop(held);
                handle.cancel("too late");
                assert!(matches!(waits.await, Ok(true)));
            })
            .await;
        }));
    }

    /// A waiter that was given the baton is dropped before it is polled: the next one is given it.
    #[test]
    fn what_a_dropped_waiter_was_given_goes_on() {
        all_went_well(&explore(0..300, || async {
            let baton = Baton::default();
            let held = baton.take().await;
            let (mut first, mut second) = (Box::pin(baton.take()), pin!(baton.take()));
            assert!(poll_once(first.as_mut()).await.is_pending());
            assert!(poll_once(second.as_mut()).await.is_pending());
            drop(held);
            assert!(poll_once(second.as_mut()).await.is_pending(), "it is the first one's");
            drop(first);
            drop(second.await);
            assert!(baton.try_take().is_some());
        }));
    }

    /// Many take it and are cancelled at random times, some of them beside a shield: one holds it at a time, and in the end it is free.
    #[test]
    fn the_baton_is_never_lost() {
        all_went_well(&explore(0..1_000, || async {
            let baton = Arc::new(Baton::default());
            let holders = Arc::new(AtomicUsize::new(0));
            let Ok(()) = nursery(async |n: Nursery| {
                for number in 0..6 {
                    let (baton, holders) = (baton.clone(), holders.clone());
                    n.spawn(async move {
                        let take = async {
                            let _held = baton.take().await;
                            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                            hold_for_a_moment(&holders).await;
                        };
                        let limit = Duration::from_millis(random() % 4);
                        if number % 2 == 0 {
                            move_on_after(limit, join((take, shield(sleep(Duration::from_millis(2)))))).await;
                        } else {
                            move_on_after(limit, take).await;
                        }
                    });
                }
            })
            .await;
            assert!(baton.try_take().is_some(), "the baton is lost");
        }));
    }

    /// Holds the baton for a moment, whatever is cancelled.
    async fn hold_for_a_moment(holders: &AtomicUsize) {
        shield(sleep(Duration::from_millis(1))).await;
        holders.fetch_sub(1, Ordering::SeqCst);
    }
}
