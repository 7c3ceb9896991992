//! The future of a cancel scope.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::errors::Cancelled;
use crate::reason::Reason;
use crate::tree::current;
use crate::tree::inline::Limit;
use crate::tree::node::Kind;
use crate::tree::scope_future::{Ending, Plain, ScopeFuture};
use crate::tree::wake::DriverWakes;

pin_project! {
    /// Future of [`CancelScope::run`](super::CancelScope::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct CancelScopeFuture<F, T> {
        #[pin]
        pub(super) scoped: ScopeFuture<F, T, T, Plain>,
    }
}

impl<F: Future<Output = T>, T> CancelScopeFuture<F, T> {
    /// A time limit: a scope without a handle.
    #[inline]
    pub(crate) fn limited(limit: Limit, location: &'static Location<'static>, body: F) -> Self {
        CancelScopeFuture { scoped: ScopeFuture::inline(Kind::CancelScope, limit, location, body, Plain) }
    }
}

impl<F: Future<Output = T>, T> CancelScopeFuture<F, T> {
    /// Ends the scope, if nothing inside is left to end and nobody has a handle: its code is dropped where it waits, and
    /// nobody is asked for a reason. Returns whether it has ended.
    ///
    /// If not, it is [cancelled](CancelScopeFuture::cancel), and is to be polled on at once. For whoever polls several
    /// scopes, and wants nothing more of one: to ask a scope to stop in which nobody asks why costs more than the scope.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a destructor.
    #[inline]
    pub fn give_up(mut self: Pin<&mut Self>, reason: impl Into<Reason>) -> bool {
        let has_ended = self.as_mut().project().scoped.give_up();
        if !has_ended {
            self.cancel(reason);
        }
        has_ended
    }
}

impl<F, T> CancelScopeFuture<F, T> {
    /// Asks the scope to stop, as [`ScopeHandle::cancel`](super::ScopeHandle::cancel) does, without a handle: for
    /// whoever polls it, and wants nothing more of it.
    ///
    /// So its code does not get the one poll that code has which was woken before (law L12.6): it is dropped where it
    /// waits, as a branch of `select!` that has lost, and an operation that was given something gives that back.
    ///
    /// It takes nothing of the task's budget (law L38): a loop of this has to give way by itself.
    ///
    /// Does nothing before the first poll, and when the scope has ended. The future is to be polled on: it is ready
    /// when everything inside has ended.
    #[inline]
    pub fn cancel(self: Pin<&mut Self>, reason: impl Into<Reason>) {
        let mut wakes = DriverWakes::default();
        self.project().scoped.cancel(current::signed(reason.into()), &mut wakes);
        wakes.wake();
    }

    /// Returns whether the scope was cancelled from further out, and everything inside has ended: then it is never
    /// ready (law L18).
    ///
    /// For code that polls several scopes, and has to know for how many it still waits.
    #[must_use]
    #[inline]
    pub fn never_returns(&self) -> bool {
        self.scoped.is_parked()
    }

    /// Returns where the scope was made.
    #[must_use]
    #[inline]
    pub fn location(&self) -> &'static Location<'static> {
        self.scoped.location()
    }
}

impl<F: Future<Output = T>, T> Future for CancelScopeFuture<F, T> {
    type Output = Result<T, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().scoped.poll(cx).map(outcome)
    }
}

fn outcome<T>(ending: Ending<T>) -> Result<T, Cancelled> {
    match ending {
        Ending::Value(value) => Ok(value),
        Ending::Cancelled(Some((reason, origin))) => Err(Cancelled::new(reason, origin)),
        Ending::Cancelled(None) | Ending::Failed => unreachable!("a cancelled scope has a request"),
    }
}

impl<F, T> fmt::Debug for CancelScopeFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScopeFuture").finish_non_exhaustive()
    }
}
