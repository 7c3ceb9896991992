//! A child of a local nursery: its future, its result, its node.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::shared::LocalShared;
use crate::errors::SpawnError;
use crate::events::OrphanKind;
use crate::nursery::body::{ChildBody, child_body, poll_child, take_result};
use crate::nursery::errors::{NurseryErrors, Recorded};
use crate::nursery::outcome::Outcome;
use crate::nursery::task::{SlotRef, Task, ValueSlot, leave};
use crate::reason::Origin;
use crate::tree::abandon;
use crate::tree::children::Role;
use crate::tree::flags::{ABANDONED, FOLLOWED, LOCAL, TIMED};
use crate::tree::node::{Kind, Life, NodeRef};
use crate::tree::observing;

/// Spawns `future` into the local nursery.
///
/// With `target` it is a child that may move there (see `start`). `before` is called with the new child before it can
/// run.
pub(crate) fn spawn_with<T, E, F, B>(
    shared: &Arc<LocalShared<E, B>>,
    target: Option<Arc<LocalShared<E, B>>>,
    origin: Origin,
    role: Role,
    future: F,
    before: impl FnOnce(&NodeRef),
) -> Result<Task<T>, SpawnError<F>>
where
    E: Debug,
    F: Future<Output: Outcome<T, E>>,
    B: Holds<T, F> + AnyBox<Error = E>,
{
    let above = &shared.node;
    if above.tree().is_none() {
        return Err(SpawnError::new(future));
    }
    // Of the two locks the node's is the inner one. Both hold plain data; `before` may lock nodes, too.
    let Some(incoming) = shared.open() else { return Err(SpawnError::new(future)) };
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = above.lock();
    // A nursery that was forgotten drives nobody any more (L28): a child that came later than that would be waited for
    // for ever.
    if above.flagged(ABANDONED) || !state.admits() {
        drop(state);
        drop(incoming);
        return Err(SpawnError::new(future));
    }
    let place = state.attachment(above, role);
    let node = NodeRef::attached(place, Kind::Task, origin);
    node.flag(LOCAL);
    let late = state.admit(role, node.clone());
    drop(state);
    before(&node);
    let slot = Arc::new(ValueSlot::new());
    let child = LocalChild { body: child_body(future), node: Some(node.clone()), slot: slot.clone(), target };
    let child = B::hold(Box::pin(child));
    if node.flagged(TIMED | FOLLOWED) {
        // Without a lock (L36), and before it can be polled by another thread: a hard time that has passed is seen then.
        drop(incoming);
        opened(&node);
        shared.take_over(child);
    } else {
        shared.admit(child, incoming);
    }
    if late {
        above.wake_driver();
    }
    Ok(Task::new(node, SlotRef::Apart(slot)))
}

/// A child has its place where there is a hard time, or an observer.
#[cold]
fn opened(node: &NodeRef) {
    node.hard_time_may_be_over();
    observing::opened(node);
}

