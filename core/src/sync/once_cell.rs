//! The once-cell: a value that the first one who needs it makes.
//!
//! One caller at a time has the *turn* to make the value. If it fails or is dropped, the turn is handed to the longest
//! waiter; when the value is there, everybody is woken.
//!
//! Invariant 1: somebody waits only while the turn is `Taken`: by who makes the value, or was handed the turn to.
//! Invariant 2: the value is set under the lock of the turn, which is `Over` from then on; so nobody misses it.
//! Invariant 3: the turn is locked before the queue, and both are released before anybody is woken.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::AlreadySet;
use super::line::{Called, Left, Ticket};
use super::wait_queue::WaitQueue;
use crate::leaf::{Gate, Waiter};
use crate::sys::{Mutex, MutexGuard, OnceLock};

/// A value that is made at most once, by whoever needs it first; the others wait for it.
///
/// If making it fails, or the one who makes it is cancelled, the next one tries.
///
/// # Examples
///
/// ```
/// use foster::sync::OnceCell;
///
/// # foster_sim::run(1, async {
/// static CONFIG: OnceCell<String> = OnceCell::new();
///
/// async fn load() -> Result<String, std::io::Error> {
///     foster::checkpoint().await;
///     Ok("fast = true".to_string())
/// }
///
/// let config = CONFIG.get_or_try_init(load).await.unwrap();
/// assert_eq!(config, "fast = true");
/// assert!(CONFIG.get().is_some());
/// # });
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    turnstile: Turnstile,
}

impl<T> OnceCell<T> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        let turn = Turn { stage: Stage::Free, queued: false };
        OnceCell { value: OnceLock::new(), turnstile: Turnstile { turn: Mutex::new(turn), queue: WaitQueue::new() } }
    }

    /// The value, if it was made.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it was made.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, if it was made.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Sets the value. If somebody is making it, that one's is dropped when it comes.
    ///
    /// # Errors
    ///
    /// [`AlreadySet`] with the value, if there was one before.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        let mut turn = self.turnstile.lock();
        if let Err(value) = self.value.set(value) {
            drop(turn);
            return Err(AlreadySet { value });
        }
        turn.stage = Stage::Over;
        let wakes = turn.queued.then(|| {
            let mut line = self.turnstile.queue.lock();
            line.unpark_all();
            line.finish()
        });
        turn.queued = false;
        drop(turn);
        drop(wakes);
        Ok(())
    }

    /// The value; if there is none, makes it by running `init`, or waits for who is at it.
    ///
    /// If the value is there, this is only a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a drop while `init` runs drops that with all it did, and the longest waiter makes the value anew. A
    /// drop while waiting *loses its place*.
    pub fn get_or_init<F, Fut>(&self, init: F) -> OnceCellGetOrInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        OnceCellGetOrInit { making: Making::new(self, init) }
    }

    /// The value; if there is none, makes it by running `init`, or waits for who is at it.
    ///
    /// # Cancellation
    ///
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Errors
    ///
    /// What `init` failed with; the longest waiter then runs its own.
    pub fn get_or_try_init<F, Fut, E>(&self, init: F) -> OnceCellGetOrTryInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        OnceCellGetOrTryInit { making: Making::new(self, init) }
    }

    /// How many tasks wait for who is making the value.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.turnstile.queue.waiting()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let cell = OnceCell::new();
        let Ok(()) = cell.set(value) else { unreachable!("it was empty") };
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).field("waiting", &self.waiting()).finish()
    }
}

pin_project! {
    /// Future of [`OnceCell::get_or_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OnceCellGetOrInit<'a, T, F, Fut> {
        #[pin]
        making: Making<'a, T, F, Fut>,
    }
}

impl<'a, T, F, Fut> Future for OnceCellGetOrInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    type Output = &'a T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        self.project().making.poll_value(cx, Ok::<T, Infallible>).map(|made| match made {
            Ok(value) => value,
            Err(never) => match never {},
        })
    }
}

impl<T, F, Fut> fmt::Debug for OnceCellGetOrInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.making.claim.fmt("OnceCellGetOrInit", f)
    }
}

pin_project! {
    /// Future of [`OnceCell::get_or_try_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OnceCellGetOrTryInit<'a, T, F, Fut> {
        #[pin]
        making: Making<'a, T, F, Fut>,
    }
}

impl<'a, T, E, F, Fut> Future for OnceCellGetOrTryInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<&'a T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().making.poll_value(cx, |made| made)
    }
}

impl<T, F, Fut> fmt::Debug for OnceCellGetOrTryInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.making.claim.fmt("OnceCellGetOrTryInit", f)
    }
}

