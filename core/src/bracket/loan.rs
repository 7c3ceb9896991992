//! The resource of a bracket: lent to the body, given back, released.
//!
//! ```text
//!   Loan ──lent──▶ body ──╳ dropped
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

use super::Exit;
use crate::defer::FinalizerOutput;
use crate::reason::ReasonKind;
use crate::tree::finalizer::{Failure, Finalizer};
use crate::tree::node::NodeRef;

/// The resource of a bracket, lent to its body. Gives it back when dropped.
pub struct Lent<R> {
    resource: Option<R>,
    home: Arc<Loan<R>>,
}

impl<R> Deref for Lent<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.resource {
            Some(resource) => resource,
            None => unreachable!("a guard has its resource until it is dropped"),
        }
    }
}

impl<R> DerefMut for Lent<R> {
    fn deref_mut(&mut self) -> &mut R {
        match &mut self.resource {
            Some(resource) => resource,
            None => unreachable!("a guard has its resource until it is dropped"),
        }
    }
}

impl<R> Drop for Lent<R> {
    fn drop(&mut self) {
        lock(&self.home.state).returned = self.resource.take();
    }
}

impl<R: fmt::Debug> fmt::Debug for Lent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.resource).finish()
    }
}

/// What the body of a bracket need not know of its loan.
pub(super) trait Terms: Send + Sync + UnwindSafe + RefUnwindSafe {}

/// Where the resource is while nobody has it, and how its use ended.
pub(super) struct Loan<R, L: ?Sized = dyn Terms> {
    state: Mutex<State<R>>,
    lease: L,
}

struct State<R> {
    returned: Option<R>,
    exit: Option<Exit>,
}

/// How the resource of a loan is to be released.
pub(super) struct Lease<C> {
    /// Until a finalizer has it.
    release: Mutex<Option<C>>,
    budget: Duration,
    location: &'static Location<'static>,
}

impl<C: Send> Terms for Lease<C> {}

impl<C> Lease<C> {
    pub(super) fn new(release: C, budget: Duration, location: &'static Location<'static>) -> Self {
        Lease { release: Mutex::new(Some(release)), budget, location }
    }
}

impl<R, C, Rel> Loan<R, Lease<C>>
where
    R: Send + 'static,
    C: FnOnce(R, Exit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    /// Lends a resource.
    pub(super) fn of(resource: R, lease: Lease<C>) -> (Lent<R>, Arc<Self>) {
        let loan = Arc::new(Loan { state: Mutex::new(State { returned: None, exit: None }), lease });
        (Lent { resource: Some(resource), home: loan.clone() }, loan)
    }

    /// The use has come to its own end.
    pub(super) fn ended(&self, exit: Exit) {
        lock(&self.state).exit = Some(exit);
    }

    /// The release, for whoever asks first; it looks at the scope of the use, if that has a node, to know how it has ended.
    pub(super) fn release(self: &Arc<Self>, scope: Option<&NodeRef>) -> Option<Finalizer> {
        let release = lock(&self.lease.release).take()?;
        let due = Some(Due { loan: self.clone(), scope: scope.cloned(), release });
        Some(Finalizer::new("bracket", self.lease.location, self.lease.budget, Release::Due { due }))
    }

    /// Makes the release a finalizer of the use's scope, unless it is one: the last that runs, also if others were there before.
    pub(super) fn leave_to(self: &Arc<Self>, scope: &NodeRef) {
        if let Some(release) = self.release(Some(scope)) {
            release.run_last_in(scope);
        }
    }
}

struct Due<R, C> {
    loan: Arc<Loan<R, Lease<C>>>,
    scope: Option<NodeRef>,
    release: C,
}

impl<R, C> Due<R, C> {
    /// By now the body has given the resource back, or never will.
    fn call<Rel>(self) -> Option<Rel>
    where
        C: FnOnce(R, Exit) -> Rel,
    {
        let mut state = lock(&self.loan.state);
        let (resource, exit) = (state.returned.take(), state.exit.take());
        drop(state);
        let (resource, release) = (resource?, self.release);
        Some(release(resource, exit.unwrap_or_else(|| cut_short(self.scope.as_ref()))))
    }
}

/// How the use has ended, if not by itself.
fn cut_short(scope: Option<&NodeRef>) -> Exit {
    let Some(scope) = scope else { return Exit::Cancelled(None) };
    let state = scope.lock();
    match state.request() {
        _ if state.has_panicked() => Exit::Panicked,
        Some(request) if request.reason.kind() == ReasonKind::Panicked => Exit::Panicked,
        request => Exit::Cancelled(request.map(|request| request.reason.clone())),
    }
}

pin_project! {
    /// The release, from its call on.
    #[project = ReleaseProj]
    enum Release<R, C, Rel> {
        Due { due: Option<Due<R, C>> },
        Running { #[pin] running: Rel },
    }
}

impl<R, C, Rel> Future for Release<R, C, Rel>
where
    C: FnOnce(R, Exit) -> Rel,
    Rel: Future<Output: FinalizerOutput>,
{
    type Output = Failure;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            let called = match self.as_mut().project() {
                ReleaseProj::Running { running } => return running.poll(cx).map(FinalizerOutput::into_error),
                ReleaseProj::Due { due } => due.take().and_then(Due::call),
            };
            match called {
                Some(running) => self.set(Release::Running { running }),
                // The body has kept the resource, or leaked it.
                None => return Poll::Ready(None),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
