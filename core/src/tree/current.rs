//! The current scope: the one whose code is running now (L38).
//!
//! Kept in thread-local storage, and exchanged around every poll and every drop of a body. It is not in the waker, because
//! combinators replace wakers. A scope lends its node, so entering counts no reference.

mod looking;

use std::cell::{Cell, OnceCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::Tree;
use super::cancel_state::ShieldLevel;
use super::flags::{CANCELLED, FOLLOWED};
use super::inline::InlineScope;
use super::node::{Kind, NodeRef};
use super::observing;
use super::verdict::UNCOUNTED;
use crate::Instant;
use crate::observer::ScopeEvent;
use crate::raw::{self, Frame, Stack};
use crate::reason::{Origin, Reason, ReasonKind};

pub(crate) use looking::{arrives_at, is_cancelled, waits_no_more};

/// A scope whose code is running on this thread.
struct Scope {
    /// What it has become, if it was entered as an inline one. Subtle: as long as it is an inline one, those that were entered inside it are
    /// inline ones, too, or were entered with their nodes.
    node: OnceCell<NodeRef>,
    /// Its depth on this thread's stack, from 1.
    depth: u32,
    /// The number of inline scopes that were entered in a row, up to this one; 0 if it was entered with its node.
    inlines: u32,
    /// How many wake-ups of its task had been counted when the poll of that began.
    wakes: u32,
}

/// After this many inline scopes in a row the next one gets a node, and so do they: none is far from its node.
const MAX_INLINE: u32 = 32;

/// A scope with what stands around it.
type CurrentFrame = Frame<Scope, NodeRef, Cell<InlineScope>>;

/// What a scope is entered with: it lends its node, or what it is made of.
type Entered<'a> = raw::Lent<'a, NodeRef, Cell<InlineScope>>;

impl Scope {
    #[inline]
    fn with_node(around: Option<&CurrentFrame>, node: &NodeRef) -> Self {
        let (depth, wakes) = around.map_or((0, UNCOUNTED), |around| (around.value().depth, around.value().wakes));
        let wakes = if node.counts_wakes() { node.wakes() } else { wakes };
        Scope { node: OnceCell::new(), depth: depth + 1, inlines: 0, wakes }
    }

    #[inline]
    fn inline(around: Option<&CurrentFrame>) -> Self {
        let scope = |around: &CurrentFrame| {
            let scope = around.value();
            (scope.depth, scope.inlines, scope.wakes)
        };
        let (depth, inlines, wakes) = around.map_or((0, 0, UNCOUNTED), scope);
        Scope { node: OnceCell::new(), depth: depth + 1, inlines: inlines + 1, wakes }
    }
}

impl CurrentFrame {
    /// None as long as it is an inline one.
    #[inline]
    fn node(&self) -> Option<&NodeRef> {
        match self.lent() {
            Entered::One(node) => Some(node),
            Entered::Other(_) => self.value().node.get(),
        }
    }

    /// What it was entered as, if that was as an inline one.
    #[inline]
    fn inline(&self) -> Option<&Cell<InlineScope>> {
        match self.lent() {
            Entered::One(_) => None,
            Entered::Other(inline) => Some(inline),
        }
    }

    #[inline]
    fn is_inline(&self) -> bool {
        self.node().is_none()
    }
}

crate::sys::thread_local! {
    static STACK: Stack<Scope, NodeRef, Cell<InlineScope>> = const { Stack::new() };
}

/// Calls `f` with the scope that the code of this thread stands in.
#[inline]
fn look<R>(f: impl for<'a> FnOnce(Option<&'a CurrentFrame>) -> R) -> R {
    STACK.with(|stack| stack.look(f))
}

/// The innermost scope that has a node; says also whether inline ones stand inside it.
#[inline]
fn node(top: Option<&CurrentFrame>) -> (Option<&NodeRef>, bool) {
    let Some(top) = top else { return (None, false) };
    match top.node() {
        Some(node) => (Some(node), false),
        None => (top.outward().find_map(CurrentFrame::node), true),
    }
}

/// The innermost scope that has a node; the default one outside of any tree.
#[inline]
fn node_or_default(top: Option<&CurrentFrame>) -> Option<&NodeRef> {
    match node(top).0 {
        Some(node) => Some(node),
        None => default_root(),
    }
}

