//! A line of futures that wait at one socket.
//!
//! The host keeps one waker (contract C2), so it is polled by the first in the line, and gets the line's own waker. An
//! event at the host wakes whoever is first by then:
//!
//! ```text
//!   host ──▶ waker of the line ──▶ the first whose code is not cancelled ──▶ polls the host, and leaves the line
//!                                                                                          │
//!                                                                            the next one is woken, and polls
//! ```
//!
//! Code that is cancelled may stay for long, beside a shield, and need not be polled: it is passed over, as the waiters of a
//! lock are. If it was woken before, it wakes the next one in that poll, or when it is dropped.
//!
//! It is not foster's `sync::Mutex`: nothing is handed over here, since the first one polls the host; and who is passed over
//! may come back to its place.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use foster_core::is_cancelled;
use foster_core::leaf::Waiter;

use crate::direction::operation;

/// A line of futures that wait at one socket.
#[derive(Debug)]
pub(crate) struct Line {
    places: Arc<Places>,
    /// The waker for the host: that of `places`.
    waker: Waker,
    next_key: AtomicU64,
}

#[derive(Debug, Default)]
struct Places(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    places: VecDeque<PlaceState>,
    /// Nobody waits for a turn any more.
    open: bool,
}

#[derive(Debug)]
struct PlaceState {
    key: u64,
    /// None while it is polled for the first time, or in other code than before.
    waiter: Option<Arc<Waiter>>,
    /// It was woken when there was no waiter.
    woken: bool,
    /// Its code has found itself cancelled.
    gave_way: bool,
}

impl Line {
    pub(crate) fn new() -> Self {
        let places = Arc::new(Places::default());
        Line { waker: Waker::from(places.clone()), places, next_key: AtomicU64::new(0) }
    }

    /// Does an operation whose `poll` is called when all who have come before have left, or are cancelled. It tells no error to
    /// code that is cancelled by now.
    pub(crate) async fn operation<T>(
        &self,
        what: &'static str,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let place = Place { line: self, key: self.next_key.fetch_add(1, Ordering::Relaxed) };
        let mut operation = pin!(operation(what, |cx| place.poll(cx, &mut poll)));
        poll_fn(|cx| {
            let polled = operation.as_mut().poll(cx);
            if polled.is_pending() && is_cancelled() {
                place.give_way();
            }
            polled
        })
        .await
    }

    /// Wakes all, and lets each of them be polled at once from now on.
    pub(crate) fn open(&self) {
        let mut list = self.places.lock();
        list.open = true;
        let waiters: Vec<_> = list.places.iter_mut().filter_map(PlaceState::call).collect();
        drop(list);
        wake(waiters);
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn position(&self, key: u64) -> Option<usize> {
        self.places.iter().position(|place| place.key == key)
    }

    /// The first whose code is not cancelled.
    fn first(&self) -> Option<usize> {
        self.places.iter().position(|place| !place.is_passed_over())
    }

    /// Calls the first, if those before it include the place at `before`, which has gone or given way.
    fn call_first_behind(&mut self, before: usize) -> Option<Arc<Waiter>> {
        self.first().filter(|first| before <= *first).and_then(|first| self.places[first].call())
    }
}

impl PlaceState {
    fn is_passed_over(&self) -> bool {
        self.gave_way || self.waiter.as_ref().is_some_and(|waiter| waiter.is_cancelled())
    }

    /// Returns the waiter, to be woken with the lock released.
    fn call(&mut self) -> Option<Arc<Waiter>> {
        self.woken |= self.waiter.is_none();
        self.waiter.clone()
    }
}

/// An event at the host.
impl Wake for Places {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut list = self.lock();
        // Also those that are passed over: they may be polled in other code by now, which lets them be the first again.
        let until = list.first().map_or(list.places.len(), |first| first + 1);
        let waiters: Vec<_> = list.places.iter_mut().take(until).filter_map(PlaceState::call).collect();
        drop(list);
        wake(waiters);
    }
}

fn wake(waiters: impl IntoIterator<Item = Arc<Waiter>>) {
    waiters.into_iter().for_each(|waiter| waiter.wake_by_ref());
}

/// A place in a line, from the first poll that gets there until it is dropped.
struct Place<'a> {
    line: &'a Line,
    key: u64,
}

