//! Ticks that were missed: how many there were does not matter.

use std::time::Duration;

use foster::{Instant, interval, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// However many were missed, all are skipped but the one that was waited for, and the rhythm is kept.
#[test]
fn all_ticks_that_were_missed_are_skipped() {
    let year = SECOND * 60 * 60 * 24 * 365;
    for (period, missed) in [
        (Duration::from_nanos(1), 5 * SECOND),
        (Duration::from_nanos(1), 500 * year),
        (Duration::from_nanos(7), 31 * SECOND),
        (Duration::from_micros(1), 7_200 * SECOND),
        (Duration::from_millis(1), year),
        (3 * SECOND, 3 * SECOND),
        (3 * SECOND, 4 * SECOND),
        (150 * year, 151 * year),
    ] {
        foster_sim::run(1, async {
            sleep(SECOND).await;
            let mut ticks = interval(period);
            let first = ticks.tick().await;
            assert_eq!(first, Instant::from_nanos(1_000_000_000));
            sleep(missed).await;
            // This one was due, and nobody asked.
            assert_eq!(ticks.tick().await, first + period);
            let now = Instant::now();
            let next = ticks.tick().await;
            assert_eq!(Instant::now(), next, "{period:?}: it was missed");
            assert!(now < next && next <= now + period, "{period:?}: {next:?} is not the next after {now:?}");
            assert_eq!((next - first).as_nanos() % period.as_nanos(), 0, "{period:?}: out of time");
            assert_eq!(ticks.tick().await, next + period);
        });
    }
}
