//! The scopes that the code of a thread is in: a stack in thread-local storage, exchanged around every poll and every
//! drop of a body (L38). It is not in the waker, because combinators replace wakers. A scope lends its node, so
//! entering counts no reference.
//!
//! ```text
//!    STACK (one a thread) ──▶ Frame { lends an inline scope } ──▶ Frame { lends a node } ──▶ Frame { the task's node } ──▶ None
//!                             innermost                           entered before it          entered first
//! ```
//!
//! Everything here concerns the thread that runs it; no other thread sees the stack. Below all frames, in code of no
//! tree, there may be the installed root. The questions that code may ask about the scopes that it is in are in
//! `current.rs`.

use std::cell::{Cell, OnceCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::flags::{CANCELLED, FOLLOWED};
use super::inline::InlineScope;
use super::node::{Kind, NodeRef};
use super::observing;
use super::polled::UNCOUNTED;
use super::shared::Tree;
use crate::events::ScopeEvent;
use crate::raw::{self, Frame, Stack};

/// A scope whose code is running on this thread; the value of one frame of the stack.
pub(super) struct Scope {
    /// The node that an inline scope has got since it was entered; empty if it was entered with its node, which the
    /// frame lends. Subtle: as long as it is inline, those that were entered inside it are inline, too, or were
    /// entered with their nodes.
    pub(super) node: OnceCell<NodeRef>,
    /// The number of inline scopes that were entered in a row, up to this one; 0 if it was entered with its node.
    inlines: u32,
    /// How many wake-ups of its task had been counted when the poll of that began (L12); [`UNCOUNTED`] if no scope on
    /// the stack counts.
    pub(super) wakes: u32,
}

/// After this many inline scopes in a row the next one gets a node, and so do they. So a search for the nearest node,
/// and a promotion, which is recursive, take a bounded number of steps.
const MAX_INLINE: u32 = 32;

/// A scope, and through `parent` what it was entered in.
pub(super) type CurrentFrame = Frame<Scope, NodeRef, Cell<InlineScope>>;

/// The loan with which a scope is entered: it lends its node, or the parts that a node would be made of.
type Entered<'a> = raw::EitherRef<'a, NodeRef, Cell<InlineScope>>;

impl Scope {
    /// Returns the frame's value for a scope with that node, or for an inline one.
    #[inline]
    fn inside(around: Option<&CurrentFrame>, node: Option<&NodeRef>) -> Self {
        let (inlines, wakes) =
            around.map(CurrentFrame::value).map_or((0, UNCOUNTED), |scope| (scope.inlines, scope.wakes));
        let (inlines, wakes) = match node {
            None => (inlines + 1, wakes),
            // It begins a new count for what is inside: the poll of its task begins here. The same number that `poll_in`
            // has given to the scope's `Polled`, or a later one.
            Some(node) if node.counts_wakes() => (0, node.polled.wakes()),
            Some(_) => (0, wakes),
        };
        Scope { node: OnceCell::new(), inlines, wakes }
    }
}

/// The node of a frame's scope; as long as that is inline, the parts with which it was entered.
pub(super) type NodeOrParts<'a> = Result<&'a NodeRef, &'a Cell<InlineScope>>;

/// Returns the node of a frame's scope, or its parts.
#[inline]
pub(super) fn node_or_parts(frame: &CurrentFrame) -> NodeOrParts<'_> {
    match frame.lent() {
        Entered::First(node) => Ok(node),
        Entered::Second(inline) => frame.value().node.get().ok_or(inline),
    }
}

/// Returns the node of a frame's scope; none as long as that is inline.
#[inline]
pub(super) fn node_of(frame: &CurrentFrame) -> Option<&NodeRef> {
    node_or_parts(frame).ok()
}

crate::sys::thread_local! {
    // The scopes that the code of this thread is in. Never borrowed longer than for one look: code inside enters and
    // leaves.
    static STACK: Stack<Scope, NodeRef, Cell<InlineScope>> = const { Stack::empty() };
}

/// Calls `f` with the frame of the innermost scope; with none in code of no tree.
#[inline]
pub(super) fn with_current<R>(f: impl for<'a> FnOnce(Option<&'a CurrentFrame>) -> R) -> R {
    STACK.with(|stack| stack.with_top(f))
}

/// Returns the innermost scope that has a node.
#[inline]
pub(super) fn node(top: Option<&CurrentFrame>) -> Option<&NodeRef> {
    top?.ancestors().find_map(node_of)
}

/// Returns the innermost scope that has a node; outside of any tree the installed root, if there is one.
///
/// So code that runs outside of every `run` and `attach` (on a thread of the user's own, say) has the clock, the
/// timers and the runtime of the installed root, and is never cancelled.
#[inline]
pub(super) fn node_or_default(top: Option<&CurrentFrame>) -> Option<&NodeRef> {
    node(top).or_else(|| DEFAULT_ROOT.get())
}

