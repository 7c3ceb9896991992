//! A child of a local nursery: its future, its result, its node.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::shared::Shared;
use crate::error::SpawnError;
use crate::nursery::{ChildBody, Kept, LocalCell, NurseryCell, Outcome, Recorded, Task, leave};
use crate::observer::OrphanKind;
use crate::raw::{Giver, Owner};
use crate::reason::Origin;
use crate::tree::flags::{FOLLOWED, LOST, TIMED};
use crate::tree::follow;
use crate::tree::links::Role;
use crate::tree::loss;
use crate::tree::node::{Cell, Life, Node, NodeRef, Part};
use crate::tree::wake;

/// Spawns `future` into the local nursery.
///
/// With `target` it is a child that may move there (see `start`). `before` is called with the new child before it can run.
pub(crate) fn spawn_with<T, E, F, B>(
    shared: &Arc<Shared<E, B>>,
    target: Option<Arc<Shared<E, B>>>,
    origin: Origin,
    role: Role,
    future: F,
    before: impl FnOnce(&NodeRef),
) -> Result<Task<T>, SpawnError<F>>
where
    E: Debug,
    F: Future<Output: Outcome<T, E>>,
    B: Holds<LocalChild<T, E, F, B>>,
{
    let above = &shared.node;
    if above.tree().is_none() {
        return Err(SpawnError::new(future));
    }
    // The one place where a node is locked below another lock; both hold plain data, and the node's is the inner one.
    let Some(door) = shared.door() else { return Err(SpawnError::new(future)) };
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = above.lock();
    // A nursery that was forgotten drives nobody any more (L28): a child that came later than that would be waited for for ever.
    if above.flagged(LOST) || !state.admits() {
        drop(state);
        drop(door);
        return Err(SpawnError::new(future));
    }
    let place = state.place_uncounted(above, role);
    let (linked, room, end, handle) = Node::lodging(place, origin, LocalCell::new(above.clone()), LocalCell::left);
    let late = state.admit(role, linked);
    drop(state);
    let node = handle.block();
    before(node);
    let body = ChildBody::new(future);
    let child = room.fill(LocalChild { body, end: Some(end), target });
    let knocks = shared.admit(B::hold(Placed(child)), door);
    if node.flagged(TIMED | FOLLOWED) {
        opened(node);
    }
    if late {
        wake::wake(above);
    }
    if knocks {
        shared.tell();
    }
    Ok(Task::new(handle))
}

/// A child has its place where there is a hard time, or an observer.
#[cold]
fn opened(node: &NodeRef) {
    node.hard_time_may_be_over();
    if node.flagged(FOLLOWED) {
        follow::opened(node);
    }
}

pin_project! {
    /// A child of a local nursery. An implementation detail that shows in bounds.
    #[doc(hidden)]
    pub struct LocalChild<T, E, F, B>
    where
        E: Debug,
    {
        #[pin]
        body: ChildBody<F, Result<T, E>>,
        // None when it has ended.
        end: Option<Giver<Part<LocalCell>, Kept<T>>>,
        target: Option<Arc<Shared<E, B>>>,
    }

    impl<T, E, F, B> PinnedDrop for LocalChild<T, E, F, B>
    where
        E: Debug,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let Some(end) = this.end else { return };
            let node = end.block();
            let mut body = this.body;
            let result = body.as_mut().take();
            loss::driver_lost(node, || body.as_mut().drop_future());
            if let Some(Err(error)) = result {
                let recorded = Recorded { error, child: Some(node.origin.clone()) };
                NurseryCell::report(node, [recorded], OrphanKind::Reaped);
            }
            // L34: its handle resolves when its scope is Closed, which may be later.
        }
    }
}

impl<T, E, F, B> fmt::Debug for LocalChild<T, E, F, B>
where
    E: Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChild").finish_non_exhaustive()
    }
}

/// A child of any type, driven by the nursery's future.
#[doc(hidden)]
pub trait RunChild<E> {
    /// Polls the child once, for the nursery of these errors; ready when its scope is Closed and its outcome recorded.
    fn run(self: Pin<&mut Self>, home: &NurseryCell<E>) -> Poll<()>;