pin_project! {
    /// What the two futures have in common.
    struct Making<'a, T, F, Fut> {
        // Subtle: dropped before the claim, so that the next one starts when this one has ended.
        #[pin]
        future: Option<Fut>,
        init: Option<F>,
        cell: &'a OnceCell<T>,
        claim: Claim<'a>,
    }
}

impl<'a, T, F, Fut> Making<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    fn new(cell: &'a OnceCell<T>, init: F) -> Self {
        let claim = Claim { turnstile: &cell.turnstile, gate: Gate::new("once cell"), step: Step::Start };
        Making { future: None, init: Some(init), cell, claim }
    }

    fn poll_value<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: impl FnOnce(Fut::Output) -> Result<T, E>,
    ) -> Poll<Result<&'a T, E>> {
        let mut this = self.project();
        if this.future.is_none() && ready!(this.claim.poll(cx)) {
            if let Some(init) = this.init.take() {
                this.future.set(Some(init()));
            }
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(made(this.cell)));
        };
        let result = result(ready!(future.poll(cx)));
        this.future.set(None);
        Poll::Ready(match result {
            Ok(value) => {
                this.claim.step = Step::Over;
                // Somebody else may have set it meanwhile; then ours is dropped here, with no lock held.
                drop(this.cell.set(value));
                Ok(made(this.cell))
            }
            Err(error) => {
                this.claim.give_up();
                Err(error)
            }
        })
    }
}

fn made<T>(cell: &OnceCell<T>) -> &T {
    match cell.get() {
        Some(value) => value,
        None => unreachable!("the turn is over when the value was made"),
    }
}

/// The part that does not depend on the value's type: whose turn it is.
struct Turnstile {
    turn: Mutex<Turn>,
    queue: WaitQueue,
}

struct Turn {
    stage: Stage,
    /// Somebody may stand in the queue.
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    Taken,
    Over,
}

impl Turnstile {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever had the turn did not make the value.
    fn pass(&self) {
        let mut turn = self.lock();
        if turn.stage == Stage::Over {
            return;
        }
        debug_assert_eq!(turn.stage, Stage::Taken, "only who has the turn passes it on");
        if !turn.queued {
            turn.stage = Stage::Free;
            return;
        }
        let mut line = self.queue.lock();
        if line.serve().is_none() {
            turn.stage = Stage::Free;
        }
        turn.queued = !line.is_empty();
        let wakes = line.finish();
        drop(turn);
        drop(wakes);
    }
}

/// A caller's place at the turnstile.
struct Claim<'a> {
    turnstile: &'a Turnstile,
    gate: Gate,
    step: Step,
}

enum Step {
    Start,
    Waiting(Ticket),
    Mine,
    Over,
}

impl Claim<'_> {
    /// Ready with whether the caller has to make the value.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        ready!(self.gate.poll_start(cx));
        match &mut self.step {
            Step::Start => ready!(self.start(cx)),
            Step::Waiting(ticket) => match ready!(ticket.poll(self.turnstile.queue.shared(), cx)) {
                Called::Served => {}
                Called::Broken(_) | Called::Passed { .. } => {
                    self.step = Step::Start;
                    ready!(self.start(cx));
                }
            },
            Step::Mine | Step::Over => panic!("a `get_or_init` of a `OnceCell` was polled after it was over"),
        }
        let mine = self.turnstile.lock().stage != Stage::Over;
        self.step = if mine { Step::Mine } else { Step::Over };
        Poll::Ready(mine)
    }

    /// Ready if the turn was free, and is taken now, or there is none any more.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // L36: made before the lock is taken, if it is needed.
        let mut spare: Option<Waiter> = None;
        loop {
            let mut turn = self.turnstile.lock();
            if turn.stage != Stage::Taken {
                if turn.stage == Stage::Free {
                    turn.stage = Stage::Taken;
                }
                drop(turn);
                return Poll::Ready(());
            }
            if let Some(waiter) = spare {
                turn.queued = true;
                self.step = Step::Waiting(self.turnstile.queue.lock().join(0, waiter));
                return Poll::Pending;
            }
            drop(turn);
            spare = Some(Waiter::new(cx));
        }
    }

    /// Leaves the queue, and passes on the turn.
    fn give_up(&mut self) {
        let mine = match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => false,
            Step::Waiting(ticket) => ticket.leave(self.turnstile.queue.shared()).left != Left::Waiting,
            // If the value is there, there is no turn to pass on, and `pass` knows.
            Step::Mine => true,
        };
        if mine {
            self.turnstile.pass();
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match &self.step {
            Step::Start => "Start",
            Step::Waiting(_) => "Waiting",
            Step::Mine => "Making",
            Step::Over => "Over",
        };
        write!(f, "{name}::{step}")
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests;
