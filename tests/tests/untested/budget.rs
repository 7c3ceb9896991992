//! Turns of those who poll many futures, with a budget and without.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use foster::combine::{join, merge, race_all};
use foster::runtime::root;
use foster::{LocalNursery, local_nursery};
use futures_lite::future::poll_once;

use super::runtimes::Metered;

/// Who was polled, in order.
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
