//! Behaviours: what is built on the core, on every host. What each operation does is tried in virtual time, where it is; here
//! many tasks use one of them at once, and some are cut short, and nothing is lost, lent twice or left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foster::cleanup::BracketExit;
use foster::combine::{batch, map_concurrent, map_concurrent_results, merge, produce};
use foster::pool::{Manage, Pool, PoolError, PoolOptions};
use foster::rate::RateLimiter;
use foster::retry::{Backoff, RetryBudget, retry};
use foster::sync::Event;
use foster::{CancelScope, Instant, Nursery, channel, move_on_after, nursery, sleep, sleep_forever, yield_now};

use crate::groups::probe::{Count, poll_once};
use crate::harness::ms;
use crate::seen::rounds;

const ROUNDS: usize = 5;

/// The connections, counted.
#[derive(Default)]
struct Server {
    open: AtomicUsize,
    peak: AtomicUsize,
    closing: AtomicUsize,
    closed: AtomicUsize,
}

/// A connection: whether it is in use, and whether it has broken.
struct Connection {
    in_use: AtomicBool,
    broken: bool,
    server: Arc<Server>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens connections, and closes one when it is allowed to.
struct Connects {
    server: Arc<Server>,
    may_close: Arc<Event>,
}

impl Manage for Connects {
    type Resource = Connection;
    type Error = &'static str;

    async fn open(&self) -> Result<Connection, &'static str> {
        let open = self.server.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.server.peak.fetch_max(open, Ordering::SeqCst);
        let connection = Connection { in_use: AtomicBool::new(false), broken: false, server: self.server.clone() };
        yield_now().await;
        Ok(connection)
    }

    async fn is_alive(&self, connection: &mut Connection) -> bool {
        yield_now().await;
        !connection.broken
    }

    async fn reset(&self, connection: &mut Connection, exit: &BracketExit) -> bool {
        exit.is_success() && !*connection.in_use.get_mut()
    }

    async fn close(&self, connection: Connection) {
        connection.server.closing.fetch_add(1, Ordering::SeqCst);
        self.may_close.wait().await;
        connection.server.closed.fetch_add(1, Ordering::SeqCst);
    }
}

fn pool(size: usize) -> (Pool<Connects>, Arc<Server>, Arc<Event>) {
    let (server, may_close) = (Arc::<Server>::default(), Arc::new(Event::new()));
    let manage = Connects { server: server.clone(), may_close: may_close.clone() };
    (PoolOptions::new().size(size).budget(ms(60_000)).build(manage), server, may_close)
}

/// Why a use has failed.
#[derive(Debug)]
enum Failed {
    Pool,
    OnPurpose,
}

impl From<PoolError<&'static str>> for Failed {
    fn from(_: PoolError<&'static str>) -> Self {
        Failed::Pool
    }
}

/// L14, L23: a pool lends each resource to one use at a time, has never more of them than its size, and closes each in the
/// end, but for those of uses that were cut in their midst; whatever else becomes of the uses.
pub async fn a_pool_lends_each_resource_once_and_keeps_none() {
    for round in rounds(ROUNDS, 1) {
        let (pool, server, may_close) = pool(3);
        may_close.set();
        let (pool, done) = (Arc::new(pool), Count::new());
        let Ok(()) = nursery(async |n: Nursery| {
            for child in 0..12 {
                let (pool, done) = (pool.clone(), done.clone());
                n.spawn(async move {
                    for number in 0..8 {
                        // In another order for each child and each round.
                        let (way, turns) = ((round + child + number) % 4, (child + 3 * number / 4) % 4);
                        let uses = pool.run(async move |mut connection| {
                            assert!(!connection.in_use.swap(true, Ordering::SeqCst), "it is lent to one");
                            for _ in 0..turns {
                                yield_now().await;
                            }
                            connection.in_use.store(false, Ordering::SeqCst);
                            connection.broken = way == 1;
                            if way == 2 { Err(Failed::OnPurpose) } else { Ok(()) }
                        });
                        match if way == 3 { move_on_after(ms(1), uses).await } else { Some(uses.await) } {
                            Some(Err(Failed::Pool)) => panic!("the pool has resources"),
                            Some(_) => done.up(),
                            None => {}
                        }
                    }
                });
            }
        })
        .await;
        let statistics = pool.statistics();
        assert!(done.value() > 0 && server.peak.load(Ordering::SeqCst) <= 3, "{statistics:?}");
        assert_eq!((statistics.in_use, statistics.waiting), (0, 0));
        assert_eq!(statistics.idle, server.open.load(Ordering::SeqCst));
        assert_eq!(pool.close(ms(60_000)).await, 0, "nothing was in use");
        assert_eq!(server.open.load(Ordering::SeqCst), 0);
        assert!(server.closed.load(Ordering::SeqCst) >= statistics.idle);
    }
}

