//! Opening a local nursery: the future that drives its body and its children.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::child::AnyBox;
use super::children::LocalChildren;
use super::forwarding_waker::waker_for_children;
use super::shared::LocalShared;
use super::{Local, SendBox, UnsendBox, UnsendNursery};
use crate::events::OrphanKind;
use crate::leaf;
use crate::leaf::ready_queue::ReadyMember;
use crate::nursery::error_mode::{ErrorMode, Parts};
use crate::nursery::errors::NurseryErrors;
use crate::nursery::handle::{LocalNursery, Nursery};
use crate::nursery::options::NurseryOptions;
use crate::nursery::outcome::Outcome;
use crate::nursery::policy::{Errors, MakeError, ended};
use crate::opening::Opening;
use crate::tree::flags::LOCAL;
use crate::tree::node::{Kind, Life, NodeRef};
use crate::tree::scope_future::{Ending, ScopeFuture};
use crate::tree::waking;

/// Opens a local nursery, runs `body` with a handle to it, and returns when the body and all children have ended.
///
/// As [`nursery`](crate::nursery()), but the children run in the task of the caller: they may borrow from outside the
/// nursery, and take turns instead of running in parallel. See the [module](mod@crate::nursery) for when to use which.
///
/// A turn of the nursery polls the children that were woken before it began and those that come meanwhile, and ends
/// early when the runtime says that the task has used up its budget.
///
/// Where nothing inside can fail the compiler cannot know the error type ("type annotations needed"): annotate the
/// closure's parameter as plain `LocalNursery<'_>`, and the error is [`Infallible`](std::convert::Infallible); or open
/// it with [`nursery::infallible_local`](crate::nursery::infallible_local).
///
/// # Errors
///
/// The first error recorded.
///
/// # Cancellation
///
/// *Partial effect*: code that waits is dropped where it waits, code that runs goes on to its next checkpoint; the
/// nursery ends when all have cleaned up. If the future is dropped by foreign code, the children's futures are dropped
/// with it, and the scope around waits for the finalizers and threads that they leave (law L41).
///
/// # Panics
///
/// Resumes the first panic of the body or of a child, when all have ended. When polled outside of any tree, if no
/// adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::local_nursery;
/// use std::cell::Cell;
///
/// # foster_sim::run(1, async {
/// let words = ["to", "be"];
/// let failed: Result<(), String> = local_nursery(async |n| {
///     for word in &words {
///         n.spawn(async move { Err::<(), _>(format!("no such file: {word}")) });
///     }
///     Ok(())
/// })
/// .await;
/// assert_eq!(failed, Err("no such file: to".to_owned()));
/// # });
/// ```
#[track_caller]
pub fn local_nursery<'env, T, E, F, Fut, R>(body: F) -> LocalNurseryFuture<T, E, E, F, Fut, R, SendBox<'env, E>>
where
    E: Debug, // Nothing in it can fail? Write `async |n: LocalNursery<'_>|`.
    F: FnOnce(LocalNursery<'env, E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().run_local(body)
}

impl<M> NurseryOptions<M> {
    /// Opens a local nursery: see [`local_nursery`](crate::local_nursery()).
    pub fn run_local<'env, T, E, F, Fut, R>(
        self,
        body: F,
    ) -> LocalNurseryFuture<T, E, M::Error, F, Fut, R, SendBox<'env, E>>
    where
        E: Debug,
        M: ErrorMode<E>,
        F: FnOnce(LocalNursery<'env, E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        open(self, None, body)
    }

    /// Opens a local nursery whose children need not be `Send`; its future is not, either.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::NurseryOptions;
    /// use foster::nursery::UnsendNursery;
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// # foster_sim::run(1, async {
    /// let count = Rc::new(Cell::new(0));
    /// let Ok(()) = NurseryOptions::new()
    ///     .run_local_unsend(async |n: UnsendNursery<'_>| {
    ///         for _ in 0..3 {
    ///             let count = count.clone();
    ///             n.spawn(async move { count.set(count.get() + 1) });
    ///         }
    ///     })
    ///     .await;
    /// assert_eq!(count.get(), 3);
    /// # });
    /// ```
    pub fn run_local_unsend<'env, T, E, F, Fut, R>(
        self,
        body: F,
    ) -> LocalNurseryFuture<T, E, M::Error, F, Fut, R, UnsendBox<'env, E>>
    where
        E: Debug,
        M: ErrorMode<E>,
        F: FnOnce(UnsendNursery<'env, E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        open(self, None, body)
    }
}

