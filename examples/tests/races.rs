//! The three programs with a bug: the simulator finds it, the printed seed repeats it, and the mended version survives.

use std::process::{Command, Output};

fn run(program: &str, variables: &[(&str, &str)], version: &str) -> Output {
    let mut process = Command::new(program);
    process.env_remove("FOSTER_SEED").env_remove("FOSTER_SEEDS").env("RUST_BACKTRACE", "0");
    process.envs(variables.iter().copied()).args(["--version", version]).output().unwrap()
}

/// The message of the failure.
#[track_caller]
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(101), "no failure: {text}");
    let start = text.find("test `").unwrap_or_else(|| panic!("no report: {text}"));
    text[start..].split("\nnote: run with").next().unwrap().to_owned()
}

/// The bug is found among the first thousand seeds (the programs try no more), and `says` what it is. A seed and a shrunk
/// schedule repeat it from the report.
#[track_caller]
fn is_found_and_repeated(program: &str, says: &str) {
    let report = complaint(&run(program, &[], "broken"));
    println!("{report}");
    assert!(report.contains(says), "{report}");
    let printed = report.lines().filter_map(|line| line.split_once("FOSTER_SEED=")).map(|(_, seed)| seed);
    let [seed, shrunk] = printed.collect::<Vec<_>>()[..] else { panic!("two ways to repeat it: {report}") };
    assert!(seed.parse::<u64>().unwrap() < 1_000);
    assert!(seed != "0", "on the obvious schedule the program is right");
    let trace = |report: &str| report.lines().filter(|line| line.contains("  poll   ")).map(str::to_owned).collect();
    let shown: Vec<String> = trace(&report);
    for schedule in [seed, shrunk] {
        let again = complaint(&run(program, &[("FOSTER_SEED", schedule)], "broken"));
        assert!(again.contains(says) && again.contains(&format!("FOSTER_SEED={schedule}")), "{again}");
        assert_eq!(again, complaint(&run(program, &[("FOSTER_SEED", schedule)], "broken")));
        let polls: Vec<String> = trace(&again);
        assert!(polls.len() >= shown.len(), "the shrunk one is the shortest");
        assert!(schedule != shrunk || polls == shown, "the report shows the run that its schedule repeats: {again}");
    }
}

#[track_caller]
fn survives(program: &str, says: &str) {
    // The thousand seeds that find the bug in the broken version.
    let output = run(program, &[], "mended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), says);
}

#[test]
fn the_lost_wake_up_is_found_and_repeated() {
    is_found_and_repeated(env!("CARGO_BIN_EXE_07_a_lost_wake_up"), "deadlock: no task is runnable");
}

#[test]
fn the_channel_that_passes_wake_ups_on_survives() {
    survives(env!("CARGO_BIN_EXE_07_a_lost_wake_up"), "no job was left\n");
}

#[test]
fn the_stale_cache_is_found_and_repeated() {
    is_found_and_repeated(env!("CARGO_BIN_EXE_08_a_stale_cache"), "the cache has an old price");
}

#[test]
fn the_cache_that_looks_again_survives() {
    survives(env!("CARGO_BIN_EXE_08_a_stale_cache"), "the cache was right\n");
}

#[test]
fn the_stale_read_is_found_and_repeated() {
    is_found_and_repeated(env!("CARGO_BIN_EXE_16_a_replicated_register"), "was written, and");
}

#[test]
fn the_register_that_asks_most_survives() {
    survives(env!("CARGO_BIN_EXE_16_a_replicated_register"), "what was written was read\n");
}

#[test]
fn an_unknown_version_is_refused() {
    let output = run(env!("CARGO_BIN_EXE_08_a_stale_cache"), &[], "best");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("use broken or mended"));
}
