//! One direction of a socket: who waits in it.
//!
//! The host keeps one waker a direction (contract C2). There are three ways to wait:
//!
//! * **Alone, by type**: the code that has the socket by `&mut`, or the half for this direction. Its waker goes to the
//!   host as it is.
//! * **With a [`Claim`]**: a future of a method that takes `&self`. It has the direction from its first poll until it
//!   is dropped, and a second one is refused. So both are known exactly.
//! * **Shared**: a `poll_*` function that takes `&self`, and that nobody tells when its caller has lost interest. The
//!   wakers of all who were Pending are kept, and the host gets one waker that wakes them all. So none sleeps on, and
//!   one that is of no use any more costs a wake-up for nothing.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use foster_core::is_cancelled;
use foster_core::leaf::{self, Gate, wake_all};

/// One direction of a socket.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    /// How many futures have it. More than one only if they wait in a line.
    claims: AtomicUsize,
    /// None until it is first shared, or an error is withheld.
    cold: OnceLock<Box<Cold>>,
}

/// The state that most directions never need.
#[derive(Debug, Default)]
struct Cold {
    waiters: Arc<Waiters>,
    /// An error of the host that came for code that was cancelled by then: see [`Direction::poll_host`].
    withheld: Mutex<Option<io::Error>>,
}

impl Direction {
    /// Takes the direction for one future.
    ///
    /// # Errors
    ///
    /// Another future has it.
    fn claim(&self) -> io::Result<Claim<'_>> {
        // Ordering: this store comes before the look at the waiters in `poll_claimed`, as their entry comes before the
        // look at this flag in `poll_shared`. One of the two sees the other.
        match self.claims.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => Ok(Claim { direction: self }),
            Err(_) => Err(busy()),
        }
    }

    /// Takes the direction for one of the futures that wait in a [`Line`](crate::line::Line): they use one waker.
    pub(crate) fn claim_in_line(&self) -> Claim<'_> {
        // Ordering: as above.
        self.claims.fetch_add(1, Ordering::SeqCst);
        Claim { direction: self }
    }

    /// Polls for a future, which takes the direction in its first poll, and has it as long as it keeps `claim`.
    #[inline]
    pub(crate) fn poll_claimed<'a, T>(
        &'a self,
        claim: &mut Option<Claim<'a>>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let claim = match claim {
            Some(claim) => claim,
            none => match self.claim() {
                Ok(claim) => none.insert(claim),
                Err(busy) => return poll_unless_cancelled(cx, Err(busy)),
            },
        };
        claim.poll(cx, poll)
    }

    /// Polls for one of many who share the direction: refuses if a future has claimed it.
    pub(crate) fn poll_shared<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let joined = self.cold().waiters.join(cx.waker());
        if self.claims.load(Ordering::SeqCst) > 0 {
            joined.leave(cx.waker(), true);
            return poll_unless_cancelled(cx, Err(busy()));
        }
        let polled = poll(&mut Context::from_waker(&joined.all));
        joined.leave(cx.waker(), polled.is_ready());
        polled
    }

    /// Polls the host, for whoever may. An error is not told to code that is cancelled by now: the request may have come
    /// on another thread during the poll, and the error may be what it did to the other side (law L14). But the host
    /// tells of it once, as of a connection that was reset: so it is kept, for the next who polls in this direction.
    #[inline]
    pub(crate) fn poll_host<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = match self.cold.get().and_then(|cold| cold.withheld().take()) {
            Some(error) => Poll::Ready(Err(error)),
            None => poll(cx),
        };
        match polled {
            Poll::Ready(Err(error)) => self.tell(cx, error),
            polled => polled,
        }
    }

    #[cold]
    fn tell<T>(&self, cx: &Context<'_>, error: io::Error) -> Poll<io::Result<T>> {
        if !is_cancelled() {
            return Poll::Ready(Err(error));
        }
        let before = self.cold().withheld().replace(error);
        drop(before);
        starts_again(cx)
    }

    fn cold(&self) -> &Cold {
        self.cold.get_or_init(Box::default)
    }

    /// Takes the wakers of those who wait in a shared way, to wake them.
    pub(crate) fn take_waiters(&self) -> Vec<Waker> {
        self.cold.get().map(|cold| cold.waiters.take()).unwrap_or_default()
    }
}

