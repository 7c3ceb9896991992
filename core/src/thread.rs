//! Blocking work on threads, counted as a child of the scope that awaits it.
//!
//! ```text
//!   caller     ──── to_thread(f) ───────────────────▶ the result
//!   thread             └─ f ───────────────────────┘
//!
//!   cancelled  ──── to_thread(f) ─────╳ ·· waits ···▶ stops at the next checkpoint
//!   thread             └─ f ───────────────────────┘   (f may ask `thread::is_cancelled()` and be quick)
//! ```

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use crate::reason::Origin;
use crate::sync::{CapacityLimiter, LimiterAcquireOwned, OwnedLimiterPermit};
use crate::tree::ambient;
use crate::tree::drive::drop_payload;
use crate::tree::node::{Kind, LOST, NodeRef};
use crate::tree::owned::{OwnedScope, host_is_cancelled};
use crate::value::Carried;

/// Runs `work` on a thread that may block, and returns its result.
///
/// The job counts as a child of the scope that awaits it: it cannot be interrupted, so a cancelled caller still waits for its
/// end, and if the returned future is dropped by foreign code, the scope around it waits in its place (law L21). Long work
/// should ask [`thread::is_cancelled`](is_cancelled) now and then. A caller that is cancelled already does not start the job.
///
/// At most [`limiter`] jobs of a tree run at once; another limiter can be given with [`ToThread::limiter`].
///
/// # Cancellation
///
/// Not cancelled once the job has started: it is waited for. Before, *strict*: the closure never runs.
///
/// # Panics
///
/// Resumes the panic of `work`. Panics if the runtime has no thread for it; see [`try_to_thread`]. When polled outside of any
/// tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let sum = foster::to_thread(|| (1..=10).sum::<u32>()).await;
/// assert_eq!(sum, 55);
/// # });
/// ```
#[track_caller]
pub fn to_thread<T, F>(work: F) -> ToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    ToThread { inner: try_to_thread(work) }
}

/// As [`to_thread`], but says so if the runtime has no thread for the job.
///
/// # Errors
///
/// The runtime's reason why there is no thread. The closure was not run, and is dropped.
///
/// # Cancellation
///
/// As [`to_thread`].
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn try_to_thread<T, F>(work: F) -> TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    TryToThread {
        stage: Stage::Fresh { ticket: Ticket::new(), work: Some(work) },
        name: None,
        location: Location::caller(),
    }
}

/// Runs `work` on a thread that may block; a caller that is cancelled abandons it.
///
/// The job is *not* in the tree: after a cancellation it goes on, even beyond the end of the run, and its result or panic is
/// dropped. Only for work that is harmless when nobody knows whether it is still going on. Inside,
/// [`thread::is_cancelled`](is_cancelled) tells that it was abandoned.
///
/// # Errors
///
/// The runtime's reason why there is no thread.
///
/// # Cancellation
///
/// *Partial effect*: the job goes on by itself.
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn to_thread_abandon<T, F>(work: F) -> ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    ToThreadAbandon { stage: AbandonStage::Fresh { ticket: Ticket::new(), work: Some(work) } }
}

/// How many blocking jobs a tree runs at once, if nothing else is said.
pub const DEFAULT_THREADS: usize = 40;

/// The limiter of the blocking jobs of this tree that were given no other; it starts with [`DEFAULT_THREADS`], and can be
/// resized.
///
/// # Panics
///
/// Outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// foster::thread::limiter().set_total(2);
/// assert_eq!(foster::thread::limiter().available(), 2);
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn limiter() -> Arc<CapacityLimiter> {
    let Some(tree) = ambient::tree() else { ambient::no_context() };
    // In the tree, not in a static: what one run does must not show in another.
    tree.local(|| TreeLimiter(Arc::new(CapacityLimiter::new(DEFAULT_THREADS)))).0.clone()
}

struct TreeLimiter(Arc<CapacityLimiter>);

/// Whether the code that awaits this blocking job has been asked to stop, or has gone away: the job should be quick.
///
/// A job that is cut short this way *has* returned: in code that goes on from its result, put a
/// [`checkpoint_if_cancelled`](crate::checkpoint_if_cancelled) after the await, so that half a result does not count as a whole
/// one.
///
/// # Panics
///
/// On a thread that does not run a job of [`to_thread`] or [`to_thread_abandon`].
///
/// # Examples
///
/// ```
/// use foster::{fail_after, thread, to_thread};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let counted = to_thread(|| (0..1000u32).take_while(|_| !thread::is_cancelled()).count()).await;
/// assert_eq!(counted, 1000);
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn is_cancelled() -> bool {
    let host = HOST.with(|host| host.borrow().clone());
    match host {
        Some(Host::Scope(node)) => host_is_cancelled(&node),
        Some(Host::Abandonable(abandoned, node)) => {
            abandoned.load(Ordering::Acquire) || node.tree().is_some_and(|tree| node.is_cancelled(tree))
        }
        None => panic!(
            "`thread::is_cancelled` was called on a thread that runs no blocking job of foster. Usual causes: the closure \
             started a thread of its own, or async code meant `foster::is_cancelled`"
        ),
    }
}

