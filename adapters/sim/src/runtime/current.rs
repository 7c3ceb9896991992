//! Which simulation runs on this thread.

use std::cell::RefCell;

use super::executor::Sim;

thread_local! {
    static CURRENT: RefCell<Option<Sim>> = const { RefCell::new(None) };
}

impl Sim {
    /// Makes this the simulation of the current thread, until the guard is dropped; then ends it.
    pub(crate) fn enter(&self) -> Entered {
        Entered { sim: self.clone(), outer: CURRENT.replace(Some(self.clone())) }
    }

    /// As `enter`, without its end; `restore` goes back.
    pub(crate) fn make_current(&self) -> Option<Sim> {
        CURRENT.replace(Some(self.clone()))
    }

    pub(crate) fn restore(outer: Option<Sim>) {
        CURRENT.set(outer);
    }

    pub(crate) fn try_current() -> Option<Sim> {
        CURRENT.with_borrow(Option::clone)
    }

    /// The simulation that runs on this thread.
    #[track_caller]
    pub(crate) fn current(tool: &str) -> Sim {
        let Some(sim) = Sim::try_current() else {
            panic!(
                "`foster_sim::{tool}` was used where no simulation runs. It works in tasks under `foster_sim::run`, \
                 `explore` or `test`; usual causes: another adapter's test, another executor, a thread of your own"
            )
        };
        sim
    }
}

/// The current thread runs a simulation.
pub(crate) struct Entered {
    pub(crate) sim: Sim,
    outer: Option<Sim>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sim.tear_down();
        CURRENT.set(self.outer.take());
    }
}
