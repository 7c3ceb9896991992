//! The ambient context: which scope the code that is running now stands in (L38).
//!
//! Kept in thread-local storage, and exchanged around every poll and every drop of a body. It is not in the waker, because
//! combinators replace wakers. A scope moves its node in and out again, so entering counts no reference.

mod looking;

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::Tree;
use super::follow;
use super::light::Light;
use super::node::{CANCELLED, FOLLOWED, Kind, NOTED, NodeRef, TIMED};
use super::resting::RestKey;
use crate::Instant;
use crate::observer::ScopeEvent;
use crate::reason::{Origin, Reason, ReasonKind};

pub(crate) use looking::{arrives_at, is_cancelled, waits_no_more};

/// The scopes that code on this thread stands in.
struct Stack {
    /// The innermost scope that was entered with its node; those outside of it are kept by whoever entered it.
    node: Option<NodeRef>,
    /// The scopes that were entered as light ones, from the outside in. Those from `base` on stand inside `node`.
    lights: Vec<Entered>,
    base: usize,
    depth: usize,
}

/// A scope that was entered as a light one.
pub(crate) enum Entered {
    /// With its place to rest, if it has one.
    Light(Light, Option<RestKey>),
    /// It has become a node. Subtle: those further out have become nodes before it.
    Node(NodeRef),
}

/// What a scope that is entered with its node stands in.
struct Outer {
    node: Option<NodeRef>,
    base: usize,
    /// An observer follows the scope that is entered.
    followed: bool,
}

impl Stack {
    #[inline]
    fn push(&mut self, node: NodeRef) -> Outer {
        self.depth += 1;
        let followed = node.flagged(FOLLOWED);
        let base = std::mem::replace(&mut self.base, self.lights.len());
        Outer { node: self.node.replace(node), base, followed }
    }

    #[inline]
    fn pop(&mut self, outer: Outer) -> Option<NodeRef> {
        self.depth -= 1;
        self.base = outer.base;
        std::mem::replace(&mut self.node, outer.node)
    }

    #[inline]
    fn push_light(&mut self, light: Light, key: Option<RestKey>) {
        self.depth += 1;
        self.lights.push(Entered::Light(light, key));
    }

    /// Gives what has become of it.
    #[inline]
    fn pop_light(&mut self) -> Option<Entered> {
        self.depth -= 1;
        self.lights.pop()
    }

    /// The innermost scope that was entered as a light one, if no other was entered inside it.
    #[inline]
    fn light(&self) -> Option<&Entered> {
        if self.lights.len() > self.base { self.lights.last() } else { None }
    }

    /// Nothing is asked of the innermost scope, and it is no light one.
    #[inline]
    fn is_clear(&self) -> bool {
        let inside = self.lights.len() == self.base;
        inside && self.node.as_ref().is_some_and(|node| !node.flagged(CANCELLED | TIMED | NOTED))
    }

    /// The innermost scope that has a node; says also whether light ones stand inside it.
    #[inline]
    fn node(&self) -> (Option<&NodeRef>, bool) {
        match self.light() {
            None => (self.node.as_ref(), false),
            Some(Entered::Node(node)) => (Some(node), false),
            Some(Entered::Light(..)) => (self.node_outside(), true),
        }
    }

    /// The innermost scope that has a node; the default one outside of any tree.
    #[inline]
    fn node_or_default(&self) -> Option<&NodeRef> {
        match self.node().0 {
            Some(node) => Some(node),
            None => default_root(),
        }
    }

    /// Logarithmic: scopes nest deep, and each of them asks.
    fn node_outside(&self) -> Option<&NodeRef> {
        let inside = &self.lights[self.base..];
        let nodes = inside.partition_point(|entered| matches!(entered, Entered::Node(_)));
        match inside[..nodes].last() {
            Some(Entered::Node(node)) => Some(node),
            Some(Entered::Light(..)) | None => self.node.as_ref(),
        }
    }
}

