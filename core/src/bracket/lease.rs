//! The resource of a bracket: leased to the body, given back, released.
//!
//! ```text
//!   Lease ──ResourceGuard──▶ body ──╳ dropped
//!    ▲                 │
//!    └────returned─────┘        release(returned, exit)
//! ```

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::BracketExit;
use crate::defer::FinalizerOutput;
use crate::finalizer::{self, Failure};
use crate::reason::ReasonKind;
use crate::tree::node::{NodeRef, Owned};

/// The resource of a bracket, lent to its body. Gives it back when dropped.
pub struct ResourceGuard<R> {
    resource: Option<R>,
    lease: Arc<Lease<R>>,
}

impl<R> Deref for ResourceGuard<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.resource {
            Some(resource) => resource,
            None => unreachable!("a `ResourceGuard` has its resource until it is dropped"),
        }
    }
}

impl<R> DerefMut for ResourceGuard<R> {
    fn deref_mut(&mut self) -> &mut R {
        match &mut self.resource {
            Some(resource) => resource,
            None => unreachable!("a `ResourceGuard` has its resource until it is dropped"),
        }
    }
}

impl<R> Drop for ResourceGuard<R> {
    fn drop(&mut self) {
        lock(&self.lease.state).returned = self.resource.take();
    }
}

impl<R: fmt::Debug> fmt::Debug for ResourceGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResourceGuard").field(&self.resource).finish()
    }
}

/// The release of a lease, with its type erased for [`ResourceGuard`].
pub(super) trait ErasedRelease: Send + Sync + UnwindSafe + RefUnwindSafe {}

/// The place of the resource while the body does not have it, and how its use ended.
pub(super) struct Lease<R, S: ?Sized = dyn ErasedRelease> {
    state: Mutex<LeaseState<R>>,
    spec: S,
}

struct LeaseState<R> {
    returned: Option<R>,
    exit: Option<BracketExit>,
}

/// How the resource is to be released.
pub(super) struct ReleaseSpec<C> {
    /// Taken by the finalizer.
    release: Mutex<Option<C>>,
    budget: Duration,
    location: &'static Location<'static>,
}

impl<C: Send> ErasedRelease for ReleaseSpec<C> {}

impl<C> ReleaseSpec<C> {
    pub(super) fn new(release: C, budget: Duration, location: &'static Location<'static>) -> Self {
        ReleaseSpec { release: Mutex::new(Some(release)), budget, location }
    }
}

impl<R, C, Rel> Lease<R, ReleaseSpec<C>>
where
    R: Send + 'static,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    /// Leases a resource.
    pub(super) fn new(resource: R, spec: ReleaseSpec<C>) -> (ResourceGuard<R>, Arc<Self>) {
        let lease = Arc::new(Lease { state: Mutex::new(LeaseState { returned: None, exit: None }), spec });
        (ResourceGuard { resource: Some(resource), lease: lease.clone() }, lease)
    }

    /// Records that the body has ended by itself.
    pub(super) fn set_exit(&self, exit: BracketExit) {
        lock(&self.state).exit = Some(exit);
    }

    /// Returns the release, the first time. It asks the scope of the body, if that has a node, how the body has ended.
    pub(super) fn release(self: &Arc<Self>, scope: Option<&NodeRef>) -> Option<Owned> {
        let release = lock(&self.spec.release).take()?;
        let pending = Some(PendingRelease { lease: self.clone(), scope: scope.cloned(), release });
        Some(finalizer::new("bracket", self.spec.location, self.spec.budget, ReleaseFuture::Pending { pending }))
    }

    /// Makes the release a finalizer of the body's scope, unless it is one: the last that runs, also if others were
    /// there before.
    pub(super) fn register_release(self: &Arc<Self>, scope: &NodeRef) {
        if let Some(release) = self.release(Some(scope)) {
            finalizer::run_last_in(release, scope);
        }
    }
}

struct PendingRelease<R, C> {
    lease: Arc<Lease<R, ReleaseSpec<C>>>,
    scope: Option<NodeRef>,
    release: C,
}

impl<R, C> PendingRelease<R, C> {
    /// Calls the release. By now the body has given the resource back, or never will.
    fn call<Rel>(self) -> Option<Rel>
    where
        C: FnOnce(R, BracketExit) -> Rel,
    {
        let mut state = lock(&self.lease.state);
        let (resource, exit) = (state.returned.take(), state.exit.take());
        drop(state);
        let (resource, release) = (resource?, self.release);
        Some(release(resource, exit.unwrap_or_else(|| interrupted_exit(self.scope.as_ref()))))
    }
}

/// Returns how the body has ended, if not by itself.
fn interrupted_exit(scope: Option<&NodeRef>) -> BracketExit {
    let Some(scope) = scope else { return BracketExit::Cancelled(None) };
    let state = scope.lock();
    match state.request() {
        _ if state.has_panicked() => BracketExit::Panicked,
        Some(request) if request.reason.kind() == ReasonKind::Panicked => BracketExit::Panicked,
        request => BracketExit::Cancelled(request.map(|request| request.reason.clone())),
    }
}

pin_project! {
    /// The release, from its call on.
    #[project = ReleaseFutureProj]
    enum ReleaseFuture<R, C, Rel> {
        Pending { pending: Option<PendingRelease<R, C>> },
        Running { #[pin] running: Rel },
    }
}

impl<R, C, Rel> Future for ReleaseFuture<R, C, Rel>
where
    C: FnOnce(R, BracketExit) -> Rel,
    Rel: Future<Output: FinalizerOutput>,
{
    type Output = Failure;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            let called = match self.as_mut().project() {
                ReleaseFutureProj::Running { running } => return running.poll(cx).map(FinalizerOutput::into_error),
                ReleaseFutureProj::Pending { pending } => pending.take().and_then(PendingRelease::call),
            };
            match called {
                Some(running) => self.set(ReleaseFuture::Running { running }),
                // The body has kept the resource, or leaked it.
                None => return Poll::Ready(None),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
