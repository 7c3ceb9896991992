//! The rate limiter, on many seeds of the simulator: virtual time, so all times are exact.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use foster::combine::{for_each_concurrent, gather_results, join};
use foster::rate::{RateAcquire, RateLimiter};
use foster::sync::WouldBlock;
use foster::{CancelScope, Instant, checkpoint, move_on_after, shield, sleep, yield_now};
use foster_sim::{Builder, random};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs the body on a number of seeds, half of them with spurious polls.
fn on_seeds<F: Future<Output = ()>>(body: impl Fn() -> F) {
    for seed in 0..24 {
        let spurious = if seed % 2 == 0 { 0.0 } else { 0.3 };
        Builder::new(seed).spurious_polls(spurious).run(body());
    }
}

/// Polls it once; says whether it waits.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// A full bucket at once, then one token at a time.
#[test]
fn a_burst_and_then_the_rate() {
    on_seeds(async || {
        let limit = RateLimiter::new(4, ms(100));
        let start = Instant::now();
        for n in 0..12_u32 {
            limit.acquire().await;
            assert_eq!(start.elapsed(), ms(25) * n.saturating_sub(3));
        }
        sleep(ms(60)).await;
        assert_eq!(limit.available(), 2);
        sleep(ms(60_000)).await;
        assert_eq!(limit.available(), 4);
    });
}

/// L38: a token that is there takes a unit from the budget of the task, and no turn.
#[test]
fn a_free_token_costs_no_turn() {
    on_seeds(async || {
        let limit = RateLimiter::new(1_000, ms(1_000));
        yield_now().await;
        let mut ready = 0;
        while !waits(pin!(limit.acquire())).await {
            ready += 1;
        }
        assert!((100..=128).contains(&ready), "{ready} in one turn");
        // As soon as it has another turn, there are others.
        yield_now().await;
        assert!(!waits(pin!(limit.acquire_many(100))).await);
        assert_eq!((limit.waiting(), limit.available()), (0, 900 - ready));
    });
}

/// With a burst of one all keep their distance; the burst may also be greater than the count.
#[test]
fn the_burst_is_its_own_number() {
    on_seeds(async || {
        let start = Instant::now();
        let limit = RateLimiter::new(10, ms(100)).burst(1);
        sleep(ms(500)).await;
        for n in 0..5 {
            limit.acquire().await;
            assert_eq!(start.elapsed(), ms(500 + 10 * n));
        }
        let start = Instant::now();
        let limit = RateLimiter::new(1, ms(100)).burst(3);
        for _ in 0..4 {
            limit.acquire().await;
        }
        assert_eq!(start.elapsed(), ms(100));
    });
}

/// Parts of nanoseconds are not lost: a third of a second is no whole number of them, three are.
#[test]
fn no_rounding_adds_up() {
    on_seeds(async || {
        let limit = RateLimiter::new(3, Duration::from_secs(1)).burst(1);
        let start = Instant::now();
        for n in 0..=3_000_u64 {
            limit.acquire().await;
            assert_eq!(start.elapsed(), Duration::from_nanos((n * 1_000_000_000).div_ceil(3)));
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1_000));
    });
}

/// However long nobody came, no more than a burst is there; and no less.
#[test]
fn a_full_bucket_does_not_overflow() {
    on_seeds(async || {
        let limit = RateLimiter::new(4, ms(100)).burst(6);
        for rest in [1_000, 150, 100_000] {
            sleep(ms(rest)).await;
            limit.acquire_many(6).await;
            let start = Instant::now();
            assert_eq!(limit.available(), 0);
            limit.acquire().await;
            assert_eq!(start.elapsed(), ms(25), "after {rest} ms");
            limit.acquire_many(6).await;
        }
    });
}

/// First come, first served, also before those who want less.
#[test]
fn the_longest_waiter_is_first() {
    on_seeds(async || {
        let limit = RateLimiter::new(2, ms(10));
        limit.acquire_many(2).await;
        let start = Instant::now();
        let served = RefCell::new(Vec::new());
        let want = async |delay: u64, who: &'static str, n: u32| {
            sleep(ms(delay)).await;
            limit.acquire_many(n).await;
            served.borrow_mut().push((who, start.elapsed()));
        };
        join((want(0, "two", 2), want(1, "one", 1), want(2, "none", 0), async {
            sleep(ms(8)).await;
            assert_eq!((limit.available(), limit.waiting()), (1, 3));
            assert_eq!(limit.try_acquire(), Err(WouldBlock));
        }))
        .await;
        assert_eq!(*served.borrow(), [("two", ms(10)), ("one", ms(15)), ("none", ms(15))]);
    });
}

