//! The wait for a future on a thread that may block.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::job_context::JobContext;
use crate::leaf::assert_may_block;
use crate::runtime::{Runtime, park_until};

/// Blocks the calling thread until `future` is ready: for the closures of [`to_thread`](crate::to_thread), and for
/// threads that foster did not start.
///
/// The future is polled by the calling thread, outside of any tree: it suits what is waited *for*, such as a handle, an
/// `Event` or a channel. It stands in no scope, so nothing cancels it, and where there is no installed runtime it
/// cannot sleep, spawn or open scopes that wait. Work goes into the tree by [`from_thread`](super::from_thread), or
/// through a `foster::portal::portal`.
///
/// The simulator runs other tasks meanwhile if the calling thread is that of a job.
///
/// # Panics
///
/// In a task, or in other code of a tree: it would block the thread that runs what it waits for.
///
/// # Examples
///
/// ```
/// use foster::sync::Event;
/// use foster::{Nursery, nursery, thread, to_thread};
/// use std::sync::Arc;
///
/// # foster_sim::run(1, async {
/// let Ok(()) = nursery(async |n: Nursery| {
///     let (event, loaded) = (Arc::new(Event::new()), Arc::new(Event::new()));
///     let set = event.clone();
///     n.spawn(to_thread(move || thread::block_on(event.wait())));
///     set.set();
/// #   drop(loaded);
/// })
/// .await;
/// # });
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert_may_block("thread::block_on", "the future");
    match JobContext::current() {
        Some(context) => wait(&context.runtime, future),
        None => {
            let mut output = None;
            let mut future = pin!(future);
            park_until(&mut |cx| future.as_mut().poll(cx).map(|ready| output = Some(ready)));
            done(output)
        }
    }
}

/// Blocks the thread of a job of `runtime` until the future is ready.
pub(super) fn wait<F: Future>(runtime: &Arc<dyn Runtime>, future: F) -> F::Output {
    let mut output = None;
    let mut future = pin!(future);
    runtime.wait(&mut |cx| match output {
        Some(_) => Poll::Ready(()),
        None => future.as_mut().poll(cx).map(|ready| output = Some(ready)),
    });
    done(output)
}

fn done<T>(output: Option<T>) -> T {
    match output {
        Some(output) => output,
        None => unreachable!("R12: a runtime ends a wait only when its poll was ready"),
    }
}
