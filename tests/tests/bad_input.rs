//! Issue 4, quality: input that makes no sense is refused at the call, by the type or by a panic that its docs name;
//! input that is absurd but has a meaning does what it means.

use std::future::{pending, ready};
use std::panic::{UnwindSafe, catch_unwind};
use std::time::Duration;

use foster::app::{ExitCause, Signal, app};
use foster::channel::{Lag, bounded, broadcast, watch};
use foster::cleanup::defer_within;
use foster::combine::Emitter;
use foster::combine::future::Produce;
use foster::combine::{
    as_completed, batch, first_ok, for_each_concurrent, gather, gather_results, map_concurrent, map_concurrent_results,
    merge, produce, quorum, race_all, staggered, throttle,
};
use foster::observer::PollWatch;
use foster::pool::{Pool, PoolError, PoolOptions};
use foster::rate::RateLimiter;
use foster::retry::retry;
use foster::retry::{Backoff, RetryBudget, hedge};
use foster::supervise::Supervisor;
use foster::sync::{Barrier, CapacityLimiter, Semaphore};
use foster::{
    CancelScope, Instant, NurseryOptions, fail_after, graceful, interval, move_on_after, sleep, sleep_forever,
};
use futures_core::Stream;

const NEVER: Duration = Duration::MAX;
const SECOND: Duration = Duration::from_secs(1);

fn refused<T>(what: &str, call: impl FnOnce() -> T + UnwindSafe) {
    let Err(payload) = catch_unwind(call) else { panic!("`{what}` is accepted") };
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    let text = text.expect("a panic with a text");
    // Said by whoever refuses, not by some arithmetic further in.
    for accident in ["overflow", "capacity", "unwrap", "index", "unreachable", "divide"] {
        assert!(!text.contains(accident), "`{what}` is refused by accident: {text}");
    }
}

type Attempt = std::future::Ready<Result<u8, u8>>;

fn good() -> Attempt {
    ready(Ok(1))
}

/// Two items.
fn items() -> impl Stream<Item = u8> + Unpin {
    produce(async |mut out: Emitter<u8>| {
        out.emit(1).await;
        out.emit(2).await;
    })
}

/// Bad input is refused where it is given, not when the future is awaited.
#[test]
fn what_makes_no_sense_is_refused() {
    refused("broadcast of nothing", || broadcast::<u8>(0, Lag::Wait));
    refused("a barrier for nobody", || Barrier::new(0));
    refused("more permits than can be counted", || Semaphore::new(Semaphore::MAX_PERMITS + 1));
    refused("more permits than can be counted, later", || Semaphore::new(1).add_permits(Semaphore::MAX_PERMITS));
    refused("a pool of nothing", || Pool::new(0, good));
    refused("a pool of nothing, by options", || PoolOptions::new().size(0));
    refused("a rate of nothing", || RateLimiter::new(0, SECOND));
    refused("a rate in no time", || RateLimiter::new(1, Duration::ZERO));
    refused("a burst of nothing", || RateLimiter::new(1, SECOND).burst(0));
    refused("more tokens than there are ever", || drop(RateLimiter::new(2, SECOND).acquire_many(3)));
    refused("more tokens than there are ever, at once", || RateLimiter::new(2, SECOND).try_acquire_many(3));
    refused("batches of nothing", || batch(items(), 0, SECOND));
    refused("nothing at once", || drop(map_concurrent(0, [1], |_| good())));
    refused("nothing at once, settled", || drop(map_concurrent_results(0, [1], |_| good())));
    refused("nothing at once, each", || drop(for_each_concurrent(0, [1], |_| ready(Ok::<(), u8>(())))));
    refused("a nursery of nothing", || NurseryOptions::new().limit(0));
    refused("no attempt", || drop(retry([SECOND], good).attempts(0)));
    refused("no attempt, hedged", || drop(hedge(SECOND, 0, good)));
    for factor in [0.5, -1.0, f64::NAN, f64::INFINITY] {
        refused("delays that shrink, or are no numbers", move || Backoff::new().factor(factor));
    }
    refused("an interval without time", || interval(Duration::ZERO));
    refused("no thread", || foster_smol::Builder::new().threads(0));
    refused("no worker", || foster_tokio::Builder::new().worker_threads(0));
}

