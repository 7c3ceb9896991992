//! The bits of a node that can be read without its lock. They are set, and never cleared (Invariant 4).

/// The code directly inside has to stop.
pub(crate) const CANCELLED: u32 = 1 << 0;

/// The parent's code has to stop (whatever this scope's shield).
pub(crate) const PARENT_CANCELLED: u32 = 1 << 1;

/// A deadline or a hard time is set somewhere up the chain: the clock may know more than `CANCELLED`.
pub(crate) const TIMED: u32 = 1 << 2;

/// The driver is gone; a future of the scope that is polled now was forgotten, or has escaped.
pub(crate) const ABANDONED: u32 = 1 << 3;

/// The operations that the body waits for were noted when it was last polled.
pub(crate) const WATCHED: u32 = 1 << 4;

/// An observer was told that this task has ended.
pub(crate) const TOLD_END: u32 = 1 << 5;

/// Closed because its host, or the runtime, is gone (L30); set under the lock, as it is closed.
pub(crate) const SHUT_DOWN: u32 = 1 << 6;

/// An observer follows the scopes of the tree.
pub(crate) const FOLLOWED: u32 = 1 << 7;

/// An observer was told that this scope has ended.
pub(crate) const TOLD_SCOPE_END: u32 = 1 << 8;

/// A local nursery, or a child of one: no job of the runtime drives it, until it is lost.
pub(crate) const LOCAL: u32 = 1 << 9;

/// The operations that code in the tree waits for are to be noted.
pub(crate) const NOTED: u32 = 1 << 10;

/// The code was runnable when it became cancelled: it gets one more poll (L12).
pub(crate) const RUNNABLE: u32 = 1 << 11;

/// That poll is over.
pub(crate) const POLL_SPENT: u32 = 1 << 12;

/// Its body is being dropped, or was, because the scope is cancelled (L15).
pub(crate) const DELIVERED: u32 = 1 << 13;

/// A scope was opened inside, at some time. A scope without this bit need not be locked to look for inner ones.
pub(crate) const NESTED: u32 = 1 << 14;

/// A child was cancelled from outside (L33).
pub(crate) const CUT: u32 = 1 << 15;

/// Its body goes with all that is inside it: nothing there has to end (L15).
pub(crate) const GOES_WHOLE: u32 = 1 << 17;

/// All scopes that the request reaches are marked: from now on this one's code may be dropped (L11). What that closes or gives up finds
/// every other scope of the request `CANCELLED`, also on other threads.
pub(crate) const PROPAGATED: u32 = 1 << 18;

/// A nursery has recorded an error (L31).
pub(crate) const FAILED: u32 = 1 << 16;
