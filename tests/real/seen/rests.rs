//! Code that waits and whose poll is over.
//!
//! Only such code is blocked, and sees nothing of a cancellation but that (L12). A program cannot tell from inside when
//! its own poll is over: the thread may be taken from it before that, for longer than any deadline is away. So whoever
//! polls tells.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foster::observer::{ObservedTask, Observer, TaskEvent};

thread_local! {
    /// The flags of the code that has begun to wait in the poll that this thread is in, or was in last. Polls of tasks
    /// are not nested.
    static WAITING: RefCell<Vec<Arc<AtomicBool>>> = const { RefCell::new(Vec::new()) };
}

/// To be called in a poll: sets `rests` when that is over, if the tree is one that [`tells`].
pub(super) fn after_this_poll(rests: &Arc<AtomicBool>) {
    WAITING.with_borrow_mut(|waiting| waiting.push(rests.clone()));
}

fn poll_is_over() {
    for rests in WAITING.take() {
        rests.store(true, Ordering::SeqCst);
    }
}

/// Tells of the polls of tasks.
pub(super) struct Tells;

impl Observer for Tells {
    fn follows_tasks(&self) -> bool {
        true
    }

    fn task(&self, _: &ObservedTask<'_>, event: TaskEvent) {
        if matches!(event, TaskEvent::PollEnds { .. }) {
            poll_is_over();
        }
    }
}

/// Tells of the polls of a root, which is no task.
pub(super) async fn tells<F: Future>(root: F) -> F::Output {
    let mut root = pin!(root);
    std::future::poll_fn(|cx| {
        let poll = root.as_mut().poll(cx);
        poll_is_over();
        poll
    })
    .await
}