/// L40: who gives up takes nothing, and those behind move up in that instant.
#[test]
fn a_wait_that_is_given_up_leaves_its_tokens() {
    on_seeds(async || {
        let limit = RateLimiter::new(10, ms(100));
        limit.acquire_many(10).await;
        let start = Instant::now();
        let (gave_up, served) = join((move_on_after(ms(45), limit.acquire_many(10)), async {
            sleep(ms(1)).await;
            limit.acquire_many(3).await;
            start.elapsed()
        }))
        .await;
        assert_eq!((gave_up, served), (None, ms(45)));
        assert_eq!((limit.available(), limit.waiting()), (1, 0));
    });
}

/// L40: whose turn it is, and does not know it yet, is before all others; if it goes away, the next one is.
#[test]
fn a_turn_that_is_not_taken_goes_on_to_the_next() {
    foster_sim::run(1, async {
        let limit = RateLimiter::new(10, ms(100));
        limit.acquire_many(10).await;
        let (mut first, mut second, mut third) = (limit.acquire(), Box::pin(limit.acquire()), limit.acquire());
        assert!(waits(Pin::new(&mut first)).await && waits(second.as_mut()).await && waits(Pin::new(&mut third)).await);
        sleep(ms(50)).await;
        assert_eq!((limit.waiting(), limit.try_acquire()), (3, Err(WouldBlock)));
        first.await;
        assert_eq!((limit.waiting(), limit.try_acquire()), (2, Err(WouldBlock)));
        drop(second);
        assert_eq!((limit.waiting(), limit.try_acquire()), (1, Err(WouldBlock)));
        third.await;
        assert_eq!((limit.waiting(), limit.available(), limit.try_acquire()), (0, 3, Ok(())));
    });
}

/// The first in line that nobody polls holds up all others, though there are tokens; until it is dropped.
#[test]
fn the_first_in_line_has_to_be_polled() {
    on_seeds(async || {
        let limit = RateLimiter::new(1, ms(50));
        limit.acquire().await;
        let mut held = Box::pin(limit.acquire());
        assert!(waits(held.as_mut()).await);
        assert_eq!(move_on_after(ms(5_000), limit.acquire()).await, None);
        assert_eq!(limit.available(), 1);
        drop(held);
        limit.acquire().await;
    });
}

/// Skipped in line because its code was cancelled, a wait that goes on elsewhere gets in line anew.
#[test]
fn a_wait_that_was_skipped_can_go_on() {
    on_seeds(async || {
        let limit = RateLimiter::new(1, ms(2_000));
        limit.acquire().await;
        let (served, ()) = join((
            async {
                sleep(ms(1)).await;
                let mut wait = pin!(limit.acquire());
                assert_eq!(move_on_after(ms(1_000), wait.as_mut()).await, None);
                assert_eq!(limit.waiting(), 2);
                sleep(ms(2_000)).await;
                assert_eq!(limit.waiting(), 0, "it was skipped");
                let start = Instant::now();
                wait.await;
                start.elapsed()
            },
            limit.acquire(),
        ))
        .await;
        assert_eq!(served, ms(999));
    });
}

/// L14: the place at the head of the line is no token. Cancelled in the instant in which it has it, it takes none, and
/// leaves the place to the next.
#[test]
fn cancelled_code_that_is_first_takes_no_token() {
    foster_sim::run(1, async {
        let limit = RateLimiter::new(2, ms(100));
        let head = async |mut wait: Pin<&mut RateAcquire<'_>>, give: &dyn Fn()| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let ended = scope.run(async {
                assert!(waits(wait.as_mut()).await);
                sleep(ms(150)).await;
                give();
                handle.cancel("in that instant");
                assert!(waits(wait.as_mut()).await, "cancelled code took a token");
            });
            drop(ended.await);
        };
        limit.acquire_many(2).await;
        let mut alone = pin!(limit.acquire());
        head(alone.as_mut(), &|| {}).await;
        assert_eq!((limit.waiting(), limit.available()), (0, 2));
        limit.acquire_many(2).await;
        let mut first = Some(Box::pin(limit.acquire()));
        assert!(waits(first.as_mut().unwrap().as_mut()).await);
        let first = RefCell::new(first);
        let (mut second, mut third) = (pin!(limit.acquire()), pin!(limit.acquire()));
        head(second.as_mut(), &|| drop(first.borrow_mut().take())).await;
        assert_eq!((limit.waiting(), limit.available()), (0, 2));
        limit.acquire_many(2).await;
        assert!(waits(third.as_mut()).await);
        assert_eq!(limit.waiting(), 1);
        third.await;
        // In code that is not cancelled they go on.
        alone.await;
        assert_eq!(limit.available(), 0);
        second.await;
        assert_eq!(limit.waiting(), 0);
    });
}

