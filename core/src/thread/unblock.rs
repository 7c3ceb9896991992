//! A value that is used on threads that may block.
//!
//! ```text
//!   a.with_mut(f)  ─▶ locks the value ─▶ a thread: f(&mut value) ─▶ the result
//!   b.with_mut(g)  ─▶ waits ·············································▶ a thread: g(&mut value) ─▶ the result
//! ```
//!
//! It uses only the public API: a [`Mutex`] whose guard goes into the closure of a [`to_thread`](super::to_thread()).

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::task::{Context, Poll, ready};

use super::job_future::{ToThread, to_thread};
use crate::sync::future::MutexLockOwned;
use crate::sync::{CapacityLimiter, Mutex, OwnedMutexGuard};

/// A value that blocks when it is used, such as a database connection or a file; each use is a job on a thread.
///
/// Clones are handles to the same value. It need not be `Sync`.
///
/// A handle that is dropped waits for nothing. With the last one the value goes, or with the job that is using it;
/// where its destructor may block, drop it in a [`to_thread`](crate::to_thread()).
///
/// The name, and that of [`with_mut`](Unblock::with_mut), are those of the `blocking` crate, which smol has.
///
/// # Examples
///
/// ```
/// use foster::thread::Unblock;
/// use std::io::{Cursor, Read, Seek};
///
/// # foster_sim::run(1, async {
/// let file = Unblock::new(Cursor::new("line 1\nline 2\n"));
/// let mut text = file.with_mut(|file| std::io::read_to_string(file)).await?;
/// file.with_mut(|file| file.rewind()).await?;
/// text += &file.with_mut(|file| std::io::read_to_string(file)).await?;
/// assert_eq!(text.lines().count(), 4);
/// assert!(file.into_inner().is_some());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct Unblock<T> {
    value: Arc<Mutex<T>>,
}

impl<T> Clone for Unblock<T> {
    fn clone(&self) -> Self {
        Unblock { value: self.value.clone() }
    }
}

impl<T> Unblock<T> {
    /// Makes a handle to `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Unblock { value: Arc::new(Mutex::new(value)) }
    }

    /// Returns the value, if this is the last handle and no job is using it. Else this handle is dropped, and the value
    /// stays with the others.
    #[must_use = "this drops the value, here"]
    pub fn into_inner(self) -> Option<T> {
        Arc::into_inner(self.value).map(Mutex::into_inner)
    }
}

impl<T: Send + 'static> Unblock<T> {
    /// Runs `work` with the value on a thread that may block, and returns its result.
    ///
    /// One job at a time has the value. Those that wait for it are served in the order in which they came, and hold no
    /// thread meanwhile. The job itself is one of [`to_thread`](crate::to_thread()), with all that this means: it
    /// counts as a child of the scope that awaits it, is waited for also in code that is cancelled or dropped, may ask
    /// [`thread::is_cancelled`](super::is_cancelled), and needs a permit of the tree's [`limiter`](super::limiter), or
    /// of [another](WithMut::limiter).
    ///
    /// A job that waits for another use of the same value waits for ever.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted* once the job has started: it is waited for. Before, the closure never runs; it *loses its place*.
    ///
    /// # Panics
    ///
    /// Resumes the panic of `work`. The value stays as that has left it, and the next job gets it so: if half a change
    /// would spoil it, keep an `Option<T>` and [`take`](Option::take) it for the time of the change. Panics if the
    /// runtime has no thread. When polled outside of any tree, if no adapter was installed.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::combine::join;
    /// use foster::thread::Unblock;
    ///
    /// # foster_sim::run(1, async {
    /// let log = Unblock::new(Vec::new());
    /// let (first, second) = (log.with_mut(|log| log.push(1)), log.with_mut(|log| log.push(2)));
    /// join((first, second)).await;
    /// assert_eq!(log.into_inner(), Some(vec![1, 2]));
    /// # });
    /// ```
    #[track_caller]
    pub fn with_mut<R, F>(&self, work: F) -> WithMut<T, R>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        let (slot, taken) = GuardSlot::new();
        let job: BoxedWork<R> = Box::new(move || match taken.take() {
            Some(mut guard) => work(&mut guard),
            None => unreachable!("the guard is put before the job starts"),
        });
        WithMut {
            lock: Some((self.value.clone().lock_owned(), slot)),
            job: to_thread(job).named(type_name::<F>()),
            location: Location::caller(),
        }
    }
}

impl<T> fmt::Debug for Unblock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unblock").finish_non_exhaustive()
    }
}

type BoxedWork<R> = Box<dyn FnOnce() -> R + Send>;

/// Future of [`Unblock::with_mut`].
#[must_use = "futures do nothing unless polled"]
pub struct WithMut<T, R> {
    /// Until the value is locked.
    lock: Option<(MutexLockOwned<T>, GuardSlot<T>)>,
    job: ToThread<R, BoxedWork<R>>,
    location: &'static Location<'static>,
}

impl<T, R> Unpin for WithMut<T, R> {}

impl<T, R> WithMut<T, R> {
    /// As [`ToThread::limiter`].
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        self.job = self.job.limiter(limiter);
        self
    }

    /// As [`ToThread::named`].
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.job = self.job.named(name);
        self
    }
}

impl<T: Send + 'static, R: Send + 'static> Future for WithMut<T, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        if let Some((lock, slot)) = &mut this.lock {
            let guard = ready!(Pin::new(lock).poll(cx));
            slot.put(guard);
            // From here on the job owns the guard, and releases it when it has ended, or is dropped before it began.
            this.lock = None;
        }
        Pin::new(&mut this.job).poll(cx)
    }
}

impl<T, R> fmt::Debug for WithMut<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithMut").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Hands the guard to the job. No code of the user runs under its lock.
struct GuardSlot<T>(Arc<AssertUnwindSafe<StdMutex<Option<OwnedMutexGuard<T>>>>>);

impl<T> GuardSlot<T> {
    fn new() -> (Self, Self) {
        let place = Arc::new(AssertUnwindSafe(StdMutex::new(None)));
        (GuardSlot(place.clone()), GuardSlot(place))
    }

    fn put(&self, guard: OwnedMutexGuard<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    }

    fn take(&self) -> Option<OwnedMutexGuard<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