crate::sys::thread_local! {
    static STACK: RefCell<Stack> =
        const { RefCell::new(Stack { node: None, lights: Vec::new(), base: 0, depth: 0 }) };
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

/// Runs `f` with `node` as the innermost scope, catches its panic, and gives the node back.
pub(crate) fn enter<R>(node: NodeRef, f: impl FnOnce() -> R) -> (NodeRef, thread::Result<R>) {
    let mut node = Some(node);
    // A thread that is being torn down has no context any more.
    let outer = STACK.try_with(|stack| node.take().map(|node| stack.borrow_mut().push(node))).ok().flatten();
    let result = match outer {
        Some(Outer { followed: true, .. }) => run_followed(f),
        _ => panic::catch_unwind(AssertUnwindSafe(f)),
    };
    let node = match outer {
        Some(outer) => STACK.with(|stack| stack.borrow_mut().pop(outer)),
        None => node,
    };
    let Some(node) = node else { unreachable!("a scope is left by whoever entered it") };
    (node, result)
}

/// Runs `f` in the innermost scope, which an observer follows.
#[cold]
fn run_followed<R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    let node = try_current();
    let tell = |event| node.iter().for_each(|node| follow::scope(node, event));
    tell(ScopeEvent::Entered);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    tell(ScopeEvent::Left);
    result
}

/// What came of entering a light scope.
pub(crate) enum Visit<R> {
    /// The code around it is known to be cancelled, or an observer follows. Nothing was run: the scope has to have a node, to be
    /// seen there.
    Refused,
    /// It was entered and left.
    Left(Entered, thread::Result<R>),
}

/// As [`enter`], for the first poll of a light scope, which begins now.
pub(crate) fn enter_light<R>(light: &mut Light, f: impl FnOnce() -> R) -> Visit<R> {
    let entered = STACK.try_with(|stack| {
        let around = stack.borrow();
        let node = around.node_or_default();
        light.start(node.and_then(|node| node.tree()));
        if node.is_some_and(|node| node.flagged(CANCELLED | FOLLOWED)) {
            return false;
        }
        drop(around);
        stack.borrow_mut().push_light(*light, None);
        true
    });
    if entered == Ok(false) {
        return Visit::Refused;
    }
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let left = entered.and_then(|_| STACK.try_with(|stack| stack.borrow_mut().pop_light()));
    Visit::Left(left.ok().flatten().unwrap_or(Entered::Light(*light, None)), result)
}

/// Runs `f` in a light scope that has begun.
pub(crate) fn reenter_light<R>(
    light: &Light,
    key: Option<RestKey>,
    f: impl FnOnce() -> R,
) -> (Entered, thread::Result<R>) {
    let entered = STACK.try_with(|stack| stack.borrow_mut().push_light(*light, key));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let left = entered.and_then(|()| STACK.try_with(|stack| stack.borrow_mut().pop_light()));
    (left.ok().flatten().unwrap_or(Entered::Light(*light, key)), result)
}

/// Where a light scope that has just been left can rest: in the innermost node, inside the light scope around it, which gets a place
/// there, too. None if one of them cannot.
pub(crate) fn place_to_rest(light: &mut Light) -> Option<(NodeRef, Option<RestKey>)> {
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let lights = stack.node().1;
            let node = stack.node_or_default()?.clone();
            if !light.may_rest(node.tree()) {
                return None;
            }
            let mut around: Option<RestKey> = None;
            if lights {
                let base = stack.base;
                let inside = &mut stack.lights[base..];
                // Those that have a place stand outside of those that have none: mostly it is the last one.
                let placed = inside.iter().rposition(|entered| !matches!(entered, Entered::Light(_, None)));
                for entered in &mut inside[placed.unwrap_or(0)..] {
                    if let Entered::Light(light, key) = entered {
                        if !light.may_rest(node.tree()) {
                            return None;
                        }
                        if key.is_none() {
                            light.stands_inside(around.map(RestKey::serial));
                        }
                        around = Some(*key.get_or_insert_with(|| node.make_rest(*light, around)));
                    }
                }
            }
            light.stands_inside(around.map(RestKey::serial));
            Some((node, around))
        })
        .ok()
        .flatten()
}

