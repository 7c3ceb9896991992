//! The behaviours of the network on the simulator (N174): the same bodies as on a kernel, on the loopback of one
//! simulated host.
//!
//! Not here is `host_suite!`: sockets of the standard library (N024, and a backlog that only `std` makes short enough)
//! and files (N091) belong to a kernel.

use foster_net_conformance::kinds::counting_by;

/// Runs the body on several schedules, the last with polls that nobody asked for.
fn on_sim<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    for seed in 0..SEEDS {
        let count = || foster_sim::net::sockets().len();
        let spurious = if seed + 1 == SEEDS { 0.1 } else { 0.0 };
        let simulation = foster_sim::Builder::new(seed).spurious_polls(spurious);
        foster_conformance::check(name, || simulation.run(counting_by(count, body())));
    }
}

const SEEDS: u64 = 3;

foster_net_conformance::suite!(on_sim);