/// Nothing to do, or no limit: each has an answer that its docs name (B158, B195).
#[test]
fn what_is_empty_or_without_limit_has_an_answer() {
    foster_sim::run(1, async {
        let none = || Vec::<Attempt>::new();
        assert_eq!(race_all(none()).await, None);
        assert!(first_ok(none()).await.unwrap_err().errors().is_empty());
        assert_eq!(quorum(0, [good()]).await.unwrap(), [0; 0]);
        assert!(quorum(2, [good()]).await.unwrap_err().errors().is_empty());
        assert!(quorum(usize::MAX, none()).await.is_err());
        assert_eq!(gather(none()).await, Ok(vec![]));
        assert!(gather_results(none()).await.is_empty());
        assert!(as_completed(none()).next().await.is_none());
        assert_eq!(map_concurrent(usize::MAX, [1, 2], |n| ready(Ok::<u8, u8>(n))).await, Ok(vec![1, 2]));
        assert!(staggered(SECOND, none()).await.unwrap_err().errors().is_empty());
        assert!(merge(Vec::<Produce<std::future::Ready<()>, u8>>::new()).next().await.is_none());
        assert_eq!(retry([], good).await, Ok(1), "one attempt is always made");

        let (tx, rx) = bounded(usize::MAX);
        tx.send(1).await.unwrap();
        assert_eq!((rx.recv().await, tx.statistics().capacity), (Ok(1), None));
        for lag in [Lag::Wait, Lag::Skip, Lag::Disconnect] {
            let (tx, mut rx) = broadcast(usize::MAX, lag);
            tx.send(1).await.unwrap();
            assert_eq!(rx.recv().await, Ok(1));
        }
        let (tx, _) = watch(());
        assert!(tx.send(()).is_err(), "nobody listens");

        let limiter = CapacityLimiter::new(0);
        assert!(limiter.try_acquire().is_err());
        limiter.set_total(usize::MAX);
        drop(limiter.acquire().await);
        let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
        drop(semaphore.acquire_many(0).await);
        drop(semaphore.acquire_many(Semaphore::MAX_PERMITS).await);
        assert!(move_on_after(SECOND, semaphore.acquire_many(usize::MAX)).await.is_none(), "it waits for more");
        assert_eq!(semaphore.available(), Semaphore::MAX_PERMITS);
        assert!(move_on_after(SECOND, Barrier::new(usize::MAX).wait()).await.is_none());

        // A permit that comes back, and would be one too many.
        let full = Semaphore::new(Semaphore::MAX_PERMITS);
        let held = full.acquire().await;
        full.add_permits(1);
        drop(held);
        assert_eq!(full.available(), Semaphore::MAX_PERMITS, "more are never free");
    });
}

