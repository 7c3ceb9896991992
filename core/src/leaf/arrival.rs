//! Where code may have to wait: it asks whether it has to stop, and somebody may note what it waits for.

use std::task::Context;

use crate::tree::current::{self, is_clear, is_watched};
use crate::tree::node::{Cold, Life};

/// The answer that code gets where it may have to wait. The default is that of a tree in which nothing is going on.
#[derive(Default)]
pub(crate) struct Arrival {
    /// It has asked, and is cancelled (L9), exact to the clock.
    pub(crate) stops: bool,
    /// That it is here was noted, for dumps: then [`waits_no_more`] has to follow when the operation is over.
    pub(crate) noted: bool,
}

/// Notes that the code that is running now is at `what`, and may have to wait there. Looks whether it is cancelled
/// only if it `asks`: an operation that has started may complete in cancelled code (L14).
///
/// The shortcut is right although requests come from other threads: code that does not see a request that is on its
/// way just now goes on as if that came a moment later, and where it waits its driver finds out.
#[inline]
pub(crate) fn arrives_at(what: &'static str, asks: bool, cx: &Context<'_>) -> Arrival {
    if is_clear() { Arrival::default() } else { arrive_slowly(what, asks, cx) }
}

/// Does the rest of `arrives_at`. Adds the operation to what the current scope waits for, if somebody watches; the list is
/// cleared when the scope is polled again.
fn arrive_slowly(what: &'static str, asks: bool, cx: &Context<'_>) -> Arrival {
    let noted = is_watched().then(current::try_scope).flatten();
    if let Some(node) = &noted {
        node.lock().cold_mut().waits_for.push(what);
    }
    let stops = asks && current::is_cancelled_slowly();
    if stops {
        wakes_at_the_end(cx);
    }
    Arrival { stops, noted: noted.is_some() }
}

/// Returns whether the running code is cancelled (law L9), for an operation that stops in that case, although it has passed
/// its [`Gate`](crate::leaf::Gate). It is woken at the end of the innermost scope, and may go on in other code.
///
/// Without that wake-up a combinator that polls only what was woken, and is moved out of a cancelled scope, would never poll
/// the operation again. Nothing becomes runnable by it (law L12). Exact to the clock, as
/// [`is_cancelled`](crate::is_cancelled()); to be asked while no lock is held.
///
/// # Examples
///
/// ```
/// use foster::CancelScope;
/// use foster::leaf::stops_here;
/// use std::future::poll_fn;
/// use std::task::Poll;
///
/// # foster_sim::run(1, async {
/// let stops = || poll_fn(|cx| Poll::Ready(stops_here(cx)));
/// assert!(!stops().await);
/// let mut scope = CancelScope::new();
/// let handle = scope.handle();
/// let stopped = scope.run(async {
///     handle.cancel("enough");
///     stops().await
/// });
/// assert!(stopped.await.unwrap());
/// # });
/// ```
#[must_use]
pub fn stops_here(cx: &Context<'_>) -> bool {
    let stops = current::is_cancelled();
    if stops {
        wakes_at_the_end(cx);
    }
    stops
}

/// Has the task woken at the end of the innermost scope.
fn wakes_at_the_end(cx: &Context<'_>) {
    let Some(node) = current::try_scope() else { return };
    // Cloned and dropped without the lock (L36).
    let waker = cx.waker().clone();
    let mut state = node.lock();
    // Closed with its host: nothing comes after it.
    if state.life == Life::Closed {
        return;
    }
    let stopped = &mut state.cold_mut().stopped;
    // The operations of a body mostly have one waker, and may be polled many times while a shield beside them ends.
    if !stopped.last().is_some_and(|last| last.will_wake(&waker)) {
        stopped.push(waker);
    }
}

/// Notes that the code that is running now does not wait at `what` any more: removes the last entry of that name.
/// Another operation of the same name in the same body may be the one that is removed; a dump shows the same then.
pub(crate) fn waits_no_more(what: &'static str) {
    let Some(node) = current::try_scope() else { return };
    let mut state = node.lock();
    let Some(Cold { waits_for, .. }) = state.cold.as_deref_mut() else { return };
    if let Some(last) = waits_for.iter().rposition(|other| *other == what) {
        waits_for.remove(last);
    }
}
