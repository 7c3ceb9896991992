//! Sends real signals to a real process, and looks at what it prints and at its exit code.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program, running; killed if a test fails.
struct Program {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    #[track_caller]
    fn start(adapter: &str, request: &str, grace: &str) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graceful_shutdown"));
        command.args(["--runtime", adapter]).env("REQUEST", request).env("GRACE", grace).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Program { child, output };
        program.prints("ready");
        program
    }

    #[track_caller]
    fn prints(&mut self, line: &str) {
        assert_eq!(self.output.next().map(Result::unwrap).as_deref(), Some(line));
    }

    #[track_caller]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    #[track_caller]
    fn ends(mut self, lines: &[&str], code: i32) {
        for line in lines {
            self.prints(line);
        }
        assert!(self.output.next().is_none());
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn sigterm_lets_requests_finish_and_ends_with_0() {
    for adapter in ["smol", "tokio"] {
        let mut program = Program::start(adapter, "0.05", "60");
        program.signal("TERM");
        program.prints("stopping: finishes the request");
        program.ends(&["the request is answered", "the log is flushed", "stopped by SIGTERM"], 0);
    }
}

#[test]
fn a_second_signal_cuts_requests_off_and_ends_with_128_and_its_number() {
    for adapter in ["smol", "tokio"] {
        let mut program = Program::start(adapter, "600", "600");
        program.signal("TERM");
        program.prints("stopping: finishes the request");
        program.signal("INT");
        program.ends(&["the log is flushed", "cut off by a second signal, SIGINT"], 130);
    }
}

#[test]
fn the_end_of_the_grace_cuts_requests_off_and_ends_with_124() {
    for adapter in ["smol", "tokio"] {
        let mut program = Program::start(adapter, "600", "0.05");
        program.signal("INT");
        program.prints("stopping: finishes the request");
        program.ends(&["the log is flushed", "stopped by SIGINT, cut off at the end of the grace"], 124);
    }
}

#[test]
fn in_the_simulation_the_signal_comes_by_itself() {
    let mut program = Program::start("sim", "0.05", "60");
    program.prints("stopping: finishes the request");
    program.ends(&["the request is answered", "the log is flushed", "stopped by SIGTERM"], 0);
}
