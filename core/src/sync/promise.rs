//! The promise: a value that another task sets, once.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::AlreadySet;
use super::wait_queue::{AnnouncedWait, Closed, WaitQueue};
use crate::sys::OnceLock;

/// A value that is set once, by any code that has it, and waited for by any number of tasks.
///
/// It ends in one of two ways, and stays so: [kept](Promise::set), or [closed](Promise::close). For an event that
/// carries no value there is [`Event`](super::Event); for a value that the first to need it makes,
/// [`OnceCell`](super::OnceCell).
///
/// # Examples
///
/// ```
/// use foster::sync::Promise;
///
/// # foster_sim::run(1, async {
/// static ADDRESS: Promise<String> = Promise::new();
///
/// foster::nursery(async |n: foster::Nursery<foster::sync::Closed>| {
///     n.spawn(async {
///         let address = ADDRESS.wait().await?;
///         assert_eq!(address, "localhost");
///         Ok(())
///     });
///     ADDRESS.set("localhost".to_string()).unwrap();
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
pub struct Promise<T> {
    outcome: OnceLock<Result<T, Closed>>,
    queue: WaitQueue,
}

impl<T> Promise<T> {
    /// Makes a promise that is neither kept nor closed.
    #[must_use]
    pub const fn new() -> Self {
        Promise { outcome: OnceLock::new(), queue: WaitQueue::new() }
    }

    /// Sets the value. All waiting code goes on, and code that comes later, too.
    ///
    /// # Errors
    ///
    /// [`AlreadySet`] with the value, if it was set or closed before.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        match self.outcome.set(Ok(value)) {
            Ok(()) => {
                self.queue.announce();
                Ok(())
            }
            Err(Ok(value)) => Err(AlreadySet { value }),
            Err(Err(_)) => unreachable!("`set` gives back what it was given"),
        }
    }

    /// Declares that the value will never come; all who wait, now or later, get [`Closed`] with this text, the place of
    /// this call and the task that called. Does nothing if it was set or closed before; returns whether it did.
    #[track_caller]
    pub fn close(&self, text: impl Into<Cow<'static, str>>) -> bool {
        let closed = self.outcome.set(Err(Closed::new(text.into()))).is_ok();
        if closed {
            self.queue.announce();
        }
        closed
    }

    /// Returns the value, if it was set.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.outcome.get().and_then(|outcome| outcome.as_ref().ok())
    }

    /// Returns the error, if it was closed.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.outcome.get().and_then(|outcome| outcome.as_ref().err())
    }

    /// Returns the value, if it was set.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.outcome.into_inner().and_then(Result::ok)
    }

    /// Waits for the value; if it is there, this is only a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Strict*. A drop leaves the queue; the others still get the value.
    ///
    /// # Errors
    ///
    /// [`Closed`], if it was closed.
    pub fn wait(&self) -> PromiseWait<'_, T> {
        PromiseWait { promise: self, wait: AnnouncedWait::new("promise") }
    }

    /// Returns how many tasks wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    fn outcome(&self) -> Poll<Result<&T, Closed>> {
        match self.outcome.get() {
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(closed)) => Poll::Ready(Err(closed.clone())),
            None => Poll::Pending,
        }
    }
}

impl<T> Default for Promise<T> {
    fn default() -> Self {
        Promise::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("outcome", &self.outcome.get()).field("waiting", &self.waiting()).finish()
    }
}

/// Future of [`Promise::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct PromiseWait<'a, T> {
    promise: &'a Promise<T>,
    wait: AnnouncedWait,
}

impl<'a, T> Future for PromiseWait<'a, T> {
    type Output = Result<&'a T, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.wait.poll(&this.promise.queue, || this.promise.outcome.get().is_some(), cx));
        this.promise.outcome()
    }
}

impl<T> Drop for PromiseWait<'_, T> {
    fn drop(&mut self) {
        self.wait.state.leave(&self.promise.queue);
    }
}

impl<T> fmt::Debug for PromiseWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromiseWait::{}", self.wait.state.name())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use foster_test_support::{ManualTask, at_once, block_on};

    /// B211
    #[test]
    fn it_ends_once() {
        let promise = Promise::new();
        promise.set(1).unwrap();
        assert_eq!(promise.set(2).unwrap_err().value, 2);
        assert!(!promise.close("too late"));
        assert_eq!(at_once(promise.wait()).unwrap(), &1);
        assert_eq!((promise.get(), promise.closed().is_none()), (Some(&1), true));

        let promise = Promise::new();
        let waiter = ManualTask::waiting(promise.wait());
        assert!(promise.close("no longer needed"));
        assert_eq!(promise.set(3).unwrap_err().value, 3);
        let closed = waiter.finish().unwrap_err();
        assert_eq!(closed.text(), "no longer needed");
        assert!(closed.location().file().ends_with("promise.rs"));
        assert!(at_once(promise.wait()).is_err());
        assert_eq!(promise.into_inner(), None);
    }

    /// B212
    #[test]
    fn a_cancelled_waiter_takes_nothing_from_the_others() {
        let promise = Promise::new();
        let [first, second, third] = [0; 3].map(|_| ManualTask::waiting(promise.wait()));
        drop(second);
        assert_eq!(promise.waiting(), 2);
        promise.set(5).unwrap();
        drop(first);
        assert_eq!(third.finish().unwrap(), &5);
        assert_eq!(promise.waiting(), 0);
    }

    /// B198
    #[test]
    fn a_static_promise_is_kept_across_threads() {
        static PROMISE: Promise<u32> = Promise::new();
        let waiter = thread::spawn(|| block_on(PROMISE.wait()).copied());
        PROMISE.set(9).unwrap();
        assert_eq!(waiter.join().unwrap().unwrap(), 9);
    }
}
