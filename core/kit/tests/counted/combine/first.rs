//! The first of them: `race`, `first_ok`, `quorum`, `staggered`.

use super::*;

/// B164, L2: the losers of a race are cancelled, and have cleaned up when it returns.
#[test]
fn race_waits_for_the_cleanup_of_its_losers() {
    on_seeds(async || {
        let start = Instant::now();
        assert_eq!(race([tidy(50, 8), tidy(10, 2), tidy(60, 4)]).await, 10);
        // The winner's own cleanup is part of its completion.
        assert_eq!(start.elapsed(), ms(20));
        assert_eq!(race((tidy(50, 8), nap(10))).await, 10);
        assert_eq!(start.elapsed(), ms(38));
        assert_eq!(race_all(vec![tidy(50, 8), tidy(60, 1)]).await, Some(50));
        assert_eq!(start.elapsed(), ms(97));
    });
}

/// L12: a loser that completes while it is being cancelled has lost all the same.
#[test]
fn a_loser_that_completes_even_so_does_not_win() {
    on_seeds(async || {
        let loser = async || shield(nap(20)).await;
        assert_eq!(race((loser(), nap(10))).await, 10);
        assert_eq!(race((nap(10), loser())).await, 10);
        assert_eq!(race_all([20, 10].map(async |time| shield(nap(time)).await)).await, Some(10));
    });
}

/// If several are ready at once the first wins, and the others do not even begin.
#[test]
fn the_first_of_several_that_are_ready_wins() {
    on_seeds(async || {
        let begun = Cell::new(0);
        let ready = async |n: u32| {
            begun.set(begun.get() + 1);
            n
        };
        assert_eq!(race((ready(1), ready(2), ready(3))).await, 1);
        assert_eq!(race([1, 2, 3].map(ready)).await, 1);
        assert_eq!(begun.get(), 2);
    });
}

/// B164: a race that is cancelled cancels every attempt, and their resources are closed.
#[test]
fn a_cancelled_race_closes_all_its_attempts() {
    on_seeds(async || {
        let start = Instant::now();
        let alive = Rc::new(Alive::default());
        let attempt = |cleanup| {
            let inside = alive.enter();
            async move {
                let _inside = inside;
                Ok::<_, ()>(tidy(100, cleanup).await)
            }
        };
        let ms10 = ms(10);
        assert!(move_on_after(ms10, race([1, 2].map(attempt))).await.is_none());
        assert!(move_on_after(ms10, race((attempt(3), attempt(5)))).await.is_none());
        assert!(move_on_after(ms10, first_ok([1, 4].map(attempt))).await.is_none());
        assert!(move_on_after(ms10, staggered(ms(1), [1, 4].map(attempt))).await.is_none());
        assert!(move_on_after(ms10, gather([1, 4].map(attempt))).await.is_none());
        assert!(move_on_after(ms10, map_concurrent(2, [1, 4], attempt)).await.is_none());
        assert_eq!((alive.now.get(), alive.ever.get()), (0, 12));
        assert_eq!(start.elapsed(), ms(60 + 2 + 5 + 4 + 4 + 4 + 4));
    });
}

/// L20: losers get no grace: the outcome is known, and graceful shields do not hold.
#[test]
fn a_loser_that_is_only_graceful_stops_at_once() {
    on_seeds(async || {
        let start = Instant::now();
        assert_eq!(race((async { graceful(nap(50)).await }, nap(10))).await, 10);
        assert_eq!(start.elapsed(), ms(10));
    });
}

/// S07: the first success; failures before it do not count.
#[test]
fn first_ok_returns_the_first_success() {
    on_seeds(async || {
        let start = Instant::now();
        let attempts = [5, 30, 10].map(async |time| if time == 5 { fail(5).await } else { Ok(tidy(time, 2).await) });
        assert_eq!(first_ok(attempts).await, Ok(10));
        assert_eq!(start.elapsed(), ms(14));
    });
}

/// B163: if all fail, all errors are there, in the order of the inputs.
#[test]
fn if_all_fail_all_errors_are_reported() {
    on_seeds(async || {
        assert_eq!(first_ok([30, 10, 20].map(fail)).await.unwrap_err().errors(), [30, 10, 20]);
        let failed: AllFailed<u64> = staggered(ms(5), [30, 10, 20].map(fail)).await.unwrap_err();
        assert_eq!(failed.errors(), [30, 10, 20]);
        assert_eq!(failed.to_string(), "all 3 attempts have failed");
    });
}

