//! The suite on the simulator as it drives tasks in pumps: as on a runtime with two threads, but under schedules that a seed chooses.
//!
//! In `sim.rs` each task is a job, so that the seed chooses among all tasks; the queue of a tree, which stands between its tasks and
//! the jobs of a real runtime, is only here.

/// How many seeds each test runs on; `FOSTER_SEEDS` overrides it.
const SEEDS: u64 = 20;

fn pumps<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    let settings = foster_sim::Builder::new(0).parallelism(2).unwatched();
    foster_conformance::check(name, || settings.test(name, SEEDS, &body));
}

foster_conformance::suite!(pumps);
