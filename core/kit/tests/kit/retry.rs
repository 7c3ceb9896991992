//! Trying again, on the simulator: virtual time, so all times are exact.

mod backoff;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::Duration;

use foster::combine::gather_results;
use foster::retry::{self, Backoff, Failure, GaveUp, Jitter, Next, Retry, RetryBudget, retry};
use foster::{
    CancelScope, Elapsed, Instant, Nursery, defer, fail_after, move_on_after, nursery, shield, sleep, to_thread,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn on_seeds<F: Future<Output = ()>>(body: impl Fn() -> F) {
    for seed in 0..12 {
        let spurious = if seed % 2 == 0 { 0.0 } else { 0.3 };
        foster_sim::Builder::new(seed).spurious_polls(spurious).run(body());
    }
}

/// An operation that fails with the number of the call, until this call succeeds.
struct Service {
    calls: Cell<u32>,
    works_at: u32,
}

impl Service {
    fn works_at(call: u32) -> Self {
        Service { calls: Cell::new(0), works_at: call }
    }

    fn down() -> Self {
        Service::works_at(u32::MAX)
    }

    fn call(&self) -> impl Future<Output = Result<u32, u32>> + use<> {
        self.calls.set(self.calls.get() + 1);
        let call = self.calls.get();
        std::future::ready(if call == self.works_at { Ok(call) } else { Err(call) })
    }
}

/// S13: with the delays of the schedule, until it works.
#[test]
fn retry_goes_on_until_it_works() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::works_at(3);
        assert_eq!(retry([ms(10), ms(20), ms(40)], || service.call()).await, Ok(3));
        assert_eq!((service.calls.get(), start.elapsed()), (3, ms(30)));
    });
}

/// The end of the schedule is the end of the retrying; the last error comes back as it is.
#[test]
fn when_the_schedule_ends_the_last_error_is_returned() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::down();
        assert_eq!(retry([ms(10), ms(20)], || service.call()).await, Err(3));
        assert_eq!(start.elapsed(), ms(30));
        assert_eq!(retry([], || service.call()).await, Err(4));
    });
}

/// Limits on the number of attempts, and on the time in which they may begin.
#[test]
fn attempts_and_time_are_limited() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::down();
        let every = || std::iter::repeat(ms(10));
        assert_eq!(retry(every(), || service.call()).attempts(4).await, Err(4));
        assert_eq!(start.elapsed(), ms(30));
        assert_eq!(retry(every(), || service.call()).attempts(1).await, Err(5));
        assert_eq!(start.elapsed(), ms(30));

        // Attempts begin at 0, 10, 20; the next would at 30.
        let why = Cell::new(None);
        let note = |failure: &Failure<'_, u32>| why.set(Some(failure.next));
        assert_eq!(retry(every(), || service.call()).within(ms(29)).observe(note).await, Err(8));
        assert_eq!(start.elapsed(), ms(50));
        assert_eq!(why.get(), Some(Next::GiveUp(GaveUp::TimeOver)));
        assert_eq!(retry(every(), || service.call()).within(ms(30)).await, Err(12));
        assert_eq!(start.elapsed(), ms(80));
    });
}

/// Limiting attempts to none makes no sense, and is refused where it is said.
#[test]
#[should_panic(expected = "at least one attempt")]
fn zero_attempts_are_refused() {
    drop(retry([], async || Err::<(), _>(())).attempts(0));
}

/// Only errors that are worth it are tried again.
#[test]
fn errors_that_are_not_worth_it_are_returned_at_once() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::down();
        assert_eq!(retry([ms(10); 9], || service.call()).when(|call| *call < 3).await, Err(3));
        assert_eq!(start.elapsed(), ms(20));
    });
}