/// The root of everything that runs outside of `run` and `attach`, once an adapter was installed.
static DEFAULT: OnceLock<NodeRef> = OnceLock::new();

/// Makes `root` the scope of code without a context. Gives it back if there is one already.
pub(crate) fn set_default(root: NodeRef) -> Result<(), NodeRef> {
    DEFAULT.set(root)
}

/// The scope of code without a context.
pub(crate) fn default_root() -> Option<&'static NodeRef> {
    DEFAULT.get()
}

/// Runs `f` with `node` as the innermost scope, and catches its panic.
#[inline]
pub(crate) fn enter<R>(node: &NodeRef, f: impl FnOnce() -> R) -> thread::Result<R> {
    let followed = node.flagged(FOLLOWED);
    STACK.with(|stack| {
        let scope = stack.look(|around| Scope::with_node(around, node));
        let f = || if followed { run_followed(f) } else { panic::catch_unwind(AssertUnwindSafe(f)) };
        stack.enter(scope, Entered::One(node), f).1
    })
}

/// Runs `f` in the innermost scope, which an observer follows.
#[cold]
fn run_followed<R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    let node = try_scope();
    let tell = |event| node.iter().for_each(|node| observing::scope(node, event));
    tell(ScopeEvent::Entered);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    tell(ScopeEvent::Left);
    result
}

/// As [`enter`], for the first poll of an inline scope, which begins now. Gives the node that it has become.
///
/// None if nothing was run, and it has to have a node: the code around it is known to be cancelled, or an observer follows, or it
/// stands inside many others, or it holds requests off for a while, which is not decided by flags alone.
#[inline]
pub(crate) fn enter_inline<R>(
    inline: &mut InlineScope,
    f: impl FnOnce() -> R,
) -> Option<(Option<NodeRef>, thread::Result<R>)> {
    let enters = look(|around| {
        let node = node_or_default(around);
        inline.start(node.and_then(|node| node.tree()));
        let many = around.is_some_and(|around| around.value().inlines == MAX_INLINE);
        !many
            && inline.shield() != ShieldLevel::Graceful
            && !node.is_some_and(|node| node.flagged(CANCELLED | FOLLOWED))
    });
    if enters { Some(enter_begun(inline, f)) } else { None }
}

/// Runs `f` in an inline scope that has begun. Gives the node that it has become.
#[inline]
pub(crate) fn enter_begun<R>(inline: &mut InlineScope, f: impl FnOnce() -> R) -> (Option<NodeRef>, thread::Result<R>) {
    STACK.with(|stack| {
        let scope = stack.look(Scope::inline);
        let lent = Entered::Other(Cell::from_mut(inline));
        let (scope, result) = stack.enter(scope, lent, || panic::catch_unwind(AssertUnwindSafe(f)));
        (scope.node.into_inner(), result)
    })
}

/// Whether `node` is the innermost scope.
pub(crate) fn is_inside(node: &NodeRef) -> bool {
    look(|top| top.and_then(CurrentFrame::node).is_some_and(|top| top.is(node)))
}

/// The innermost scope, made into a node if it is none yet; none outside of any tree.
pub(crate) fn try_scope() -> Option<NodeRef> {
    look(|top| {
        let node = node_or_default(top)?;
        match top {
            Some(top) if top.is_inline() => node.tree().map(|tree| promote(top, node, tree)),
            _ => Some(node.clone()),
        }
    })
}

/// Makes an inline scope inside `outside` into a node, after those further out.
#[cold]
fn promote(place: &CurrentFrame, outside: &NodeRef, tree: &Arc<Tree>) -> NodeRef {
    let scope = place.value();
    let above = match place.outer() {
        Some(outer) if outer.is_inline() => &promote(outer, outside, tree),
        _ => outside,
    };
    let Some(inline) = place.inline().map(Cell::get) else {
        unreachable!("it has no node: it was entered as an inline one")
    };
    let node = inline.promote(above, tree);
    // It is being polled for the first time.
    node.polled.begin(scope.wakes);
    drop(scope.node.set(node.clone()));
    node
}