/// L14: cancelled code does not even get in line, though it may be polled again and again.
#[test]
fn cancelled_code_is_not_in_line() {
    on_seeds(async || {
        let limit = RateLimiter::new(100, ms(1));
        let taken = Cell::new(false);
        let out = move_on_after(Duration::ZERO, async {
            let acquires = async {
                limit.acquire().await;
                taken.set(true);
            };
            let looks = shield(async {
                for _ in 0..3 {
                    assert_eq!((limit.waiting(), limit.available()), (0, 100));
                    sleep(ms(1)).await;
                }
            });
            join((acquires, looks)).await
        });
        assert_eq!((out.await, taken.get()), (None, false));
    });
}

/// L14: cancelled code takes no token; and each `acquire` is a checkpoint.
#[test]
fn an_acquire_is_a_checkpoint() {
    on_seeds(async || {
        let limit = RateLimiter::new(100, ms(1));
        let rounds = Cell::new(0_u32);
        let out = move_on_after(Duration::ZERO, async {
            limit.acquire().await;
            rounds.set(1);
        });
        assert_eq!((out.await, rounds.get(), limit.available()), (None, 0, 100));
    });
    foster_sim::run(1, async {
        static LIMIT: RateLimiter = RateLimiter::new(100, ms(1));
        foster_sim::assert_checkpoints(|| LIMIT.acquire()).await;
    });
}

#[test]
fn senseless_limits_are_refused() {
    let refused = |f: fn()| std::panic::catch_unwind(f).unwrap_err().downcast::<String>().is_ok();
    let text = |f: fn()| std::panic::catch_unwind(f).is_err();
    assert!(text(|| drop(RateLimiter::new(0, ms(1)))));
    assert!(text(|| drop(RateLimiter::new(1, ms(0)))));
    assert!(text(|| drop(RateLimiter::new(1, ms(1)).burst(0))));
    assert!(refused(|| drop(RateLimiter::new(1, ms(1)).acquire_many(2))));
}

/// The greatest numbers do not overflow: they wait.
#[test]
fn absurd_limits_only_wait() {
    foster_sim::run(1, async {
        let limit = RateLimiter::new(u32::MAX, Duration::MAX);
        limit.acquire_many(u32::MAX).await;
        let limit = RateLimiter::new(1, Duration::MAX);
        limit.acquire().await;
        assert_eq!(move_on_after(Duration::from_secs(1 << 30), limit.acquire()).await, None);
    });
}

/// The storm: in no stretch of time more begin than the bucket allows, whoever gives up; and nothing is wasted: as long
/// as somebody waits, tokens are used as they come.
#[test]
fn storm() {
    let begun = Cell::new(0);
    on_seeds(async || {
        let count = 1 + random() as u32 % 5;
        let burst = 1 + random() as u32 % 8;
        let limit = RateLimiter::new(count, ms(10)).burst(burst);
        let taken = RefCell::new(Vec::new());
        let start = Instant::now();
        let work = async |_| {
            for _ in 0..20 {
                let n = 1 + random() as u32 % burst;
                let patience = Duration::from_micros(random() % 40_000);
                if move_on_after(patience, limit.acquire_many(n)).await.is_some() {
                    taken.borrow_mut().push((start.elapsed(), n));
                }
                if random() % 2 == 0 {
                    checkpoint().await;
                }
            }
        };
        for_each_concurrent(30, 0..30, work).await;
        let taken = taken.into_inner();
        for (i, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, n) in &taken[i..] {
                sum += u128::from(*n);
                let came = (*to - *from).as_nanos() * u128::from(count) / ms(10).as_nanos();
                assert!(sum <= u128::from(burst) + came + 1, "{sum} in {:?}", *to - *from);
            }
        }
        assert_eq!(limit.waiting(), 0);
        begun.set(begun.get() + taken.len());
        // Nothing is held: a full bucket comes back.
        sleep(ms(10) * burst).await;
        assert_eq!(limit.available(), burst);
        drop(gather_results([limit.acquire()]).await);
    });
    assert!(begun.get() > 500, "{}", begun.get());
}
