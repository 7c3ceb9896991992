//! The pool, on many seeds of the simulator: virtual time, so all times are exact.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::on_seeds;
use foster::combine::{for_each_concurrent, join};
use foster::pool::{Manage, Pool, PoolError, PoolOptions, PoolStatistics};
use foster::{
    CancelScope, Instant, Nursery, checkpoint, fail_after, move_on_after, nursery, shield, sleep, sleep_forever,
    to_thread, yield_now,
};
use foster_sim::random;
use futures_lite::FutureExt;

mod closing;
mod db;
mod dropped;

use db::{Failed, Times, Used, id_of, pool, spoil};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The same resource again, as long as it is idle; more only when more are needed at once.
#[test]
fn a_resource_is_used_again() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(3), Times { open: 5, ..Times::default() });
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(id_of(&pool).await.unwrap(), 0);
        }
        assert_eq!(start.elapsed(), ms(5));
        let hold = async || -> Used<()> {
            pool.run(async |_| {
                sleep(ms(10)).await;
                Ok(())
            })
            .await
        };
        join((hold(), hold())).await.0.unwrap();
        let PoolStatistics { idle, in_use, opened, discarded, .. } = pool.statistics();
        assert_eq!((idle, in_use, opened, discarded, server.open()), (2, 0, 2, 0, 2));
        assert_eq!(pool.close(ms(0)).await, 0);
        assert_eq!((server.open(), server.closed()), (0, 2));
        assert!(matches!(id_of(&pool).await, Err(Failed::Pool(PoolError::Closed))));
    });
}

/// Never more than the size and the overflow; the longest waiter is first; what is more than the size is closed after
/// its use.
#[test]
fn size_overflow_and_order() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(2).overflow(1), Times::default());
        let start = Instant::now();
        let order = RefCell::new(Vec::new());
        let work = async |n: u64| {
            sleep(Duration::from_micros(n)).await;
            let used: Used<()> = pool
                .run(async |_| {
                    order.borrow_mut().push(n);
                    sleep(ms(10)).await;
                    Ok(())
                })
                .await;
            used.unwrap();
        };
        join((for_each_concurrent(9, 0..9, work), async {
            sleep(ms(5)).await;
            let PoolStatistics { in_use, waiting, .. } = pool.statistics();
            assert_eq!((in_use, waiting), (3, 6));
        }))
        .await;
        assert_eq!(start.elapsed(), ms(30) + Duration::from_micros(2));
        assert_eq!(*order.borrow(), Vec::from_iter(0..9));
        assert_eq!((server.peak.load(Ordering::SeqCst), pool.statistics().idle, server.open()), (3, 2, 2));
    });
}

/// Waiting, checking and opening together; and a queue that is long enough.
#[test]
fn waiting_has_its_limits() {
    on_seeds(async || {
        let line = line!() + 1;
        let options = PoolOptions::new().size(1).acquire_timeout(ms(20)).max_waiting(1);
        let (pool, _) = pool(options, Times { open: 6, ..Times::default() });
        let start = Instant::now();
        let hold = async |delay: u64| {
            sleep(ms(delay)).await;
            let used: Used<()> = pool
                .run(async |_| {
                    sleep(ms(50)).await;
                    Ok(())
                })
                .await;
            (used, start.elapsed())
        };
        let (first, second, third) = join((hold(0), hold(1), hold(2))).await;
        assert!(matches!(first, (Ok(()), at) if at == ms(56)));
        let (Err(Failed::Pool(PoolError::Timeout(elapsed))), at) = second else { panic!("{second:?}") };
        assert_eq!((at, elapsed.location().file(), elapsed.location().line()), (ms(21), file!(), line));
        assert!(matches!(third, (Err(Failed::Pool(PoolError::Busy)), at) if at == ms(2)));
    });
}

