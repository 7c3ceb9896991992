//! The output of a run that fails: how to repeat it; in a search, which runs into the same panic many times, nothing.

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, Once};
use std::thread;

use foster::observer::{HostDropped, Observer, Orphan};

use crate::schedule::Schedule;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped, what panics on this thread is not printed.
pub(crate) struct Quiet {
    before: bool,
}

impl Quiet {
    /// The first call puts a hook in front of the process's panic hook, which goes on to see all other panics.
    pub(crate) fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !is_quiet() {
                    hook(info)
                }
            }));
        });
        Quiet { before: QUIET.replace(true) }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(self.before);
    }
}

pub(crate) fn is_quiet() -> bool {
    QUIET.get()
}

/// For a tree in a search that is to be quiet.
pub(crate) fn observer() -> Option<Arc<dyn Observer>> {
    is_quiet().then(|| Arc::new(Mute) as _)
}

struct Mute;

impl Observer for Mute {
    fn orphan(&self, _: &Orphan<'_>) {}

    fn host_dropped(&self, _: &HostDropped) {}
}

/// Prints to standard error how to repeat a run that panics.
pub(crate) struct TellSeed<'a>(pub(crate) &'a Schedule);

impl Drop for TellSeed<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !is_quiet() {
            eprintln!("foster-sim: the run that failed had the seed {}; the same seed repeats it", self.0);
        }
    }
}