/// L27: a use that is dropped while it closes a resource which has broken leaves that to the scope around, which waits for it.
pub async fn the_scope_around_waits_for_the_closing_of_a_dropped_use() {
    let (pool, server, may_close) = pool(1);
    let spoilt: Result<(), Failed> = pool
        .run(async |mut connection| {
            connection.broken = true;
            Ok(())
        })
        .await;
    spoilt.unwrap();
    let around = CancelScope::new().run(async {
        let mut uses = Box::pin(pool.run(async |_| Ok::<_, Failed>(())));
        while server.closing.load(Ordering::SeqCst) == 0 {
            assert!(poll_once(uses.as_mut()).await.is_pending());
            yield_now().await;
        }
    });
    let ended = Count::new();
    let Ok(()) = nursery(async |n: Nursery| {
        let ended_before = ended.clone();
        n.spawn(async move {
            sleep(ms(3)).await;
            assert_eq!(ended_before.value(), 0, "the scope waits for the closing");
            may_close.set();
        });
        around.await.unwrap();
        ended.up();
    })
    .await;
    assert_eq!((server.open.load(Ordering::SeqCst), server.closed.load(Ordering::SeqCst)), (0, 1));
}

/// L28, L31: a stream of the body's that a child reads when the body has failed: the error is what comes of the nursery, and
/// no panic of the child, which is cancelled, and is polled once more for what it was given.
pub async fn a_stream_of_a_body_that_is_over_panics_in_no_cancelled_child() {
    for _ in rounds(ROUNDS, 1) {
        let failed = nursery(async |n: Nursery<&'static str>| {
            let go = Arc::new(Event::new());
            let given = go.clone();
            let mut items = Box::pin(produce(async move |mut out| {
                loop {
                    sleep(ms(1)).await;
                    out.emit(()).await;
                }
            }));
            n.spawn(async move {
                given.wait().await;
                while items.next().await.is_some() {}
                Ok(())
            });
            sleep(ms(3)).await;
            go.set();
            Err::<(), _>("the body has failed")
        });
        assert_eq!(failed.await, Err("the body has failed"));
    }
}

/// L2, L14: a producer whose items are asked for by a task that is cut again and again hands over each once, in their
/// order; what it has spawned ends with it.
pub async fn a_producer_hands_over_each_item_once() {
    for round in rounds(ROUNDS, 1) {
        let ended = Count::new();
        let end = ended.clone();
        let mut items = produce(async move |mut out| {
            let Ok(()) = nursery(async |n: Nursery| {
                let (sender, receiver) = channel::bounded(2);
                n.spawn(async move {
                    for item in 0..40 {
                        if item % 7 == 0 {
                            sleep(ms(1)).await;
                        }
                        sender.send(item).await.unwrap();
                    }
                });
                while let Ok(item) = receiver.recv().await {
                    out.emit(item).await;
                }
                n.spawn(async move { end.up() });
            })
            .await;
        });
        let (mut seen, mut attempts) = (Vec::new(), round as u64);
        loop {
            attempts += 1;
            match move_on_after(ms(attempts % 3), items.next()).await {
                Some(Some(item)) => seen.push(item),
                Some(None) => break,
                None => yield_now().await,
            }
        }
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
        assert_eq!(ended.value(), 1);
    }
}

/// L7: a map over many inputs runs no more than its limit at once, on however many threads, and returns all in their order; the
/// first error stops the others, whose cleanup is waited for.
pub async fn a_map_keeps_its_limit_and_its_order() {
    for _ in rounds(ROUNDS, 1) {
        let (running, cleaned) = (Arc::new(AtomicUsize::new(0)), Count::new());
        let square = async |input: usize| {
            assert!(running.fetch_add(1, Ordering::SeqCst) < 4, "no more than four at once");
            if input % 5 == 0 {
                sleep(ms(1)).await;
            }
            let Ok(square) =
                nursery(async |n: Nursery| Ok(n.spawn(async move { Ok(input * input) }).await.expect("it returns")))
                    .await;
            running.fetch_sub(1, Ordering::SeqCst);
            square
        };
        let squares = map_concurrent_results(4, 0..60, square).await;
        assert_eq!(squares, (0..60).map(|n| n * n).collect::<Vec<_>>());

        let failed = map_concurrent(4, 0.., async |input| {
            if input == 5 {
                return Err("five");
            }
            let up = cleaned.clone();
            foster::defer(async move { up.up() });
            if input > 5 {
                sleep_forever().await;
            }
            Ok(())
        });
        assert_eq!(failed.await, Err("five"));
        assert!(
            (5..=8).contains(&cleaned.value()),
            "{}: five have returned, and up to three were stopped",
            cleaned.value()
        );
    }
}

