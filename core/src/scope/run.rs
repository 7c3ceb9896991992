//! The future of a cancel scope.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::Cancelled;
use crate::reason::Origin;
use crate::tree::cancel_state::ShieldLevel;
use crate::tree::current;
use crate::tree::inline::Limit;
use crate::tree::node::{Kind, NodeRef};
use crate::tree::scope_future::{Ending, Plain, ScopeFuture};

pin_project! {
    /// Future of [`CancelScope::run`](super::CancelScope::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F, T> {
        #[pin]
        pub(super) scoped: ScopeFuture<F, T, T, Plain>,
    }
}

impl<F: Future<Output = T>, T> Run<F, T> {
    /// A branch of a combinator: a scope without a handle, which whoever polls it cancels by its future. With `here` it has its place
    /// from now on, as with [`run_here`](super::CancelScope::run_here).
    #[inline]
    pub(crate) fn branch(location: &'static Location<'static>, here: bool, body: F) -> Self {
        let kind = Kind::Branch;
        let scoped = if here {
            let origin = Origin::new(kind.name(), location);
            ScopeFuture::attached(NodeRef::unattached(kind, ShieldLevel::None, origin, None), body, Plain)
        } else {
            ScopeFuture::inline(kind, ShieldLevel::None, Limit::NONE, location, body, Plain)
        };
        Run { scoped }
    }
}

impl<F, T> Run<F, T> {
    /// Asks the scope to stop, as [`ScopeHandle::cancel`](super::ScopeHandle::cancel) does; once it was polled.
    pub(crate) fn cancel(self: Pin<&mut Self>, reason: &'static str) {
        self.project().scoped.cancel(current::signed(reason.into()));
    }

    /// Whether it was cancelled from further out, and will never be ready.
    pub(crate) fn is_parked(&self) -> bool {
        self.scoped.is_parked()
    }

    /// Where the scope was made.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.scoped.location()
    }
}

impl<F: Future<Output = T>, T> Future for Run<F, T> {
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

impl<F, T> fmt::Debug for Run<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}
