//! N120: many short processes leave nothing.
//!
//! A test binary of its own, with one test: it counts what this process has.
#![cfg(target_os = "linux")]

use std::io;

use foster::{Nursery, NurseryOptions};
use foster_process::Command;
use foster_process_conformance::left;

const PROCESSES: usize = 5_000;
const AT_ONCE: usize = 8;

async fn many(processes: usize) {
    let all = NurseryOptions::new().limit(AT_ONCE).run(async |n: Nursery<io::Error>| {
        for number in 0..processes {
            let child = n.spawn_limited(async move {
                let mut command = Command::new(if number % 2 == 0 { "true" } else { "false" });
                match number % 3 {
                    0 => assert_eq!(command.output().await?.status.success(), number % 2 == 0),
                    1 => assert_eq!(command.spawn().await?.wait().await?.success(), number % 2 == 0),
                    _ => drop(command.process_group().spawn().await?),
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
    many(PROCESSES).await;
    assert_eq!(left::children(), [] as [String; 0]);
    assert_eq!(left::descriptors().len(), open.len(), "{open:?}, and then {:?}", left::descriptors());
    assert!(left::threads() <= threads, "{} threads, and then {}", threads, left::threads());
}

#[test]
fn n120_many_short_processes() {
    foster_conformance::check("smol", || foster_smol::Builder::new().threads(2).run(measured()));
    foster_conformance::check("tokio", || foster_tokio::run(measured()));
}
