//! Turns of those who poll many futures, with a budget and without.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use foster::channel::{Receiver, unbounded};
use foster::combine::{first_ok, join, merge, race, race_all};
use foster::runtime::root;
use foster::{CancelScope, LocalNursery, checkpoint, defer, fail_after, local_nursery};
use futures_lite::future::poll_once;

use super::runtimes::Metered;

/// The numbers of those that were polled, in order.
type Polled = Arc<Mutex<Vec<usize>>>;

/// Each poll takes a unit of the budget, if there is one, and asks for another poll.
fn goes_on(number: usize, polled: &Polled) -> impl Future<Output = ()> + use<> {
    let polled = polled.clone();
    poll_fn(move |cx| {
        polled.lock().unwrap().push(number);
        let _ = foster::leaf::poll_budget(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Polls what `make` makes once with each of these budgets. Returns who was polled each time.
fn polled_with<const N: usize, F: Future>(budgets: [usize; N], make: impl FnOnce(&Polled) -> F) -> [Vec<usize>; N] {
    foster_sim::run(1, async {
        let metered = Metered::over_current();
        let meter = metered.clone();
        root(metered, async {
            let polled = Polled::default();
            let mut future = pin!(make(&polled));
            let mut said = [const { Vec::new() }; N];
            for (budget, said) in budgets.into_iter().zip(&mut said) {
                meter.left.store(budget, Ordering::SeqCst);
                assert!(poll_once(future.as_mut()).await.is_none());
                *said = std::mem::take(&mut *polled.lock().unwrap());
            }
            meter.left.store(usize::MAX, Ordering::SeqCst);
            said
        })
        .await
    })
}

/// L38: who polls many futures stops when the budget is used up. A turn that begins without any polls all of them, lest
/// it be the same one every time.
#[test]
fn a_turn_ends_with_the_budget_unless_it_began_without() {
    let all = |polled: &Polled| [0, 1, 2].map(|number| goes_on(number, polled));
    let group = polled_with([9, 1, 0], |polled| race_all(all(polled)));
    let merged = polled_with([9, 1, 0], |polled| {
        let streams = all(polled).map(|future| {
            let mut future = Box::pin(future);
            futures_lite::stream::poll_fn(move |cx| future.as_mut().poll(cx).map(Some))
        });
        let mut merged = merge(streams);
        async move { merged.next().await }
    });
    let children = polled_with([9, 1, 0], |polled| {
        let children = all(polled);
        local_nursery(async |n: LocalNursery<'static>| children.into_iter().for_each(|child| drop(n.spawn(child))))
    });
    for turns in [group, merged, children] {
        assert_eq!(turns.map(|polled| polled.len()), [3, 1, 3]);
    }
}

/// L38: whichever future of a tuple comes first in a turn with a budget, another one does in the next; turns without
/// any do not count.
#[test]
fn the_first_of_a_tuple_changes_whenever_there_is_a_budget() {
    let turns = polled_with([9, 0, 9, 0], |polled| join((goes_on(0, polled), goes_on(1, polled))));
    assert_ne!(turns[0][0], turns[2][0]);
}

/// Polls what `make` makes, sends what it waits for, and polls it with no more budget than that takes.
fn won(make: impl AsyncFnOnce(&Receiver<u32>, &Receiver<u32>) -> Option<u32>) -> Option<u32> {
    won_with(0, make)
}

/// As [`won`], for a winner that takes so much of the budget.
fn won_with(takes: usize, make: impl AsyncFnOnce(&Receiver<u32>, &Receiver<u32>) -> Option<u32>) -> Option<u32> {
    foster_sim::run(1, async {
        let metered = Metered::over_current();
        let meter = metered.clone();
        root(metered, async {
            let ((tx, rx), (_keeps, never)) = (unbounded(), unbounded());
            let mut first = pin!(make(&rx, &never));
            assert!(poll_once(first.as_mut()).await.is_none());
            tx.try_send(7).expect("it has room");
            meter.left.store(1, Ordering::SeqCst);
            let won = poll_once(first.as_mut()).await;
            assert_eq!(meter.left.load(Ordering::SeqCst), 1 - takes, "a loser takes nothing");
            meter.left.store(usize::MAX, Ordering::SeqCst);
            won.flatten()
        })
        .await
    })
}

/// L12.6, L38: those that have lost take nothing of the budget, so that the winner's value is not kept waiting for it: whoever
/// stopped or dropped the race meanwhile would lose that.
#[test]
fn a_winner_waits_for_no_budget() {
    assert_eq!(won(async |rx, never| race((never.recv(), rx.recv())).await.ok()), Some(7));
    assert_eq!(won(async |rx, never| race([never.recv(), rx.recv(), never.recv()]).await.ok()), Some(7));
    assert_eq!(won(async |rx, never| first_ok([never.recv(), rx.recv()]).await.ok()), Some(7));
    // With a scope inside, which has to be asked to stop.
    let limited = async |rx: &Receiver<u32>| fail_after(Duration::from_secs(3600), rx.recv()).await.ok()?.ok();
    assert_eq!(won(async |rx, never| race((limited(never), limited(rx))).await), Some(7));
    assert_eq!(won(async |rx, never| race([limited(never), limited(rx), limited(never)]).await), Some(7));
    // With cleanup inside, which has to be run.
    let cleans = async |rx: &Receiver<u32>| {
        let scope = CancelScope::new().run(async {
            defer(async {});
            rx.recv().await
        });
        scope.await.ok()?.ok()
    };
    assert_eq!(won(async |rx, never| race((cleans(never), cleans(rx))).await), Some(7));
    assert_eq!(won(async |rx, never| race([cleans(never), cleans(rx), cleans(never)]).await), Some(7));
    // And the winner takes the last of the budget.
    let last = async |rx: &Receiver<u32>| {
        let value = cleans(rx).await;
        checkpoint().await;
        value
    };
    assert_eq!(won_with(1, async |rx, never| race((last(never), last(rx))).await), Some(7));
    assert_eq!(won_with(1, async |rx, never| race([last(never), last(rx), last(never)]).await), Some(7));
}

/// L38: it takes a unit for each branch that it begins: a loop of races that are won at once gives way.
#[test]
fn a_race_takes_from_the_budget_when_it_begins() {
    foster_sim::run(1, async {
        let metered = Metered::over_current();
        let meter = metered.clone();
        root(metered, async {
            let races = Cell::new(0);
            let mut all = pin!(async {
                for _ in 0..1_000 {
                    race((ready(()), pending())).await;
                    races.set(races.get() + 1);
                }
            });
            meter.left.store(20, Ordering::SeqCst);
            assert!(poll_once(all.as_mut()).await.is_none());
            assert!((10..=20).contains(&races.get()), "{races:?}");
            meter.left.store(usize::MAX, Ordering::SeqCst);
        })
        .await;
    });
}
