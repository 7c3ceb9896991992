//! The same for every input, with a limit.

use super::*;

/// B159: ordered by input; at most `limit` alive; input taken only when there is room.
#[test]
fn map_concurrent_is_ordered_and_keeps_its_limit() {
    on_seeds(async || {
        let alive = Rc::new(Alive::default());
        let taken = Cell::new(0);
        let inputs = [9, 1, 8, 2, 7, 3, 6, 4, 5].into_iter().inspect(|_| {
            taken.set(taken.get() + 1);
            assert!(alive.now.get() < 3, "an input was taken without room");
        });
        let out = map_concurrent(3, inputs, |time| {
            let inside = alive.enter();
            async move {
                let _inside = inside;
                succeed(time).await
            }
        })
        .await;
        assert_eq!(out, Ok(vec![9, 1, 8, 2, 7, 3, 6, 4, 5]));
        assert_eq!((alive.peak.get(), taken.get()), (3, 9));
    });
}

/// B159, L2: the finalizers of an item have run before another takes its place.
#[test]
fn map_concurrent_counts_an_item_until_it_has_cleaned_up() {
    on_seeds(async || {
        let start = Instant::now();
        map_concurrent_results(2, [5; 4], |time| tidy(time, 5)).await;
        assert_eq!(start.elapsed(), ms(20));
    });
}

/// B160: after a failure no item begins, and the running ones are cancelled and awaited.
#[test]
fn map_concurrent_stops_at_the_first_failure() {
    on_seeds(async || {
        let start = Instant::now();
        let alive = Rc::new(Alive::default());
        let failed = map_concurrent(2, 1.., |input| {
            let inside = alive.enter();
            async move {
                let _inside = inside;
                if input == 4 {
                    return Err(input);
                }
                Ok(tidy(input * 10, 3).await)
            }
        })
        .await;
        // 1: 0–13, 2: 0–23, 3: 13–46; 4 fails at 23, and 3 cleans up until 26.
        assert_eq!((failed, start.elapsed()), (Err(4), ms(26)));
        assert_eq!((alive.ever.get(), alive.now.get()), (4, 0));
    });
}

/// An endless input of items that are ready at once does not keep the task: it can be cancelled.
#[test]
fn an_endless_map_of_ready_items_can_be_cancelled() {
    on_seeds(async || {
        let count = Cell::new(0u64);
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let endless = scope.run(for_each_concurrent(4, 0.., async |_| count.set(count.get() + 1)));
        let stop = async {
            for _ in 0..3 {
                yield_now().await;
            }
            handle.cancel("enough");
        };
        let (out, ()) = join((endless, stop)).await;
        assert!(out.is_err());
        assert!(count.get() > 0);
    });
}

/// A limit of zero is refused where it is given.
#[test]
fn a_limit_of_zero_is_refused() {
    let refused = catch_unwind(|| drop(map_concurrent_results(0, 0..3, async |n: i32| n)));
    let message = *refused.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("limit of zero"), "{message}");
}
