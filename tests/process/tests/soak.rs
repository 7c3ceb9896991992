//! N120: many short processes leave nothing.
//!
//! A test binary of its own, with one test: it counts what this process has.
#![cfg(target_os = "linux")]

use std::io;

use foster::{Nursery, NurseryOptions, move_on_after};
use foster_process::Command;
use foster_process_conformance::left;

/// How many on each host; the variable `FOSTER_PROCESSES` says another number.
const PROCESSES: usize = 5_000;
const AT_ONCE: usize = 8;

async fn many(processes: usize) {
    let all = NurseryOptions::new().limit(AT_ONCE).run(async |n: Nursery<io::Error>| {
        for number in 0..processes {
            let child = n.spawn_limited(async move {
                let mut command = Command::new(if number % 2 == 0 { "true" } else { "false" });
                match number % 4 {
                    0 => assert_eq!(command.output().await?.status.success(), number % 2 == 0),
                    1 => assert_eq!(command.spawn().await?.wait().await?.success(), number % 2 == 0),
                    2 => drop(command.process_group().spawn().await?),
                    // Killed in the midst of its life, or before it is there.
                    _ => {
                        let mut command = Command::new("sleep");
                        let limit = std::time::Duration::from_micros(number as u64 % 3_000);
                        assert!(move_on_after(limit, command.arg("1000").status()).await.is_none());
                    }
                }
                Ok(())
            });
            child.await;
        }
        Ok(())
    });
    all.await.unwrap();
}

/// Runs a few, and then many, and compares what is there after both.
async fn measured() {
    many(100).await;
    let (open, threads) = (left::descriptors(), left::threads());
    let processes =
        std::env::var("FOSTER_PROCESSES").map(|number| number.parse().expect("FOSTER_PROCESSES is a number"));
    let processes = processes.unwrap_or(PROCESSES);
    many(processes).await;
    println!(
        "{processes} processes, {} descriptors and {} threads before and {} and {} after",
        open.len(),
        threads,
        left::descriptors().len(),
        left::threads()
    );
    assert_eq!(left::children(), [] as [String; 0]);
    assert_eq!(left::descriptors().len(), open.len(), "{open:?}, and then {:?}", left::descriptors());
    assert!(left::threads() <= threads, "{} threads, and then {}", threads, left::threads());
}

#[test]
fn n120_many_short_processes() {
    foster_conformance::check("smol", || foster_smol::Builder::new().threads(2).run(measured()));
    foster_conformance::check("tokio", || foster_tokio::run(measured()));
}