impl Cold {
    fn withheld(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The direction, taken by one future.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    direction: &'a Direction,
}

impl Claim<'_> {
    /// Polls for the future that has the direction. Code that was Pending before in a shared way stays registered.
    #[inline]
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let others = self.direction.cold.get().map(|cold| &cold.waiters).filter(|waiters| !waiters.is_empty());
        let joined = others.map(|waiters| waiters.join(cx.waker()));
        // One call, whoever is woken: it is compiled into this.
        let polled = poll(&mut Context::from_waker(joined.as_ref().map_or(cx.waker(), |joined| &joined.all)));
        if let Some(joined) = joined {
            joined.leave(cx.waker(), polled.is_ready());
        }
        polled
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.direction.claims.fetch_sub(1, Ordering::Release);
    }
}

/// Makes an operation of `poll`, as [`leaf::operation`] does, that tells no error to code that is cancelled by now: see
/// [`Direction::poll_host`]. For what is not done in a stream: an error that was withheld is told if the operation is polled
/// in other code, and goes with it.
pub(crate) fn operation<T>(
    what: &'static str,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> impl Future<Output = io::Result<T>> {
    let mut withheld = None;
    let told = poll_fn(move |cx| match withheld.take() {
        Some(error) => Poll::Ready(Err(error)),
        None => match poll(cx) {
            Poll::Ready(Err(error)) if is_cancelled() => {
                withheld = Some(error);
                starts_again(cx)
            }
            polled => polled,
        },
    });
    leaf::operation(what, told)
}

/// Tells what was found, and will be found again; but no error to code that is cancelled by now.
pub(crate) fn poll_unless_cancelled<T>(cx: &Context<'_>, found: io::Result<T>) -> Poll<io::Result<T>> {
    match found {
        Err(_) if is_cancelled() => starts_again(cx),
        found => Poll::Ready(found),
    }
}

/// Pending: the next poll may be in other code.
pub(crate) fn starts_again<T>(cx: &Context<'_>) -> Poll<T> {
    Gate::new("socket").restart(cx)
}

fn busy() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another task is waiting in this direction of the socket: there may be one reader and one writer. Usual causes: a \
         stream that is shared by tasks which mean to have a half each, or two tasks that should take turns with a lock",
    )
}

/// So many wakers are kept at first. More of them may be those that have lost interest: all are woken, and those who
/// still wait come again. If they have filled the set up again before the host has woken them, it may become twice as
/// large; so they cannot drive one another out for ever.
const MANY: usize = 64;
/// So large it may become.
const LARGEST: usize = 1 << 16;

/// The wakers of those who wait in a shared way.
#[derive(Debug, Default)]
struct Waiters {
    set: Mutex<WakerSet>,
}

#[derive(Debug)]
struct WakerSet {
    wakers: Vec<Waker>,
    /// How many are kept.
    most: usize,
}

impl Default for WakerSet {
    fn default() -> Self {
        WakerSet { wakers: Vec::new(), most: MANY }
    }
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, WakerSet> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.lock()).wakers
    }

    fn is_empty(&self) -> bool {
        self.lock().wakers.is_empty()
    }

    /// Adds a waker before the poll that may register it, since that may be answered at once. Returns false if it is there
    /// already, for another future of the same task or for an earlier poll: then it stays, whatever this poll comes to.
    fn add(&self, waker: &Waker) -> bool {
        // L36: a waker is cloned, called and dropped with the lock released.
        let added = waker.clone();
        let mut set = self.lock();
        if set.wakers.iter().any(|other| other.will_wake(waker)) {
            drop(set);
            return false;
        }
        let mut others = Vec::new();
        if set.wakers.len() >= set.most {
            set.most = LARGEST.min(2 * set.most);
            others = std::mem::take(&mut set.wakers);
        }
        set.wakers.push(added);
        drop(set);
        wake_all(others);
        true
    }

    fn remove(&self, waker: &Waker) {
        let mut set = self.lock();
        let at = set.wakers.iter().position(|other| other.will_wake(waker));
        let removed = at.map(|at| set.wakers.swap_remove(at));
        drop(set);
        drop(removed);
    }

    /// Adds a waker, for a poll that may register the one that wakes them all.
    fn join(self: &Arc<Self>, waker: &Waker) -> Joined<'_> {
        Joined { added: self.add(waker), all: Waker::from(self.clone()), waiters: self }
    }
}

