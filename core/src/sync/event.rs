//! The event: a flag that is set once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait_queue::{AnnouncedWait, WaitQueue};
use crate::sys::atomic::{AtomicBool, Ordering};

/// Something that happens once: all who wait for it go on, and so does everybody who comes later.
///
/// There is no way back: who wants to wait for the next time makes the next event. (An event that can be cleared is a
/// race between those who clear it and those who were just about to look.)
///
/// # Examples
///
/// ```
/// use foster::sync::Event;
/// use std::sync::Arc;
///
/// # foster_sim::run(1, async {
/// let ready = Arc::new(Event::new());
/// foster::nursery(async |n: foster::Nursery<std::convert::Infallible>| {
///     let waiter = ready.clone();
///     n.spawn(async move { waiter.wait().await });
///     ready.set();
///     Ok(())
/// })
/// .await
/// .unwrap();
/// assert!(ready.is_set());
/// # });
/// ```
#[derive(Default)]
pub struct Event {
    set: AtomicBool,
    queue: WaitQueue,
}

impl Event {
    /// Makes an event that has not happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Event { set: AtomicBool::new(false), queue: WaitQueue::new() }
    }

    /// Lets all waiting code go on, and code that comes later, too. Called again, it does nothing.
    pub fn set(&self) {
        if !self.set.swap(true, Ordering::Release) {
            self.queue.announce();
        }
    }

    /// Returns whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until it happens; if it has, this is only a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Strict*. A drop leaves the queue.
    pub fn wait(&self) -> EventWait<'_> {
        EventWait { event: self, wait: AnnouncedWait::new("event") }
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { set: self.is_set(), waiting: self.queue.waiting() }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventStatistics { set, waiting } = self.statistics();
        f.debug_struct("Event").field("set", &set).field("waiting", &waiting).finish()
    }
}

/// The snapshot that [`Event::statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// Whether it has happened.
    pub set: bool,
    /// How many tasks wait for it.
    pub waiting: usize,
}

/// Future of [`Event::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct EventWait<'a> {
    event: &'a Event,
    wait: AnnouncedWait,
}

impl Future for EventWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.wait.poll(&this.event.queue, || this.event.is_set(), cx)
    }
}

impl Drop for EventWait<'_> {
    fn drop(&mut self) {
        self.wait.state.leave(&self.event.queue);
    }
}

impl fmt::Debug for EventWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventWait::{}", self.wait.state.name())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use foster_test_support::{ManualTask, at_once, block_on};

    /// B200
    #[test]
    fn all_waiters_go_on_now_and_later() {
        let event = Event::new();
        let waiters: Vec<_> = (0..3).map(|_| ManualTask::waiting(event.wait())).collect();
        assert_eq!(event.statistics(), EventStatistics { set: false, waiting: 3 });
        event.set();
        event.set();
        for waiter in waiters {
            assert_eq!(waiter.wakes(), 1);
            waiter.finish();
        }
        at_once(event.wait());
        assert_eq!(event.statistics(), EventStatistics { set: true, waiting: 0 });
    }

    /// B201
    #[test]
    fn a_dropped_waiter_is_not_counted() {
        let event = Event::new();
        let first = ManualTask::waiting(event.wait());
        let second = ManualTask::waiting(event.wait());
        drop(first);
        assert_eq!(event.statistics().waiting, 1);
        event.set();
        second.finish();
    }

    /// B198
    #[test]
    fn racing_set_and_wait_never_miss_each_other() {
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        for _ in 0..2_000 {
            let event = Event::new();
            thread::scope(|threads| {
                threads.spawn(|| event.set());
                block_on(event.wait());
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(ROUNDS.load(Ordering::Relaxed), 2_000);
    }
}
