//! A pool of resources that are expensive to open and can be used again: connections, above all.
//!
//! ```text
//!   run(body) ── permit ──┬─ idle, young and alive ─┬─▶ body(resource) ──▶ reset says yes ──▶ idle
//!                waits,   └─ else: open ────────────┘         │
//!                in line                                      └─ cancelled, panicked, failed, too old ──▶ closed
//! ```
//!
//! A use is a bracket: whatever ends it, the resource is taken back when everything started in the body has ended, and
//! its place goes to whoever has waited longest. A resource whose use was cut short is in an unknown state, and is
//! never handed out again, unless [`Manage::reset`] says that it is clean.

mod drain;
mod error;
mod manage;
mod options;
mod usage;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use foster_channel::oneshot;
use foster_core::cleanup::{BracketExit, ResourceGuard};
use foster_core::sync::{Event, Semaphore};
use foster_core::{
    CancelScope, Elapsed, Instant, ScopeHandle, checkpoint_if_cancelled, move_on_after, shield, sleep_forever,
};

pub use error::PoolError;
pub use manage::Manage;
pub use options::PoolOptions;
pub use usage::{Pooled, Use};

use usage::{Closing, PoolSlot, ResourceOwner, close_beside};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A pool; clones are handles to the same one.
///
/// Made with [`Pool::new`], or with [`PoolOptions`] where more than the size is to be said. Opens nothing before it is
/// used.
///
/// A pool that is dropped drops its idle resources, without [`Manage::close`]: put [`Pool::close`] into the release of
/// a [`bracket`](foster_core::bracket()) around the program's main part.
///
/// # Examples
///
/// ```
/// use foster::pool::Pool;
/// use std::{io, time::Duration};
///
/// # #[derive(Debug)]
/// # struct Connection(u32);
/// # impl Connection {
/// #     async fn open() -> io::Result<Self> { Ok(Connection(0)) }
/// #     async fn query(&mut self) -> io::Result<u32> { self.0 += 1; Ok(self.0) }
/// # }
/// # foster_sim::run(1, async {
/// let pool = Pool::new(2, Connection::open);
/// for n in 1..=3 {
///     // The same connection each time: it is idle between the uses.
///     let counted: io::Result<u32> = pool.run(async |mut connection| connection.query().await).await;
///     assert_eq!(counted.unwrap(), n);
/// }
/// pool.close(Duration::from_secs(5)).await;
/// # });
/// ```
pub struct Pool<M: Manage> {
    shared: Arc<Shared<M>>,
}

impl<M: Manage> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Pool { shared: self.shared.clone() }
    }
}

struct Shared<M: Manage> {
    manage: M,
    options: PoolOptions,
    permits: Semaphore,
    state: Mutex<State<M::Resource>>,
    /// Closed, nobody uses anything any more, and what was idle is closed, too.
    drained: Event,
}

struct State<R> {
    idle: Vec<Idle<R>>,
    /// The uses that have a permit.
    uses: Slab<ScopeHandle>,
    /// The resources that were idle when the pool was closed, and are not closed yet.
    closings: usize,
    closed: bool,
    opened: u64,
    discarded: u64,
}

impl<R> State<R> {
    fn is_drained(&self) -> bool {
        self.closed && self.uses.is_empty() && self.closings == 0
    }
}

struct Idle<R> {
    resource: R,
    opened: Instant,
}

/// A snapshot of a [`Pool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Resources that wait for a use.
    pub idle: usize,
    /// Uses that have a place: those that open or check their resource, use it, or give it back.
    pub in_use: usize,
    /// Uses that wait for a place.
    pub waiting: usize,
    /// Resources that were ever opened.
    pub opened: u64,
    /// Of these, how many were not taken back: broken, too old, too many, or cut short.
    pub discarded: u64,
}