/// Among the waiters, during a poll.
struct Joined<'a> {
    waiters: &'a Waiters,
    /// By this poll, and not by one before.
    added: bool,
    /// Wakes them all.
    all: Waker,
}

impl Joined<'_> {
    /// Goes, if the poll is `over`, and stays otherwise.
    fn leave(self, waker: &Waker, over: bool) {
        if self.added && over {
            self.waiters.remove(waker);
        }
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        wake_all(self.take());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use foster_core::CancelScope;

    use super::*;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        (counter.clone(), Waker::from(counter))
    }

    /// D1: a second future is refused, and the direction is free when the first is dropped.
    #[test]
    fn one_future_has_the_direction() {
        let direction = Direction::default();
        let claim = direction.claim().unwrap();
        assert_eq!(direction.claim().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        let (_, waker) = counter();
        let mut cx = Context::from_waker(&waker);
        let refused = direction.poll_shared(&mut cx, |_| Poll::<io::Result<()>>::Pending);
        assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ResourceBusy));
        drop(claim);
        assert!(direction.claim().is_ok());
    }

    /// D1: of those who share a direction none sleeps on, also if a future comes after them and takes the place of the
    /// waker at the host.
    #[test]
    fn whoever_waits_is_woken() {
        let direction = Direction::default();
        let mut registered = None;
        let (first, one) = counter();
        let (second, two) = counter();
        let (third, three) = counter();
        for waker in [&one, &two, &one] {
            let mut pending = |cx: &mut Context<'_>| {
                registered = Some(cx.waker().clone());
                Poll::<io::Result<()>>::Pending
            };
            assert!(direction.poll_shared(&mut Context::from_waker(waker), &mut pending).is_pending());
        }
        let claim = direction.claim().unwrap();
        let pending = |cx: &mut Context<'_>| {
            registered = Some(cx.waker().clone());
            Poll::<io::Result<()>>::Pending
        };
        assert!(claim.poll(&mut Context::from_waker(&three), pending).is_pending());
        registered.unwrap().wake();
        let woken = [first, second, third].map(|counter| counter.0.load(Ordering::SeqCst));
        assert_eq!(woken, [1, 1, 1]);
        // Nobody is left: the next one goes to the host as it is.
        let plain = |cx: &mut Context<'_>| Poll::Ready(Ok(cx.waker().will_wake(&three)));
        assert!(matches!(claim.poll(&mut Context::from_waker(&three), plain), Poll::Ready(Ok(true))));
    }

    /// D1: two futures of one task have the same waker. The one that is ready leaves it to the other.
    #[test]
    fn two_in_one_task_are_two() {
        let direction = Direction::default();
        let mut registered = None;
        let (count, waker) = counter();
        let mut cx = Context::from_waker(&waker);
        let pending = |cx: &mut Context<'_>| {
            registered = Some(cx.waker().clone());
            Poll::<io::Result<()>>::Pending
        };
        assert!(direction.poll_shared(&mut cx, pending).is_pending());
        assert!(direction.poll_shared(&mut cx, |_| Poll::Ready(Ok(()))).is_ready());
        let claim = direction.claim().unwrap();
        let refused = direction.poll_shared(&mut cx, |_| Poll::<io::Result<()>>::Pending);
        assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ResourceBusy));
        drop(claim);
        registered.unwrap().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    /// Wakers of those who have lost interest do not pile up: not for longer than until the next event, and not more
    /// than a certain number.
    #[test]
    fn lost_interest_does_not_pile_up() {
        let direction = Direction::default();
        let pending = |_: &mut Context<'_>| Poll::<io::Result<()>>::Pending;
        for _ in 0..10 * MANY {
            let (_, waker) = counter();
            assert!(direction.poll_shared(&mut Context::from_waker(&waker), pending).is_pending());
        }
        let waiters = &direction.cold().waiters;
        assert!(waiters.lock().wakers.len() <= 5 * MANY);
        waiters.wake_by_ref();
        assert!(waiters.is_empty());
        assert_eq!(waiters.lock().most, MANY);
        *waiters.lock() = WakerSet { wakers: vec![counter().1; LARGEST], most: LARGEST };
        assert!(direction.poll_shared(&mut Context::from_waker(&counter().1), pending).is_pending());
        assert_eq!(waiters.lock().wakers.len(), 1);
        assert_eq!(waiters.lock().most, LARGEST);
    }

    /// However many wait, they come to rest: each is woken now and then as others come, and not for ever.
    #[test]
    fn many_who_wait_come_to_rest() {
        let direction = Direction::default();
        let all: Vec<_> = (0..5 * MANY).map(|_| counter()).collect();
        let pending = |_: &mut Context<'_>| Poll::<io::Result<()>>::Pending;
        let mut due: Vec<usize> = (0..all.len()).collect();
        let mut polls = 0;
        while !due.is_empty() {
            for key in std::mem::take(&mut due) {
                polls += 1;
                all[key].0.0.store(0, Ordering::SeqCst);
                assert!(direction.poll_shared(&mut Context::from_waker(&all[key].1), pending).is_pending());
            }
            assert!(polls < 10 * all.len(), "they drive one another out");
            due = (0..all.len()).filter(|key| all[*key].0.0.load(Ordering::SeqCst) > 0).collect();
        }
        assert_eq!(direction.cold().waiters.lock().wakers.len(), all.len());
    }

    fn reset<T>() -> io::Result<T> {
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// L14: an error is not told to code that is cancelled by the time, but is not lost to other code either. A result
    /// is handed on.
    #[test]
    fn cancelled_code_is_told_no_error() {
        foster_smol::run(async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let polls = Cell::new(0);
            let mut ended = pin!(operation("read", |_| {
                polls.set(polls.get() + 1);
                handle.cancel("too late");
                Poll::Ready(reset::<()>())
            }));
            let in_time = poll_fn(|cx| {
                assert!(ended.as_mut().poll(cx).is_pending());
                assert!(poll_unless_cancelled(cx, reset::<()>()).is_pending());
                assert!(poll_unless_cancelled(cx, Ok(7)).is_ready());
                Poll::Ready(())
            });
            assert_eq!(scope.run(in_time).await.unwrap(), ());
            assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(polls.get(), 1);
            let told = poll_fn(|cx| poll_unless_cancelled(cx, reset::<()>()));
            assert_eq!(told.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }

    /// L14: the host tells an error once. Code that was cancelled meanwhile is not told, and the next code that polls
    /// is: once.
    #[test]
    fn an_error_that_came_too_late_is_for_the_next() {
        foster_smol::run(async {
            let direction = Direction::default();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let too_late = poll_fn(|cx| {
                let host = |_: &mut Context<'_>| {
                    handle.cancel("too late");
                    Poll::Ready(reset::<()>())
                };
                assert!(direction.poll_host(cx, host).is_pending());
                // It is cancelled still.
                assert!(direction.poll_host(cx, |_| -> Poll<io::Result<()>> { unreachable!() }).is_pending());
                Poll::Ready(())
            });
            assert_eq!(scope.run(too_late).await.unwrap(), ());
            let next = poll_fn(|cx| direction.poll_host(cx, |_| -> Poll<io::Result<()>> { unreachable!() }));
            assert_eq!(next.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(poll_fn(|cx| direction.poll_host(cx, |_| Poll::Ready(Ok(7)))).await.unwrap(), 7);
        });
    }
}
