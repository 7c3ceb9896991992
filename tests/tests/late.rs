//! The suite on the simulator, with timers that are late, as those of real runtimes are: code sees by the clock that a deadline
//! has passed, and nobody has marked it.

use std::time::Duration;

use foster::{Instant, sleep};
use foster_sim::Builder;

/// How many seeds each test runs on, of each sort; `FOSTER_SEEDS` overrides it.
const SEEDS: u64 = 20;

/// Longer than most of what the tests wait for.
const LATENESS: Duration = Duration::from_millis(8);

fn late<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::timers_are_late();
    foster_conformance::computing_passes_time_by(|time| foster_sim::clock().jump(time));
    foster_conformance::check(name, || {
        let builder = Builder::new(0).late_timers(LATENESS);
        builder.clone().test(name, SEEDS, &body);
        builder.unwatched().test(name, SEEDS, &body);
    });
}

foster_conformance::suite!(late);

/// A timer is late, by the seed, and by no more than it may be.
#[test]
fn timers_are_late() {
    let slept = |seed| {
        Builder::new(seed).late_timers(LATENESS).run(async {
            let start = Instant::now();
            sleep(LATENESS).await;
            start.elapsed() - LATENESS
        })
    };
    let mut late: Vec<Duration> = (0..SEEDS).map(slept).collect();
    late.sort();
    println!("late by {late:?}");
    assert!(late[SEEDS as usize / 4] > LATENESS / 20 && late[SEEDS as usize - 1] <= LATENESS);
}