/// Whether this code stands in `node`, inside the light scope that rests there under this serial number, or inside none.
pub(crate) fn stands_in(node: &NodeRef, outer: Option<NonZeroU32>) -> bool {
    let stands = |stack: &RefCell<Stack>| {
        let stack = stack.borrow();
        let serial = match stack.light() {
            Some(Entered::Light(_, key)) => match key {
                Some(key) => Some(key.serial()),
                None => return false,
            },
            Some(Entered::Node(_)) | None => None,
        };
        serial == outer && stack.node_or_default().is_some_and(|top| Arc::ptr_eq(top, node))
    };
    STACK.try_with(stands).unwrap_or(false)
}

/// Makes a light scope into a node, below the scope that this code stands in; none outside of any tree.
pub(crate) fn make_node(light: &mut Light) -> Option<NodeRef> {
    let parent = try_current()?;
    let tree = parent.tree()?;
    light.start(Some(tree));
    let node = light.materialise(&parent, tree);
    if node.flagged(FOLLOWED) {
        follow::opened(&node);
    }
    Some(node)
}

/// Whether `node` is the innermost scope.
pub(crate) fn is_inside(node: &NodeRef) -> bool {
    STACK
        .try_with(|stack| match stack.borrow().node() {
            (Some(top), false) => Arc::ptr_eq(top, node),
            _ => false,
        })
        .unwrap_or(false)
}

/// The innermost scope, made into a node if it is none yet; none outside of any tree.
pub(crate) fn try_current() -> Option<NodeRef> {
    let (node, lights) = STACK
        .try_with(|stack| {
            let stack = stack.borrow();
            let (node, lights) = stack.node();
            (node.cloned(), lights)
        })
        .unwrap_or((None, false));
    let node = node.or_else(|| default_root().cloned())?;
    if lights { materialise_all(node) } else { Some(node) }
}

/// Makes every light scope inside `node` into a node, from the outside in.
#[cold]
fn materialise_all(mut node: NodeRef) -> Option<NodeRef> {
    let tree = node.tree()?.clone();
    let outside = node.clone();
    loop {
        let next = STACK.with(|stack| {
            let stack = stack.borrow();
            let mut inside = (stack.base..).zip(&stack.lights[stack.base..]);
            inside.find_map(|(place, entered)| match entered {
                Entered::Light(light, key) => Some((place, *light, *key)),
                Entered::Node(_) => None,
            })
        });
        let Some((place, light, key)) = next else { return Some(node) };
        let made = key.and_then(|key| outside.node_at_rest(key));
        node = made.unwrap_or_else(|| light.materialise(&node, &tree));
        STACK.with(|stack| stack.borrow_mut().lights[place] = Entered::Node(node.clone()));
        if let Some(key) = key {
            outside.rest_became(key, &node, &tree);
        }
    }
}

/// The innermost scope.
///
/// # Panics
///
/// Outside of any tree, naming the fix.
#[track_caller]
pub(crate) fn current() -> NodeRef {
    match try_current() {
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

fn with_tree<R>(f: impl FnOnce(&Arc<Tree>) -> R) -> Option<R> {
    STACK
        .try_with(|stack| match stack.borrow().node().0 {
            Some(node) => node.tree().map(f),
            None => default_root().and_then(|root| root.tree()).map(f),
        })
        .ok()
        .flatten()
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
pub(crate) fn depth() -> usize {
    STACK.try_with(|stack| stack.borrow().depth).unwrap_or(0)
}

/// The innermost scope that has a node; light ones are left as they are.
pub(crate) fn innermost() -> Option<NodeRef> {
    let found = STACK.try_with(|stack| stack.borrow().node().0.cloned()).ok().flatten();
    found.or_else(|| default_root().cloned())
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
    let mut next = STACK.try_with(|stack| stack.borrow().node().0.cloned()).ok().flatten();
    while let Some(node) = next {
        if matches!(node.kind, Kind::Task | Kind::Root) {
            return Some(node.origin.clone());
        }
        let parent = node.lock().parent.clone();
        next = parent;
    }
    None
}

/// Whose code this thread runs now; none in code of no tree.
pub(crate) fn running_origin() -> Option<Origin> {
    // Light scopes alone, below the installed root, are code of its tree, too.
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