impl Place<'_> {
    fn poll<T>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let polled = if self.enter(cx) { poll(&mut Context::from_waker(&self.line.waker)) } else { Poll::Pending };
        if polled.is_pending() {
            self.stay(cx);
        }
        polled
    }

    /// Returns whether it is its turn.
    fn enter(&self, cx: &Context<'_>) -> bool {
        let mut list = self.line.places.lock();
        let mut before = None;
        let at = match list.position(self.key) {
            Some(at) => {
                let place = &mut list.places[at];
                place.gave_way = false;
                if !place.waiter.as_ref().is_some_and(|waiter| waiter.is_current(cx)) {
                    before = place.waiter.take();
                }
                at
            }
            None => {
                list.places.push_back(PlaceState { key: self.key, waiter: None, woken: false, gave_way: false });
                list.places.len() - 1
            }
        };
        let is_turn = list.open || list.first() == Some(at);
        drop(list);
        drop(before);
        is_turn
    }

    /// Leaves a waiter, unless there is one.
    fn stay(&self, cx: &Context<'_>) {
        let needs_one = |list: &List| list.position(self.key).filter(|at| list.places[*at].waiter.is_none());
        if needs_one(&self.line.places.lock()).is_none() {
            return;
        }
        // L36: made while no lock is held.
        let waiter = Arc::new(Waiter::new(cx));
        let mut woken = false;
        let mut list = self.line.places.lock();
        if let Some(at) = needs_one(&list) {
            list.places[at].waiter = Some(waiter.clone());
            woken = std::mem::take(&mut list.places[at].woken);
        }
        drop(list);
        if woken {
            waiter.wake_by_ref();
        }
    }

    /// Lets the next one go first, as long as this is not polled in code that is not cancelled. If this was woken, that is
    /// for the next one.
    fn give_way(&self) {
        let mut list = self.line.places.lock();
        let mut next = None;
        if let Some(at) = list.position(self.key) {
            if !std::mem::replace(&mut list.places[at].gave_way, true) {
                next = list.call_first_behind(at);
            }
        }
        drop(list);
        wake(next);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut list = self.line.places.lock();
        let Some(at) = list.position(self.key) else { return };
        let place = list.places.remove(at);
        let next = list.call_first_behind(at);
        drop(list);
        drop(place);
        wake(next);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;

    use foster_core::CancelScope;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A socket of the host: what is there, and the waker of its latest poll.
    #[derive(Default)]
    struct Socket {
        line: Line,
        there: Mutex<usize>,
        waker: Mutex<Option<Waker>>,
    }

    impl Default for Line {
        fn default() -> Self {
            Line::new()
        }
    }

    impl Socket {
        fn waits(&self) -> Waits<'_> {
            let count = Arc::<Counter>::default();
            let future = Box::pin(self.line.operation("take", |cx| {
                let mut there = self.there.lock().unwrap();
                if *there == 0 {
                    *self.waker.lock().unwrap() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                *there -= 1;
                Poll::Ready(Ok(()))
            }));
            Waits { future, waker: Waker::from(count.clone()), count }
        }

        /// Something comes.
        fn put(&self) {
            *self.there.lock().unwrap() += 1;
            let waker = self.waker.lock().unwrap().take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    struct Waits<'a> {
        future: Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>,
        count: Arc<Counter>,
        waker: Waker,
    }

    impl Waits<'_> {
        /// Whether it has ended.
        fn poll(&mut self) -> bool {
            self.future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
        }

        /// How often it was woken since this was asked.
        fn wakes(&self) -> usize {
            self.count.0.swap(0, Ordering::SeqCst)
        }
    }

    /// They are woken in turn, one for each that comes; and one that goes is passed over.
    #[test]
    fn they_take_turns() {
        let socket = Socket::default();
        let mut all = [(); 4].map(|()| socket.waits());
        assert!(!all.iter_mut().any(Waits::poll));
        socket.put();
        assert_eq!(all.each_ref().map(Waits::wakes), [1, 0, 0, 0]);
        assert!(!all[1].poll(), "it is not its turn");
        assert!(all[0].poll());
        assert_eq!(all.each_ref().map(Waits::wakes), [0, 1, 0, 0]);
        assert!(!all[1].poll());
        socket.put();
        let [_, second, third, mut fourth] = all;
        assert_eq!(second.wakes(), 1);
        // It was woken: so the next one is.
        drop(second);
        assert_eq!(third.wakes(), 1);
        drop(third);
        assert_eq!(fourth.wakes(), 1);
        assert!(fourth.poll());
        assert!(socket.line.places.lock().places.is_empty());
    }

    /// One whose code is cancelled is passed over where it stays, whether it was woken before or not.
    #[test]
    fn cancelled_code_is_passed_over() {
        for woken_before in [false, true] {
            let socket = Socket::default();
            let (mut first, mut second) = (socket.waits(), socket.waits());
            foster_smol::run(async {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let mut again = false;
                let mut body = pin!(scope.run(poll_fn(|cx| {
                    if std::mem::replace(&mut again, true) {
                        handle.cancel("not that one");
                    } else {
                        cx.waker().wake_by_ref();
                    }
                    assert!(!first.poll());
                    Poll::<()>::Pending
                })));
                poll_fn(|cx| {
                    assert!(body.as_mut().poll(cx).is_pending());
                    assert!(!second.poll());
                    if woken_before {
                        socket.put();
                        assert_eq!(second.wakes(), 0);
                    }
                    let _ = body.as_mut().poll(cx);
                    assert_eq!(second.wakes(), 1, "the first has given way");
                    if !woken_before {
                        assert!(!second.poll());
                        socket.put();
                        assert_eq!(second.wakes(), 1);
                    }
                    assert!(second.poll());
                    Poll::Ready(())
                })
                .await;
            });
        }
    }

    /// One that was cancelled on another thread and is not polled any more is passed over, too.
    #[test]
    fn who_is_not_polled_is_passed_over_once_it_is_cancelled() {
        let socket = Socket::default();
        let (mut first, mut second) = (socket.waits(), socket.waits());
        foster_smol::run(async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let mut body = pin!(scope.run(poll_fn(|_| {
                assert!(!first.poll());
                Poll::<()>::Pending
            })));
            poll_fn(|cx| {
                assert!(body.as_mut().poll(cx).is_pending());
                assert!(!second.poll());
                handle.cancel("not that one");
                assert_eq!(second.wakes(), 0);
                socket.put();
                assert_eq!(second.wakes(), 1);
                assert!(second.poll());
                Poll::Ready(())
            })
            .await;
        });
    }

    /// An event comes while the first, which has no waiter just then, is polled and cancelled: that is for the next one.
    #[test]
    fn what_comes_in_the_poll_of_the_cancel_is_for_the_next() {
        let line = Line::new();
        let counts = [(); 3].map(|()| Arc::<Counter>::default());
        let wakers = counts.each_ref().map(|count| Waker::from(count.clone()));
        foster_smol::run(async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let mut polls = 0;
            let mut first = pin!(line.operation("take", |cx| {
                polls += 1;
                if polls == 2 {
                    handle.cancel("by another thread");
                    cx.waker().wake_by_ref();
                }
                Poll::<io::Result<()>>::Pending
            }));
            let mut second = pin!(line.operation("take", |_| Poll::Ready(Ok(()))));
            let mut next = 0;
            let mut body = pin!(scope.run(poll_fn(|cx| {
                // Each time with another waker.
                assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[next])).is_pending());
                next += 1;
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })));
            poll_fn(|cx| {
                assert!(body.as_mut().poll(cx).is_pending());
                assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[2])).is_pending());
                let _ = body.as_mut().poll(cx);
                assert_eq!(counts[2].0.load(Ordering::SeqCst), 1, "the first has kept it");
                Poll::Ready(())
            })
            .await;
        });
    }

    /// All are polled at once from then on, also one that is being polled.
    #[test]
    fn an_open_line_is_none() {
        let line = Line::new();
        let polls = AtomicUsize::new(0);
        let opens = |_: &mut Context<'_>| {
            if polls.fetch_add(1, Ordering::SeqCst) == 0 {
                line.open();
            }
            Poll::<io::Result<()>>::Pending
        };
        let count = Arc::<Counter>::default();
        let waker = Waker::from(count.clone());
        let mut all = [(); 2].map(|()| Box::pin(line.operation("take", opens)));
        for (polled, future) in all.iter_mut().enumerate() {
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), polled + 1);
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
