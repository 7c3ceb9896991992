//! Giving up several scopes in one step: for combinators, whose losers are in one task, but may have children in others.

use std::fmt;
use std::mem;
use std::pin::Pin;

use super::run::CancelScopeFuture;
use crate::reason::Reason;
use crate::tree::current;
use crate::tree::wake::DriverWakes;

/// Asks scopes to stop in one step, through their futures, as [`CancelScopeFuture::cancel`] does for one: those that `losers`
/// adds, and in which something is left to end. All of that is cancelled before anything of it ends, so no code in one of
/// them sees what has become of another one (law L11). After it, [`give_up`](CancelScopeFuture::give_up) each of them.
///
/// `losers` is to do nothing else.
///
/// # Examples
///
/// ```
/// use foster::future::give_up_together;
/// use foster::{CancelScope, Nursery, nursery, sleep_forever};
/// use futures_lite::future::poll_once;
/// use std::pin::pin;
///
/// # foster_sim::run(1, async {
/// let body = async |n: Nursery| {
///     n.spawn(sleep_forever());
///     Ok(())
/// };
/// let mut first = pin!(CancelScope::new().run(nursery(body)));
/// let mut second = pin!(CancelScope::new().run(nursery(body)));
/// assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
/// give_up_together(|losers| {
///     losers.add(first.as_mut(), "enough");
///     losers.add(second.as_mut(), "enough");
/// });
/// assert!(!first.as_mut().give_up("enough") && !second.as_mut().give_up("enough"), "their children have to end");
/// assert!(first.await.is_err() && second.await.is_err());
/// # });
/// ```
pub fn give_up_together(losers: impl FnOnce(&mut Losers)) {
    losers(&mut Losers { wakes: DriverWakes::default() });
}

/// The scopes that [`give_up_together`] asks to stop.
pub struct Losers {
    wakes: DriverWakes,
}

impl Losers {
    /// Adds a scope, unless nothing is left to end in it.
    pub fn add<F, T>(&mut self, scope: Pin<&mut CancelScopeFuture<F, T>>, reason: impl Into<Reason>) {
        let scoped = scope.project().scoped;
        if !scoped.is_bare() {
            scoped.cancel(current::signed(reason.into()), &mut self.wakes);
        }
    }
}

impl fmt::Debug for Losers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Losers").finish_non_exhaustive()
    }
}

impl Drop for Losers {
    /// Also if `losers` panics: whatever was marked has to be woken.
    fn drop(&mut self) {
        mem::take(&mut self.wakes).wake();
    }
}
