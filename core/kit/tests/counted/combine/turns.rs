//! Turns: a branch that uses up the task's budget in every poll keeps no other from its operations.

use foster::NurseryOptions;
use foster::channel::bounded;
use foster::combine::Emitter;
use foster::combine::{merge, produce};
use foster::nursery::UnsendNursery;

use futures_core::Stream;

use super::*;

/// How often each of some loops has sent and received.
struct Turns<const N: usize>([Cell<u32>; N]);

impl<const N: usize> Turns<N> {
    fn new() -> Self {
        Turns([const { Cell::new(0) }; N])
    }

    /// Sends and receives, which it never has to wait for, until all loops have done so often enough.
    async fn spin(&self, branch: usize) -> Result<(), ()> {
        let (tx, rx) = bounded(1);
        let turns = &self.0[branch];
        while self.0.iter().any(|turns| turns.get() < 300) {
            tx.send(()).await.unwrap();
            rx.recv().await.unwrap();
            turns.set(turns.get() + 1);
            assert!(turns.get() < 3_000, "{branch} keeps others from their turns: {:?}", self.0);
        }
        Ok(())
    }

    /// The same as a stream, which gives an item then.
    fn stream(&self, branch: usize) -> impl Stream<Item = ()> {
        produce(async move |mut out: Emitter<()>| {
            assert_eq!(self.spin(branch).await, Ok(()));
            out.emit(()).await;
        })
    }
}

/// L14: in a tuple, whose futures are all polled whenever it is.
#[test]
fn the_futures_of_a_tuple_share_the_budget() {
    on_seeds(async || {
        let turns = &Turns::<2>::new();
        assert_eq!(join((turns.spin(0), turns.spin(1))).await, (Ok(()), Ok(())));
        let turns = &Turns::<3>::new();
        assert_eq!(join((turns.spin(0), turns.spin(1), turns.spin(2))).await, (Ok(()), Ok(()), Ok(())));
        let turns = &Turns::<3>::new();
        assert_eq!(try_join((turns.spin(0), turns.spin(1), turns.spin(2))).await, Ok(((), (), ())));
        let turns = &Turns::<3>::new();
        assert_eq!(race((turns.spin(0), turns.spin(1), turns.spin(2))).await, Ok(()));
    });
}

/// L14: a tuple inside a tuple, which is polled every other time with nothing left of the budget.
#[test]
fn the_futures_of_a_tuple_in_a_tuple_share_the_budget() {
    on_seeds(async || {
        let turns = &Turns::<3>::new();
        let _ = join((join((turns.spin(0), turns.spin(1))), turns.spin(2))).await;
        let turns = &Turns::<4>::new();
        let _ = join((turns.spin(0), join((turns.spin(1), join((turns.spin(2), turns.spin(3))))))).await;
        let turns = &Turns::<3>::new();
        assert!(try_join((turns.spin(0), try_join((turns.spin(1), turns.spin(2))))).await.is_ok());
        let turns = &Turns::<3>::new();
        assert!(race((race((turns.spin(0), turns.spin(1))), turns.spin(2))).await.is_ok());
    });
}

/// L14: in a list, of which those are polled that were woken.
#[test]
fn the_futures_of_a_list_share_the_budget() {
    on_seeds(async || {
        let turns = &Turns::<3>::new();
        assert!(gather((0..3).map(|branch| turns.spin(branch))).await.is_ok());
        let turns = &Turns::<3>::new();
        assert_eq!(gather_results((0..3).map(|branch| turns.spin(branch))).await, [Ok(()); 3]);
        let turns = &Turns::<3>::new();
        assert!(race_all((0..3).map(|branch| turns.spin(branch))).await.is_some());
        let turns = &Turns::<3>::new();
        assert!(first_ok((0..3).map(|branch| turns.spin(branch))).await.is_ok());
        let turns = &Turns::<3>::new();
        assert!(quorum(2, (0..3).map(|branch| turns.spin(branch))).await.is_ok());
        let turns = &Turns::<3>::new();
        assert!(staggered(Duration::ZERO, (0..3).map(|branch| turns.spin(branch))).await.is_ok());
        let turns = &Turns::<3>::new();
        assert!(map_concurrent(3, 0..3, |branch| turns.spin(branch)).await.is_ok());
        let turns = &Turns::<3>::new();
        assert!(for_each_concurrent(3, 0..3, |branch| turns.spin(branch)).await.is_ok());
        let turns = &Turns::<3>::new();
        assert_eq!(map_concurrent_results(3, 0..3, |branch| turns.spin(branch)).await.len(), 3);
        let turns = &Turns::<3>::new();
        assert!(as_completed((0..3).map(|branch| turns.spin(branch))).next().await.is_some());
        let turns = &Turns::<3>::new();
        assert_eq!(merge((0..3).map(|branch| turns.stream(branch))).next().await, Some(()));
    });
}

