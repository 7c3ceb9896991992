//! Uses that foreign code drops while they close a resource which they do not use.

use super::db::{Db, Times, Used, id_of, pool, spoil};
use super::ms;
use crate::on_seeds;
use foster::combine::join;
use foster::pool::{Pool, PoolOptions, PoolStatistics};
use foster::{CancelScope, Instant, sleep};
use futures_lite::future::or;

/// Uses the pool until `time` is over, and drops the use then.
async fn use_until(pool: &Pool<Db>, time: u64) -> Option<Used> {
    or(async { Some(id_of(pool).await) }, async {
        sleep(ms(time)).await;
        None
    })
    .await
}

/// With and without a limit of the time in which a use gets its resource.
fn with_and_without_limit(test: impl AsyncFn(PoolOptions)) {
    for options in [PoolOptions::new(), PoolOptions::new().acquire_timeout(ms(1_000_000))] {
        on_seeds(|| test(options.clone().size(1)));
    }
}

/// A resource that is not alive is closed, within its budget, though the use is gone: the scope around waits for it.
#[test]
fn a_dropped_use_closes_what_is_not_alive() {
    for (budget, takes, closed) in [(1000, 50, 1), (30, 30, 0)] {
        with_and_without_limit(async |options| {
            let (pool, server) = pool(options.budget(ms(budget)), Times { close: 50, ..Times::default() });
            spoil(&pool).await;
            let start = Instant::now();
            let around = CancelScope::new().run(async {
                assert!(use_until(&pool, 10).await.is_none());
                // In its place still: nobody opens another one beside it.
                assert_eq!((start.elapsed(), pool.statistics().in_use), (ms(10), 1));
            });
            let next = async {
                sleep(ms(5)).await;
                (id_of(&pool).await.unwrap(), start.elapsed())
            };
            let ((), next) = join((async { around.await.unwrap() }, next)).await;
            assert_eq!((start.elapsed(), next), (ms(takes), (1, ms(takes))));
            let PoolStatistics { idle, in_use, opened, discarded, .. } = pool.statistics();
            assert_eq!((idle, in_use, opened, discarded), (1, 0, 2, 1));
            assert_eq!((server.open(), server.closed()), (1, closed));
        });
    }
}

/// The same for what is too old.
#[test]
fn a_dropped_use_closes_what_is_too_old() {
    with_and_without_limit(async |options| {
        let (pool, server) = pool(options.recycle_after(ms(100)), Times { close: 50, ..Times::default() });
        id_of(&pool).await.unwrap();
        sleep(ms(100)).await;
        let start = Instant::now();
        CancelScope::new().run(async { assert!(use_until(&pool, 10).await.is_none()) }).await.unwrap();
        assert_eq!((start.elapsed(), server.open(), server.closed()), (ms(50), 0, 1));
        assert_eq!(pool.statistics().in_use, 0);
    });
}

/// The same for what was opened while the pool was closed, which waits for that, too.
#[test]
fn a_dropped_use_closes_what_it_has_opened_too_late() {
    with_and_without_limit(async |options| {
        let (pool, server) = pool(options, Times { open: 20, close: 50, ..Times::default() });
        let start = Instant::now();
        let around = CancelScope::new().run(async { assert!(use_until(&pool, 30).await.is_none()) });
        let around = async {
            around.await.unwrap();
            start.elapsed()
        };
        let close = async {
            sleep(ms(5)).await;
            (pool.close(ms(9_000)).await, start.elapsed())
        };
        assert_eq!(join((around, close)).await, (ms(70), (0, ms(70))));
        assert_eq!((server.open(), server.closed(), pool.statistics().discarded), (0, 1, 1));
    });
}
