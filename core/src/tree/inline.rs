//! An *inline* scope (a timeout, a shield) has no node while its first poll lasts: all there is of it is the parts it
//! would be made of. It becomes a node when something inside needs one, or when that poll ends Pending or in a panic; most
//! never do.
//!
//! ```text
//!    new ──▶ start: its deadline is an instant ──▶ first poll ─┬─ Ready ──▶ gone: no node, no timer
//!                                                              ├─ Pending, or a panic ─────────┐
//!                                                              └─ code inside needs a node ────┴▶ promote
//! ```
//!
//! Part of a `ScopeFuture`, or of a bracket that releases, and lent to a frame of `frames.rs` during the first poll.
//! So it is used by the thread that polls, and nobody else knows it: no request can be made on it but by its own
//! deadline, which the code inside finds out by the clock (`is_cancelled_slowly`).
//!
//! It saves much: `fail_after(limit, recv)` with a message waiting there costs no node, no timer and no lock of the
//! tree. For that one thing has to be true: whatever could be seen of a node has to be seen of an inline scope, too, or a
//! node has to be made for it. So each question of `current.rs` either looks at the parts (deadline, shield) or
//! promotes.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::no_context::no_context_for;
use super::node::Kind;
use super::shared::Tree;
use crate::Instant;

/// How long a scope may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Until this instant; `NEVER` for ever.
    At(Instant),
    /// So long, counted from its entry; `Duration::MAX` for ever.
    In(Duration),
}

impl Limit {
    /// No limit.
    pub(crate) const NONE: Limit = Limit::At(Instant::NEVER);
}

/// The parts of a scope without a node. `Copy`, so that a frame can lend it as a `Cell`.
#[derive(Clone, Copy)]
pub(crate) struct InlineScope {
    /// The kind that the node will have. `Graceful` never stays inline, as its hold is not decided by flags alone.
    pub(super) kind: Kind,
    /// The scope has not begun: its deadline is the limit, counted from instant zero. `start` makes an instant of it,
    /// once.
    to_begin: bool,
    /// The deadline was seen to be over, and is from then on: a promotion requests at once then. It may be over without
    /// this being set: then the timer says so.
    pub(super) over: bool,
    /// When the scope is to be cancelled, once it has begun; `NEVER` if it has no limit.
    pub(super) deadline: Instant,
    /// Where it was made: for its name, and for the reason of its deadline.
    pub(super) location: &'static Location<'static>,
}

impl InlineScope {
    /// Returns the parts of a scope that has not begun. A scope without a limit needs no clock, so it has begun in
    /// that respect.
    #[inline]
    pub(crate) fn new(kind: Kind, limit: Limit, location: &'static Location<'static>) -> Self {
        // A deadline of `NEVER`, and not none, so that all comparisons are right without asking whether there is one.
        let (to_begin, deadline) = match limit {
            Limit::At(Instant::NEVER) | Limit::In(Duration::MAX) => (false, Instant::NEVER),
            Limit::At(at) => (false, at),
            Limit::In(duration) => (true, Instant::from_nanos(0) + duration),
        };
        InlineScope { kind, to_begin, over: false, deadline, location }
    }

    /// Begins the scope, if it has not begun: from here on its deadline is an instant of the tree's clock. Panics
    /// outside of any tree, where there is no clock.
    #[inline]
    pub(super) fn start(&mut self, tree: Option<&Arc<Tree>>) {
        if !self.to_begin {
            return;
        }
        let Some(tree) = tree else { self.no_context() };
        let limit = self.deadline.as_nanos();
        self.to_begin = false;
        // No time at all is over at once: a promotion need not wait for the timer to say so.
        self.over = limit == 0;
        self.deadline = Instant::from_nanos(tree.now().as_nanos().saturating_add(limit));
    }

    /// Panics: the scope was polled outside of any tree.
    #[cold]
    pub(crate) fn no_context(&self) -> ! {
        no_context_for(format_args!("the {} made at {}", self.kind.name(), self.location))
    }
}
