//! Blocking jobs by turns: each has a thread of its own, but only one thread of a simulation runs at a time.
//!
//! ```text
//!   simulation   ──▶ picks the job ─┐                 ┌─▶ picks tasks … picks the job ─┐          ┌─▶
//!                                   1                 2                                3          4
//!   job's thread                    └─▶ runs ── waits ┘                                └─▶ runs ──┘ ended
//! ```
//!
//! 1., 3. `JobThread::turn`. 2. `Baton::wait`, which [`Runtime::wait`](foster::runtime::Runtime::wait) leads to. 4. the end
//! of the closure. So a closure may wait for a task, and the run can be replayed all the same: what it does comes when the
//! schedule says. A closure that blocks by other means blocks the simulation.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::runtime::{Timer, Work, park_until};

use super::blocking::on_thread;
use super::executor::Sim;
use super::timers::SimTimer;
use crate::quiet::{self, Quiet};

/// A job on a thread of its own, which runs only in [`turn`](JobThread::turn).
pub(crate) struct JobThread(Arc<Baton>);

struct Baton {
    place: Mutex<Place>,
    moved: Condvar,
}

/// The side whose turn it is.
enum Place {
    Simulation,
    /// The job's; with what wakes its task.
    Job(Waker),
    /// The job has ended.
    Ended,
    /// The simulation is over: the thread goes on by itself.
    Free,
}

thread_local! {
    /// The baton of the job that runs on this thread.
    static BATON: RefCell<Option<Arc<Baton>>> = const { RefCell::new(None) };
}

impl JobThread {
    /// Makes the thread; it waits for its first turn. Gives the closure back if there is no thread to be had.
    pub(crate) fn new(sim: &Sim, work: Work) -> Result<Self, Work> {
        let baton = Arc::new(Baton { place: Mutex::new(Place::Simulation), moved: Condvar::new() });
        let (mine, sim, quiet) = (baton.clone(), sim.clone(), quiet::is_quiet());
        let run = move |work: Work| {
            let _ended = Ended(mine.clone());
            mine.wait_for_turn();
            BATON.set(Some(mine));
            let outer = sim.make_current();
            let quiet = quiet.then(Quiet::new);
            work();
            drop(quiet);
            Sim::restore(outer);
            drop(BATON.take());
        };
        on_thread("foster-sim-job", work, run).map_err(|(work, _)| work)?;
        Ok(JobThread(baton))
    }

    /// Lets the job run until it waits or ends, and says whether it has ended.
    pub(crate) fn turn(&self, waker: &Waker) -> bool {
        self.0.give(Place::Job(waker.clone()));
        matches!(*self.0.wait_while(|place| matches!(place, Place::Job(_))), Place::Ended)
    }
}

impl Drop for JobThread {
    /// The simulation is over: what the job waits for may still come, but not by turns.
    fn drop(&mut self) {
        self.0.give(Place::Free);
    }
}

impl Baton {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut Place) -> bool) -> MutexGuard<'_, Place> {
        self.moved.wait_while(self.lock(), condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, to: Place) {
        let mut place = self.lock();
        if matches!(*place, Place::Ended) {
            return;
        }
        let old = std::mem::replace(&mut *place, to);
        drop(place);
        self.moved.notify_all();
        drop(old);
    }

    /// Waits until it is the job's turn, and gives its waker; none if it is free.
    fn wait_for_turn(&self) -> Option<Waker> {
        match &*self.wait_while(|place| matches!(place, Place::Simulation | Place::Ended)) {
            Place::Job(waker) => Some(waker.clone()),
            _ => None,
        }
    }

    fn wait(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        while let Some(waker) = self.wait_for_turn() {
            if poll(&mut Context::from_waker(&waker)).is_ready() {
                return;
            }
            self.give(Place::Simulation);
        }
        park_until(poll);
    }
}

/// Gives the turn back when the thread ends, for whatever reason.
struct Ended(Arc<Baton>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.give(Place::Ended);
    }
}

/// Whether the code that calls this is a job in its turn: then it is on the simulation's own thread, as it were.
pub(crate) fn in_turn() -> bool {
    BATON.with_borrow(|baton| baton.as_ref().is_some_and(|baton| matches!(*baton.lock(), Place::Job(_))))
}

/// Lets the simulation go on, for a job that may ask until it is late enough (R13): a microsecond, if the clock moves by
/// itself.
pub(crate) fn give_way(sim: &Sim) {
    let Some(baton) = BATON.with_borrow(Option::clone) else { return };
    // At the end of the simulation, what is left runs through: there is nobody to wake it.
    if baton.wait_for_turn().is_none_or(|waker| waker.will_wake(Waker::noop())) {
        return;
    }
    let mut state = sim.lock();
    let at = state.now + Duration::from_micros(u64::from(state.autojump));
    if state.pass_to(at, sim.config()) {
        return;
    }
    drop(state);
    let (mut timer, mut gave_way) = (SimTimer::new(sim.clone()), false);
    baton.wait(&mut |cx| {
        let state = sim.lock();
        if gave_way && (state.over || state.now >= at) {
            return Poll::Ready(());
        }
        drop(state);
        gave_way = true;
        timer.arm(at, cx.waker());
        Poll::Pending
    });
}

/// Blocks the calling thread until `poll` is ready; a job's by turns.
pub(crate) fn wait(poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
    match BATON.with_borrow(Option::clone) {
        Some(baton) => baton.wait(poll),
        None => park_until(poll),
    }
}
