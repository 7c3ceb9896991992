//! A thread that waits. The thread's own token serves: it may be set by others, too, which costs one more look. So there is
//! no need for `parking`, which has a token for each waiter.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the calling thread until `poll` is ready: what [`Runtime::wait`](super::Runtime::wait) does if an adapter has
/// nothing better.
///
/// Applications call [`thread::block_on`](crate::thread::block_on).
///
/// # Examples
///
/// ```
/// use foster::runtime::park_until;
/// use std::task::Poll;
///
/// let mut turns = 0;
/// park_until(&mut |cx| {
///     turns += 1;
///     cx.waker().wake_by_ref();
///     if turns < 3 { Poll::Pending } else { Poll::Ready(()) }
/// });
/// assert_eq!(turns, 3);
/// ```
pub fn park_until(poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
    // Without an allocation if there is nothing to wait for.
    if poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        return;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    while poll(&mut cx).is_pending() {
        // Stray unparks do no harm: it looks again.
        thread::park();
    }
}
