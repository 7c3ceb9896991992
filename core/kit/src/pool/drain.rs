//! The end of a pool: what is idle is closed, and what is in use waited for.

use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::{Idle, Manage, Shared};
use crate::combine::{gather_results, join};
use crate::first_panic::FirstPanic;
use foster_core::{ScopeHandle, move_on_after};

/// Closes the pool; see [`Pool::close`](super::Pool::close).
pub(super) async fn close<M: Manage>(shared: &Shared<M>, grace: Duration) -> usize {
    // Outlives what is closed: dropped half-way, it fails the scope around when all else is gone.
    let panics = Mutex::<FirstPanic>::default();
    let idle = take_idle(shared);
    let closing = gather_results(idle.into_iter().map(|last| last.close(&panics)));
    let draining = async {
        if move_on_after(grace, shared.drained.wait()).await.is_some() {
            return 0;
        }
        let uses: Vec<ScopeHandle> = shared.lock().uses.iter().map(|(_, scope)| scope.clone()).collect();
        let cut = ScopeHandle::cancel_all(&uses, "the pool is closing");
        drop(uses);
        shared.drained.wait().await;
        cut
    };
    let cut = join((closing, draining)).await.1;
    panics.into_inner().unwrap_or_else(PoisonError::into_inner).resume();
    cut
}

/// From here on nobody gets a resource: those that are idle are all the caller's.
fn take_idle<M: Manage>(shared: &Shared<M>) -> Vec<LastClosing<'_, M>> {
    let (idle, first, drained) = {
        let mut state = shared.lock();
        let first = !mem::replace(&mut state.closed, true);
        let idle = mem::take(&mut state.idle);
        state.discarded += idle.len() as u64;
        state.closings += idle.len();
        (idle, first, state.is_drained())
    };
    let idle = idle.into_iter().map(|Idle { resource, .. }| LastClosing { resource, counted: Counted(shared) });
    let idle = idle.collect();
    if drained {
        shared.drained.set();
    }
    if first {
        shared.let_all_in();
    }
    idle
}

fn lock(panics: &Mutex<FirstPanic>) -> MutexGuard<'_, FirstPanic> {
    panics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A resource that was idle when the pool was closed.
struct LastClosing<'a, M: Manage> {
    // Subtle: the fields are dropped in this order: the resource is gone before the pool is drained.
    resource: M::Resource,
    counted: Counted<'a, M>,
}

impl<M: Manage> LastClosing<'_, M> {
    /// Closes it. A panic is kept, so that the others are closed all the same.
    async fn close(self, panics: &Mutex<FirstPanic>) {
        let LastClosing { resource, counted } = self;
        let mut closing = pin!(counted.0.discard(resource));
        poll_fn(|cx| match panic::catch_unwind(AssertUnwindSafe(|| closing.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(payload) => {
                // L36: it is kept with the lock released. Nobody else is there: all closings are in this task.
                let mut first = mem::take(&mut *lock(panics));
                first.keep(payload);
                *lock(panics) = first;
                Poll::Ready(())
            }
        })
        .await;
    }
}

/// One of [`State::closings`](super::State): counts down when dropped, however the closing has ended.
struct Counted<'a, M: Manage>(&'a Shared<M>);

impl<M: Manage> Drop for Counted<'_, M> {
    fn drop(&mut self) {
        let drained = {
            let mut state = self.0.lock();
            state.closings -= 1;
            state.is_drained()
        };
        if drained {
            self.0.drained.set();
        }
    }
}
