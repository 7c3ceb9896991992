//! The ambient context: which scope the code that is running now stands in (L38).
//!
//! A stack in thread-local storage, pushed around every poll and every drop of a body. It is not in the waker, because
//! combinators replace wakers. A scope moves its node into the stack and back, so entering counts no reference.
//!
//! A *light* scope (a timeout, a shield) has no node while its first poll lasts: its frame holds what it would be made
//! of. It becomes a node when something inside needs one, or when that poll ends Pending; most never do.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::Tree;
use super::links::Role;
use super::marks::Mask;
use super::node::{CANCELLED, Kind, Node, NodeRef, TIMED, WATCHED};
use crate::Instant;
use crate::reason::{Origin, Reason, ReasonKind};

/// What a scope without a node is made of.
#[derive(Clone, Copy)]
pub(crate) struct Light {
    pub(crate) kind: Kind,
    pub(crate) mask: Mask,
    pub(crate) deadline: Instant,
    pub(crate) location: &'static Location<'static>,
}

impl Light {
    /// Makes the node and hangs it below `parent`.
    fn materialise(self, parent: &NodeRef, tree: &Arc<Tree>) -> NodeRef {
        let origin = Origin::new(self.kind.name(), self.location);
        let node: NodeRef = Node::new(self.kind, self.mask, origin, Some(tree.clone()), ());
        node.lock().deadline = self.deadline;
        node.attach(parent, Role::Inner);
        node.polled.store(true, std::sync::atomic::Ordering::Relaxed);
        node.arm_deadline(tree);
        node
    }
}

/// One entry of the stack.
pub(crate) struct Frame {
    scope: Scope,
    /// How many frames from here down have no node.
    lights: usize,
}

enum Scope {
    Node(NodeRef),
    Light(Light),
}

impl Frame {
    pub(crate) fn node(node: NodeRef) -> Self {
        Frame { scope: Scope::Node(node), lights: 0 }
    }

    pub(crate) fn light(light: Light) -> Self {
        Frame { scope: Scope::Light(light), lights: 0 }
    }

    pub(crate) fn into_node(self) -> Option<NodeRef> {
        match self.scope {
            Scope::Node(node) => Some(node),
            Scope::Light(_) => None,
        }
    }
}

crate::sys::thread_local! {
    static STACK: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
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

/// Gives the frame back if the thread is being torn down, and has no context any more.
fn push(frame: Frame) -> Option<Frame> {
    let mut frame = Some(frame);
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if let Some(mut frame) = frame.take() {
            if let Scope::Light(_) = frame.scope {
                frame.lights = stack.last().map_or(0, |below| below.lights) + 1;
            }
            stack.push(frame);
        }
    });
    frame
}

/// Runs `f` with `frame` on top of the stack, catches its panic, and gives the frame back.
///
/// The frame may come back with the node of what was a light scope.
pub(crate) fn enter<R>(frame: Frame, f: impl FnOnce() -> R) -> (Frame, thread::Result<R>) {
    let refused = push(frame);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    (pop(refused), result)
}

fn pop(refused: Option<Frame>) -> Frame {
    let frame = refused.or_else(|| STACK.with(|stack| stack.borrow_mut().pop()));
    let Some(frame) = frame else { unreachable!("every frame is popped by whoever pushed it") };
    frame
}

/// Whether `node` is the innermost scope.
pub(crate) fn is_inside(node: &NodeRef) -> bool {
    STACK
        .try_with(|stack| match stack.borrow().last().map(|frame| &frame.scope) {
            Some(Scope::Node(top)) => Arc::ptr_eq(top, node),
            _ => false,
        })
        .unwrap_or(false)
}

/// The innermost scope, made into a node if it is none yet; none outside of any tree.
pub(crate) fn try_current() -> Option<NodeRef> {
    let top = STACK
        .try_with(|stack| {
            let stack = stack.borrow();
            stack.last().map(|frame| match &frame.scope {
                Scope::Node(node) => Some(node.clone()),
                Scope::Light(_) => None,
            })
        })
        .ok()
        .flatten();
    match top {
        Some(Some(node)) => Some(node),
        Some(None) => materialise_all(),
        None => default_root().cloned(),
    }
}

