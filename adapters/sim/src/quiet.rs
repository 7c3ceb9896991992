//! Silence: a search runs into the same panic many times, and prints it once, at the end.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`; what panics in it on this thread is not printed.
///
/// The first call puts a hook in front of the process's panic hook, which goes on to see all other panics.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !is_quiet() {
                hook(info)
            }
        }));
    });
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            QUIET.set(self.0);
        }
    }
    let _restore = Restore(QUIET.replace(true));
    f()
}

pub(crate) fn is_quiet() -> bool {
    QUIET.get()
}
