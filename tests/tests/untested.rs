//! Laws that the mutation check found untested (see `../MUTATIONS.md`): they held, and nothing would have missed them.

#[path = "untested/budget.rs"]
mod budget;
#[path = "untested/channels.rs"]
mod channels;
#[path = "untested/clock.rs"]
mod clock;
#[path = "untested/delivery.rs"]
mod delivery;
#[path = "untested/guards.rs"]
mod guards;
#[path = "untested/host.rs"]
mod host;
#[path = "untested/locks.rs"]
mod locks;
#[path = "untested/nurseries.rs"]
mod nurseries;
#[path = "untested/requests.rs"]
mod requests;
#[path = "untested/runtimes.rs"]
mod runtimes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