/// A resource that is not alive is closed and replaced, and so is one that is too old.
#[test]
fn broken_and_old_resources_are_replaced() {
    on_seeds(async || {
        let (pool, server) =
            pool(PoolOptions::new().size(2).recycle_after(ms(100)), Times { check: 1, close: 1, ..Times::default() });
        spoil(&pool).await;
        assert_eq!(pool.statistics().idle, 1);
        let start = Instant::now();
        assert_eq!((id_of(&pool).await.unwrap(), start.elapsed(), server.closed()), (1, ms(2), 1));
        sleep(ms(98)).await;
        assert_eq!(id_of(&pool).await.unwrap(), 1);
        assert_eq!((server.closed(), server.open()), (1, 1));
        sleep(ms(5)).await;
        assert_eq!((id_of(&pool).await.unwrap(), server.closed(), server.open()), (2, 2, 1));
        // It is too old when it comes back.
        let long: Used<u32> = pool
            .run(async |connection| {
                sleep(ms(100)).await;
                Ok(connection.id)
            })
            .await;
        assert_eq!((long.unwrap(), server.closed(), server.open(), pool.statistics().idle), (2, 3, 0, 0));
        assert_eq!(pool.statistics().discarded, 3);
    });
}

/// The error of `open` comes out; the place is free again.
#[test]
fn an_error_of_open_comes_out() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times::default());
        server.down.store(true, Ordering::SeqCst);
        assert!(matches!(id_of(&pool).await, Err(Failed::Pool(PoolError::Open("down")))));
        server.down.store(false, Ordering::SeqCst);
        id_of(&pool).await.unwrap();
    });
}

/// L23: a use that was cut short, has failed or panicked leaves nothing that is used again; its resource is closed
/// before the call ends, and only then is its place free.
#[test]
fn a_use_that_was_cut_short_leaves_no_dirty_resource() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times { close: 3, ..Times::default() });
        let start = Instant::now();
        let cut = move_on_after(
            ms(5),
            pool.run(async |mut connection| -> Used<()> {
                connection.dirty = true;
                sleep_forever().await;
                Ok(())
            }),
        );
        let (cut, next) = join((cut, async {
            sleep(ms(1)).await;
            (id_of(&pool).await.unwrap(), start.elapsed())
        }))
        .await;
        assert!(cut.is_none());
        assert_eq!((next, server.closed()), ((1, ms(8)), 1));
        let failed: Used<()> = pool.run(async |_| Err(Failed::Body("no"))).await;
        assert!(matches!(failed, Err(Failed::Body("no"))));
        assert_eq!((server.open(), server.closed()), (0, 2));
        let nursery_fails: Result<(), Failed> = nursery(async |n: Nursery<Failed>| {
            let pool = pool.clone();
            n.spawn(async move {
                pool.run(async |mut connection| {
                    connection.dirty = true;
                    sleep_forever().await;
                    Ok(())
                })
                .await
            });
            yield_now().await;
            sleep(ms(1)).await;
            Err(Failed::Body("sibling"))
        })
        .await;
        assert!(nursery_fails.is_err());
        assert_eq!((server.open(), server.closed()), (0, 3));
        // Dropped by foreign code: the scope around waits for the release (L27).
        fail_after(ms(100), async {
            let mut dropped = Box::pin(pool.run(async |_| -> Used<()> {
                sleep_forever().await;
                Ok(())
            }));
            assert!(futures_poll(dropped.as_mut()).await);
            drop(dropped);
            assert_eq!(pool.statistics().in_use, 1);
        })
        .await
        .unwrap();
        assert_eq!((server.open(), server.closed(), pool.statistics().in_use), (0, 4, 0));
    });
}

/// Polls a few times; says whether it is pending.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    for _ in 0..8 {
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
        if !pending {
            return false;
        }
        yield_now().await;
    }
    true
}

