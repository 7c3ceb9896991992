//! Calling wakers, which are foreign code and may panic.
//!
//! A waker that panics must not keep others from being woken, nor end the operation that calls it, whose own work is done by then.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use crate::observer::{Orphan, OrphanKind};
use crate::reason::Origin;
use crate::tree::Tree;
use crate::tree::current;
use crate::tree::node::NodeRef;
use crate::tree::panic::drop_payload;

/// Calls `waker`. A panic of it is told to the [`Observer`](crate::Observer) of the tree that this code is part of, and ends here.
///
/// No lock may be held.
#[inline]
pub(crate) fn wake(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        match current::innermost() {
            Some(scope) => panicked(scope.tree(), &scope.origin, payload),
            None => drop_payload(Some(payload)),
        }
    }
}

/// As [`wake`], on behalf of `scope`, whose tree is told of a panic.
#[inline]
pub(crate) fn wake_for(scope: &NodeRef, waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        panicked(scope.tree(), &scope.origin, payload);
    }
}

/// As [`wake`], all of them, whichever of them panics.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(wake);
}

#[cold]
fn panicked(tree: Option<&Arc<Tree>>, origin: &Origin, payload: Box<dyn Any + Send>) {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "a payload that is no text",
    };
    if let Some(tree) = tree {
        tree.report(&Orphan { kind: OrphanKind::Waker, error: &text, origin });
    }
    drop_payload(Some(payload));
}
