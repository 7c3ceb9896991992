//! The suite on the simulator, on many seeds.

/// How many seeds each test runs on; `FOSTER_SEEDS` overrides it.
const SEEDS: u64 = 200;

fn sim<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::check(name, || foster_sim::test(name, SEEDS, &body));
}

foster_conformance::suite!(sim);
