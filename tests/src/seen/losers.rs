//! Values that the losers of a race were given, and took with them; and those that its winner was given, and that were
//! thrown away.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::channel::{Receiver, bounded, unbounded};
use foster::combine::{first_ok, quorum, race, race_all, staggered, try_join};
use foster::{CancelScope, Nursery, move_on_after, nursery, sleep, yield_now};

use super::{ends, rounds};
use crate::harness::ms;

const ROUNDS: usize = 5;

/// How many numbers pass through the channel in a round.
const NUMBERS: u32 = 24;

/// Sends numbers with pauses of no and of one millisecond, and receives them with `next`, which gives up after a
/// millisecond: each has to arrive.
async fn all_arrive(name: &'static str, next: impl AsyncFn(&Receiver<u32>) -> Option<u32>) {
    ends(name, async {
        for round in rounds(ROUNDS, 1) {
            let (tx, rx) = bounded(round % 3);
            let next = &next;
            let Ok(()) = nursery(async move |n: Nursery| {
                n.spawn(async move {
                    for number in 0..NUMBERS {
                        match number % 3 {
                            0 => sleep(ms(u64::from(number % 2))).await,
                            _ => yield_now().await,
                        }
                        tx.send(number).await.expect("the receiver is there until all have come");
                    }
                    Ok(())
                });
                let mut come = Vec::new();
                while come.len() < NUMBERS as usize && come.last() != Some(&(NUMBERS - 1)) {
                    come.extend(next(&rx).await);
                }
                assert_eq!(come, (0..NUMBERS).collect::<Vec<_>>());
                Ok(())
            })
            .await;
        }
    })
    .await;
}

async fn tick() -> Option<u32> {
    sleep(ms(1)).await;
    None
}

/// L12: a `recv` that loses the race to a timer has taken nothing, whichever is polled first.
pub async fn a_race_loses_nothing_that_the_loser_was_given() {
    let name = "a_race_loses_nothing_that_the_loser_was_given";
    all_arrive(name, async |rx| race((async { rx.recv().await.ok() }, tick())).await).await;
    all_arrive(name, async |rx| race((tick(), async { rx.recv().await.ok() })).await).await;
    // With a scope inside, which has to be asked to stop.
    let limited = async |rx: &Receiver<u32>| move_on_after(Duration::from_secs(3600), rx.recv()).await?.ok();
    all_arrive(name, async |rx| race((limited(rx), tick())).await).await;
}

/// L12: the same with futures in a list.
pub async fn a_race_of_a_list_loses_nothing_that_the_loser_was_given() {
    type Boxed<'a> = Pin<Box<dyn Future<Output = Option<u32>> + 'a>>;

    all_arrive("a_race_of_a_list_loses_nothing_that_the_loser_was_given", async |rx| {
        let both: [Boxed<'_>; 2] = [Box::pin(tick()), Box::pin(async { rx.recv().await.ok() })];
        race_all(both).await.flatten()
    })
    .await;
}

/// L12: an error stops a `recv` beside it, which has taken nothing then.
pub async fn a_join_that_fails_loses_nothing_that_another_branch_was_given() {
    all_arrive("a_join_that_fails_loses_nothing_that_another_branch_was_given", async |rx| {
        let failed = async { tick().await.ok_or("late") };
        let received = async { rx.recv().await.map_err(|_| "closed") };
        // The one that has received succeeds, and the other one fails then: what was received is known all the same.
        let come = Cell::new(None);
        let kept = async {
            come.set(Some(received.await?));
            Err::<(), _>("received")
        };
        try_join((failed, kept)).await.expect_err("one of them fails");
        come.take()
    })
    .await;
}

/// The ways to receive from the first one to have something.
async fn first_of(way: usize, a: &Receiver<u32>, b: &Receiver<u32>) -> Option<u32> {
    const LONG: Duration = Duration::from_secs(3600);
    match way {
        0 => race((a.recv(), b.recv())).await.ok(),
        1 => race((b.recv(), a.recv())).await.ok(),
        2 => race_all([a.recv(), b.recv()]).await?.ok(),
        3 => first_ok([a.recv(), b.recv()]).await.ok(),
        4 => quorum(1, [a.recv(), b.recv()]).await.ok()?.pop(),
        5 => staggered(LONG, [a.recv(), b.recv()]).await.ok(),
        _ => unreachable!("there are {WAYS}"),
    }
}

const WAYS: usize = 6;

/// L12, L14: the winner was given its value before the request, and completes in its one poll. That its loser is cut by
/// the same request is no matter.
pub async fn a_race_that_is_cancelled_loses_nothing_that_the_winner_was_given() {
    ends("a_race_that_is_cancelled_loses_nothing_that_the_winner_was_given", async {
        for way in rounds(ROUNDS, 1).flat_map(|_| 0..WAYS) {
            let ((tx, rx), (_keeps, never)) = (unbounded(), unbounded());
            let (come, left) = (Arc::new(Mutex::new(None)), rx.clone());
            let received = come.clone();
            let Ok(()) = nursery(async move |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                n.spawn(async move {
                    let race = async { *received.lock().unwrap() = first_of(way, &rx, &never).await };
                    // Completed, or cut before it was given anything.
                    drop(scope.run(race).await);
                    Ok(())
                });
                for _ in 0..4 {
                    yield_now().await;
                }
                tx.try_send(7).expect("it has room");
                handle.cancel("no more is wanted");
                Ok(())
            })
            .await;
            let come = *come.lock().unwrap();
            assert!(come.is_some() != left.try_recv().is_ok(), "way {way}: received {come:?}");
        }
    })
    .await;
}

/// L12, L14: the same with a limit, which passes at any moment.
pub async fn a_limit_around_a_race_loses_nothing_that_the_winner_was_given() {
    let way = Cell::new(0);
    all_arrive("a_limit_around_a_race_loses_nothing_that_the_winner_was_given", async |rx| {
        let (_keeps, never) = unbounded();
        way.set((way.get() + 1) % WAYS);
        let limit = Duration::from_micros(100 * way.get() as u64);
        move_on_after(limit, first_of(way.get(), rx, &never)).await.flatten()
    })
    .await;
}
