//! Everything at once.

use super::*;

/// Everything at once, cut short at random: all guards are home, and every finalizer has run, when the scope returns.
#[test]
fn a_storm_of_nested_combinators_leaves_nothing() {
    on_seeds(async || {
        for _ in 0..20 {
            let alive = Rc::new(Alive::default());
            let finalized = Arc::new(AtomicUsize::new(0));
            let deferred = Cell::new(0);
            let random = |below: u64| foster_sim::random() % below;
            let leaf = |_: u64| {
                let (alive, finalized, deferred) = (&alive, &finalized, &deferred);
                async move {
                    let _inside = alive.enter();
                    let finalized = finalized.clone();
                    deferred.set(deferred.get() + 1);
                    defer(async move {
                        sleep(ms(foster_sim::random() % 3)).await;
                        finalized.fetch_add(1, Ordering::Relaxed);
                    });
                    match random(5) {
                        0 => shield(sleep(ms(random(9)))).await,
                        1 => to_thread(|| ()).await,
                        2 => yield_now().await,
                        _ => sleep(ms(random(20))).await,
                    }
                    if random(3) == 0 { Err(random(100)) } else { Ok(random(100)) }
                }
            };
            let limit = ms(random(40));
            let out = move_on_after(limit, async {
                let pairs = map_concurrent_results(5, 0..30u64, async |input| match input % 6 {
                    0 => race((leaf(0), leaf(1), leaf(2))).await.is_ok(),
                    1 => gather((0..4).map(leaf)).await.is_ok(),
                    2 => staggered(ms(2), (0..4).map(leaf)).await.is_ok(),
                    3 => quorum(2, (0..4).map(leaf)).await.is_ok(),
                    4 => as_completed((0..4).map(leaf)).next().await.is_some(),
                    _ => try_join((leaf(0), leaf(1))).await.is_ok(),
                })
                .await;
                assert_eq!(pairs.len(), 30);
            })
            .await;
            assert_eq!(alive.now.get(), 0, "{out:?}");
            assert_eq!(finalized.load(Ordering::Relaxed), deferred.get(), "{out:?}");
            assert!(deferred.get() > 0 || limit == Duration::ZERO);
        }
    });
}