/// Who waits for the job that runs on this thread.
#[derive(Clone)]
enum Host {
    /// The job's own scope.
    Scope(NodeRef),
    /// Whether the await is gone, and the scope that it stood in.
    Abandonable(Arc<AtomicBool>, NodeRef),
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// What a job leaves for whoever awaits it.
struct Slip<T>(Mutex<Filled<T>>);

struct Filled<T> {
    result: Option<thread::Result<T>>,
    /// The job has ended; also if the runtime dropped it.
    ended: bool,
    waker: Option<Waker>,
}

impl<T> Slip<T> {
    fn new() -> Arc<Self> {
        Arc::new(Slip(Mutex::new(Filled { result: None, ended: false, waker: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Filled<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut filled = self.lock();
        if filled.ended {
            return Poll::Ready(());
        }
        let old = match &filled.waker {
            Some(old) if old.will_wake(cx.waker()) => None,
            _ => filled.waker.replace(cx.waker().clone()),
        };
        drop(filled);
        drop(old);
        Poll::Pending
    }

    /// Drops the result, or resumes the panic, of a job without a caller.
    fn settle(&self) {
        let result = self.lock().result.take();
        if let Some(Err(payload)) = result {
            panic::resume_unwind(payload);
        }
    }

    fn take(&self) -> T {
        let result = self.lock().result.take();
        match result {
            Some(Ok(value)) => value,
            Some(Err(payload)) => panic::resume_unwind(payload),
            None => panic!("the runtime has dropped a blocking job without running it: it is being torn down"),
        }
    }
}

impl<T> Drop for Slip<T> {
    fn drop(&mut self) {
        // A result that nobody has taken. This may be the runtime's thread, which must not panic (R8), or `Drop` (L37).
        let result = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).result.take();
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(result)));
        drop_payload(dropped.err());
    }
}

/// The job's side of the slip: says that the job has ended, however it does.
struct Writer<T>(Arc<Slip<T>>);

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        let mut filled = self.0.lock();
        filled.ended = true;
        let waker = filled.waker.take();
        drop(filled);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The way to a permit for a thread. It is also the checkpoint at the start of the job.
struct Ticket {
    limiter: Option<Arc<CapacityLimiter>>,
    acquire: Option<Pin<Box<LimiterAcquireOwned>>>,
}

impl Ticket {
    fn new() -> Self {
        Ticket { limiter: None, acquire: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<OwnedLimiterPermit> {
        let acquire = self.acquire.get_or_insert_with(|| {
            let limiter = self.limiter.take().unwrap_or_else(limiter);
            // Fast: waiting for the job gives way to other tasks anyway.
            Box::pin(limiter.fast_acquire_owned())
        });
        acquire.as_mut().poll(cx)
    }
}

/// The closure for the runtime: runs `work` with its host known, catches its panic, gives the permit back, fills the slip.
fn job<T, F>(slip: &Arc<Slip<T>>, permit: OwnedLimiterPermit, host: Host, work: F) -> crate::runtime::Work
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let writer = Writer(slip.clone());
    let values = Carried::here();
    Box::new(move || {
        let before = HOST.with(|slot| slot.replace(Some(host)));
        let result = panic::catch_unwind(AssertUnwindSafe(|| values.run(work)));
        let mine = HOST.with(|slot| slot.replace(before));
        drop(mine);
        drop(permit);
        writer.0.lock().result = Some(result);
        // The last thing that happens: whoever waits may end the whole program now.
        drop(writer);
    })
}

/// Future of [`to_thread`].
#[must_use = "futures do nothing unless polled"]
pub struct ToThread<T, F> {
    inner: TryToThread<T, F>,
}

impl<T, F> ToThread<T, F> {
    /// Counts the job with this limiter, instead of the [tree's own](limiter).
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        self.inner = self.inner.limiter(limiter);
        self
    }

    /// Names the job, for dumps. By default it bears the type name of its closure.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.inner = self.inner.named(name);
        self
    }
}

impl<T, F> Future for ToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.inner).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => panic!("no thread for a blocking job: {error}"),
        }
    }
}

impl<T, F> fmt::Debug for ToThread<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThread").field("location", &self.inner.location).finish_non_exhaustive()
    }
}

/// Future of [`try_to_thread`].
#[must_use = "futures do nothing unless polled"]
pub struct TryToThread<T, F> {
    stage: Stage<T, F>,
    name: Option<Cow<'static, str>>,
    location: &'static Location<'static>,
}

