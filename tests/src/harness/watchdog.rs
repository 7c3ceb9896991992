//! The watchdog: a test that does not end is named, with a picture of its tree, and the process ends with it.
//!
//! One wake-up that is lost stops a test for ever, in silence, and with it all that wait for their turns. The picture is
//! made in the tree: the watchdog wakes the future that is watched. Where nobody polls that, there is none; the watchdog
//! itself asks for no lock of the tree.

use std::convert::Infallible;
use std::io::{Write, stderr};
use std::process::abort;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use foster::dump;

use super::comes_true;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test that runs alone; when this is dropped, the test has ended, and its watchdog with it.
pub(super) struct Running(());

impl Running {
    pub(super) fn new(name: &str) -> Running {
        *lock(&ALONE) = Some(Test { name: name.to_owned(), watchdog: None });
        Running(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let test = lock(&ALONE).take();
        drop(test);
    }
}

/// Has the test that runs watched from now on, and a picture made by the future that calls this. Called in its tree: on
/// the simulator there is no need, as that finds out itself when nothing goes on; nor can it be known how long a test
/// takes with a number of rounds that was chosen.
pub(super) fn start() -> Option<Watched> {
    if is_virtual() || rounds::chosen().is_some() {
        return None;
    }
    let mut alone = lock(&ALONE);
    let test = alone.as_mut()?;
    let name = format!("{} on {}", test.name, runtime().name());
    let watched = &test.watchdog.get_or_insert_with(|| Watchdog::new(name)).watched;
    let picture = Arc::<Picture>::default();
    let mut watched = lock(watched);
    watched.retain(|picture| Arc::strong_count(picture) > 1);
    watched.push(picture.clone());
    Some(Watched(picture))
}

/// A future of the test, as the watchdog knows it.
pub(super) struct Watched(Arc<Picture>);

/// A picture that a future is to make of its tree.
#[derive(Default)]
struct Picture {
    waker: Mutex<Option<Waker>>,
    wanted: AtomicBool,
    made: AtomicBool,
}

impl Watched {
    /// Called in each poll: shows the tree, if the test has taken too long.
    pub(super) fn poll(&self, waker: &Waker) {
        let is_known = lock(&self.0.waker).as_ref().is_some_and(|known| known.will_wake(waker));
        if !is_known {
            let clone = waker.clone();
            let before = lock(&self.0.waker).replace(clone);
            drop(before);
        }
        if self.0.wanted.load(Ordering::SeqCst) && !self.0.made.load(Ordering::SeqCst) {
            let _ = writeln!(stderr(), "What is alive in its tree:\n{}", dump());
            self.0.made.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let waker = lock(&self.0.waker).take();
        drop(waker);
    }
}

/// A thread that waits until this is dropped.
struct Watchdog {
    over: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    watched: Arc<Mutex<Vec<Arc<Picture>>>>,
}

impl Watchdog {
    fn new(name: String) -> Watchdog {
        let (over, receiver) = channel();
        let watched = Arc::<Mutex<Vec<Arc<Picture>>>>::default();
        let pictures = watched.clone();
        let thread = Builder::new().name("watchdog".to_owned()).spawn(move || watch(&name, &receiver, &pictures));
        Watchdog { over: Some(over), thread: thread.ok(), watched }
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
fn watch(name: &str, over: &Receiver<Infallible>, watched: &Mutex<Vec<Arc<Picture>>>) {
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
    let mut pictures = lock(watched).clone();
    pictures.retain(|picture| {
        picture.wanted.store(true, Ordering::SeqCst);
        let waker = lock(&picture.waker).clone();
        // None of a future that has ended.
        waker.map(Waker::wake).is_some()
    });
    if !comes_true(|| pictures.iter().all(|picture| picture.made.load(Ordering::SeqCst))) {
        let _ = writeln!(stderr(), "It is not polled any more, so there is no picture of its tree");
    }
    abort();
}
