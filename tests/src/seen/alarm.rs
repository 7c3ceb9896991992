//! An alarm for programs that may hang: they fail, with their name and a picture of their tree.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use foster::dump;

/// How long a program may take, in seconds on the host's clock; `FOSTER_LIMIT` overrides it. Sound ones take about one.
const LIMIT: u64 = 60;

/// What the thread of an alarm and the program share.
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

    /// Whether the program is over before the limit.
    fn wait(&self, limit: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !state.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
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

/// Ends the alarm with the program.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.over = true;
            state.waker.take()
        };
        drop(waker);
        self.0.changed.notify_all();
    }
}

/// Runs a program that has to end, and returns its output.
///
/// A program that does not end within a minute panics, with a dump of the tree that it stands in. If that does not end it either, be
/// it that nobody polls it or that its children do not stop, the process exits with status 101.
///
/// # Panics
///
/// If the program does, or if it takes too long.
pub fn ends<F: Future>(name: &'static str, program: F) -> impl Future<Output = F::Output> {
    let shared = Arc::new(Shared::default());
    let over = Over(shared.clone());
    let mut program = Box::pin(program);
    let mut begun = false;
    poll_fn(move |cx| {
        if !std::mem::replace(&mut begun, true) {
            let shared = shared.clone();
            let clock = thread::Builder::new().name("alarm".to_owned()).spawn(move || ring(name, &shared));
            assert!(clock.is_ok(), "the host refuses a thread for the alarm of {name}");
        }
        assert!(!over.0.is_late(cx.waker()), "{name} hangs; what is alive in its tree:\n{}", dump());
        program.as_mut().poll(cx)
    })
}

fn ring(name: &str, shared: &Shared) {
    let limit = std::env::var("FOSTER_LIMIT").ok().and_then(|text| text.parse().ok()).unwrap_or(LIMIT);
    let limit = Duration::from_secs(limit);
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
        eprintln!("{name} hangs, and goes on to hang when it is stopped");
        std::process::exit(101);
    }
}