/// L40: cancelled while it checks: the resource is dropped, and its place goes to the next.
#[test]
fn an_acquire_that_is_cancelled_leaves_its_place() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1), Times { check: 10, open: 4, ..Times::default() });
        let start = Instant::now();
        id_of(&pool).await.unwrap();
        let (cut, next) = join((move_on_after(ms(5), id_of(&pool)), async {
            sleep(ms(1)).await;
            (id_of(&pool).await.unwrap(), start.elapsed())
        }))
        .await;
        assert!(cut.is_none());
        assert_eq!(next, (1, ms(4 + 5 + 4)));
        assert_eq!((server.open(), pool.statistics().idle, pool.statistics().discarded), (1, 1, 1));
    });
}

/// L14: cancelled while it closes a resource that is not alive, it takes no other out of the pool, to drop it.
#[test]
fn a_cancelled_acquire_takes_no_further_resource() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(2), Times { check: 1, close: 10, ..Times::default() });
        let spoil = async || -> Used<()> {
            pool.run(async |mut connection| {
                sleep(ms(1)).await;
                connection.dead = true;
                Ok(())
            })
            .await
        };
        let (one, other) = join((spoil(), spoil())).await;
        one.unwrap();
        other.unwrap();
        assert_eq!(pool.statistics().idle, 2);
        assert!(move_on_after(ms(5), id_of(&pool)).await.is_none());
        let PoolStatistics { idle, in_use, discarded, .. } = pool.statistics();
        assert_eq!((idle, in_use, discarded, server.open(), server.closed()), (1, 0, 1, 1, 1));
    });
}

/// An idle resource that is not alive is closed before another one takes its place. If that takes too long, the use has
/// no resource in time; the closing goes on, within its budget, and the scope around the call waits for it.
#[test]
fn a_slow_close_does_not_hold_up_an_acquire() {
    for (close, budget, takes) in [(10, 1000, None), (200, 1000, Some(200)), (1000, 150, Some(150))] {
        on_seeds(async || {
            let options = PoolOptions::new().size(1).acquire_timeout(ms(20)).budget(ms(budget));
            let (pool, server) = pool(options, Times { open: 1, close, ..Times::default() });
            spoil(&pool).await;
            let start = Instant::now();
            let used = move_on_after(ms(5000), async {
                let used = id_of(&pool).await;
                let PoolStatistics { idle, in_use, opened, discarded, .. } = pool.statistics();
                match takes {
                    // Closed, and another one opened.
                    None => {
                        assert_eq!((start.elapsed(), idle, in_use, opened, discarded), (ms(11), 1, 0, 2, 1));
                        assert_eq!(server.closed(), 1);
                    }
                    // It is being closed still, in its place: nobody opens another one beside it.
                    Some(_) => {
                        assert_eq!((start.elapsed(), idle, in_use, opened, discarded), (ms(20), 0, 1, 1, 1));
                        assert!(matches!(id_of(&pool).await, Err(Failed::Pool(PoolError::Timeout(_)))));
                        assert_eq!((start.elapsed(), server.open()), (ms(40), 1));
                    }
                }
                used
            });
            let used = used.await.unwrap();
            let PoolStatistics { in_use, discarded, .. } = pool.statistics();
            assert_eq!((in_use, discarded), (0, 1));
            match takes {
                None => assert_eq!(used.unwrap(), 1),
                Some(takes) => {
                    assert!(matches!(used, Err(Failed::Pool(PoolError::Timeout(_)))));
                    assert_eq!((start.elapsed(), server.open()), (ms(takes), 0));
                    assert_eq!(server.closed(), usize::from(close < budget));
                }
            }
            id_of(&pool).await.unwrap();
            assert_eq!(server.peak.load(Ordering::SeqCst), 1);
        });
    }
}

