//! Waiting for what comes from outside of the simulation.

use std::fmt;

use crate::runtime::Sim;

/// Promises that something outside of the simulation, such as a plain thread, will wake the program.
///
/// As long as the guard lives, the simulation waits when nothing is runnable, in real time: the clock does not move,
/// and nothing is taken for a deadlock. The guard can be dropped on any thread. The actions of the other thread come in
/// no fixed order: such a run need not repeat, and [`Run::outside`](crate::Run::outside) counts why.
///
/// A guard that is never dropped lets a run that has nothing to do wait for ever.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
///
/// # Examples
///
/// ```
/// use foster::sync::Event;
/// use std::sync::Arc;
/// use std::thread;
/// use std::time::Duration;
///
/// foster_sim::run(1, async {
///     let done = Arc::new(Event::new());
///     let (sets, hold) = (done.clone(), foster_sim::hold());
///     let thread = thread::spawn(move || {
///         sets.set();
///         drop(hold);
///     });
///     // Without the guard this could be a deadlock, or the hour could be over before the thread has begun.
///     foster::fail_after(Duration::from_secs(3600), done.wait()).await.unwrap();
///     thread.join().unwrap();
/// });
/// ```
#[track_caller]
pub fn hold() -> Hold {
    let sim = Sim::current("hold");
    sim.lock().holds += 1;
    Hold { sim }
}

/// The promise of [`hold`].
#[must_use = "the simulation waits until the guard is dropped"]
pub struct Hold {
    sim: Sim,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.sim.lock();
        state.holds -= 1;
        self.sim.changed(state);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
