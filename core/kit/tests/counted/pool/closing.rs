//! The end of a pool, when something goes wrong or on meanwhile.

use std::any::Any;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::db::{Failed, Times, Used, id_of, pool, spoil};
use super::{futures_poll, ms};
use crate::on_seeds;
use foster::combine::join;
use foster::pool::{Manage, Pool, PoolError, PoolOptions, PoolStatistics};
use foster::{CancelScope, Instant, fail_after, sleep, sleep_forever};
use futures_lite::FutureExt;

/// A payload that panics again when it is dropped.
struct Bomb(usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload of {} is dropped", self.0);
    }
}

/// Which bomb it was, without setting it off.
fn defuse(payload: Box<dyn Any + Send>) -> Option<usize> {
    let number = payload.downcast_ref().map(|Bomb(number)| *number);
    mem::forget(payload);
    number
}

/// The closings of 1 and 2 panic: at once, and after a while.
#[derive(Clone, Default)]
struct Fragile {
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Manage for Fragile {
    type Resource = usize;
    type Error = &'static str;

    async fn open(&self) -> Result<usize, &'static str> {
        Ok(self.opened.fetch_add(1, Ordering::SeqCst))
    }

    async fn close(&self, number: usize) {
        if number == 1 {
            std::panic::panic_any(Bomb(1));
        }
        sleep(ms(5)).await;
        if number == 2 {
            std::panic::panic_any(Bomb(2));
        }
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

async fn use_for(pool: &Pool<impl Manage<Error = &'static str>>, time: Duration) -> Used<()> {
    pool.run(async |_| {
        sleep(time).await;
        Ok(())
    })
    .await
}

/// A pool with four idle resources, opened in order.
async fn fragile() -> (Pool<Fragile>, Fragile) {
    let manage = Fragile::default();
    let pool = Pool::new(5, manage.clone());
    let used = || use_for(&pool, ms(1));
    let all = join((used(), used(), used(), used())).await;
    assert!(matches!(all, (Ok(()), Ok(()), Ok(()), Ok(()))));
    assert_eq!(pool.statistics().idle, 4);
    (pool, manage)
}

/// The panic of one closing keeps nobody from being closed, cancelled or waited for; the first one resumes at the end.
#[test]
fn a_close_that_panics_closes_the_others() {
    on_seeds(async || {
        let (pool, manage) = fragile().await;
        let start = Instant::now();
        let hold = async || -> Used<()> {
            pool.run(async |number| {
                // Not one of those whose closing panics.
                assert!(**number == 0 || **number > 2);
                sleep_forever().await;
                Ok(())
            })
            .await
        };
        // It takes the last one that has come back.
        let (used, closed) = join((hold(), async {
            sleep(ms(1)).await;
            let closed = AssertUnwindSafe(pool.close(ms(20))).catch_unwind().await;
            (closed.map_err(defuse), start.elapsed())
        }))
        .await;
        assert!(matches!(used, Err(Failed::Pool(PoolError::Closed))), "{used:?}");
        // A millisecond, the grace, and the closing of what was in use.
        assert_eq!(closed, (Err(Some(1)), ms(26)));
        let PoolStatistics { idle, in_use, opened, discarded, .. } = pool.statistics();
        assert_eq!((idle, in_use, opened, discarded, manage.closed.load(Ordering::SeqCst)), (0, 0, 4, 4, 2));
        assert_eq!(pool.close(ms(0)).await, 0);
    });
}

/// L35: foreign code drops the call when a panic is kept already. It fails the scope around.
#[test]
fn a_kept_panic_of_a_close_is_not_lost() {
    on_seeds(async || {
        let (pool, manage) = fragile().await;
        let dropped = CancelScope::new().run(async {
            let mut closing = Box::pin(pool.close(ms(20)));
            assert!(futures_poll(closing.as_mut()).await);
            drop(closing);
            sleep_forever().await;
        });
        let out = AssertUnwindSafe(fail_after(ms(50), dropped)).catch_unwind().await;
        assert_eq!(out.map_err(defuse).unwrap_err(), Some(1));
        assert_eq!(manage.closed.load(Ordering::SeqCst), 0);
        // The others are gone, and nobody waits for them.
        assert_eq!(fail_after(ms(1), pool.close(ms(0))).await.unwrap(), 0);
    });
}

/// Each call that closes the pool returns when everything has ended, also what another one closes.
#[test]
fn closing_twice_waits_for_the_same_end() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times { close: 100, ..Times::default() });
        id_of(&pool).await.unwrap();
        let start = Instant::now();
        let close = async |delay: u64, grace: u64| {
            sleep(ms(delay)).await;
            (pool.close(ms(grace)).await, start.elapsed(), server.open())
        };
        let ended = (0, ms(100), 0);
        assert_eq!(join((close(0, 500), close(10, 500), close(20, 0))).await, (ended, ended, ended));
    });
    // Without the first one, there is nothing left to wait for.
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times { close: 100, ..Times::default() });
        id_of(&pool).await.unwrap();
        let mut first = Box::pin(pool.close(ms(500)));
        assert!(futures_poll(first.as_mut()).await);
        let second = async { fail_after(ms(50), pool.close(ms(500))).await.unwrap() };
        let start = Instant::now();
        let (cut, ()) = join((second, async {
            sleep(ms(10)).await;
            drop(first);
        }))
        .await;
        assert_eq!((cut, start.elapsed(), server.open(), server.closed()), (0, ms(10), 0, 0));
    });
}

