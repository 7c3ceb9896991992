//! The input of a command.
#![cfg(unix)]

use std::time::Duration;

use foster::fail_after;
use foster_process::Command;

/// The process ends and has not read it; one that it has started keeps the pipe open, and does not read either.
#[test]
fn input_that_nobody_takes_is_not_waited_for() {
    foster_tokio::run(async {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0; sleep 20 <&3 & exit 0"]).input(vec![0; 1_000_000]);
        let status = fail_after(Duration::from_secs(10), command.status()).await;
        assert!(status.expect("it is not waited for").unwrap().success());
    });
}
