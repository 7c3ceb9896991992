//! The reports that one line on the builder of an adapter turns on.

use std::process::Command;
use std::time::Duration;

use foster::{Nursery, dump, nursery, sleep, sleep_forever, yield_now};

/// Set in the process whose standard error is read.
const CHILD: &str = "FOSTER_SLOW_POLL";

/// Runs the test of this name again, in a process of its own, and gives what that writes to standard error.
fn told_by(test: &str, adapter: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture"]).env(CHILD, adapter);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn hash() {
    let Ok(()) = nursery(async |n: Nursery| {
        n.child().named("hashing").spawn(async {
            yield_now().await;
            let begin = foster::Instant::now();
            while begin.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        });
    })
    .await;
}

/// S38: one line in the builder, and whoever holds up the others is named, with the place where it was spawned.
#[test]
fn slow_polls_are_reported_by_a_builder() {
    let limit = Duration::from_millis(20);
    match std::env::var(CHILD).as_deref() {
        Ok("smol") => foster_smol::Builder::new().watch_polls(limit).run(hash()),
        Ok("tokio") => foster_tokio::Builder::new().watch_polls(limit).run(hash()),
        Ok("sim") => foster_sim::Builder::new(1).watch_polls(limit).run(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.child().named("hashing").spawn(async { foster_sim::clock().jump(Duration::from_secs(1)) });
            })
            .await;
        }),
        Ok("none") => foster_smol::run(hash()),
        _ => {
            for adapter in ["smol", "tokio", "sim"] {
                let told = told_by("builders::slow_polls_are_reported_by_a_builder", adapter);
                let report = "foster: a poll of task `hashing` (tests/tests/seeing/builders.rs:";
                assert_eq!(told.matches(report).count(), 1, "on {adapter}: {told}");
            }
            let told = told_by("builders::slow_polls_are_reported_by_a_builder", "none");
            assert!(!told.contains("foster:"), "{told}");
        }
    }
}

async fn leaf() -> Vec<&'static str> {
    let seen = nursery(async |n: Nursery| {
        n.child().named("waiter").daemon().spawn(sleep_forever());
        sleep(Duration::from_millis(5)).await;
        let dump = dump();
        Ok(dump.scopes().iter().find(|scope| scope.origin.name() == "waiter").unwrap().waits_for.clone())
    });
    let Ok(seen) = seen.await;
    seen
}

/// B283: what the leaves wait for is noted on any adapter, if it is asked to.
#[test]
fn a_builder_notes_what_leaves_wait_for() {
    assert_eq!(foster_smol::Builder::new().watch().run(leaf()), ["sleep_forever"]);
    assert_eq!(foster_tokio::Builder::new().watch().run(leaf()), ["sleep_forever"]);
    assert_eq!(foster_tokio::Builder::new().current_thread().watch().run(leaf()), ["sleep_forever"]);
    assert!(foster_smol::run(leaf()).is_empty(), "it costs something, so it is off unless asked for");
}
