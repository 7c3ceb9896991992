//! A program on a host: a tree of its own, which can be ended from outside without running on.
//!
//! ```text
//!              1            2                     3
//!   Waiting ◀─────▶ Polled ────▶ Over     Waiting ────▶ Over
//!                     │ 4
//!                     └────▶ Over, and the future is dropped after its poll
//! ```
//! 1. `Running::poll`. 2. the program has returned. 3., 4. `Program::end`: a crash, or the drop of `Running`.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foster::runtime::{TreeHandle, root};

use super::host::Crashed;
use super::hosts::{HostId, MAIN};
use super::machine::Machine;
use crate::runtime::Sim;

/// A program, as its host sees it.
pub(super) trait Program: Send + Sync {
    /// Ends it: drops its tree, whose finalizers do not run (L30).
    fn end(&self);

    /// Wakes whoever awaits it: its host was paused, and is not any more.
    fn wake(&self);

    /// Its tree, to be looked at.
    fn tree(&self) -> TreeHandle;
}

struct ProgramState<T> {
    tree: TreeHandle,
    state: Mutex<State<T>>,
}

struct State<T> {
    phase: Phase<T>,
    /// The waker of the code that awaits it.
    waker: Option<Waker>,
}

enum Phase<T> {
    Waiting(Pin<Box<dyn Future<Output = T> + Send>>),
    Polled,
    Over,
}

impl<T> ProgramState<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> Program for ProgramState<T> {
    fn end(&self) {
        let mut state = self.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Over);
        let waker = state.waker.take();
        drop(state);
        drop(phase);
        waker.into_iter().for_each(Waker::wake);
    }

    fn wake(&self) {
        let waker = self.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn tree(&self) -> TreeHandle {
        self.tree.clone()
    }
}

/// A program that runs on a [`Host`](super::Host); made by [`Host::run`](super::Host::run).
#[must_use = "futures do nothing unless polled"]
pub struct Running<T: Send + 'static> {
    sim: Sim,
    host: HostId,
    /// None if the host was down.
    program: Option<Arc<ProgramState<T>>>,
}

impl<T: Send + 'static> Running<T> {
    #[track_caller]
    pub(super) fn new(sim: Sim, host: HostId, future: impl Future<Output = T> + Send + 'static) -> Self {
        let root = sim.config().looked_at(root(Arc::new(Machine::on(&sim, host)), future).polled_by_its_runtime());
        let tree = root.tree();
        let state = State { phase: Phase::Waiting(Box::pin(root)), waker: None };
        let program = Arc::new(ProgramState { tree, state: Mutex::new(state) });
        let registered = sim.network(|network| {
            let host = network.host(host);
            if host.running {
                host.programs.push(program.clone());
            }
            host.running
        });
        Running { program: (registered == Some(true)).then_some(program), sim, host }
    }

    fn is_paused(&self) -> bool {
        self.host != MAIN && self.sim.lock().paused.contains_key(&self.host.0)
    }

    /// The host need not know it any more.
    fn leave(&mut self) {
        let Some(program) = self.program.take() else { return };
        let left = self.sim.network(|network| {
            let programs = &mut network.host(self.host).programs;
            let at = programs.iter().position(|other| std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(&program)));
            at.map(|at| programs.remove(at))
        });
        // It may be the last reference, and is dropped here, outside of the lock.
        drop(left);
        program.end();
    }
}

impl<T: Send + 'static> Future for Running<T> {
    type Output = Result<T, Crashed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(program) = self.program.clone() else { return Poll::Ready(Err(Crashed)) };
        let waker = cx.waker().clone();
        let mut state = program.lock();
        let replaced = state.waker.replace(waker);
        let phase = match &state.phase {
            Phase::Over => Phase::Over,
            _ if self.is_paused() => {
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            _ => std::mem::replace(&mut state.phase, Phase::Polled),
        };
        drop(state);
        drop(replaced);
        let Phase::Waiting(mut future) = phase else {
            self.leave();
            return Poll::Ready(Err(Crashed));
        };
        let polled = future.as_mut().poll(cx);
        let mut state = program.lock();
        let crashed = matches!(state.phase, Phase::Over);
        match polled {
            Poll::Pending if !crashed => {
                state.phase = Phase::Waiting(future);
                return Poll::Pending;
            }
            _ => drop(state),
        }
        drop(future);
        self.leave();
        match polled {
            Poll::Ready(output) if !crashed => Poll::Ready(Ok(output)),
            _ => Poll::Ready(Err(Crashed)),
        }
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: Send + 'static> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
