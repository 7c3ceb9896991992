//! How requests reach down the tree: law L9 as two instants.
//!
//! A request on an ancestor `a` reaches `x` *directly* when no shield stands on the path from `x` up to `a`, and
//! *gracefully* when the greatest shield on it is a graceful shield. Of all requests that reach `x` only the earliest hard
//! time of each sort matters, so a node keeps just these two. They only ever move forward (L6), which makes propagation
//! a join: visits may come in any order, from any thread, any number of times.

use crate::Instant;

/// What a scope keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShieldLevel {
    /// Nothing.
    None,
    /// Requests from outside, until their hard time.
    Graceful,
    /// Requests from outside.
    Full,
}

/// The earliest hard times of the requests that reach a scope.
///
/// [`Instant::NEVER`] stands for none; a hard time that is never reached is [`Instant::LAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CancelState {
    direct: Instant,
    graceful: Instant,
}

impl Default for CancelState {
    fn default() -> Self {
        CancelState { direct: Instant::NEVER, graceful: Instant::NEVER }
    }
}

impl CancelState {
    /// The mark of a request on the scope itself.
    pub(crate) fn own(hard: Instant) -> Self {
        CancelState { direct: hard.min(Instant::LAST), graceful: Instant::NEVER }
    }

    /// What is left of these marks behind a shield.
    pub(crate) fn through(self, shield: ShieldLevel) -> Self {
        match shield {
            ShieldLevel::None => self,
            ShieldLevel::Graceful => CancelState { direct: Instant::NEVER, graceful: self.direct.min(self.graceful) },
            ShieldLevel::Full => CancelState::default(),
        }
    }

    /// Both together.
    pub(crate) fn join(self, other: CancelState) -> Self {
        CancelState { direct: self.direct.min(other.direct), graceful: self.graceful.min(other.graceful) }
    }

    /// L9.
    pub(crate) fn cancelled(self, now: Instant) -> bool {
        self.direct != Instant::NEVER || self.graceful <= now
    }

    /// Whether only the passing of time is missing.
    pub(crate) fn waits_for_hard(self) -> bool {
        self.direct == Instant::NEVER && self.graceful != Instant::NEVER
    }

    /// Whether any request reaches the scope, held off or not.
    #[inline]
    pub(crate) fn any(self) -> bool {
        self.direct.min(self.graceful) != Instant::NEVER
    }
}
