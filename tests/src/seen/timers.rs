//! Timers that were lost when others went.

use std::pin::pin;
use std::time::Duration;

use foster::combine::merge;
use foster::{
    CancelScope, Instant, Nursery, fail_after, interval, is_cancelled, move_on_after, nursery, sleep, yield_now,
};
use futures_lite::stream;

use super::{ends, rounds};
use crate::groups::probe::{is_virtual, poll_once};
use crate::harness::ms;
use crate::running::witness::be_busy;

/// L8: a deadline fires whatever the sleeps inside it do at the same moment.
pub async fn short_sleeps_under_short_deadlines_end() {
    async fn sleeps() {
        loop {
            sleep(Duration::from_micros(300)).await;
        }
    }

    ends("short_sleeps_under_short_deadlines_end", async {
        for _ in rounds(150, 3) {
            let cut = move_on_after(
                ms(2),
                nursery(async |n: Nursery| {
                    n.spawn(sleeps());
                    Ok(())
                }),
            )
            .await;
            assert!(cut.is_none(), "a child that sleeps for ever has ended");
        }
    })
    .await;
}

/// L8: a sleep whose timer was armed after another one that is dropped meanwhile still fires.
pub async fn a_sleep_survives_the_drop_of_another() {
    ends("a_sleep_survives_the_drop_of_another", async {
        for _ in rounds(20, 1) {
            // If a timer is lost, nothing wakes this tree before the hour has passed.
            let mut scope = CancelScope::new().deadline_after(Duration::from_secs(3600));
            // With a handle it has its deadline among the tree's timers from the start.
            let handle = scope.handle();
            let all = scope.run(async {
                // The last sleep begins before the instant of the one that is dropped, and ends after it: nobody looks
                // meanwhile.
                let mut first = pin!(sleep(ms(2)));
                let mut second = Box::pin(sleep(ms(12)));
                assert!(poll_once(first.as_mut()).await.is_pending());
                assert!(poll_once(second.as_mut()).await.is_pending());
                be_busy(ms(3));
                assert!(!is_cancelled());
                drop(second);
                first.await;
                gives_way(ms(2)).await;
                sleep(ms(20)).await;
            });
            all.await.expect("the hour is not over");
            assert!(handle.is_closed());
        }
    })
    .await;
}

/// L8: under any interleaving of tasks that arm timers and drop them, each that is kept fires.
pub async fn sleeps_that_are_dropped_take_no_other_along() {
    async fn sleeps(task: u64) {
        for round in rounds(50, 3) {
            let round = round as u64;
            let mut longer = Box::pin(sleep(Duration::from_micros(700 + (task * 131 + round * 17) % 900)));
            let kept = sleep(Duration::from_micros(100 + (task * 37 + round * 53) % 600));
            let _ = poll_once(longer.as_mut()).await;
            if round % 3 == 0 {
                kept.await;
                drop(longer);
            } else {
                drop(longer);
                kept.await;
            }
        }
    }

    ends("sleeps_that_are_dropped_take_no_other_along", async {
        let Ok(()) = nursery(async |n: Nursery| {
            for task in 0..8 {
                n.spawn(sleeps(task));
            }
            Ok(())
        })
        .await;
    })
    .await;
}

/// Gives way for a time; on the simulator, where time stands still as long as anything runs, three times.
async fn gives_way(duration: Duration) {
    let start = Instant::now();
    let mut times = 0;
    while if is_virtual() { times < 3 } else { start.elapsed() < duration } {
        yield_now().await;
        times += 1;
    }
}

/// L14: sleeps that are polled in one limit after the other, by combinators that poll only what was woken, end; also if
/// the limit around the last poll was over before.
pub async fn sleeps_that_cancelled_code_has_missed_end_in_other_code() {
    let limit = ms(5);
    let ticks = async {
        let mut ticks = merge([interval(ms(12)), interval(ms(17))]);
        let mut count = 0;
        while count < 5 {
            if let Some(tick) = move_on_after(limit, ticks.next()).await {
                count += usize::from(tick.is_some());
            }
        }
    };
    fail_after(ms(20_000), ticks).await.expect("no tick comes");
    let sleeps = async {
        let mut ends = merge([12, 17, 23].map(|length| Box::pin(stream::once_future(sleep(ms(length))))));
        while !ends.is_empty() {
            let _ = move_on_after(limit, ends.next()).await;
        }
    };
    fail_after(ms(20_000), sleeps).await.expect("no sleep ends");
}