/// The scope of code without a context, which runs outside of `run` and `attach`, once an adapter was installed.
///
/// Set by `install` alone. There is no way back: nodes, timers and handles below that root may live as long as the
/// process.
pub(crate) static DEFAULT_ROOT: OnceLock<NodeRef> = OnceLock::new();

/// Runs `f` with `node` as the innermost scope, and catches its panic. For each poll and each drop of a body (L38).
/// No lock may be held: `f` is user code.
///
/// Panics are caught here and in `enter_inline`, and nowhere else on the way from a body to its driver, so that each
/// ends in the scope in which it happened (L32). The frame is left in a panic, too.
#[inline]
pub(crate) fn enter<R>(node: &NodeRef, f: impl FnOnce() -> R) -> thread::Result<R> {
    // Read once: `Entered` and `Left` come in pairs.
    let followed = node.flagged(FOLLOWED);
    STACK.with(|stack| {
        let scope = stack.with_top(|around| Scope::inside(around, Some(node)));
        // Unwind safe: what `f` leaves half-changed is the user's, and is dropped by the driver; see `Node` for the
        // core's own.
        let f = || if followed { run_followed(node, f) } else { panic::catch_unwind(AssertUnwindSafe(f)) };
        stack.enter(scope, Entered::First(node), f).1
    })
}

/// Runs `f` in the innermost scope, which an observer follows, and tells the observer when it begins and ends.
#[cold]
fn run_followed<R>(node: &NodeRef, f: impl FnOnce() -> R) -> thread::Result<R> {
    observing::scope(node, ScopeEvent::Entered);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    observing::scope(node, ScopeEvent::Left);
    result
}

/// Does as [`enter`], for the first poll of an inline scope, which begins now. Returns the node that it has been
/// promoted to, if it was, and the result.
///
/// None if nothing was run, and it has to have a node: the code around it is known to be cancelled, or an observer
/// follows, or it is inside many others, or it holds requests off for a while, which is not decided by flags alone.
/// The scope has begun all the same: its deadline counts from here.
///
/// The conditions are those under which being inline could make a difference that somebody sees. In cancelled code
/// the scope would have to be woken past its driver (L16.1), and is to be found by its parent as an inner scope that
/// still has to end (L15). An observer is to be told of each scope. A graceful shield changes with the clock.
#[inline]
pub(crate) fn enter_inline<R>(
    inline: &mut InlineScope,
    f: impl FnOnce() -> R,
) -> Option<(Option<NodeRef>, thread::Result<R>)> {
    let enters = with_current(|around| {
        let node = node_or_default(around);
        inline.start(node.and_then(|node| node.tree()));
        // `==` is enough: each frame has one more than the one around it, and the count begins anew at a scope with a
        // node.
        let many = around.is_some_and(|around| around.value().inlines == MAX_INLINE);
        !many && inline.kind != Kind::Graceful && !node.is_some_and(|node| node.flagged(CANCELLED | FOLLOWED))
    });
    if !enters {
        return None;
    }
    Some(STACK.with(|stack| {
        let scope = stack.with_top(|around| Scope::inside(around, None));
        // As a `Cell`, because code inside may find the deadline passed, and notes that in the parts (see
        // `is_cancelled_slowly`).
        let lent = Entered::Second(Cell::from_mut(inline));
        let (scope, result) = stack.enter(scope, lent, || panic::catch_unwind(AssertUnwindSafe(f)));
        (scope.node.into_inner(), result)
    }))
}

/// Returns whether `node` is the innermost scope; outside of any tree, whether it is the installed root. An inline one
/// is no node yet, so it is none that anybody could ask for.
pub(crate) fn is_innermost(node: &NodeRef) -> bool {
    with_current(|top| top.map_or(DEFAULT_ROOT.get(), node_of) == Some(node))
}

/// Returns how many wake-ups of the task that this code belongs to had been counted when its poll began.
#[inline]
pub(super) fn wakes_seen() -> u32 {
    with_current(|top| top.map_or(UNCOUNTED, |top| top.value().wakes))
}

/// Calls `f` with the tree of the running code, without counting a reference.
pub(crate) fn with_tree<R>(f: impl FnOnce(&Arc<Tree>) -> R) -> Option<R> {
    with_current(|top| node_or_default(top).and_then(|node| node.tree()).map(f))
}

/// Returns how many scopes are on this thread's stack; 0 in code of no tree, also if a root is installed.
pub(crate) fn depth() -> usize {
    with_current(|top| top.into_iter().flat_map(CurrentFrame::ancestors).count())
}

/// Returns the innermost scope that has a node; inline ones are left as they are. For questions to which an inline
/// scope makes no difference.
pub(crate) fn innermost_node() -> Option<NodeRef> {
    with_current(|top| node_or_default(top).cloned())
}
