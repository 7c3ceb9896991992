//! The bits of a node that can be read without its lock. They are set, and never cleared (Invariant 4), so a bit that
//! was read as set stays true.
//!
//! A bit that was read as *not* set may be out of date at once. Code that acts on that either holds the node's lock
//! (a request sets `CANCELLED` and `PARENT_CANCELLED` under it, and a shut-down `SHUT_DOWN`), or has left its waker
//! before it looked, so that whoever sets the bit afterwards wakes it.
//!
//! ```text
//!    how code stops:       CANCELLED ──▶ PROPAGATED ──▶ DELIVERED (+ GOES_WHOLE)
//!                          request.rs    wake.rs        drive.rs, abandon.rs
//!                          attach.rs
//!    its driver is gone:   ABANDONED ──▶ a reaper drives it;   ABANDONED + SHUT_DOWN ──▶ closed with its host
//! ```

/// The code directly inside is cancelled (L9): it has to stop, and is given nothing more (L14).
///
/// Set by `NodeRef::mark` and `propagate` under the node's lock, after `cancelled_by` was stored; at its entry for a
/// scope that is opened in cancelled code (`attach.rs`). Without the lock by `abandon` and `give_up` on a bare scope, and
/// by `hard_time_may_be_over`; `cancelled_by` stays as it was then. Never set for a request that a shield holds off. The code
/// may not be dropped before `PROPAGATED` is set, too.
pub(crate) const CANCELLED: u32 = 1 << 0;

/// The parent's code is cancelled, whatever this scope's own shield. So this scope may be what delays the delivery of
/// its parent (L15): it hands out a waker of its own, and a wake-up of it goes on to the parent (L16.1).
///
/// Set by `propagate` under the node's lock, and at the entry into a cancelled parent.
pub(crate) const PARENT_CANCELLED: u32 = 1 << 1;

/// A deadline or a hard time is set on this scope or further out, and no full shield stands between: the clock may
/// know more than `CANCELLED`, so code that has to know exactly calls `Tree::fire_due` first. It stays set when the
/// deadline is removed, which costs looks at the clock, no more.
///
/// Set by `arm_deadline` on the scope and on those inside, by `propagate` where only a graceful shield holds a request
/// off, and at the entry.
pub(crate) const TIMED: u32 = 1 << 2;

/// The driver is gone: the future was dropped, forgotten or has escaped (L26, L28), or the host was dropped. A reaper
/// drives what is left. A future of the scope that is polled all the same panics, unless `SHUT_DOWN` is set.
///
/// Set by `abandon`, by whoever comes first: that one finishes the scope. Set with `SHUT_DOWN` by `shut_down`.
pub(crate) const ABANDONED: u32 = 1 << 3;

/// The observer was told that this task has ended. The thread that sets it tells: the last poll and the shut-down may
/// come at the same time.
pub(crate) const TOLD_END: u32 = 1 << 5;

/// Closed because its host, or the runtime, is gone (L30). Set by `shut_down_node` under the node's lock, together
/// with Closed: a scope that has ended by itself never has it. Its future is Pending for ever instead of panicking.
pub(crate) const SHUT_DOWN: u32 = 1 << 6;

/// An observer follows the scopes of the tree. Set on the root before its first poll, and passed on to each scope at
/// its entry: it does not change in a tree that runs. Such scopes are never inline, so that each is seen.
pub(crate) const FOLLOWED: u32 = 1 << 7;

/// The observer was told that this scope has ended. As `TOLD_END`.
pub(crate) const TOLD_SCOPE_END: u32 = 1 << 8;

/// A local nursery, or a child of one (L41): the nursery's future drives them all, no job of the runtime, until they
/// are abandoned. Set when the node is made.
pub(crate) const LOCAL: u32 = 1 << 9;

/// The operations that code in the tree waits for are to be noted, for dumps. Set by `Root::watch` on the root before
/// its first poll, and passed on at each entry.
pub(crate) const NOTED: u32 = 1 << 10;

/// The body is being dropped, or was, because the scope is cancelled (L15). A scope inside that is dropped meanwhile
/// knows by this that it goes with its parent and was not lost to foreign code. Set by `drive::deliver`, and on inner
/// scopes that go with their parent by `abandon`.
pub(crate) const DELIVERED: u32 = 1 << 11;

/// Of a nursery: a child that is no daemon was cancelled from further out, so the nursery has no value (L33). Set by
/// `child_ended` before the child leaves, so it is there when the nursery closes.
pub(crate) const CHILD_CANCELLED: u32 = 1 << 13;

/// A nursery has recorded an error (L31). Then it still has to end when the scope around it is cancelled, so that the
/// error is returned and not dropped with it (L15). Set by `NurseryErrors::record_with_text` after the error is stored.
pub(crate) const FAILED: u32 = 1 << 14;

/// The body goes with all that is inside it, because nothing there still has to end (L15). Looked at once, when the
/// body is delivered: the scopes inside, each of which is asked as it is dropped, need not look again, which would be
/// quadratic in their depth. Set with `DELIVERED`.
pub(crate) const GOES_WHOLE: u32 = 1 << 15;

/// All scopes that the request reaches are marked: from now on this one's code may be dropped (L11). When its
/// destructors close something or give it up, every other scope of the request is `CANCELLED` already, also on other
/// threads.
///
/// Set by `DriverWakes::wake`, after `CANCELLED` on all of them and before any of them is woken, and by the same call
/// for scopes that were opened meanwhile (`LATE`); at the entry into a scope that has it. Never without `CANCELLED`.
pub(crate) const PROPAGATED: u32 = 1 << 16;

/// Opened in cancelled code, the request of which had still others to mark: the thread that made that request
/// sets `PROPAGATED`, and wakes the driver. Set at the entry, with `CANCELLED`.
pub(crate) const LATE: u32 = 1 << 17;

/// The handle of a task is gone: nobody takes its value. Set by `give_up_value`, in the drop of the handle.
pub(crate) const UNWANTED: u32 = 1 << 20;

/// A shut-down has listed the scope, and is about to close it (L30): so the drop of its driver leaves that to it. Or a tree
/// that is deep would need a deep stack: the body of a task drops the scope in it, whose tasks are closed, which drops their
/// bodies, and so on. Nothing is returned out of it any more, either. Set by `request_all`, before its request, and so before
/// any body is dropped.
pub(crate) const TO_CLOSE: u32 = 1 << 21;

/// An observer follows the tasks of the tree. Set on the root before its first poll, and passed on as `FOLLOWED`.
pub(crate) const FOLLOWED_TASKS: u32 = 1 << 22;

/// Of a task: a daemon of its nursery (L24). Set at its entry.
pub(crate) const DAEMON: u32 = 1 << 4;

/// No inner scope any more, but an orphan, which the parent waits for (L27). Set after the entry in the parent's table was
/// changed, which is the one that counts for the parent.
pub(crate) const ORPHAN: u32 = 1 << 12;

/// The code that polls the scope, or one around it in the same body, has cancelled it through its future, and wants
/// nothing more of it: it is polled no more, but for what is inside (L12.6).
/// Set by `ScopeFuture::cancel`, before its request.
pub(crate) const GIVEN_UP: u32 = 1 << 23;

/// The future of a scope inside was forgotten, or has escaped to other code (L28): that may be in a poll of it, and go up from
/// there, through scopes that end meanwhile. Set by `leaked` on all scopes above.
pub(crate) const HAS_ESCAPED: u32 = 1 << 24;

/// The flags of a tree, which every scope of it has, and passes on. Set before the tree runs.
pub(crate) const KEPT: u32 = FOLLOWED | FOLLOWED_TASKS | NOTED;
