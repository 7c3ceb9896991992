//! How a run ends: by the end of the main future, or since something has failed that nobody awaits; and what must not
//! be open then.

use std::any::Any;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::pin;
use std::task::Context;

use super::report;
use crate::runtime::Sim;

/// Why a run fails, beside its main future.
pub(super) enum RunFailure {
    /// Code of the user has panicked that nobody awaits.
    Panic(Box<dyn Any + Send>),
    /// A program has failed that a host runs by itself.
    Program(String),
}

/// The main future. It panics if something fails that nobody awaits. When it has ended, so have all programs, and no
/// socket may be open any more: one that is was kept where no scope could end it.
pub(crate) async fn until_the_end<M: Future>(sim: Sim, main: M) -> M::Output {
    let output = {
        let mut main = pin!(main);
        poll_fn(|cx| {
            sim.note_main(cx);
            sim.panic_if_failed();
            main.as_mut().poll(cx)
        })
        .await
    };
    sim.end_programs();
    // Also what has failed in its last poll, or by what the programs sent as they were ended.
    sim.panic_if_failed();
    let open = report::left_open(&sim);
    assert!(
        open.is_empty(),
        "the run has ended, and sockets are open. Usual causes: a socket that the main future has returned, or that was moved into a `static` or a thread; a \
         cycle of `Arc`s, or `mem::forget`. The open sockets:\n{open}"
    );
    output
}

impl Sim {
    /// Lets the run fail, as soon as the main future is polled. The first failure counts.
    pub(super) fn fail(&self, failure: RunFailure) {
        let mut failure = Some(failure);
        let main = self.network(|network| {
            if network.world.failure.is_none() {
                network.world.failure = failure.take();
            }
            network.world.main.clone()
        });
        main.flatten().into_iter().for_each(|main| main.wake());
        // If it is another one, its payload is dropped here, where no lock is held.
        drop(failure);
    }

    fn note_main(&self, cx: &Context<'_>) {
        // The waker of a task of the simulation: to clone it runs no code of the user.
        self.lock().world.main.get_or_insert_with(|| cx.waker().clone());
    }

    fn panic_if_failed(&self) {
        let failure = self.lock().world.failure.take();
        match failure {
            None => {}
            Some(RunFailure::Panic(payload)) => resume_unwind(payload),
            Some(RunFailure::Program(message)) => panic!("{message}"),
        }
    }

    /// Ends the programs of all hosts that nobody has ended, as a kill does.
    fn end_programs(&self) {
        let programs = self.network(|network| {
            let hosts = network.world.hosts.iter_mut();
            let taken = hosts.flat_map(|host| {
                host.running = false;
                std::mem::take(&mut host.programs)
            });
            taken.collect::<Vec<_>>()
        });
        programs.into_iter().flatten().for_each(|program| program.end());
    }
}