/// Makes every light frame into a node, from the bottom up.
fn materialise_all() -> Option<NodeRef> {
    let tree = tree()?;
    let mut lights = Vec::new();
    let (first, mut parent) = STACK.with(|stack| {
        let stack = stack.borrow();
        let mut index = stack.len();
        while index > 0 {
            match &stack[index - 1].scope {
                Scope::Light(light) => lights.push(*light),
                Scope::Node(node) => return (index, Some(node.clone())),
            }
            index -= 1;
        }
        (0, default_root().cloned())
    });
    for (index, light) in (first..).zip(lights.into_iter().rev()) {
        let node = light.materialise(parent.as_ref()?, &tree);
        STACK.with(|stack| {
            let frame = &mut stack.borrow_mut()[index];
            frame.scope = Scope::Node(node.clone());
            frame.lights = 0;
        });
        parent = Some(node);
    }
    parent
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
        .try_with(|stack| match innermost_node(&stack.borrow()) {
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
    STACK.try_with(|stack| stack.borrow().len()).unwrap_or(0)
}

/// The innermost scope that has a node; light ones are left as they are.
pub(crate) fn innermost() -> Option<NodeRef> {
    let found = STACK.try_with(|stack| innermost_node(&stack.borrow()).cloned()).ok().flatten();
    found.or_else(|| default_root().cloned())
}

/// The innermost scope that has a node.
fn innermost_node(stack: &[Frame]) -> Option<&NodeRef> {
    let index = stack.len().checked_sub(1 + stack.last()?.lights)?;
    match &stack[index].scope {
        Scope::Node(node) => Some(node),
        Scope::Light(_) => None,
    }
}

/// What code learns where it may have to wait.
#[derive(Default)]
pub(crate) struct Arrival {
    /// It is cancelled (L9), exact to the clock.
    pub(crate) cancelled: bool,
    /// That it is here was noted, for dumps.
    pub(crate) noted: bool,
}

/// The code that is running now is at `what`, and may have to wait there. Looks whether it is cancelled only if it `asks`.
pub(crate) fn arrives_at(what: &'static str, asks: bool) -> Arrival {
    /// What one look at the stack says.
    enum Seen {
        /// Nobody watches, and no request nor deadline is anywhere near.
        Clear,
        Unclear,
        Watched,
    }
    let seen = STACK.try_with(|stack| {
        let stack = stack.borrow();
        let Some(node) = innermost_node(&stack) else { return Seen::Unclear };
        match node.tree() {
            Some(tree) if tree.is_watched() => Seen::Watched,
            _ if node.flagged(CANCELLED | TIMED) || stack.last().is_some_and(|top| top.lights > 0) => Seen::Unclear,
            _ => Seen::Clear,
        }
    });
    let noted = match seen {
        Ok(Seen::Clear) => return Arrival::default(),
        Ok(Seen::Unclear) | Err(_) => false,
        Ok(Seen::Watched) => note(what),
    };
    Arrival { cancelled: asks && is_cancelled(), noted }
}

fn note(what: &'static str) -> bool {
    let Some(node) = try_current() else { return false };
    node.flag(WATCHED);
    node.lock().rare().waits_for.push(what);
    true
}

/// The code that is running now does not wait at `what` any more.
pub(crate) fn waits_no_more(what: &'static str) {
    let Some(node) = try_current().filter(|node| node.flagged(WATCHED)) else { return };
    let mut state = node.lock();
    let noted = &mut state.rare().waits_for;
    if let Some(last) = noted.iter().rposition(|other| *other == what) {
        noted.remove(last);
    }
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

/// L9 for the code that is running now, exact to the clock. Code without a scope is never cancelled.
pub(crate) fn is_cancelled() -> bool {
    /// What the stack alone can say.
    enum Seen {
        Known(bool),
        /// Light frames down to a node: their earliest deadline that counts, and the mask that stands before the node.
        Light {
            deadline: Instant,
            mask: Mask,
            node: Option<NodeRef>,
        },
        Node(NodeRef),
    }
    let seen = STACK.try_with(|stack| {
        let stack = stack.borrow();
        let mut deadline = Instant::NEVER;
        let mut mask = Mask::None;
        for frame in stack.iter().rev() {
            match &frame.scope {
                Scope::Light(light) => {
                    // A light scope has no grace: its hard time is its deadline.
                    deadline = deadline.min(light.deadline);
                    mask = mask.max(light.mask);
                    if mask == Mask::Full {
                        return Seen::Light { deadline, mask, node: None };
                    }
                }
                Scope::Node(node) if mask == Mask::None && node.flagged(CANCELLED) => return Seen::Known(true),
                Scope::Node(node) if mask == Mask::None && deadline == Instant::NEVER => {
                    if !node.flagged(TIMED) {
                        return Seen::Known(false);
                    }
                    return Seen::Node(node.clone());
                }
                Scope::Node(node) => return Seen::Light { deadline, mask, node: Some(node.clone()) },
            }
        }
        Seen::Light { deadline, mask, node: None }
    });
    match seen {
        Ok(Seen::Known(known)) => known,
        Ok(Seen::Node(node)) => tree().is_some_and(|tree| node.is_cancelled(&tree)),
        Ok(Seen::Light { deadline, mask, node }) => {
            let Some(tree) = tree() else { return false };
            if deadline != Instant::NEVER && deadline <= tree.now() {
                return true;
            }
            node.is_some_and(|node| {
                node.is_cancelled(&tree) && mask == Mask::None
                    || node.lock().marks().through(mask).cancelled(tree.now())
            })
        }
        Err(_) => false,
    }
}

/// Whether the innermost scope is known to be cancelled; a hint, without looking at the clock.
pub(crate) fn is_flagged() -> bool {
    STACK.try_with(|stack| innermost_node(&stack.borrow()).is_some_and(|node| node.flagged(CANCELLED))).unwrap_or(false)
}

/// The name of the task that runs this code.
pub(crate) fn task_origin() -> Option<Origin> {
    STACK
        .try_with(|stack| {
            let stack = stack.borrow();
            let task = stack.iter().rev().find_map(|frame| match &frame.scope {
                Scope::Node(node) if matches!(node.kind, Kind::Task | Kind::Root) => Some(node),
                _ => None,
            });
            task.map(|node| node.origin.clone())
        })
        .ok()
        .flatten()
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