/// A use that opens or checks a resource while the pool is closed does not get it: it is closed.
#[test]
fn a_closed_pool_hands_nothing_out() {
    for limit in [ms(200), Duration::MAX] {
        for dead in [None, Some(false), Some(true)] {
            on_seeds(async || {
                let times = Times { open: 50, check: 50, close: 7, ..Times::default() };
                let (pool, server) = pool(PoolOptions::new().size(1).acquire_timeout(limit), times);
                match dead {
                    None => {}
                    Some(false) => drop(id_of(&pool).await.unwrap()),
                    Some(true) => spoil(&pool).await,
                }
                let start = Instant::now();
                let (used, closed) = join((id_of(&pool), async {
                    sleep(ms(10)).await;
                    let cut = pool.close(ms(500)).await;
                    (cut, start.elapsed(), server.open(), pool.statistics())
                }))
                .await;
                assert!(matches!(used, Err(Failed::Pool(PoolError::Closed))), "{used:?}");
                let (cut, at, open, PoolStatistics { in_use, opened, discarded, .. }) = closed;
                assert_eq!((cut, at, open, in_use, opened, discarded), (0, ms(57), 0, 0, 1, 1));
                assert_eq!(server.closed(), 1);
            });
        }
    }
}

/// L35: the error of an `open` that has failed is not lost because the pool is closed by then, nor because its use was
/// cancelled at the end of the grace; that of an `open` which was cut is none.
#[test]
fn an_error_of_open_comes_out_of_a_closed_pool() {
    for (limit, grace) in [(ms(200), 500), (Duration::MAX, 500), (Duration::MAX, 40)] {
        on_seeds(async || {
            let options = PoolOptions::new().size(1).acquire_timeout(limit);
            let (pool, server) = pool(options, Times { open: 50, ..Times::default() });
            server.down.store(true, Ordering::SeqCst);
            let (used, cut) = join((id_of(&pool), async {
                sleep(ms(10)).await;
                pool.close(ms(grace)).await
            }))
            .await;
            assert!(pool.is_closed() && cut == 0, "{cut}");
            assert!(matches!(used, Err(Failed::Pool(PoolError::Open("down")))), "{used:?}");
        });
    }
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times { open: 50, ..Times::default() });
        server.down.store(true, Ordering::SeqCst);
        let (used, cut) = join((id_of(&pool), async {
            sleep(ms(10)).await;
            pool.close(ms(20)).await
        }))
        .await;
        assert_eq!(cut, 1);
        assert!(matches!(used, Err(Failed::Pool(PoolError::Closed))), "{used:?}");
    });
}

/// Looks at the pool in the very moment in which it wakes whoever closes it.
struct Watcher {
    pool: Pool<Fragile>,
    seen: Mutex<Vec<PoolStatistics>>,
    waker: Waker,
}

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        let statistics = self.pool.statistics();
        self.seen.lock().unwrap().push(statistics);
        self.waker.wake_by_ref();
    }
}

/// A discarded resource is counted before its place is free: on several threads, code that waits for that looks at
/// once.
#[test]
fn what_is_discarded_is_counted_before_its_place_is_free() {
    on_seeds(async || {
        let pool = Pool::new(1, Fragile::default());
        let (used, seen) = join((use_for(&pool, ms(10)), async {
            sleep(ms(1)).await;
            let mut closing = Box::pin(pool.close(ms(500)));
            let seen = std::future::poll_fn(|cx| {
                let watcher = Watcher { pool: pool.clone(), seen: Mutex::default(), waker: cx.waker().clone() };
                std::task::Poll::Ready(Arc::new(watcher))
            })
            .await;
            let waker = Waker::from(seen.clone());
            let cut = std::future::poll_fn(|_| closing.as_mut().poll(&mut Context::from_waker(&waker))).await;
            assert_eq!(cut, 0);
            seen
        }))
        .await;
        used.unwrap();
        let seen = seen.seen.lock().unwrap();
        // The end of the uses was among them.
        assert!(seen.iter().any(|statistics| statistics.in_use == 0), "{seen:?}");
        for PoolStatistics { in_use, opened, discarded, .. } in seen.iter() {
            assert_eq!(in_use + *discarded as usize, *opened as usize);
        }
    });
}