/// Makes an inline scope that is not being polled into a node, below the scope that this code stands in; none outside of any tree.
#[cold]
pub(in crate::tree) fn make_node(inline: &mut InlineScope) -> Option<NodeRef> {
    let parent = try_scope()?;
    let tree = parent.tree()?;
    inline.start(Some(tree));
    let node = inline.promote(&parent, tree);
    if node.flagged(FOLLOWED) {
        observing::opened(&node);
    }
    Some(node)
}

/// How many wake-ups of the task that this code belongs to had been counted when its poll began.
#[inline]
pub(in crate::tree) fn wakes_seen() -> u32 {
    look(|top| top.map_or(UNCOUNTED, |top| top.value().wakes))
}

/// The innermost scope.
///
/// # Panics
///
/// Outside of any tree, naming the fix.
#[track_caller]
pub(crate) fn scope() -> NodeRef {
    match try_scope() {
        Some(node) => node,
        None => no_context(),
    }
}

#[track_caller]
#[cold]
pub(crate) fn no_context() -> ! {
    no_context_for("this operation")
}

/// As [`no_context`], for an operation that has a name and a place.
#[track_caller]
#[cold]
pub(crate) fn no_context_for(operation: impl std::fmt::Display) -> ! {
    panic!(
        "there is no foster runtime here: {operation} was called outside of `foster_smol::run`, `foster_tokio::run`, \
         `attach` or `#[foster::main]`. Usual causes: the future was given to `tokio::spawn`, `smol::spawn` or a plain \
         `block_on` (spawn it into a nursery instead), or the call comes from a thread that foster did not start. \
         To use foster below a runtime that you do not control, await `foster_tokio::attach(..)` / \
         `foster_smol::attach(..)`, or call `install()` of the adapter once at start-up"
    )
}

/// The tree of the code that is running now.
pub(crate) fn tree() -> Option<Arc<Tree>> {
    with_tree(Arc::clone)
}

pub(crate) fn with_tree<R>(f: impl FnOnce(&Arc<Tree>) -> R) -> Option<R> {
    look(|top| node_or_default(top).and_then(|node| node.tree()).map(f))
}

/// Whether scoped values were ever set in the tree.
pub(crate) fn has_values() -> bool {
    with_tree(|tree| tree.has_values()).unwrap_or(false)
}

/// A scoped value is set in the tree.
pub(crate) fn note_value() {
    with_tree(|tree| tree.note_value());
}

/// How many scopes stand on this thread's stack.
pub(crate) fn depth() -> u32 {
    look(|top| top.map_or(0, |top| top.value().depth))
}

/// The innermost scope that has a node; inline ones are left as they are.
pub(crate) fn innermost() -> Option<NodeRef> {
    look(|top| node_or_default(top).cloned())
}

/// The clock of the tree.
///
/// # Panics
///
/// Outside of any tree, naming the fix.
#[track_caller]
pub(crate) fn now() -> Instant {
    match try_now() {
        Some(now) => now,
        None => no_context(),
    }
}

/// The clock of the tree, if there is one.
pub(crate) fn try_now() -> Option<Instant> {
    with_tree(|tree| tree.now())
}

/// The name of the task that runs this code; of a task's scope that was lost, the task's.
pub(crate) fn task_origin() -> Option<Origin> {
    let mut next = look(|top| node(top).0.cloned());
    while let Some(node) = next {
        if matches!(node.kind, Kind::Task | Kind::Root) {
            return Some(node.origin.clone());
        }
        next = node.parent();
    }
    None
}

/// Whose code this thread runs now; none in code of no tree.
pub(crate) fn running_origin() -> Option<Origin> {
    // Inline scopes alone, below the installed root, are code of its tree, too.
    task_origin().or_else(|| default_root().filter(|_| depth() > 0).map(|root| root.origin.clone()))
}

/// Notes in the reason of an explicit cancel which task asks.
pub(crate) fn signed(reason: Reason) -> Reason {
    if reason.kind() != ReasonKind::Explicit || reason.task().is_some() {
        return reason;
    }
    match task_origin() {
        Some(task) => reason.with_task(task),
        None => reason,
    }
}