/// A delay given by the error takes the place of the planned one, which is used up.
#[test]
fn the_error_may_say_when_to_come_back() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::works_at(4);
        let hint = |call: &u32| (*call == 2).then_some(ms(500));
        assert_eq!(retry([ms(1), ms(2), ms(4)], || service.call()).delay_hint(hint).await, Ok(4));
        assert_eq!(start.elapsed(), ms(1 + 500 + 4));
        let service = Service::down();
        assert_eq!(retry([], || service.call()).delay_hint(|_| Some(ms(1))).await, Err(1));
    });
}

/// L10: it does not sleep past the deadline of the code around; the last error comes back at once.
#[test]
fn it_does_not_sleep_past_a_deadline_further_out() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::down();
        let why = Cell::new(None);
        let out = fail_after(ms(35), async {
            // The nearer deadline is later: the effective one counts.
            fail_after(ms(900), retry([ms(10); 9], || service.call()).observe(|failure| why.set(Some(failure.next))))
                .await
        })
        .await;
        assert_eq!(out, Ok(Ok(Err(4))));
        assert_eq!(start.elapsed(), ms(30));
        assert_eq!(why.get(), Some(Next::GiveUp(GaveUp::Deadline)));
        // An attempt that could begin only in the instant of the deadline does not.
        assert_eq!(fail_after(ms(20), retry([ms(10); 9], || service.call())).await, Ok(Err(6)));
        assert_eq!(start.elapsed(), ms(40));
    });
}

/// L10: the deadline of the task that opened the nursery counts in its children as well.
#[test]
fn the_deadline_is_that_of_the_whole_tree() {
    on_seeds(async || {
        let start = Instant::now();
        let out = fail_after(
            ms(35),
            nursery(async |n: Nursery<&str>| {
                let task = n.spawn(async {
                    let failed = retry([ms(10); 9], async || Err::<(), _>("down")).await;
                    Ok((failed, foster::is_cancelled()))
                });
                task.await.map_err(|_| "cut")
            }),
        )
        .await;
        assert_eq!(out, Ok(Ok((Err("down"), false))));
        assert_eq!(start.elapsed(), ms(30));
    });
}

/// Below a full shield deadlines further out do not count.
#[test]
fn a_shield_keeps_the_deadline_out() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::works_at(5);
        let got = Cell::new(None);
        let out = move_on_after(ms(15), async {
            got.set(Some(shield(retry([ms(10); 9], || service.call())).await));
            sleep(ms(1)).await;
        })
        .await;
        assert_eq!((out, got.get(), start.elapsed()), (None, Some(Ok(5)), ms(40)));
    });
}

/// In cancelled code the error comes back at once, and nothing is tried again.
#[test]
fn cancelled_code_does_not_try_again() {
    on_seeds(async || {
        let service = Service::down();
        let got = Cell::new(None);
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let call = || {
                    handle.cancel("enough");
                    service.call()
                };
                got.set(Some(retry([Duration::ZERO; 9], call).await));
                sleep(ms(1)).await;
            })
            .await;
        assert!(out.is_err());
        assert_eq!((got.get(), service.calls.get()), (Some(Err(1)), 1));
    });
}

/// Cancelled while it sleeps, or during an attempt: nothing follows.
#[test]
fn a_cancelled_retry_begins_nothing_else() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::down();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let sleeping = scope.run(retry([ms(50); 9], || service.call()));
        let (out, ()) = foster::combine::join((sleeping, async {
            sleep(ms(60)).await;
            handle.cancel("enough");
        }))
        .await;
        assert!(out.is_err());
        assert_eq!((service.calls.get(), start.elapsed()), (2, ms(60)));
    });
}