/// The place of a resource that is being closed goes to whoever waits for one, as soon as it is closed.
#[test]
fn the_place_of_a_slow_close_goes_to_the_next() {
    on_seeds(async || {
        let options = PoolOptions::new().size(1).acquire_timeout(ms(50));
        let (pool, server) = pool(options, Times { close: 80, ..Times::default() });
        spoil(&pool).await;
        let start = Instant::now();
        let (cut, next) = join((id_of(&pool), async {
            sleep(ms(40)).await;
            (id_of(&pool).await.unwrap(), start.elapsed())
        }))
        .await;
        assert!(matches!(cut, Err(Failed::Pool(PoolError::Timeout(_)))));
        assert_eq!((next, server.closed()), ((1, ms(80)), 1));
        // Closing the pool waits for it, too.
        spoil(&pool).await;
        assert!(id_of(&pool).await.is_err());
        assert_eq!((pool.close(ms(1000)).await, start.elapsed(), server.open()), (0, ms(160), 0));
    });
}

/// A panic of `close` comes out, whichever way it is closed, and the place is free.
#[test]
fn a_close_that_panics_comes_out() {
    struct Fragile;

    impl Manage for Fragile {
        type Resource = ();
        type Error = &'static str;

        async fn open(&self) -> Result<(), &'static str> {
            Ok(())
        }

        async fn is_alive(&self, (): &mut ()) -> bool {
            false
        }

        async fn close(&self, (): ()) {
            sleep(ms(1)).await;
            std::panic::panic_any("close")
        }
    }

    for limit in [ms(50), Duration::MAX] {
        on_seeds(async || {
            let pool = PoolOptions::new().size(1).acquire_timeout(limit).build(Fragile);
            let used = async || pool.run(async |_| -> Used<()> { Ok(()) }).await;
            used().await.unwrap();
            let out = AssertUnwindSafe(CancelScope::new().run(used())).catch_unwind().await;
            assert_eq!(out.unwrap_err().downcast_ref(), Some(&"close"));
            assert_eq!((pool.statistics().in_use, Instant::now()), (0, Instant::from_nanos(1_000_000)));
            used().await.unwrap();
        });
    }
}

/// A reset or a close that takes longer than its budget is cut off; the resource is dropped, and the place is free.
#[test]
fn a_slow_release_is_cut_off() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(1).budget(ms(20)), Times { reset: 1000, ..Times::default() });
        let start = Instant::now();
        id_of(&pool).await.unwrap();
        assert_eq!((start.elapsed(), server.open(), pool.statistics().discarded), (ms(20), 0, 1));
        id_of(&pool).await.unwrap();
    });
}

/// Closing waits for the uses, within the grace; then it cancels them. Code that waits for a resource is told at once.
#[test]
fn close_drains_within_its_grace() {
    on_seeds(async || {
        let (pool, server) = pool(PoolOptions::new().size(3), Times { close: 2, ..Times::default() });
        let start = Instant::now();
        let hold = async |time: u64| {
            let used: Used<()> = pool
                .run(async |_| {
                    sleep(ms(time)).await;
                    Ok(())
                })
                .await;
            (used, start.elapsed())
        };
        let late = async {
            sleep(ms(1)).await;
            hold(0).await
        };
        let closing = async {
            sleep(ms(10)).await;
            (pool.close(ms(30)).await, start.elapsed())
        };
        let shielded = pool.run(async |_| -> Used<()> {
            shield(sleep(ms(60))).await;
            sleep_forever().await;
            Ok(())
        });
        let (short, long, last, late, closed) = join((hold(25), hold(1000), shielded, late, closing)).await;
        assert!(matches!(short, (Ok(()), at) if at == ms(27)), "{short:?}");
        assert!(matches!(long, (Err(Failed::Pool(PoolError::Closed)), at) if at == ms(42)), "{long:?}");
        assert!(matches!(last, Err(Failed::Pool(PoolError::Closed))));
        assert!(matches!(late, (Err(Failed::Pool(PoolError::Closed)), at) if at == ms(10)), "{late:?}");
        assert_eq!(closed, (2, ms(62)));
        assert_eq!((server.open(), server.closed(), pool.statistics().in_use), (0, 3, 0));
        assert_eq!(pool.close(ms(0)).await, 0);
    });
}