impl<M: Manage> Pool<M> {
    /// A pool of at most `size` resources, without overflow and limits of time.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize, manage: M) -> Self {
        PoolOptions::new().size(size).build(manage)
    }

    fn with(options: PoolOptions, manage: M) -> Self {
        let places = options.size.saturating_add(options.overflow);
        let permits = Semaphore::new(places.min(Semaphore::MAX_PERMITS / 4));
        let state = State { idle: Vec::new(), uses: Slab::new(), closings: 0, closed: false, opened: 0, discarded: 0 };
        Pool { shared: Arc::new(Shared { manage, options, permits, state: Mutex::new(state), drained: Event::new() }) }
    }

    /// Runs `body` with a resource of the pool, and takes it back.
    ///
    /// The body gets it lent, as from a [`try_bracket`](foster_core::cleanup::try_bracket). Waiting for a place is
    /// fair. An idle resource is checked before it is used, and replaced if it is too old or not alive. A guard that
    /// the body moves out keeps the resource and its place until it is dropped; the resource is then dropped, too.
    ///
    /// # Errors
    ///
    /// A [`PoolError`] as an `E`, if there is no resource to be had, or if the pool was closed and the grace is over.
    /// Else the error of the body.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: what `body` did is done. While it waits it *loses its place*. Cut short in its use, the
    /// resource is reset or closed before the call ends, within its budget; in the check before, it is dropped. One that
    /// is being closed, because it was not alive or too old, or was opened too late, is closed within its budget; the
    /// scope around the call waits for it.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body, when all has ended. When polled outside of any tree, if no adapter was installed.
    #[track_caller]
    pub fn run<T, E, B, Fut>(&self, body: B) -> Use<M::Resource, B, Fut, T, E>
    where
        B: FnOnce(ResourceGuard<Pooled<M::Resource>>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<PoolError<M::Error>> + 'static,
    {
        let mut scope = CancelScope::new().named("pool use");
        let (acquire, closing) = acquire(self.shared.clone(), scope.handle());
        Use::new(scope, acquire, closing, body, self.shared.options.budget, || E::from(PoolError::Closed))
    }

    /// Closes the pool: nobody gets a resource any more, idle ones are closed at once, and those in use as they come
    /// back. Uses that go on when `grace` is over are cancelled. Returns when everything has ended, with the number of
    /// uses that this call has cancelled.
    ///
    /// Calling it again waits for the same end, and may shorten the grace. A use that is still looking for a resource, or
    /// opens one, gets none: what it has found is closed, and it ends with [`PoolError::Closed`]. If it cannot open one, it
    /// has that error, as [`PoolError::Open`].
    ///
    /// It waits for all uses and closings, so also for one that it is called from: the body of a use, until the grace is
    /// over and the use is cancelled; a [`Manage::close`], until its budget is used up. To close the pool from there, let a
    /// task of another nursery do it.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: the pool stays closed. A call that is cancelled still closes the idle resources that it has
    /// begun to close, within their budget, and drops the others. One whose future is dropped drops all that were not
    /// closed yet.
    ///
    /// # Panics
    ///
    /// Resumes the first panic of [`Manage::close`] for an idle resource, when the others are closed and all uses have
    /// ended. Only the call that closes the resource does. When polled outside of any tree, if no adapter was installed.
    pub async fn close(&self, grace: Duration) -> usize {
        drain::close(&self.shared, grace).await
    }

    /// Whether the pool is closed, or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        let waiting = self.shared.permits.statistics().waiting;
        let state = self.shared.lock();
        PoolStatistics {
            idle: state.idle.len(),
            in_use: state.uses.len(),
            waiting,
            opened: state.opened,
            discarded: state.discarded,
        }
    }
}

impl<M: Manage> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("closed", &self.is_closed()).field("statistics", &self.statistics()).finish()
    }
}

/// A place, and a resource in it. A limit of time is a scope, which would wait for a closing that outlasts it; so what
/// has to be closed is handed to the use then.
fn acquire<M: Manage, E>(
    shared: Arc<Shared<M>>,
    scope: ScopeHandle,
) -> (Boxed<Result<Pooled<M::Resource>, E>>, Option<Closing>)
where
    E: From<PoolError<M::Error>> + 'static,
{
    match shared.options.acquire_timeout {
        Duration::MAX => (Box::pin(find(shared, scope, None)), None),
        limit => {
            let closing = Closing::default();
            let give = closing.clone();
            let acquire = Box::pin(async move {
                let location = shared.options.timeout_location;
                let limited = CancelScope::new().located(location).deadline_after(limit);
                // Nobody else has a handle to that scope.
                match limited.run(find::<_, PoolError<M::Error>>(shared, scope, Some(give))).await {
                    Ok(found) => found.map_err(E::from),
                    Err(_) => Err(PoolError::Timeout(Elapsed::new(location)).into()),
                }
            });
            (acquire, Some(closing))
        }
    }
}

