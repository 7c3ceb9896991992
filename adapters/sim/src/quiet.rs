//! Silence: a search runs into the same panic many times, and prints it once, at the end.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

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