/// Opens a local nursery. With `moves_to` it is that of a `start`: a child that has moved goes there.
pub(super) fn open<T, E, M, F, Fut, R, B>(
    options: NurseryOptions<M>,
    moves_to: Option<Arc<LocalShared<E, B>>>,
    body: F,
) -> LocalNurseryFuture<T, E, M::Error, F, Fut, R, B>
where
    E: Debug,
    M: ErrorMode<E>,
    F: FnOnce(Nursery<E, Local<E, B>>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
    B: AnyBox<Error = E>,
{
    let (origin, limit, Parts { on_error, make_error }) = options.into_parts();
    let node = NodeRef::unattached(Kind::Nursery, origin);
    node.flag(LOCAL);
    let shared = Arc::new(LocalShared::new(node.clone(), NurseryErrors::new(on_error, limit)));
    let opening = Opening::new(body, Nursery::of(Local { shared: shared.clone() }));
    LocalNurseryFuture {
        scoped: ScopeFuture::with_node(node, opening, Errors::new(shared.clone())),
        body: ReadyMember::body(&shared.ready),
        children: LocalChildren::new(),
        make_error,
        shared,
        moves_to,
        has_moved: B::has_moved,
    }
}

pin_project! {
    /// Future of [`local_nursery`](crate::local_nursery()), [`NurseryOptions::run_local`] and
    /// [`NurseryOptions::run_local_unsend`]; `X` is the error it returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct LocalNurseryFuture<T, E, X, F, Fut, R, B>
    where
        E: Debug,
    {
        #[pin]
        scoped: ScopeFuture<Opening<F, Nursery<E, Local<E, B>>, Fut>, R, T, Errors<T, E, Arc<LocalShared<E, B>>>>,
        // Wakes the body.
        body: ReadyMember,
        children: LocalChildren<B>,
        make_error: MakeError<E, X>,
        shared: Arc<LocalShared<E, B>>,
        // Where the child of a `start` goes when it is ready.
        moves_to: Option<Arc<LocalShared<E, B>>>,
        // As a pointer, because a bound on the type would cost `Send` (see `ScopeFuture`).
        has_moved: fn(&B) -> bool,
    }

    impl<T, E, X, F, Fut, R, B> PinnedDrop for LocalNurseryFuture<T, E, X, F, Fut, R, B>
    where
        E: Debug,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.shared.ready.clear();
            if this.scoped.is_done() && !this.shared.node.is_shut_down() {
                // It was empty then, and takes no children.
                return;
            }
            // From here on the handles get their futures back.
            let mut coming = this.shared.close();
            if this.scoped.is_done() {
                return;
            }
            let mut children = std::mem::replace(this.children, LocalChildren::new());
            let (moves_to, has_moved) = (this.moves_to.as_deref(), *this.has_moved);
            // L41: the body first, then the children, all in place.
            this.scoped.abandon(|| {
                if let Some(to) = moves_to {
                    children.hand_over(&mut coming, to, has_moved);
                }
                drop(children);
                drop(coming);
            });
            NurseryErrors::report(&this.shared.node, this.shared.errors.take(), OrphanKind::Reaped);
        }
    }
}

impl<T, E, X, F, Fut, R, B> Future for LocalNurseryFuture<T, E, X, F, Fut, R, B>
where
    E: Debug,
    F: FnOnce(Nursery<E, Local<E, B>>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
    B: AnyBox<Error = E>,
{
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, X>> {
        let mut this = self.project();
        let (shared, moves_to) = (&**this.shared, this.moves_to.as_deref());
        // The nursery is driven, also in a turn in which its body has nothing to do (L16).
        shared.node.touch();
        this.children.begin_poll(shared);
        let mut body_is_due = this.body.is_woken();
        let (mut again, mut closing) = (false, false);
        loop {
            let mut gives_way = false;
            if body_is_due {
                if let Poll::Ready(ending) = this.body.poll(|cx| this.scoped.as_mut().poll(cx)) {
                    if let Some(to) = moves_to {
                        this.children.hand_over(&mut shared.close(), to, *this.has_moved);
                    }
                    return Poll::Ready(finish(ending, shared, *this.make_error));
                }
                gives_way = this.body.is_woken();
            }
            if this.children.poll_woken(shared, moves_to) || !this.body.is_woken() {
                break;
            }
            // The children have woken it. It is polled once more for what they have done, because most bodies wait for
            // them; and once more to close when all are over, for nurseries inside one another would need a turn each,
            // and each of these polls all that are around. Not if it gives way to others, as it also does between the cut
            // of its body and its close (L38).
            let ends = this.children.len() == 0 && this.scoped.is_draining();
            let had = std::mem::replace(if ends { &mut closing } else { &mut again }, true);
            if had || gives_way && (!ends || leaf::has_to_yield()) {
                break;
            }
            body_is_due = true;
        }
        // L16.1: also for the children, whose wakes do not go through the node.
        let driver = waker_for_children(&shared.node, cx.waker());
        if this.children.are_due() {
            waking::wake_for(&shared.node, || driver.wake());
        } else {
            shared.ready.end_poll(driver, this.body);
        }
        Poll::Pending
    }
}

fn finish<T, E: Debug, X, B>(
    ending: Ending<T>,
    shared: &LocalShared<E, B>,
    make_error: MakeError<E, X>,
) -> Result<T, X> {
    debug_assert!(shared.node.life() == Life::Closed, "a nursery returns when it is Closed");
    ended(ending, &shared.node, &shared.errors, make_error)
}

impl<T, E, X, F, Fut, R, B> fmt::Debug for LocalNurseryFuture<T, E, X, F, Fut, R, B>
where
    E: Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalNurseryFuture").field("children", &self.children.len()).finish_non_exhaustive()
    }
}
