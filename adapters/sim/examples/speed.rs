//! How fast the simulator is on this machine: `cargo run --release -p foster-sim --example speed`.
#![allow(clippy::disallowed_methods, reason = "measures the simulator itself, from outside")]

use std::time::{Duration, Instant};

use foster::Nursery;
use foster_sim::{Builder, Policy, Run};

fn report(name: &str, run: impl Fn() -> Run<()>) {
    let mut nanos: Vec<(u128, u64, Duration)> = (0..5)
        .map(|_| {
            let start = Instant::now();
            let run = run();
            run.outcome.expect("the program ends");
            (start.elapsed().as_nanos(), run.steps, run.elapsed)
        })
        .collect();
    nanos.sort_unstable();
    let (median, steps, elapsed) = nanos[nanos.len() / 2];
    let rate = u128::from(steps) * 1_000_000_000 / median;
    println!("{name:<44} {steps:>9} steps {:>9.1} ms {rate:>10} steps/s  virtual {elapsed:?}", median as f64 / 1e6);
}

fn main() {
    for policy in [Policy::Fifo, Policy::Lifo, Policy::Random, Policy::Pct { depth: 3 }] {
        report(&format!("100 tasks yield 10,000 times, {policy:?}"), || {
            Builder::new(1).policy(policy).observe(async {
                let Ok(()) = foster::nursery(async |n: Nursery| {
                    for _ in 0..100 {
                        n.spawn(async {
                            for _ in 0..10_000 {
                                foster::yield_now().await;
                            }
                        });
                    }
                })
                .await;
            })
        });
    }
    for count in [1, 1_000] {
        report(&format!("{count} tasks sleep 1,000 s a thousand times"), || {
            Builder::new(1).observe(async move {
                let Ok(()) = foster::nursery(async |n: Nursery| {
                    for task in 0..count {
                        n.spawn(async move {
                            for _ in 0..1_000 {
                                foster::sleep(Duration::from_secs(1_000) + Duration::from_nanos(task)).await;
                            }
                        });
                    }
                })
                .await;
            })
        });
    }
    report("100,000 tasks, spawned and joined", || {
        Builder::new(1).observe(async {
            let Ok(()) = foster::nursery(async |n: Nursery| {
                for _ in 0..100_000 {
                    n.spawn(async {});
                }
            })
            .await;
        })
    });
}