/// No time, and more time than there is.
#[test]
fn absurd_durations_mean_what_they_say() {
    foster_sim::run(1, async {
        let begin = Instant::now();
        assert_eq!(fail_after(Duration::ZERO, ready(7)).await, Ok(7));
        sleep(Duration::ZERO).await;
        assert_eq!(retry([NEVER; 3], good).within(Duration::ZERO).await, Ok(1));
        let attempt = || ready(std::io::Result::Ok(1));
        assert_eq!(retry([SECOND], attempt).attempt_timeout(NEVER).await.unwrap(), 1);
        assert_eq!(retry([SECOND], attempt).attempt_timeout(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for forever in [
            Box::pin(sleep(NEVER)) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
            Box::pin(async {
                let mut ticks = interval(NEVER);
                ticks.tick().await;
                ticks.tick().await;
            }),
            Box::pin(async { drop(CancelScope::new().deadline_after(NEVER).grace(NEVER).run(sleep_forever()).await) }),
            Box::pin(async { assert!(move_on_after(NEVER, sleep_forever()).await.is_some()) }),
            Box::pin(async { drop(staggered(NEVER, [pending::<Result<u8, u8>>(), pending()]).await) }),
            Box::pin(async { drop(hedge(NEVER, usize::MAX, pending::<Result<u8, u8>>).await) }),
        ] {
            assert!(move_on_after(SECOND, forever).await.is_none());
        }
        // A delay that the deadline will not see: the last error comes at once.
        let hopeless = retry([NEVER], || ready(Err::<u8, _>(0))).within(NEVER);
        assert_eq!(move_on_after(SECOND, hopeless).await, Some(Err(0)));

        // A period that never ends; the first item comes at once.
        let mut slow = throttle(items(), NEVER);
        assert_eq!(slow.next().await, Some(1));
        assert!(move_on_after(SECOND, slow.next()).await.is_none());
        assert_eq!(throttle(items(), Duration::ZERO).next().await, Some(1));
        assert_eq!(batch(items(), usize::MAX, NEVER).next().await, Some(vec![1, 2]));
        assert_eq!(batch(items(), usize::MAX, Duration::ZERO).next().await, Some(vec![1, 2]));

        // A budget of no time, and one without end; a grace without end.
        let scope = CancelScope::new().run(async {
            defer_within(NEVER, sleep(SECOND));
            defer_within(Duration::ZERO, sleep(SECOND));
        });
        scope.await.unwrap();
        let mut scope = CancelScope::new().grace(NEVER);
        let handle = scope.handle();
        let out = scope.run(graceful(async {
            handle.cancel("with a grace without end");
            sleep(SECOND).await;
            7
        }));
        assert_eq!(out.await.unwrap(), 7);

        assert!(!RetryBudget::new(0, Duration::ZERO).try_take());
        assert!(RetryBudget::new(u32::MAX, NEVER).try_take());
        let limit = RateLimiter::new(u32::MAX, NEVER).burst(u32::MAX);
        limit.acquire_many(u32::MAX).await;
        assert!(move_on_after(SECOND, limit.acquire()).await.is_none());
        RateLimiter::new(u32::MAX, Duration::from_nanos(1)).acquire_many(u32::MAX).await;

        let supervised =
            Supervisor::new().intensity(0, Duration::ZERO).observe(|_| {}).child("fails", || ready(Err::<(), u8>(1)));
        assert!(supervised.run().await.is_err(), "the first failure is the last");
        let mut left = 20;
        let supervised = Supervisor::new().intensity(usize::MAX, NEVER).backoff(Backoff::new().base(Duration::ZERO));
        let supervised = supervised.observe(|_| {}).child("fails", move || {
            left -= 1;
            ready(if left > 0 { Err(1_u8) } else { Ok(()) })
        });
        assert!(supervised.run().await.is_ok());

        let signals = Signal::after(SECOND, Signal::TERMINATE);
        let ended = app(signals, graceful(sleep(SECOND * 5))).grace(NEVER).patience(NEVER).await;
        assert_eq!(ended.cause(), &ExitCause::Stopped(Signal::TERMINATE));
        let ended =
            app(Signal::after(NEVER, Signal::TERMINATE), ready(3)).grace(Duration::ZERO).patience(Duration::ZERO).await;
        assert_eq!(ended.code(), 0);

        let stingy = PoolOptions::new().size(1).overflow(usize::MAX).max_waiting(0);
        let late = stingy.clone().acquire_timeout(Duration::ZERO).build(good);
        let refused = late.run(async |one| Ok::<u8, PoolError<u8>>(**one)).await;
        assert!(matches!(refused, Err(PoolError::Timeout(_))), "{refused:?}");
        let stingy = stingy.acquire_timeout(NEVER).recycle_after(Duration::ZERO).budget(NEVER).build(good);
        for _ in 0..3 {
            let used = stingy.run(async |one| Ok::<u8, PoolError<u8>>(**one)).await;
            assert!(matches!(used, Ok(1)), "{used:?}");
        }
        assert_eq!((stingy.statistics().opened, stingy.statistics().idle), (3, 0), "each is too old at once");
        assert_eq!(stingy.close(NEVER).await, 0);
    });
    // Watching with no patience at all reports, and breaks nothing.
    let watch = PollWatch::new(Duration::ZERO).patience(Duration::ZERO).on_report(|_| {});
    foster_sim::Builder::new(1).observer(std::sync::Arc::new(watch)).run(sleep(SECOND));
}
