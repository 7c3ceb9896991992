//! An alarm for programs that may hang: they fail, with their name and a picture of their tree.

use std::future::poll_fn;
use std::io::{Write, stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use foster::dump;

use super::rounds;

/// How long a program may take for one round, in seconds on the host's clock; `FOSTER_LIMIT` overrides it. Sound ones
/// take some milliseconds.
const LIMIT: u64 = 60;

/// The state that the thread of an alarm and the program share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    over: bool,
    late: bool,
    /// The waker of the program's last poll.
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the program ends without taking longer than the limit for a round.
    fn wait(&self, limit: Duration) -> bool {
        loop {
            let begun = rounds::begun();
            let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !state.over);
            let over = waited.unwrap_or_else(PoisonError::into_inner).0.over;
            if over || rounds::begun() == begun {
                return over;
            }
        }
    }

    /// Whether the limit has passed; if not, the waker is called when it does.
    fn is_late(&self, waker: &Waker) -> bool {
        let clone = waker.clone();
        let mut state = self.lock();
        let before = state.waker.replace(clone);
        let late = state.late;
        drop(state);
        drop(before);
        late
    }
}

/// Ends the alarm with the program, and says how many rounds that had, if it was asked for so many or has failed.
struct Over {
    name: &'static str,
    begin: Instant,
    shared: Arc<Shared>,
}

impl Drop for Over {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.shared.lock();
            state.over = true;
            state.waker.take()
        };
        drop(waker);
        self.shared.changed.notify_all();
        let (name, begun, took) = (self.name, rounds::begun(), self.begin.elapsed());
        if begun > 0 && thread::panicking() {
            eprintln!("{name} has failed in round {begun}");
        } else if begun > 0 && rounds::chosen().is_some() {
            println!("{name}: {begun} rounds in {took:.1?}");
        }
    }
}

/// Runs a program that has to end, and returns its output.
///
/// A program that does not end within a minute, or has a [round](super::rounds()) that does not, panics, with a dump of
/// the tree that it stands in. If that does not end it either, be it that nobody polls it or that its children do not
/// stop, the process exits with status 101.
///
/// # Panics
///
/// If the program does, or if it takes too long.
#[expect(clippy::disallowed_methods, reason = "an alarm goes by the host's clock, also where time is virtual")]
pub fn ends<F: Future>(name: &'static str, program: F) -> impl Future<Output = F::Output> {
    rounds::restart();
    let shared = Arc::new(Shared::default());
    let over = Over { name, begin: Instant::now(), shared: shared.clone() };
    let mut program = Box::pin(program);
    let mut begun = false;
    poll_fn(move |cx| {
        if !std::mem::replace(&mut begun, true) {
            let shared = shared.clone();
            let clock = thread::Builder::new().name("alarm".to_owned()).spawn(move || ring(name, &shared));
            assert!(clock.is_ok(), "the host refuses a thread for the alarm of {name}");
        }
        if over.shared.is_late(cx.waker()) {
            panic!("{name} hangs in round {}; what is alive in its tree:\n{}", rounds::begun(), dump());
        }
        program.as_mut().poll(cx)
    })
}

/// How long a program may take for one round.
pub(crate) fn limit() -> Duration {
    Duration::from_secs(std::env::var("FOSTER_LIMIT").ok().and_then(|text| text.parse().ok()).unwrap_or(LIMIT))
}

fn ring(name: &str, shared: &Shared) {
    let limit = limit();
    if shared.wait(limit) {
        return;
    }
    let waker = {
        let mut state = shared.lock();
        state.late = true;
        state.waker.clone()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
    if !shared.wait(limit) {
        // Not by `eprintln!`: the harness of the tests would keep it, and end with the process.
        let _ = writeln!(stderr(), "{name} hangs in round {}, and goes on to hang when it is stopped", rounds::begun());
        std::process::exit(101);
    }
}