/// Enough successes end it, in the order of completion; the rest is cancelled and awaited.
#[test]
fn quorum_ends_with_enough_successes() {
    on_seeds(async || {
        let start = Instant::now();
        let replicas = [40, 10, 30, 20].map(async |time| if time == 20 { fail(20).await } else { succeed(time).await });
        assert_eq!(quorum(2, replicas).await, Ok(vec![10, 30]));
        assert_eq!(start.elapsed(), ms(30));
    });
}

/// It gives up as soon as it cannot be reached, and says what it has.
#[test]
fn quorum_gives_up_when_too_many_have_failed() {
    on_seeds(async || {
        let start = Instant::now();
        let replicas =
            [90, 10, 5, 20].map(async |time| if (10..90).contains(&time) { fail(time).await } else { Ok(time) });
        let missed = quorum(3, replicas).await.unwrap_err();
        assert_eq!(start.elapsed(), ms(20));
        assert_eq!((missed.needed(), missed.into_parts()), (3, (vec![90, 5], vec![10, 20])));
    });
}

/// A quorum that is decided from the start begins nothing.
#[test]
fn a_quorum_that_is_decided_from_the_start_begins_nothing() {
    on_seeds(async || {
        let begun = Cell::new(0);
        let replica = async |n: u32| {
            begun.set(begun.get() + 1);
            Ok::<_, ()>(n)
        };
        assert_eq!(quorum(0, [1, 2].map(replica)).await, Ok(vec![]));
        assert!(quorum(3, [1, 2].map(replica)).await.is_err());
        assert_eq!(begun.get(), 0);
    });
}

/// B161: the next begins after the delay.
#[test]
fn staggered_begins_the_next_attempt_after_the_delay() {
    on_seeds(async || {
        let start = Instant::now();
        let began = Rc::new(RefCell::new(Vec::new()));
        let attempt = |time| {
            let began = began.clone();
            async move {
                began.borrow_mut().push(start.elapsed());
                succeed(time).await
            }
        };
        assert_eq!(staggered(ms(10), [100, 90, 15, 1].map(attempt)).await, Ok(1));
        assert_eq!(start.elapsed(), ms(31));
        assert_eq!(*began.borrow(), [ms(0), ms(10), ms(20), ms(30)]);
    });
}

/// B161: a failure begins the next at once, and the delay counts from there.
#[test]
fn a_failure_begins_the_next_attempt_at_once() {
    on_seeds(async || {
        let start = Instant::now();
        let began = Rc::new(RefCell::new(Vec::new()));
        let attempt = |(time, works)| {
            let began = began.clone();
            async move {
                began.borrow_mut().push(start.elapsed());
                if works { succeed(time).await } else { fail(time).await }
            }
        };
        let plan = [(4, false), (6, false), (100, true), (100, true)];
        assert_eq!(staggered(ms(10), plan.map(attempt)).await, Ok(100));
        assert_eq!(*began.borrow(), [ms(0), ms(4), ms(10), ms(20)]);
        assert_eq!(start.elapsed(), ms(110));
    });
}

/// B161: a success means that later ones never begin, and are not even taken.
#[test]
fn an_early_success_begins_nothing_else() {
    on_seeds(async || {
        let start = Instant::now();
        let taken = Cell::new(0);
        let attempts = std::iter::repeat_with(|| {
            taken.set(taken.get() + 1);
            succeed(9)
        });
        assert_eq!(staggered(ms(10), attempts).await, Ok(9));
        assert_eq!((taken.get(), start.elapsed()), (1, ms(9)));
    });
}

/// B161: without a limit on the delay only failures count; nothing waits for the delay when there are no attempts left.
#[test]
fn staggered_with_an_endless_delay_goes_by_failures_alone() {
    on_seeds(async || {
        let start = Instant::now();
        assert_eq!(staggered(Duration::MAX, [20, 30].map(fail)).await.unwrap_err().errors(), [20, 30]);
        assert_eq!(start.elapsed(), ms(50));
        assert_eq!(staggered(ms(500), [fail(1)]).await.unwrap_err().errors(), [1]);
        assert_eq!(start.elapsed(), ms(51));
    });
}

/// B164: the losers of a staggered start have cleaned up when it returns.
#[test]
fn staggered_waits_for_the_cleanup_of_its_losers() {
    on_seeds(async || {
        let start = Instant::now();
        let attempt = async |time| Ok::<_, ()>(tidy(time, 7).await);
        assert_eq!(staggered(ms(10), [90, 5, 5].map(attempt)).await, Ok(5));
        // The second returns at 15 and cleans up until 22; a third has begun at 20, and cleans up until 29 as the
        // first.
        assert_eq!(start.elapsed(), ms(29));
    });
}