/// L14: streams that several tasks feed are merged and batched without a loss, and each keeps its order.
pub async fn merged_and_batched_streams_lose_nothing() {
    for _ in rounds(ROUNDS, 1) {
        let Ok(()) = nursery(async |n: Nursery| {
            let streams = [0, 1, 2].map(|stream| {
                let (sender, receiver) = channel::bounded(3);
                n.spawn(async move {
                    for item in 0..50 {
                        if item % 11 == 0 {
                            sleep(ms(1)).await;
                        }
                        sender.send((stream, item)).await.unwrap();
                    }
                });
                receiver
            });
            let mut batches = batch(merge(streams), 8, ms(1));
            let mut next = [0; 3];
            while let Some(batch) = batches.next().await {
                assert!((1..=8).contains(&batch.len()));
                for (stream, item) in batch {
                    assert_eq!(item, next[stream]);
                    next[stream] += 1;
                }
            }
            assert_eq!(next, [50; 3]);
        })
        .await;
    }
}

/// L14: however many tasks take tokens, on however many threads, and whichever of them are cut, no more are given than the rate
/// allows; and all are served in the end.
pub async fn a_rate_is_kept_by_many_tasks() {
    for _ in rounds(1, 1) {
        let (limiter, taken) = (Arc::new(RateLimiter::new(2, ms(1)).burst(4)), Count::new());
        let start = Instant::now();
        let Ok(()) = nursery(async |n: Nursery| {
            for child in 0..8 {
                let (limiter, taken) = (limiter.clone(), taken.clone());
                n.spawn(async move {
                    for take in 0..5 {
                        // Some are cut in the queue; those behind them go on.
                        let patience = if (child + take) % 4 == 0 { ms(1) } else { ms(60_000) };
                        if move_on_after(patience, limiter.acquire()).await.is_some() {
                            taken.up();
                        }
                    }
                });
            }
        })
        .await;
        let allowed = 4 + start.elapsed().as_micros() as usize * 2 / 1000;
        assert!((30..=allowed).contains(&taken.value()), "{} of {allowed}", taken.value());
        assert_eq!(limiter.waiting(), 0);
    }
}

/// L36: retries of many tasks with one budget: each gets its result, or has failed because nothing was left.
pub async fn a_budget_is_shared_by_the_retries_of_many_tasks() {
    let (budget, calls) = (RetryBudget::new(5, ms(60_000)), Arc::new(AtomicUsize::new(0)));
    let (succeeded, failed) = (Count::new(), Count::new());
    let Ok(()) = nursery(async |n: Nursery| {
        for child in 0..20_usize {
            let (budget, calls) = (budget.clone(), calls.clone());
            let (succeeded, failed) = (succeeded.clone(), failed.clone());
            n.spawn(async move {
                let mut attempts = 0;
                let asked = retry(Backoff::new().base(ms(1)), || {
                    attempts += 1;
                    calls.fetch_add(1, Ordering::SeqCst);
                    let answer = if attempts > child % 3 { Ok(()) } else { Err("again") };
                    async move {
                        yield_now().await;
                        answer
                    }
                })
                .budget(budget);
                match asked.await {
                    Ok(()) => succeeded.up(),
                    Err("again") => failed.up(),
                    Err(other) => panic!("{other}"),
                }
            });
        }
    })
    .await;
    assert_eq!(succeeded.value() + failed.value(), 20);
    assert_eq!(calls.load(Ordering::SeqCst), 25, "each was asked once, and five once more");
    assert!((7..=12).contains(&succeeded.value()), "{}: seven need no retry", succeeded.value());
}

#[doc(hidden)]
#[macro_export]
macro_rules! derived_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; derived {
            a_pool_lends_each_resource_once_and_keeps_none,
            the_scope_around_waits_for_the_closing_of_a_dropped_use,
            a_stream_of_a_body_that_is_over_panics_in_no_cancelled_child,
            a_producer_hands_over_each_item_once,
            a_map_keeps_its_limit_and_its_order,
            merged_and_batched_streams_lose_nothing,
            a_rate_is_kept_by_many_tasks,
            a_budget_is_shared_by_the_retries_of_many_tasks,
        });
    };
}
