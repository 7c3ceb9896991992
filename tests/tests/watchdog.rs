//! A test that does not end is named, and the process ends with it.

use std::future::pending;
use std::process::{Command, Stdio};

use foster_conformance::check;
use foster_conformance::harness::watched;

const CHILD: &str = "FOSTER_TEST_DOES_NOT_END";

#[test]
fn a_test_that_does_not_end_is_named() {
    if std::env::var_os(CHILD).is_some() {
        check("waits_for_ever", || foster_smol::run(watched(pending())));
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_test_that_does_not_end_is_named", "--exact"])
        .env(CHILD, "")
        .env("FOSTER_LIMIT", "1")
        .env_remove("FOSTER_ROUNDS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("waits_for_ever on smol does not end"), "{said}");
    assert!(!output.status.success());
}