async fn find<M: Manage, E>(
    shared: Arc<Shared<M>>,
    scope: ScopeHandle,
    closing: Option<Closing>,
) -> Result<Pooled<M::Resource>, E>
where
    E: From<PoolError<M::Error>>,
{
    if shared.is_busy() {
        return Err(PoolError::Busy.into());
    }
    let permit = shared.permits.acquire().await;
    // L14: code that is cancelled takes no resource out of the pool, here and below.
    checkpoint_if_cancelled().await;
    let (number, mut idle) = {
        let mut state = shared.lock();
        if state.closed {
            return Err(PoolError::Closed.into());
        }
        (state.uses.insert(scope), state.idle.pop())
    };
    // From here on the slot has the permit.
    permit.forget();
    let mut slot = PoolSlot::new(shared.clone(), number);
    while let Some(Idle { mut resource, opened }) = idle {
        // From here to the end of the check it is nobody's: cut short, it is dropped.
        let counted = Discarded(&shared);
        // If the pool was closed meanwhile, nobody gets it, either.
        if !shared.is_old(opened) && shared.manage.is_alive(&mut resource).await && !shared.is_closed() {
            mem::forget(counted);
            return Ok(Pooled::new(resource, opened, slot));
        }
        drop(counted);
        slot = discard_found(&shared, resource, slot, closing.as_ref()).await;
        checkpoint_if_cancelled().await;
        idle = shared.lock().idle.pop();
    }
    if shared.is_closed() {
        return Err(PoolError::Closed.into());
    }
    let resource = shared.manage.open().await.map_err(PoolError::Open)?;
    let closed = {
        let mut state = shared.lock();
        state.opened += 1;
        state.discarded += u64::from(state.closed);
        state.closed
    };
    if closed {
        drop(discard_found(&shared, resource, slot, closing.as_ref()).await);
        return Err(PoolError::Closed.into());
    }
    Ok(Pooled::new(resource, Instant::now(), slot))
}

/// Closes a resource that its finder does not get, in the use, if that takes it; see [`acquire`]. The closing goes on
/// when this is cut short, and keeps the place until it is over: there are never more resources than places.
async fn discard_found<M: Manage>(
    shared: &Arc<Shared<M>>,
    resource: M::Resource,
    slot: PoolSlot<M::Resource>,
    closing: Option<&Closing>,
) -> PoolSlot<M::Resource> {
    let (give_back, place) = oneshot();
    let shared = shared.clone();
    let close = Box::pin(async move {
        move_on_after(shared.options.budget, shared.manage.close(resource)).await;
        // If nobody waits for the place any more, this makes it free.
        drop(give_back.send(slot));
    });
    match closing {
        Some(closing) => closing.put(close),
        None => close_beside(close),
    }
    match place.await {
        Ok(slot) => slot,
        // The closing has panicked. That cancels the scope that it is in.
        Err(_) => match sleep_forever().await {},
    }
}

/// Counts a resource that does not come back.
struct Discarded<'a, M: Manage>(&'a Shared<M>);

impl<M: Manage> Drop for Discarded<'_, M> {
    fn drop(&mut self) {
        self.0.lock().discarded += 1;
    }
}

impl<M: Manage> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M::Resource>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// All that wait, now or later, get a permit, and see that the pool is closed.
    fn let_all_in(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Whether a further use would have to wait, behind as many as may wait.
    fn is_busy(&self) -> bool {
        let max = self.options.max_waiting;
        max < usize::MAX && self.permits.available() == 0 && self.permits.statistics().waiting >= max
    }

    /// Looks at the clock only if there is an age at which a resource is old.
    fn is_old(&self, opened: Instant) -> bool {
        let age = self.options.recycle_after;
        age < Duration::MAX && opened.elapsed() >= age
    }

    /// Keeps a resource for the next use, if it is clean and there is room; else gives it back, to be closed.
    fn keep(&self, clean: bool, idle: Idle<M::Resource>) -> Result<(), M::Resource> {
        let mut state = self.lock();
        if !clean || state.closed || state.idle.len() >= self.options.size {
            return Err(idle.resource);
        }
        state.idle.push(idle);
        Ok(())
    }

    /// Closes a resource that is not part of a use.
    async fn discard(&self, resource: M::Resource) {
        shield(move_on_after(self.options.budget, self.manage.close(resource))).await;
    }
}

impl<M: Manage> ResourceOwner<M::Resource> for Shared<M> {
    fn take_back(self: Arc<Self>, mut pooled: Pooled<M::Resource>, exit: BracketExit) -> Boxed<()> {
        Box::pin(async move {
            let Some(mut resource) = pooled.take() else { return };
            let counted = Discarded(&*self);
            let clean = !self.is_old(pooled.opened()) && self.manage.reset(&mut resource, &exit).await;
            match self.keep(clean, Idle { resource, opened: pooled.opened() }) {
                Ok(()) => mem::forget(counted),
                // In its finalizer already, with a budget.
                Err(resource) => {
                    self.manage.close(resource).await;
                    // Before the place is free: code that waits for that, as the end of the pool does, may look at the
                    // statistics.
                    drop(counted);
                }
            }
            // Last: the use that gets the place finds the resource.
            drop(pooled);
        })
    }

    fn leave(&self, number: usize) {
        let mut state = self.lock();
        let scope = state.uses.remove(number);
        let drained = state.is_drained();
        drop(state);
        drop(scope);
        if drained {
            self.drained.set();
        }
        // Last: nobody gets the place before this use has left.
        self.permits.add_permits(1);
    }

    fn lost(&self) {
        self.lock().discarded += 1;
    }
}