pin_project! {
    /// A child of a local nursery. An implementation detail that shows in bounds.
    #[doc(hidden)]
    pub struct LocalChild<T, E, F, B>
    where
        E: Debug,
    {
        #[pin]
        body: ChildBody<F, T, E>,
        // None when it has ended.
        node: Option<NodeRef>,
        slot: Arc<ValueSlot<T>>,
        target: Option<Arc<LocalShared<E, B>>>,
    }

    impl<T, E, F, B> PinnedDrop for LocalChild<T, E, F, B>
    where
        E: Debug,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let Some(node) = this.node else { return };
            let mut body = this.body;
            let result = take_result(body.as_mut());
            abandon::driver_dropped(node, || body.as_mut().empty());
            if let Some(Err(error)) = result {
                let recorded = Recorded { error, child: Some(node.origin.clone()) };
                NurseryErrors::report(node, [recorded], OrphanKind::Reaped);
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
pub(super) trait RunChild<E> {
    /// Polls the child once, for the nursery of these errors; ready when its scope is Closed and its outcome recorded.
    fn run(self: Pin<&mut Self>, nursery: &NurseryErrors<E>, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the child has moved to the nursery it was started for.
    fn has_moved(&self) -> bool;
}

impl<T, E, F, B> RunChild<E> for LocalChild<T, E, F, B>
where
    E: Debug,
    F: Future<Output: Outcome<T, E>>,
{
    fn run(self: Pin<&mut Self>, nursery: &NurseryErrors<E>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(node) = this.node.as_ref() else { return Poll::Ready(()) };
        let Poll::Ready(mut closed) = poll_child(this.body.as_mut(), node, cx) else { return Poll::Pending };
        let Some(place) = closed.place.take() else { unreachable!("a task has a parent") };
        let errors = match this.target {
            Some(target) if target.node == place.parent => &target.errors,
            _ => nursery,
        };
        debug_assert!(node.life() == Life::Closed, "a child ends Closed");
        let result = errors.child_ended(&place.parent, node, &mut closed, this.body.take(), || this.slot.is_wanted());
        leave(node, &place, this.slot, result);
        *this.node = None;
        Poll::Ready(())
    }

    fn has_moved(&self) -> bool {
        let (Some(target), Some(node)) = (&self.target, &self.node) else { return false };
        node.parent().is_some_and(|above| target.node == above)
    }
}

/// A box for children of any type that are `Send`.
pub struct SendBox<'env, E>(Pin<Box<dyn RunChild<E> + Send + 'env>>);

/// A box for children of any type.
pub struct UnsendBox<'env, E>(Pin<Box<dyn RunChild<E> + 'env>>);

/// A box that can hold a child that runs `F`, which gives a `T`.
#[doc(hidden)]
#[expect(unnameable_types, reason = "users have no use for it")]
pub trait Holds<T, F>: AnyBox {
    fn hold(child: Pin<Box<LocalChild<T, Self::Error, F, Self>>>) -> Self
    where
        Self: Sized,
        Self::Error: Debug;
}

// Bounds on the future and its value, not on the child around them: messages of the compiler name what the user has
// written.
impl<'env, E, T, F> Holds<T, F> for SendBox<'env, E>
where
    E: Debug + Send + 'env,
    T: Send + 'env,
    F: Future<Output: Outcome<T, E>> + Send + 'env,
{
    fn hold(child: Pin<Box<LocalChild<T, E, F, Self>>>) -> Self {
        SendBox(child)
    }
}

impl<'env, E, T, F> Holds<T, F> for UnsendBox<'env, E>
where
    E: Debug + 'env,
    T: 'env,
    F: Future<Output: Outcome<T, E>> + 'env,
{
    fn hold(child: Pin<Box<LocalChild<T, E, F, Self>>>) -> Self {
        UnsendBox(child)
    }
}

/// A box with a child in it.
#[doc(hidden)]
#[expect(unnameable_types, reason = "users have no use for it")]
pub trait AnyBox {
    type Error;
    fn run(&mut self, nursery: &NurseryErrors<Self::Error>, cx: &mut Context<'_>) -> Poll<()>;
    fn has_moved(&self) -> bool;
}

impl<E> AnyBox for SendBox<'_, E> {
    type Error = E;

    fn run(&mut self, nursery: &NurseryErrors<E>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().run(nursery, cx)
    }

    fn has_moved(&self) -> bool {
        self.0.has_moved()
    }
}

impl<E> AnyBox for UnsendBox<'_, E> {
    type Error = E;

    fn run(&mut self, nursery: &NurseryErrors<E>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().run(nursery, cx)
    }

    fn has_moved(&self) -> bool {
        self.0.has_moved()
    }
}

impl<E> fmt::Debug for SendBox<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendBox")
    }
}

impl<E> fmt::Debug for UnsendBox<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsendBox")
    }
}