/// A closure is enough; what `open` borrows from nobody may come from a thread.
#[test]
fn a_closure_makes_a_pool() {
    on_seeds(async || {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        let pool = Pool::new(1, move || {
            let count = count.clone();
            async move { to_thread(move || std::io::Result::Ok(count.fetch_add(1, Ordering::SeqCst))).await }
        });
        for _ in 0..3 {
            let used: std::io::Result<usize> = pool.run(async |n| Ok(**n)).await;
            assert_eq!(used.unwrap(), 0);
        }
        let failed: std::io::Result<()> = pool.run(async |_| Err(std::io::Error::other("no"))).await;
        failed.unwrap_err();
        let used: std::io::Result<usize> = pool.run(async |n| Ok(**n)).await;
        assert_eq!((used.unwrap(), opened.load(Ordering::SeqCst)), (1, 2));
    });
}

/// A use may be spawned, and what it returns may fail in any way.
#[test]
fn a_use_is_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    on_seeds(async || {
        let (pool, _) = pool(PoolOptions::new(), Times::default());
        let out: Result<u32, Box<dyn std::error::Error + Send + Sync>> = send(async {
            let pool = Pool::new(1, async || std::io::Result::Ok(7_u32));
            pool.run(async |n| Ok(**n)).await
        })
        .await;
        assert_eq!(out.unwrap(), 7);
        drop(pool);
    });
}

/// The storm: tasks that use a pool, each cancelled at a random moment, something every virtual millisecond. At the end
/// every resource is home or closed, every place free, and nobody has ever got a dirty one.
#[test]
fn storm() {
    let (finished, cut) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    on_seeds(async || {
        let times = Times { open: random() % 4, check: random() % 3, reset: random() % 3, close: random() % 4 };
        let size = 1 + random() as usize % 4;
        let overflow = random() as usize % 3;
        let options = PoolOptions::new().size(size).overflow(overflow).recycle_after(ms(10 + random() % 40));
        let options = options.acquire_timeout(ms(5 + random() % 50)).budget(ms(1 + random() % 8));
        let (pool, server) = pool(options, times);
        let scopes = RefCell::new(Vec::new());
        let users = for_each_concurrent(40, 0..40, async |_| {
            for _ in 0..6 {
                sleep(Duration::from_micros(random() % 20_000)).await;
                let mut scope = CancelScope::new();
                scopes.borrow_mut().push(scope.handle());
                let used = scope.run(pool.run(async |mut connection| -> Used<()> {
                    assert!(!connection.dirty && !connection.dead);
                    connection.dirty = true;
                    match random() % 5 {
                        0 => checkpoint().await,
                        1 => to_thread(|| ()).await,
                        2 => shield(sleep(Duration::from_micros(random() % 4_000))).await,
                        _ => sleep(Duration::from_micros(random() % 9_000)).await,
                    }
                    connection.dirty = false;
                    connection.dead = random() % 10 == 0;
                    if random() % 10 == 0 { Err(Failed::Body("no")) } else { Ok(()) }
                }));
                match used.await {
                    Ok(_) => finished.set(finished.get() + 1),
                    Err(_) => cut.set(cut.get() + 1),
                }
            }
        });
        let canceller = async {
            loop {
                sleep(ms(1)).await;
                let mut scopes = scopes.borrow_mut();
                scopes.retain(|scope| !scope.is_closed());
                if !scopes.is_empty() {
                    scopes[random() as usize % scopes.len()].cancel("storm");
                }
            }
        };
        foster::combine::race((users, async {
            canceller.await;
        }))
        .await;
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use, statistics.waiting), (0, 0));
        assert!(statistics.idle <= size);
        assert!(server.peak.load(Ordering::SeqCst) <= size + overflow);
        assert_eq!(server.open(), statistics.idle);
        assert_eq!(statistics.opened, statistics.discarded + statistics.idle as u64);
        assert_eq!(pool.close(ms(5)).await, 0);
        assert_eq!(server.open(), 0);
    });
    assert!(finished.get() > 1_000 && cut.get() > 200, "{finished:?} {cut:?}");
}
