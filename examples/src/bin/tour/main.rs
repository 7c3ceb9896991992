//! The tour: hashes every file below a directory, until it is done, a deadline passes, or ctrl-C is pressed.
//!
//! ```text
//! cargo run --release -p foster-examples --bin tour --no-default-features -- ~/.cargo/registry/src --deadline 30s --runtime tokio
//! ```
//!
//! ```text
//!   main ── run on smol or tokio
//!            └─ nursery ─┬─ daemon: ctrl-C ──▶ cancels the scope
//!                        ├─ daemon: progress, on standard error
//!                        └─ cancel scope with the deadline
//!                            └─ nursery ─┬─ a child for each directory ─▶ list it on a thread
//!                                        └─ a child for each file ──────▶ hash it on a thread, again after an error
//! ```
//!
//! Each line that is printed is about a whole file: what the deadline or ctrl-C has cut short is counted, not shown. All
//! files are closed before the table is printed, because the scope has ended by then, and its threads with it.
//!
//! Exit codes: see `options::HELP`.

mod journal;

mod hash;
mod walk;

mod options;
mod report;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use foster::scope::ReasonKind;
use foster::{CancelScope, Instant, Nursery, interval, nursery, sleep};
use foster_examples::CtrlC;

use journal::Journal;
use options::{HELP, Options, Request};
use report::End;

const BAD_USAGE: u8 = 2;
const NO_DIRECTORY: u8 = 3;
const NO_OUTPUT: u8 = 4;
/// The code that a shell reports for a program that SIGINT has ended: 128 + 2.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let options = match options::parse(lexopt::Parser::from_env()) {
        Ok(Request::Tour(options)) => options,
        Ok(Request::Help) => return written(io::stdout().write_all(HELP.as_bytes()), 0),
        Err(error) => {
            say(&format!("{error}; `tour --help` lists the options"));
            return ExitCode::from(BAD_USAGE);
        }
    };
    if let Err(error) = fs::read_dir(&options.directory) {
        say(&format!("cannot read the directory {}: {error}", options.directory.display()));
        return ExitCode::from(NO_DIRECTORY);
    }

    let journal = Arc::new(Journal::default());
    let (end, took) = options.runtime.run(async {
        let start = Instant::now();
        let end = tour(&options, &journal).await;
        (end, start.elapsed())
    });

    if !options.quiet {
        say(&format!("{took:.2?} on {}, {} files open", options.runtime, hash::open_files()));
    }
    let report = report::Report::new(&options.directory, journal.take(), end);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = report.print(&mut out, options.summary).and_then(|()| out.flush());
    written(printed, report.exit_code())
}

/// The whole program: the tour in its cancel scope, beside it what watches and reports.
async fn tour(options: &Options, journal: &Arc<Journal>) -> End {
    let mut scope = CancelScope::new().named("tour").deadline_after(options.deadline);
    let handle = scope.handle();
    let runtime = options.runtime;
    let Ok(outcome) = nursery(async |n: Nursery| {
        n.spawn_daemon(async move {
            if let Err(error) = CtrlC::on(runtime).pressed().await {
                return say(&format!("ctrl-C will not be clean: {error}"));
            }
            handle.cancel("ctrl-C");
            say("stopping; press ctrl-C again to drop everything");
            // Some senders signal a process twice, by itself and with its group: that is one press.
            sleep(Duration::from_millis(500)).await;
            if CtrlC::on(runtime).pressed().await.is_ok() {
                std::process::exit(INTERRUPTED.into());
            }
        });
        if !options.quiet {
            n.spawn_daemon(progress(journal.clone()));
        }
        Ok(scope.run(walk::walk(options, journal.clone())).await)
    })
    .await;
    match outcome {
        Ok(()) => End::Complete,
        Err(cancelled) if cancelled.reason().kind() == ReasonKind::Deadline => End::Deadline,
        Err(_) => End::Interrupted,
    }
}

/// Prints how far the tour has come, whenever that has changed.
async fn progress(journal: Arc<Journal>) {
    let mut ticks = interval(Duration::from_millis(200));
    let mut last = journal.progress();
    loop {
        ticks.tick().await;
        let now = journal.progress();
        if now != last {
            say(&now);
            last = now;
        }
    }
}

/// A line on standard error. That nobody reads it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "tour: {line}");
}

/// The exit code, if the output has arrived. A reader that has gone away had enough.
fn written(printed: io::Result<()>, code: u8) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("cannot write to standard output: {error}"));
            ExitCode::from(NO_OUTPUT)
        }
        _ => ExitCode::from(code),
    }
}
