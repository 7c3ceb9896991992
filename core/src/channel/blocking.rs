//! Waiting on a thread that may block.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::tree::ambient;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Refuses to block a thread that is polling a task: whoever should end the wait might be behind that very task.
#[track_caller]
pub(super) fn refuse_in_task(what: &str, instead: &str) {
    if let Some(task) = ambient::task_origin() {
        panic!(
            "`{what}` blocks its thread, and this thread is polling the task {task}. Await `{instead}` there; \
             `{what}` is for threads of your own and for the closures of `to_thread`"
        );
    }
}

/// Runs `future` to its end, parking the thread. Without an allocation if it is ready at once.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        // Stray unparks do no harm: it looks again.
        thread::park();
    }
}
