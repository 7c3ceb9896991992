//! The watchdog: a test that does not end is named, and the process ends with it.
//!
//! One wake-up that is lost stops a test for ever, in silence, and with it all that wait for their turns.

use std::convert::Infallible;
use std::io::{Write, stderr};
use std::process::abort;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::groups::probe::{is_virtual, runtime};
use crate::seen::{alarm, rounds};

/// How long a test may take, or a [round](crate::seen::rounds()) of one, in limits of an [alarm], which comes first
/// where there is one, and tells more. So it is three minutes, unless `FOSTER_LIMIT` says something else.
const ALARMS: u32 = 3;

/// The test that runs alone, if one does.
static ALONE: Mutex<Option<Test>> = Mutex::new(None);

struct Test {
    name: String,
    watchdog: Option<Watchdog>,
}

fn lock() -> MutexGuard<'static, Option<Test>> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test that runs alone; when this is dropped, the test has ended, and its watchdog with it.
pub(super) struct Running(());

impl Running {
    pub(super) fn new(name: &str) -> Running {
        *lock() = Some(Test { name: name.to_owned(), watchdog: None });
        Running(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let test = lock().take();
        drop(test);
    }
}

/// Has the test that runs watched from now on. Called in its tree: on the simulator there is no need, as that finds out
/// itself when nothing goes on; nor can it be known how long a test takes with a number of rounds that was chosen.
pub(super) fn start() {
    if is_virtual() || rounds::chosen().is_some() {
        return;
    }
    if let Some(test) = &mut *lock() {
        let name = format!("{} on {}", test.name, runtime().name());
        test.watchdog.get_or_insert_with(|| Watchdog::new(name));
    }
}

/// A thread that waits until this is dropped.
struct Watchdog {
    over: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    fn new(name: String) -> Watchdog {
        let (over, receiver) = channel();
        let thread = Builder::new().name("watchdog".to_owned()).spawn(move || watch(&name, &receiver));
        Watchdog { over: Some(over), thread: thread.ok() }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a watchdog that waits does not panic");
        }
    }
}

/// Returns when the test is over; ends the process if it takes too long.
fn watch(name: &str, over: &Receiver<Infallible>) {
    let limit: Duration = alarm::limit() * ALARMS;
    loop {
        let begun = rounds::begun();
        match over.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) if rounds::begun() == begun => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(never) => match never {},
        }
    }
    // Not by `eprintln!`: the harness of the tests would keep it for the end of the test.
    let _ = writeln!(stderr(), "{name} does not end: it has taken more than {limit:?}. The process is aborted");
    abort();
}
