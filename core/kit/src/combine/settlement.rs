//! The common part of `try_join` and `race` on tuples: whose turn it is, and how the outcome is settled.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use super::branch::{Branch, Fate, Step};
use super::kept_outcome::KeptOutcome;
use foster_core::leaf;

/// The order in which a turn polls the futures: that of the tuple, but each turn begins with the next one (law L14).
pub(super) struct Order {
    /// The one to begin with.
    first: u8,
}

impl Order {
    pub(super) const fn new() -> Self {
        Order { first: 0 }
    }

    /// The order of this turn, of `len` futures.
    #[inline]
    pub(super) fn turn(&mut self, len: u8) -> impl Iterator<Item = u8> + Clone + use<> {
        let first = self.first;
        self.advance(len);
        (0..len).map(move |at| (first + at) % len)
    }

    /// Lets the next turn begin with the next one.
    #[inline]
    fn advance(&mut self, len: u8) {
        // Subtle: a turn that begins without any budget does not count. If it did, and every other turn were such a
        // one, because something beside this tuple comes first in it, the same future would come first whenever there
        // is budget.
        if !leaf::has_to_yield() {
            self.first = (self.first + 1) % len;
        }
    }
}

/// The common part of the futures of `try_join` and `race` on tuples.
pub(super) struct Settlement<X> {
    pub(super) fate: Fate,
    order: Order,
    /// The first error or the winner, which has settled the outcome.
    pub(super) outcome: KeptOutcome<X>,
    pub(super) left: u8,
    /// The branches were told that it is settled.
    closed: bool,
}

impl<X> Settlement<X> {
    /// `lost` is called with an outcome that is not returned.
    pub(super) fn new(branches: u8, lost: fn(X)) -> Self {
        Settlement {
            fate: Fate::new(),
            order: Order::new(),
            outcome: KeptOutcome::new(lost),
            left: branches,
            closed: false,
        }
    }

    /// Begins a turn, and gives its order.
    pub(super) fn begin_poll(&mut self, len: u8) -> impl Iterator<Item = u8> + Clone + use<X> {
        self.fate.begin_poll();
        self.order.turn(len)
    }

    /// Settles the outcome. Gives back what comes later.
    pub(super) fn settle(&mut self, outcome: X, reason: &'static str) -> Option<X> {
        if self.closed {
            return Some(outcome);
        }
        self.fate.settle(reason);
        self.outcome.keep(outcome)
    }

    /// Polls one branch; what it has returned, if it has.
    pub(super) fn poll<F: Future<Output = T>, T>(
        &mut self,
        branch: Pin<&mut Branch<F, T>>,
        cx: &mut Context<'_>,
    ) -> Option<T> {
        if branch.is_empty() {
            return None;
        }
        match branch.poll(cx, &mut self.fate) {
            Step::Pending => None,
            Step::Over => {
                self.left -= 1;
                None
            }
            Step::Value(value) => {
                self.left -= 1;
                Some(value)
            }
        }
    }

    /// Returns whether the outcome is settled, and the branches are still to be told: then none of them is polled before
    /// that, or it could take what nobody gets.
    pub(super) fn is_newly_settled(&self) -> bool {
        self.fate.is_closing() && !self.closed
    }

    /// Why, if it is so; for the branches to be closed.
    pub(super) fn newly_settled(&mut self) -> Option<&'static str> {
        let reason = self.fate.reason().filter(|_| !self.closed)?;
        self.closed = true;
        Some(reason)
    }

    pub(super) fn close<F: Future<Output = T>, T>(&mut self, branch: Pin<&mut Branch<F, T>>, reason: &'static str) {
        if !branch.is_empty() && !branch.close(reason, &mut self.fate) {
            self.left -= 1;
        }
    }
}
