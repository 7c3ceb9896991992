//! Calling wakers, which are foreign code and may panic (L36).
//!
//! A waker that panics must not keep others from being woken, nor end the operation that calls it, whose own work is
//! done by then. So wakers are to be called by these functions, with no lock held: by the tree, and
//! through `leaf` the locks and channels. The panic goes to the observer, as an error without a caller
//! (`OrphanKind::Waker`).
//!
//! Which of them: [`wake_for`] where the waker belongs to a node, since the thread that calls may be in no tree, or
//! in another one; [`wake`] for operations, whose code runs in a scope.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::events::{Orphan, OrphanKind};
use crate::tree::frames;
use crate::tree::node::Node;
use crate::tree::panic::{Payload, drop_payload};

/// Calls a waker, by `wake`. A panic of it is told to the [`Observer`](crate::observer::Observer) of the tree that this code is
/// part of, and ends here; outside of any tree the panic hook was all there is.
///
/// No lock may be held.
#[inline]
pub(crate) fn wake(wake: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(wake)) {
        // No operation knows which scope the waker belongs to: the one that calls is named instead, as
        // `OrphanKind::Waker` says.
        panicked(frames::innermost_node().as_deref(), payload);
    }
}

/// Does as [`wake`], on behalf of `scope`, whose tree is told of a panic: for wakers that were left in a node,
/// whatever code this is. `wake` calls the waker.
#[inline]
pub(crate) fn wake_for(scope: &Node, wake: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(wake)) {
        panicked(Some(scope), payload);
    }
}

/// Reports the panic of a waker by its text, as one of that scope, and drops the payload, which is user code, too.
#[cold]
fn panicked(scope: Option<&Node>, payload: Payload) {
    // The two types that `panic!` makes.
    let string = || payload.downcast_ref::<String>().map(String::as_str);
    let text = payload.downcast_ref::<&str>().copied().or_else(string).unwrap_or("a payload that is no text");
    if let Some((scope, tree)) = scope.and_then(|scope| Some((scope, scope.tree()?))) {
        tree.report(&Orphan { kind: OrphanKind::Waker, error: &text, origin: &scope.origin });
    }
    drop_payload(Some(payload));
}
