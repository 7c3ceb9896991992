//! Blocking jobs: closures that foster wants run where they may block.
//!
//! By default they run in turns with the simulation, each as one step, when the schedule picks it: to the tasks it looks
//! as if a thread had run from its start to its end at one point of virtual time, and the run can be replayed. A closure
//! may wait for tasks by foster's means (`from_thread`, `thread::block_on`): then its step ends there, and the rest is
//! another one. So it does, if need be, where the closure asks `thread::is_cancelled()`. It must not wait for them by other
//! means, such as a channel of `std`. For closures that do, there is
//! [`Builder::real_threads`](crate::Builder::real_threads).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use foster::runtime::{BlockingError, Work};

use super::executor::{Body, Sim};
use super::timers::Alarm;

impl Sim {
    pub(crate) fn run_blocking(&self, work: Work) -> Result<(), BlockingError> {
        if self.config().patience > Duration::ZERO {
            return self.run_on_thread(work);
        }
        let (shortest, longest) = self.config().blocking_time;
        let added = self.add(Body::Work(work), |state, key| {
            let by_seed = shortest + state.choices.time_up_to(longest - shortest);
            let takes = state.next_blocking.take().unwrap_or(by_seed);
            if takes > Duration::ZERO {
                let ends = state.now + takes;
                state.timers.insert(ends, Alarm::Run(key));
            }
            takes.is_zero()
        });
        match added {
            Err(Body::Work(work)) => Err(refused(work)),
            _ => Ok(()),
        }
    }

    fn run_on_thread(&self, work: Work) -> Result<(), BlockingError> {
        let mut state = self.lock();
        if state.over {
            return Err(refused(work));
        }
        state.threads += 1;
        drop(state);
        let ending = ThreadEnd(self.clone());
        let run = move |work: Work| {
            let _ending = ending;
            work();
        };
        on_thread("foster-sim-blocking", work, run).map_err(|(work, error)| BlockingError::new(work, error))
    }
}

/// Runs a closure by `run` on a thread of its own; gives it back if there is no thread to be had.
pub(crate) fn on_thread(
    name: &str,
    work: Work,
    run: impl FnOnce(Work) + Send + 'static,
) -> Result<(), (Work, io::Error)> {
    // Shared, because the closure would be lost if the thread could not be made.
    let shared = Arc::new(Mutex::new(Some(work)));
    let take = |shared: &Mutex<Option<Work>>| shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let thread = thread::Builder::new().name(name.to_owned()).spawn({
        let shared = shared.clone();
        move || take(&shared).map(run).unwrap_or_default()
    });
    match thread {
        Ok(_detached) => Ok(()),
        Err(error) => Err((take(&shared).expect("no thread ran the closure"), error)),
    }
}

fn refused(work: Work) -> BlockingError {
    BlockingError::new(work, io::Error::other("the simulation is over"))
}

/// Dropped when the thread of a blocking job ends, or could not be made.
struct ThreadEnd(Sim);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.threads -= 1;
        self.0.changed(state);
    }
}
