//! The suite on the simulator, on many seeds; in trees that are watched, and in trees that take the short cuts of those
//! that are not.

/// How many seeds each test runs on, of each sort; `FOSTER_SEEDS` overrides it.
const SEEDS: u64 = 100;

fn sim<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::computing_passes_time_by(|time| foster_sim::clock().jump(time));
    foster_conformance::check(name, || {
        foster_sim::test(name, SEEDS, &body);
        foster_sim::Builder::new(0).unwatched().test(name, SEEDS, &body);
    });
}

foster_conformance::suite!(sim);
