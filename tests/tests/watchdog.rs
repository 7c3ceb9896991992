//! A test that does not end is named, with a picture of its tree, and the process ends with it. The harness of the tests
//! keeps none of that.

use std::future::{pending, poll_fn};
use std::process::{Command, Output, Stdio};
use std::task::Poll;
use std::thread::park;

use foster::{Nursery, nursery};
use foster_conformance::check;
use foster_conformance::harness::watched;
use foster_conformance::seen::ends;

const CHILD: &str = "FOSTER_TEST_DOES_NOT_END";

/// Runs a test of this file in a process of its own, in which it does not end.
fn in_a_child(name: &str) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(CHILD, "")
        .env("FOSTER_LIMIT", "1")
        .env_remove("FOSTER_ROUNDS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(child)
}

#[test]
fn a_test_that_does_not_end_is_named() {
    let Some(output) = in_a_child("a_test_that_does_not_end_is_named") else {
        let waits = nursery(async |n: Nursery| {
            n.child().named("patient").spawn(pending::<()>());
        });
        return check("waits_for_ever", || foster_smol::run(async { watched(waits).await.unwrap() }));
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("waits_for_ever on smol does not end"), "{said}");
    assert!(said.contains("What is alive in its tree:\n") && said.contains("patient"), "{said}");
    assert!(!output.status.success());
}

/// Nobody can ask for its tree, and nobody waits for that.
#[test]
fn a_test_that_blocks_its_thread_is_named() {
    let Some(output) = in_a_child("a_test_that_blocks_its_thread_is_named") else {
        return check("blocks", || foster_smol::run(watched(poll_fn(|_| blocks()))));
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("blocks on smol does not end"), "{said}");
    assert!(said.contains("there is no picture of its tree"), "{said}");
    assert!(!output.status.success());
}

#[test]
fn a_program_that_hangs_when_it_is_stopped_is_named() {
    let Some(output) = in_a_child("a_program_that_hangs_when_it_is_stopped_is_named") else {
        return foster_smol::run(ends("blocks", poll_fn(|_| blocks())));
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("blocks hangs in round 0, and goes on to hang when it is stopped"), "{said}");
    assert_eq!(output.status.code(), Some(101));
}

fn blocks() -> Poll<()> {
    loop {
        park();
    }
}