/// The cleanup of an attempt that has timed out ends before the next begins.
#[test]
fn an_attempt_that_times_out_has_cleaned_up_before_the_next_begins() {
    on_seeds(async || {
        let start = Instant::now();
        let began = RefCell::new(Vec::new());
        let out = retry([ms(5); 2], async || {
            began.borrow_mut().push(start.elapsed());
            defer(async { sleep(ms(7)).await });
            if began.borrow().len() == 2 {
                shield(sleep(ms(30))).await;
            }
            sleep(ms(100)).await;
            Ok::<(), std::io::Error>(())
        })
        .attempt_timeout(ms(10))
        .await;
        assert_eq!(out.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        // 10 + 7 and 5; then the shield holds for 30, and 7 and 5.
        assert_eq!(*began.borrow(), [ms(0), ms(22), ms(64)]);
        assert_eq!(start.elapsed(), ms(64 + 17));
    });
}

/// L2: also without a limit, what an attempt leaves behind ends before the next begins.
#[test]
fn every_attempt_is_a_scope_of_its_own() {
    on_seeds(async || {
        let start = Instant::now();
        let service = Service::works_at(2);
        let out = retry([ms(5)], async || {
            defer(async { sleep(ms(7)).await });
            service.call().await
        })
        .await;
        assert_eq!((out, start.elapsed()), (Ok(2), ms(7 + 5 + 7)));
    });
}

/// A bucket shared by all who retry bounds what they do together; it fills up again with time.
#[test]
fn a_shared_budget_bounds_all_retries_together() {
    on_seeds(async || {
        let budget = RetryBudget::new(6, ms(600));
        let services: Vec<Service> = (0..4).map(|_| Service::down()).collect();
        let storm = async || {
            gather_results(services.iter().map(|service| retry([ms(1); 5], || service.call()).budget(&budget))).await;
            services.iter().map(|service| service.calls.replace(0)).sum::<u32>()
        };
        assert_eq!(storm().await, 4 + 6);
        assert_eq!(budget.available(), 0);
        sleep(ms(250)).await;
        assert_eq!(budget.available(), 2);
        assert_eq!(storm().await, 4 + 2);
        sleep(ms(10_000)).await;
        assert_eq!(budget.available(), 6);
    });
}

/// The ends of the range of a budget.
#[test]
fn a_budget_may_be_nothing_or_unlimited() {
    on_seeds(async || {
        let calls = async |budget: RetryBudget| {
            let service = Service::down();
            let failed = retry([Duration::ZERO; 9], || service.call()).budget(budget);
            assert!(failed.await.is_err());
            service.calls.get()
        };
        assert_eq!(calls(RetryBudget::new(0, ms(1))).await, 1);
        assert_eq!(calls(RetryBudget::new(0, Duration::ZERO)).await, 1);
        assert_eq!(calls(RetryBudget::new(2, Duration::MAX)).await, 3);
        assert_eq!(calls(RetryBudget::new(1, Duration::ZERO)).await, 10);
        assert_eq!(calls(RetryBudget::new(u32::MAX, Duration::MAX)).await, 10);
    });
}

/// Other reasons to give up take no token.
#[test]
fn what_is_not_tried_again_anyway_takes_no_token() {
    on_seeds(async || {
        let budget = RetryBudget::new(3, Duration::MAX);
        let service = Service::down();
        let with = || retry([ms(10)], || service.call()).budget(&budget);
        assert_eq!(with().when(|_| false).await, Err(1));
        assert_eq!(with().attempts(1).await, Err(2));
        assert_eq!(fail_after(ms(5), with()).await, Ok(Err(3)));
        assert_eq!(with().within(ms(5)).await, Err(4));
        assert_eq!(budget.available(), 3);
    });
}

/// The observer hears of every failure, and of what follows.
#[test]
fn the_observer_hears_of_each_failure() {
    on_seeds(async || {
        let heard = RefCell::new(Vec::new());
        let service = Service::down();
        let note =
            |failure: &Failure<'_, u32>| heard.borrow_mut().push((failure.attempt, *failure.error, failure.next));
        assert_eq!(retry([ms(3), ms(4), ms(5)], || service.call()).attempts(3).observe(note).await, Err(3));
        let expected =
            [(1, 1, Next::RetryAfter(ms(3))), (2, 2, Next::RetryAfter(ms(4))), (3, 3, Next::GiveUp(GaveUp::Attempts))];
        assert_eq!(*heard.borrow(), expected);
        heard.borrow_mut().clear();
        assert_eq!(retry([], || service.call()).observe(note).await, Err(4));
        assert_eq!(*heard.borrow(), [(1, 4, Next::GiveUp(GaveUp::ScheduleEnded))]);
    });
}

/// The attempts' futures are stored once, and `Send` is kept.
#[test]
fn a_retry_is_as_small_and_as_send_as_what_it_runs() {
    fn is_send<T: Send>(_: T) {}
    let big = || async {
        let kept = [0u8; 4096];
        sleep(ms(1)).await;
        Err::<(), _>(std::io::Error::other(kept.len().to_string()))
    };
    let retrying = retry(Backoff::new(), big).attempts(2).attempt_timeout(ms(3)).when(|_| true).observe(|_| {});
    assert!(size_of_val(&retrying) < size_of_val(&big()) + 640, "{}", size_of_val(&retrying));
    is_send(retrying);
    is_send(async {
        let names = ["a".to_owned()];
        retry([ms(1)], async || to_thread(|| Err::<(), _>(())).await.map_err(|()| names.len())).await
    });
    let named: Retry<_, _, _, (), Elapsed> = retry([ms(1)], || async { fail_after(ms(1), sleep(ms(2))).await });
    drop(named);
}

/// Switched off by a scoped value, for children, too; a scope further in may switch it on again.
#[test]
fn retrying_can_be_switched_off_around_a_test() {
    on_seeds(async || {
        let start = Instant::now();
        let why = RefCell::new(Vec::new());
        let off = retry::ENABLED.scope(false, async {
            let service = Service::works_at(2);
            let failed =
                retry([ms(10); 5], || service.call()).observe(|failure| why.borrow_mut().push(failure.next)).await;
            assert_eq!((failed, service.calls.get()), (Err(1), 1));
            let child: Result<(), u32> = nursery(async |n: Nursery<u32>| {
                n.spawn(retry([ms(10)], || std::future::ready(Err::<(), _>(7))));
                Ok(())
            })
            .await;
            assert_eq!((child, start.elapsed()), (Err(7), ms(0)));
            retry::ENABLED.scope(true, retry([ms(10); 5], || service.call())).await
        });
        assert_eq!((off.await, start.elapsed()), (Ok(2), ms(0)));
        assert_eq!(*why.borrow(), [Next::GiveUp(GaveUp::Disabled)]);
    });
}

/// The location of an attempt is the call of `retry`.
#[test]
fn an_attempt_is_located_where_retry_was_called() {
    on_seeds(async || {
        let attempt = async || {
            sleep(ms(50)).await;
            Ok::<_, Elapsed>(())
        };
        let line = line!() + 1;
        let slow = retry([ms(1)], attempt).attempt_timeout(ms(5));
        let elapsed = slow.await.unwrap_err();
        assert_eq!((elapsed.location().file(), elapsed.location().line()), (file!(), line));
    });
}

/// Slow, asked again; the one that lost has cleaned up before the answer is returned.
#[test]
fn a_hedge_asks_again_and_takes_the_first_answer() {
    on_seeds(async || {
        let start = Instant::now();
        let asked = Cell::new(0);
        let answer = retry::hedge(ms(10), 3, || {
            asked.set(asked.get() + 1);
            let number = asked.get();
            async move {
                defer(async { sleep(ms(2)).await });
                sleep(ms(if number == 1 { 100 } else { 15 })).await;
                Ok::<_, u32>(number)
            }
        });
        // The third begins at 20 and is cut at 27; each has 2 of cleanup.
        assert_eq!((answer.await.unwrap(), asked.get(), start.elapsed()), (2, 3, ms(29)));
        let failed = retry::hedge(ms(10), 2, || async { Err::<(), _>(7) }).await.unwrap_err();
        assert_eq!(failed.into_errors(), [7, 7]);
    });
}