enum Stage<T, F> {
    Fresh { ticket: Ticket, work: Option<F> },
    Running { scope: OwnedScope, slip: Arc<Slip<T>> },
    Done,
}

// Nothing is pinned in here: the closure is only moved out.
impl<T, F> Unpin for TryToThread<T, F> {}

impl<T, F> TryToThread<T, F> {
    /// As [`ToThread::limiter`].
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        if let Stage::Fresh { ticket, .. } = &mut self.stage {
            ticket.limiter = Some(limiter);
        }
        self
    }

    /// As [`ToThread::named`].
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<T, F> Future for TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Fresh { ticket, work } => {
                    let permit = ready!(ticket.poll(cx));
                    let Some(work) = work.take() else { unreachable!("started once") };
                    let Some(tree) = ambient::tree() else { ambient::no_context() };
                    let slip = Slip::new();
                    let origin = Origin::new(
                        this.name.take().unwrap_or(Cow::Borrowed(std::any::type_name::<F>())),
                        this.location,
                    );
                    let end = slip.clone();
                    let body = Box::pin(std::future::poll_fn(move |cx| {
                        ready!(end.poll_ended(cx));
                        if ambient::current().flagged(LOST) {
                            // Nobody else will look: a panic has to fail the scope that waits now (L29).
                            end.settle();
                        }
                        Poll::Ready(())
                    }));
                    let scope = OwnedScope::enter(Kind::Thread, origin, body);
                    let Some(node) = scope.node().cloned() else { unreachable!("just entered") };
                    let refused = tree.runtime.blocking(job(&slip, permit, Host::Scope(node), work)).err();
                    this.stage = Stage::Running { scope, slip };
                    if let Some(refused) = refused {
                        // Dropping the closure ends the job; nothing else is left of its scope.
                        drop(refused.work);
                        this.stage = Stage::Done;
                        return Poll::Ready(Err(refused.source));
                    }
                }
                Stage::Running { scope, slip } => {
                    ready!(Pin::new(scope).poll(cx));
                    let slip = slip.clone();
                    this.stage = Stage::Done;
                    return Poll::Ready(Ok(slip.take()));
                }
                Stage::Done => panic!("a blocking job was polled after it had returned"),
            }
        }
    }
}

impl<T, F> fmt::Debug for TryToThread<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryToThread").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Future of [`to_thread_abandon`].
#[must_use = "futures do nothing unless polled"]
pub struct ToThreadAbandon<T, F> {
    stage: AbandonStage<T, F>,
}

enum AbandonStage<T, F> {
    Fresh { ticket: Ticket, work: Option<F> },
    Running { abandoned: Abandoned, slip: Arc<Slip<T>> },
    Done,
}

impl<T, F> Unpin for ToThreadAbandon<T, F> {}

impl<T, F> ToThreadAbandon<T, F> {
    /// As [`ToThread::limiter`]; the permit is held until the job ends, also if it is abandoned.
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        if let AbandonStage::Fresh { ticket, .. } = &mut self.stage {
            ticket.limiter = Some(limiter);
        }
        self
    }
}

/// Tells the job when the await is gone.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T, F> Future for ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                AbandonStage::Fresh { ticket, work } => {
                    let permit = ready!(ticket.poll(cx));
                    let Some(work) = work.take() else { unreachable!("started once") };
                    let Some(tree) = ambient::tree() else { ambient::no_context() };
                    let slip = Slip::new();
                    let abandoned = Arc::new(AtomicBool::new(false));
                    let host = Host::Abandonable(abandoned.clone(), ambient::current());
                    this.stage = AbandonStage::Running { abandoned: Abandoned(abandoned), slip: slip.clone() };
                    if let Err(refused) = tree.runtime.blocking(job(&slip, permit, host, work)) {
                        this.stage = AbandonStage::Done;
                        return Poll::Ready(Err(refused.source));
                    }
                }
                AbandonStage::Running { slip, .. } => {
                    ready!(slip.poll_ended(cx));
                    let slip = slip.clone();
                    this.stage = AbandonStage::Done;
                    return Poll::Ready(Ok(slip.take()));
                }
                AbandonStage::Done => panic!("a blocking job was polled after it had returned"),
            }
        }
    }
}

impl<T, F> Drop for ToThreadAbandon<T, F> {
    fn drop(&mut self) {
        if let AbandonStage::Running { abandoned, slip } = std::mem::replace(&mut self.stage, AbandonStage::Done) {
            drop(abandoned);
            let waker = slip.lock().waker.take();
            drop(waker);
            // The result is dropped with the slip, by whoever is the last to hold it.
        }
    }
}

impl<T, F> fmt::Debug for ToThreadAbandon<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThreadAbandon").finish_non_exhaustive()
    }
}
