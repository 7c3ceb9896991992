//! How requests reach down the tree: law L9 as two instants.
//!
//! A request on an ancestor `a` reaches `x` *directly* when no shield stands on the path from `x` up to `a`, and
//! *gracefully* when the greatest shield on it is a graceful shield. Of all requests that reach `x` only the earliest
//! hard time of each sort matters, so a node keeps just these two. They only ever move forward (L6), which makes
//! propagation a join: visits may come in any order, from any thread, any number of times.
//!
//! ```text
//!    request on a, hard time h      none              graceful            full
//!    cancel state behind it         direct = h        graceful = h        nothing
//!    cancelled                      at once           when h has come     never
//! ```
//!
//! Plain values, `Copy`: kept in `State::inherited` under the node's lock, computed in `request.rs`, `attach.rs` and
//! `State::cancel_state`.

use crate::Instant;

/// The requests that a scope keeps out. The order is that of the laws (level 0, 1, 2): of several shields on a path the
/// greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShieldLevel {
    /// Nothing.
    None,
    /// Requests from outside, until their hard time (L20).
    Graceful,
    /// Requests from outside, for ever (L20). Its own request and its own deadline work all the same.
    Full,
}

/// The earliest hard times of the requests that reach a scope.
///
/// [`Instant::NEVER`] stands for none; a hard time that is never reached is [`Instant::LAST`].
///
/// Both are instants of the tree's clock, but for requests that were made before the entry, which have no clock yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CancelState {
    /// The earliest hard time of the requests that no shield holds off. Anything but `NEVER` means: cancelled now.
    /// When the hard time is matters only to graceful shields further in.
    direct: Instant,
    /// The earliest hard time of the requests that a graceful shield holds off until then.
    graceful: Instant,
}

impl Default for CancelState {
    /// Nothing reaches the scope.
    fn default() -> Self {
        CancelState { direct: Instant::NEVER, graceful: Instant::NEVER }
    }
}

impl CancelState {
    /// Returns what a request with this hard time is for the scope on which it was made: a scope's own shield does
    /// not hold it off (L9).
    ///
    /// A hard time of `NEVER` (a grace without end) becomes `LAST`, because `NEVER` would mean that there is no
    /// request.
    pub(crate) fn own(hard: Instant) -> Self {
        CancelState { direct: hard.min(Instant::LAST), graceful: Instant::NEVER }
    }

    /// Returns what is left of these requests behind a shield: for the scope that is the shield, and all inside it.
    ///
    /// A request that has passed a graceful shield once is never direct again: the greatest shield on the path
    /// counts.
    pub(crate) fn through(self, shield: ShieldLevel) -> Self {
        match shield {
            ShieldLevel::None => self,
            // Direct requests become graceful ones. Those that were held off further out already are held off until
            // the same time.
            ShieldLevel::Graceful => CancelState { direct: Instant::NEVER, graceful: self.direct.min(self.graceful) },
            ShieldLevel::Full => CancelState::default(),
        }
    }

    /// Returns both together. Associative, commutative and idempotent: so it does not matter which of two requests
    /// visits a node first, or whether one comes twice.
    pub(crate) fn join(self, other: CancelState) -> Self {
        CancelState { direct: self.direct.min(other.direct), graceful: self.graceful.min(other.graceful) }
    }

    /// Returns whether the code of a scope that this reaches is cancelled at `now` (L9).
    pub(crate) fn cancelled(self, now: Instant) -> bool {
        self.direct != Instant::NEVER || self.graceful <= now
    }

    /// Returns whether requests reach the scope, and all of them are held off by graceful shields: only the passing
    /// of time is missing, or has just passed. Such a scope is flagged `TIMED`.
    pub(crate) fn waits_for_hard(self) -> bool {
        self.direct == Instant::NEVER && self.graceful != Instant::NEVER
    }

    /// Returns whether any request reaches the scope, held off or not.
    #[inline]
    pub(crate) fn any(self) -> bool {
        self.direct.min(self.graceful) != Instant::NEVER
    }
}
