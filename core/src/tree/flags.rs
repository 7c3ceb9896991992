//! What can be read of a node without its lock. Flags are set, and never cleared (Invariant 4).

/// The code directly inside has to stop.
pub(crate) const CANCELLED: u16 = 1 << 0;

/// The parent's code has to stop (whatever this scope's mask).
pub(crate) const PARENT_CANCELLED: u16 = 1 << 1;

/// A deadline or a hard time stands somewhere up the chain: the clock may know more than `CANCELLED`.
pub(crate) const TIMED: u16 = 1 << 2;

/// The driver is gone; whoever polls the scope's future now holds a future that was forgotten.
pub(crate) const LOST: u16 = 1 << 3;

/// What the body waits for was noted when it was last polled.
pub(crate) const WATCHED: u16 = 1 << 4;

/// An observer was told that this task has ended.
pub(crate) const TOLD_END: u16 = 1 << 5;

/// Closed because its host, or the runtime, is gone (L30); set under the lock, as it is closed.
pub(crate) const RAZED: u16 = 1 << 6;

/// An observer follows the scopes of the tree.
pub(crate) const FOLLOWED: u16 = 1 << 7;

/// An observer was told that this scope has ended.
pub(crate) const TOLD_SCOPE_END: u16 = 1 << 8;

/// Its driver is woken through its cell, until it is lost.
pub(crate) const BY_CELL: u16 = 1 << 9;

/// What everybody in the tree waits for is to be noted.
pub(crate) const NOTED: u16 = 1 << 10;

/// A light scope has rested here.
pub(crate) const RESTED: u16 = 1 << 11;

/// Light scopes that rested here were forgotten, or have escaped.
pub(crate) const DISMISSED: u16 = 1 << 12;

/// The time of a light scope that rests here, or did, is over.
pub(crate) const DUE: u16 = 1 << 13;

/// A scope was opened inside, at some time: who only wants to know about those need not lock the others.
pub(crate) const NESTED: u16 = 1 << 14;

/// A child was cancelled from outside (L33).
pub(crate) const CUT: u16 = 1 << 15;
