//! The schedule that retries use: how its pauses grow, and their jitter.

use super::*;

/// Without jitter: base, times factor, up to the cap.
#[test]
fn backoff_grows_by_its_factor_up_to_its_cap() {
    let delays = |backoff: Backoff| backoff.jitter(Jitter::None).into_iter().take(6).collect::<Vec<_>>();
    assert_eq!(delays(Backoff::new().cap(ms(1500))), [100, 200, 400, 800, 1500, 1500].map(ms));
    assert_eq!(delays(Backoff::new().base(ms(7)).factor(1.0)), [ms(7); 6]);
    assert_eq!(delays(Backoff::new().base(Duration::ZERO)), [Duration::ZERO; 6]);
    assert_eq!(delays(Backoff::new().cap(Duration::ZERO)), [Duration::ZERO; 6]);
    assert_eq!(delays(Backoff::new().base(ms(10)).factor(1.5))[..3], [ms(10), ms(15), Duration::from_micros(22_500)]);
}

/// Absurd settings saturate.
#[test]
fn backoff_saturates() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::None] {
        let absurd = Backoff::new().base(Duration::MAX).factor(f64::MAX).cap(Duration::MAX).jitter(jitter).seed(1);
        let longest = Duration::from_nanos(u64::MAX);
        assert!(absurd.into_iter().take(2000).all(|delay| delay <= longest));
        let growing = Backoff::new().factor(1e300).cap(Duration::MAX).jitter(jitter).seed(1);
        let last = growing.into_iter().nth(2000).unwrap();
        assert!(last <= longest);
        assert!(jitter != Jitter::None || last == longest);
    }
}

/// The cap holds after the jitter; full jitter reaches from zero to it, and never stops to spread.
#[test]
fn jitter_stays_below_the_cap_and_never_stops_to_spread() {
    for seed in 0..50 {
        let cap = ms(1000);
        let full: Vec<_> = Backoff::new().cap(cap).seed(seed).into_iter().take(400).collect();
        assert!(full.iter().all(|delay| *delay <= cap));
        assert!(full[0] <= ms(100) && full[1] <= ms(200) && full[2] <= ms(400));
        let late = &full[200..];
        assert!(late.iter().filter(|delay| **delay < cap).count() > 80, "late delays are spread");
        assert!(late.iter().any(|delay| *delay < ms(200)), "down to zero");

        let equal: Vec<_> = Backoff::new().cap(cap).jitter(Jitter::Equal).seed(seed).into_iter().take(50).collect();
        assert!(equal[0] >= ms(50) && equal[0] <= ms(100) && equal[40] >= ms(500));
    }
}

/// A factor below one is refused where it is given.
#[test]
#[should_panic(expected = "do not shrink")]
fn a_factor_that_shrinks_is_refused() {
    drop(Backoff::new().factor(0.5));
}

/// L39: the same seed gives the same jitter, also without a seed of its own; two retries of one run differ.
#[test]
fn jitter_is_repeated_by_the_seed_of_the_run_and_differs_within_it() {
    let run = |seed| {
        foster_sim::run(seed, async {
            let backoff = Backoff::new();
            let delays = async |n: u64| {
                sleep(ms(n / 3)).await; // several begin at one instant
                let mut seen = Vec::new();
                let failed = retry(&backoff, async || Err::<(), _>(()))
                    .attempts(5)
                    .observe(|failure| seen.push(failure.next))
                    .await;
                assert_eq!(failed, Err(()));
                seen
            };
            gather_results((0..9).map(delays)).await
        })
    };
    let (first, again) = (run(1), run(1));
    assert_eq!(first, again);
    for (index, delays) in first.iter().enumerate() {
        assert!(first[..index].iter().all(|other| other != delays), "two retries have the same jitter");
    }
    let seeded = Backoff::new().seed(3);
    assert!(seeded.into_iter().take(9).ne(Backoff::new().seed(4).into_iter().take(9)));
}

/// L39: two simulations in one process do not disturb each other.
#[test]
fn simulations_side_by_side_have_the_same_jitter() {
    let run = || {
        foster_sim::run(5, async {
            let mut delays = Vec::new();
            for _ in 0..200 {
                delays.extend(Backoff::new().into_iter().take(2));
            }
            delays
        })
    };
    let alone = run();
    let together: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(together.iter().all(|other| *other == alone));
}

/// Where no runtime is there to give a seed, each use has one of its own, too.
#[test]
fn the_delays_differ_outside_of_any_runtime() {
    let backoff = Backoff::new();
    let delays = || backoff.clone().into_iter().take(8).collect::<Vec<_>>();
    assert_ne!(delays(), delays());
}