    /// Its seat among those that the nursery's future polls; none when it has ended.
    fn cell(&self) -> Option<&LocalCell>;

    /// Whether the child has moved to the nursery it was started for.
    fn has_moved(&self) -> bool;
}

impl<T, E, F, B> RunChild<E> for LocalChild<T, E, F, B>
where
    E: Debug,
    F: Future<Output: Outcome<T, E>>,
{
    fn run(self: Pin<&mut Self>, home: &NurseryCell<E>) -> Poll<()> {
        let mut this = self.project();
        let Some(end) = this.end.as_ref() else { return Poll::Ready(()) };
        let node: &NodeRef = end.block();
        let turn = this.body.as_mut().turn(node, &mut Context::from_waker(&node.waker()));
        let Poll::Ready(mut closed) = turn else { return Poll::Pending };
        let stood = closed.stood.take();
        let above = stood.as_ref().map_or(node, |stood| stood.parent(node));
        let errors = match this.target {
            Some(target) if target.node.is(above) => &target.errors,
            _ => home,
        };
        debug_assert!(node.life() == Life::Closed, "a child ends Closed");
        let outcome = errors.child_ended(above, node, closed, this.body.take());
        if let Some(tree) = node.tree() {
            node.note_end(&tree);
        }
        let Some(end) = this.end.take() else { unreachable!("it was there") };
        leave(end, Part::into_block, outcome, stood);
        Poll::Ready(())
    }

    fn cell(&self) -> Option<&LocalCell> {
        self.end.as_ref().map(|end| end.block().part())
    }

    fn has_moved(&self) -> bool {
        let (Some(target), Some(end)) = (&self.target, &self.end) else { return false };
        end.block().parent().is_some_and(|above| target.node.is(&above))
    }
}

/// A child in its block.
#[doc(hidden)]
pub struct Placed<C: ?Sized>(Owner<Node, dyn Cell, C>);

/// A box for children of any type that are `Send`.
#[doc(hidden)]
pub struct SendBox<'env, E>(Placed<dyn RunChild<E> + Send + 'env>);

/// A box for children of any type.
#[doc(hidden)]
pub struct LocalBox<'env, E>(Placed<dyn RunChild<E> + 'env>);

/// A box that can hold children of type `C`.
#[doc(hidden)]
pub trait Holds<C>: AnyBox {
    fn hold(child: Placed<C>) -> Self;
}

impl<'env, E, C: RunChild<E> + Send + 'env> Holds<C> for SendBox<'env, E> {
    fn hold(child: Placed<C>) -> Self {
        SendBox(Placed(child.0.seen_as(|child| child)))
    }
}

impl<'env, E, C: RunChild<E> + 'env> Holds<C> for LocalBox<'env, E> {
    fn hold(child: Placed<C>) -> Self {
        LocalBox(Placed(child.0.seen_as(|child| child)))
    }
}

/// A box with a child in it.
#[doc(hidden)]
pub trait AnyBox {
    type Error;
    fn run(&mut self, home: &NurseryCell<Self::Error>) -> Poll<()>;
    fn cell(&self) -> Option<&LocalCell>;
    fn has_moved(&self) -> bool;
}

impl<E> AnyBox for SendBox<'_, E> {
    type Error = E;

    #[inline]
    fn run(&mut self, home: &NurseryCell<E>) -> Poll<()> {
        self.0.0.get().run(home)
    }

    #[inline]
    fn cell(&self) -> Option<&LocalCell> {
        self.0.0.cell()
    }

    #[inline]
    fn has_moved(&self) -> bool {
        self.0.0.has_moved()
    }
}

impl<E> AnyBox for LocalBox<'_, E> {
    type Error = E;

    #[inline]
    fn run(&mut self, home: &NurseryCell<E>) -> Poll<()> {
        self.0.0.get().run(home)
    }

    #[inline]
    fn cell(&self) -> Option<&LocalCell> {
        self.0.0.cell()
    }

    #[inline]
    fn has_moved(&self) -> bool {
        self.0.0.has_moved()
    }
}

impl<E> fmt::Debug for SendBox<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendBox")
    }
}

impl<E> fmt::Debug for LocalBox<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalBox")
    }
}