/// L14: streams that are read beside a loop, and so are every other time polled with nothing left of the budget.
#[test]
fn merged_streams_in_a_tuple_share_the_budget() {
    on_seeds(async || {
        let turns = &Turns::<3>::new();
        let mut both = merge((0..2).map(|branch| turns.stream(branch)));
        assert_eq!(join((both.next(), turns.spin(2))).await, (Some(()), Ok(())));
    });
}

/// L14: a list, or a local nursery, beside a loop, so that it is polled every other time with nothing left of the
/// budget.
#[test]
fn lists_and_local_nurseries_in_a_tuple_share_the_budget() {
    on_seeds(async || {
        let turns = &Turns::<3>::new();
        let _ = join((gather((0..2).map(|branch| turns.spin(branch))), turns.spin(2))).await;
        let turns = &Turns::<3>::new();
        let local = NurseryOptions::new().run_local_unsend(async |n: UnsendNursery<'_, ()>| {
            n.spawn(turns.spin(0));
            n.spawn(turns.spin(1));
            Ok(())
        });
        assert_eq!(join((local, turns.spin(2))).await, (Ok(()), Ok(())));
    });
}

/// Of several that are ready in one turn the first that is polled counts, and the others complete no more.
#[test]
fn one_of_several_that_are_ready_completes() {
    on_seeds(async || {
        for turns in 0..5 {
            let completed = Cell::new(0);
            let ready = async |n: u32| {
                for _ in 0..turns {
                    yield_now().await;
                }
                completed.set(completed.get() + 1);
                n
            };
            let won = race((ready(1), ready(2), ready(3))).await;
            assert_eq!((won, completed.take()), (turns % 3 + 1, 1), "after {turns} turns");
            let failed = async |n: u32| Err::<(), _>(ready(n).await);
            let won = try_join((failed(1), failed(2), failed(3))).await;
            assert_eq!((won, completed.take()), (Err(turns % 3 + 1), 1), "after {turns} turns");
        }
    });
}

/// L14: the same for so many that a turn without budget polls none of them.
#[test]
fn many_beside_a_loop_share_the_budget() {
    on_one_seed(async {
        let hog = async |turns: &Turns<100>| {
            while turns.0.iter().any(|turns| turns.get() < 200) {
                checkpoint().await;
            }
        };
        let spin = async |turns: &Turns<100>, branch: usize| {
            while turns.0.iter().any(|turns| turns.get() < 200) {
                checkpoint().await;
                turns.0[branch].set(turns.0[branch].get() + 1);
                assert!(turns.0[branch].get() < 600, "{branch} keeps others from their turns: {:?}", turns.0);
            }
            Ok::<_, ()>(())
        };
        let turns = &Turns::new();
        let _ = join((hog(turns), gather((0..100).map(|branch| spin(turns, branch))))).await;
        let turns = &Turns::new();
        let _ = join((hog(turns), map_concurrent(100, 0..100, |branch| spin(turns, branch)))).await;
        let turns = &Turns::new();
        let mut all = merge((0..100).map(|branch| Box::pin(futures_lite::stream::once_future(spin(turns, branch)))));
        let _ = join((hog(turns), all.next())).await;
    });
}

/// A wait for foreign code needs no budget, and comes to an end also if foreign code polls the many of which it is one
/// behind a loop that uses up the budget in each poll.
#[test]
fn what_needs_no_budget_comes_behind_a_loop_that_leaves_none() {
    on_one_seed(async {
        let hog = async || {
            loop {
                checkpoint().await;
            }
        };
        let foreign = async || {
            for _ in 0..3 {
                futures_lite::future::yield_now().await;
            }
            Ok::<_, ()>(())
        };
        let many = gather((0..1000).map(async |_| foreign().await));
        futures_lite::future::or(hog(), async { _ = many.await }).await;
        let mut many = merge((0..1000).map(|_| Box::pin(futures_lite::stream::once_future(foreign()))));
        futures_lite::future::or(hog(), async { _ = many.next().await }).await;
    });
}

/// The number of polls grows with the number of streams or futures, not with its square: a turn without budget does not
/// poll all that are ready, in vain.
#[test]
fn many_that_are_ready_are_polled_a_few_times_each() {
    for n in [1_000, 100_000] {
        on_one_seed(async move {
            let polls = &Cell::new(0);
            let channels = (0..n).map(|n| {
                let (tx, mut rx) = bounded(1);
                tx.try_send(n).unwrap();
                Box::pin(futures_lite::stream::poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    Pin::new(&mut rx).poll_next(cx)
                }))
            });
            let mut merged = merge(channels);
            let mut items = 0;
            while merged.next().await.is_some() {
                items += 1;
            }
            assert_eq!(items, n);
            // For the item, and for the end.
            assert!(polls.get() <= 4 * n, "merge of {n}: {} polls", polls.take());
            polls.set(0);

            let ready = (0..n).map(|_| {
                let mut operation = Box::pin(checkpoint());
                poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    operation.as_mut().poll(cx)
                })
            });
            let mut ready = as_completed(ready);
            while ready.next().await.is_some() {}
            assert!(polls.get() <= 3 * n, "as_completed of {n}: {} polls", polls.get());
        });
    }
}
