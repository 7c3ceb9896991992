//! Runs each numbered program on every adapter: it prints the same.

use std::process::Command;

#[track_caller]
fn prints(program: &str, expected: &str) {
    for adapter in ["smol", "tokio", "sim"] {
        let output = Command::new(program).args(["--runtime", adapter]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert_eq!(printed, expected, "on {adapter}, which says: {complaints}");
        assert_eq!(complaints, "", "on {adapter}");
        assert!(output.status.success(), "on {adapter}: {}", output.status);
    }
}

#[test]
fn hello_nursery_waits_for_all_children() {
    prints(
        env!("CARGO_BIN_EXE_01_hello_nursery"),
        "the body spawns three children\n\
         the late child ends\n\
         the nursery returns 8\n",
    );
}

#[test]
fn a_timeout_leaves_nothing_running() {
    prints(
        env!("CARGO_BIN_EXE_02_a_timeout_that_means_it"),
        "None, and 0 children are running\n\
         the cleanup was waited for: true\n\
         timed out\n",
    );
}

#[test]
fn a_failing_child_cancels_its_siblings_unless_errors_are_collected() {
    prints(
        env!("CARGO_BIN_EXE_03_when_a_child_fails"),
        "the sibling is dropped\n\
         fail-fast: invalid digit found in string\n\
         collected from \"\": cannot parse integer from empty string\n\
         collected from \"x\": invalid digit found in string\n\
         collected from \"y\": invalid digit found in string\n",
    );
}

#[test]
fn closing_well_commits_or_rolls_back_before_the_finalizers() {
    prints(
        env!("CARGO_BIN_EXE_04_closing_well"),
        "in time:\n  from: -10\n  to: +10\n  commit\n  shield: write the receipt\n  \
         finalizer: flush\n  finalizer: disconnect\n  Some(())\n\
         too late:\n  from: -10\n  roll back\n  \
         finalizer: flush\n  finalizer: disconnect\n  None\n",
    );
}

#[test]
fn children_of_a_local_nursery_borrow() {
    prints(env!("CARGO_BIN_EXE_05_local_nursery"), "[9, 0, 9]\nfailed: [\"b.example\"]\n");
}

#[test]
fn an_unknown_adapter_is_refused_with_the_list_of_adapters() {
    for (arguments, complaint) in [
        (&["--runtime", "trio"][..], "there is no adapter `trio`: use smol, tokio or sim"),
        (&["--runtime"][..], "missing argument for option '--runtime'"),
        (&["fast"][..], "unexpected argument \"fast\""),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_01_hello_nursery")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(complaint), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
