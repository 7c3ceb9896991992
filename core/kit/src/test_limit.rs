//! The function behind the `timeout` of `#[foster::test]`. Nothing here is for users, and all of it may change.

use std::future::{Future, poll_fn};
use std::io::{Write, stderr};
use std::pin::pin;
use std::process::Termination;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use foster_core::{CancelScope, Instant, ScopeHandle, dump, sleep};

/// How long a test may take to end when it is out of time, before its name is printed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the body of a test, and cancels it when it is out of time.
///
/// # Panics
///
/// If it took longer: with the dump of the tree at the limit, if that was noticed before the end. If it has returned an
/// error after that, the error is printed to standard error.
pub async fn run<T: Termination>(
    test: &'static str,
    limit: Duration,
    limit_text: &'static str,
    body: impl Future<Output = T>,
) -> T {
    let start = Instant::now();
    let mut scope = CancelScope::new().named("body of the test");
    let handle = scope.handle();
    // Where time is virtual a test that does not end is a deadlock, which is reported.
    let is_real = Instant::now().to_std().is_some();
    let running = is_real.then(|| watch(test, limit, limit_text, handle.clone()));
    let (mut body, mut out_of_time) = (pin!(scope.run(body)), pin!(sleep(limit)));
    let mut seen = None;
    let ended = poll_fn(|cx| {
        // First, and not by a deadline of the scope: the dump shows what the code waits for, and not how it ends.
        if seen.is_none() && out_of_time.as_mut().poll(cx).is_ready() {
            seen = Some(dump());
            handle.cancel("the test is out of time");
        }
        body.as_mut().poll(cx)
    });
    let ended = ended.await;
    drop(running);
    let took = start.elapsed();
    match ended {
        Ok(output) if took <= limit => return output,
        Ok(output) => _ = output.report(),
        Err(_) => {}
    }
    match seen {
        Some(seen) => {
            panic!("{test} did not end within its limit of {limit_text}. When it was out of time there was:\n{seen}")
        }
        None => panic!("{test} did not end within its limit of {limit_text}: it took {took:?}"),
    }
}

/// Starts a thread that prints why a test does not end. It is none of the tree's: code that never returns keeps all of those.
/// It ends at once when what this returns is dropped; nothing is ever sent.
fn watch(test: &'static str, limit: Duration, limit_text: &'static str, body: ScopeHandle) -> Sender<()> {
    let (ended, has_ended) = channel();
    let watch = move || {
        if let Err(RecvTimeoutError::Timeout) = has_ended.recv_timeout(limit.saturating_add(PATIENCE)) {
            let dump = body.dump();
            tell(&format!("{test} has not ended {PATIENCE:?} after its limit of {limit_text}:\n{dump}"));
        }
    };
    if let Err(error) = thread::Builder::new().name("foster-test-limit".to_owned()).spawn(watch) {
        tell(&format!("the limit of {test} is not watched, as the host refuses a thread: {error}\n"));
    }
    ended
}

/// Prints to standard error, past the test harness, which keeps what is printed until the test has ended.
fn tell(text: &str) {
    // There is nowhere else to say it.
    let _written = write!(stderr(), "foster: {text}");
}
