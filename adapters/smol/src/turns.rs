//! The threads that run a tree: they poll its tasks, and one of them its root, in the order in which they were woken.
//!
//! The root's future need not be `Send`, so it cannot be a task of the executor. A small task, its *proxy*, waits in the
//! executor's queue instead of it: the root is polled when the proxy has been. So the root has the turns of one task.
//!
//! All threads take tasks from the one queue of the executor, with `tick`. `Executor::run` would move them on into queues
//! of its threads, would poll what it was given once in 200 polls of tasks, and cannot be told to do so sooner.
//!
//! ```text
//!            1
//!   Running ───▶ Asleep
//!    ▲   │         │
//!   3│   │2        │2
//!    │   ▼         │
//!     Due ◀────────┘
//! ```
//!
//! 1. no task is ready, so the root's thread goes to sleep: [`RootTurn::sleep`]
//! 2. the root's turn has come, by its proxy or because its thread was asleep: [`RootTurn::give`]; if that is asleep it
//!    is woken
//! 3. the thread polls the root, or was woken for a task: [`RootTurn::take`]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use async_executor::Executor;
use smol::future::{or, yield_now};

/// After so many polls a thread looks at the reactor, for timers and I/O.
const POLLS_IN_A_ROW: usize = 200;

/// Runs tasks until the other future is ready, which is asked each time this is woken and once in [`POLLS_IN_A_ROW`].
pub(crate) async fn run_tasks<T>(executor: &Executor<'static>, until: impl Future<Output = T>) -> T {
    let tasks = async {
        loop {
            for _ in 0..POLLS_IN_A_ROW {
                executor.tick().await;
            }
            yield_now().await;
        }
    };
    or(until, tasks).await
}

/// Runs tasks, and a root in turn with them.
pub(crate) struct RootRunner<'a> {
    executor: &'a Executor<'static>,
    turn: Arc<RootTurn>,
}

impl<'a> RootRunner<'a> {
    /// Has to be made before anybody else uses the executor.
    pub(crate) fn new(executor: &'a Executor<'static>) -> Self {
        let turn = Arc::new(RootTurn { state: AtomicU8::new(DUE), proxy: OnceLock::new(), thread: OnceLock::new() });
        // The proxy refers to itself by its waker. The executor's drop drops it, and ends that circle.
        let proxied = Arc::clone(&turn);
        let proxy = poll_fn(move |cx| {
            proxied.proxy.get_or_init(|| cx.waker().clone());
            proxied.give();
            Poll::<()>::Pending
        });
        executor.spawn(proxy).detach();
        // Its first poll, by which its waker is known.
        executor.try_tick();
        RootRunner { executor, turn }
    }

    /// To be polled with one and the same waker, as `block_on` does.
    pub(crate) async fn run<F: Future>(self, root: F) -> F::Output {
        let (mut root, waker) = (pin!(root), Waker::from(Arc::clone(&self.turn)));
        // Subtle: kept between polls, because it is what the executor wakes for a task while this thread is asleep.
        let mut tick = pin!(self.executor.tick());
        poll_fn(|cx| {
            self.turn.thread.get_or_init(|| cx.waker().clone());
            for _ in 0..POLLS_IN_A_ROW {
                if self.turn.take() {
                    // While the root is polled the executor must not wake this thread for a task: it would not come.
                    tick.set(self.executor.tick());
                    if let Poll::Ready(output) = root.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Poll::Ready(output);
                    }
                }
                if tick.as_mut().poll(cx).is_ready() {
                    tick.set(self.executor.tick());
                } else if self.turn.sleep() {
                    return Poll::Pending;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// The root's thread polls tasks, or the root, and calls [`RootTurn::take`] before it sleeps. A root that is woken
/// queues up.
const RUNNING: u8 = 0;
/// The root's thread sleeps, or is about to: no task was ready. It has to be woken if the root is.
const ASLEEP: u8 = 1;
/// The root was woken and its turn has come: its thread, which is awake or has been woken, polls it next.
const DUE: u8 = 2;

/// When it is the root's turn. As a waker, the root's.
struct RootTurn {
    state: AtomicU8,
    /// Puts the proxy into the queue, if it is not there.
    proxy: OnceLock<Waker>,
    /// Wakes the root's thread.
    thread: OnceLock<Waker>,
}

impl RootTurn {
    /// Makes the root the next that its thread polls.
    fn give(&self) {
        // Ordering: what woke the root, or its proxy, happens before that poll.
        if self.state.swap(DUE, Ordering::AcqRel) == ASLEEP {
            self.wake_thread();
        }
    }

    /// Returns whether the root is to be polled now, on its thread.
    fn take(&self) -> bool {
        // Nothing is missed: before the thread sleeps it looks again, in `sleep`.
        self.state.load(Ordering::Relaxed) != RUNNING && self.state.swap(RUNNING, Ordering::AcqRel) == DUE
    }

    /// Returns whether the thread may sleep: the root is not due.
    fn sleep(&self) -> bool {
        self.state.compare_exchange(RUNNING, ASLEEP, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn wake_thread(&self) {
        self.thread.get().expect("a thread that sleeps has been told its waker").wake_by_ref();
    }
}

impl Wake for RootTurn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // No task is ahead of the root if its thread sleeps: then the proxy would only cost time.
        // Ordering: written also if it is `DUE` already, so that this wake-up happens before the poll that is due.
        let due_unless_running = |state| (state != RUNNING).then_some(DUE);
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, due_unless_running) {
            Ok(ASLEEP) => self.wake_thread(),
            Ok(_) => {}
            // The thread may fall asleep right now: then the executor wakes it, or another one, for the proxy.
            Err(_) => self.proxy.get().expect("the proxy was polled as it was made").wake_by_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    //! How often a root's thread is woken: it sleeps whenever there is nothing to do.

    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A root and its thread, seen from outside: the wake-ups of the thread, the polls of the root, the root's waker.
    #[derive(Clone, Default)]
    struct Seen {
        wakes: Arc<Wakes>,
        polls: Arc<AtomicUsize>,
        root: Arc<Mutex<Option<Waker>>>,
        turn: Arc<OnceLock<Arc<RootTurn>>>,
    }

    impl Seen {
        /// How often the thread was woken, and the root polled.
        fn counts(&self) -> (usize, usize) {
            (self.wakes.0.load(Ordering::Relaxed), self.polls.load(Ordering::Relaxed))
        }

        fn wake_root(&self) {
            let waker = self.root.lock().unwrap().clone();
            waker.expect("it was polled").wake();
        }

        fn turn(&self) -> Arc<RootTurn> {
            self.turn.get().expect("set by `by_hand`").clone()
        }
    }

    /// Polls a root by hand: `then` gets what is seen, and a function that polls the thread's future once.
    fn by_hand(then: impl FnOnce(&Executor<'static>, &Seen, &mut dyn FnMut())) {
        let (executor, seen) = (Executor::new(), Seen::default());
        let root = poll_fn(|cx| {
            seen.polls.fetch_add(1, Ordering::Relaxed);
            *seen.root.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        let runner = RootRunner::new(&executor);
        seen.turn.get_or_init(|| runner.turn.clone());
        let mut thread = pin!(runner.run(root));
        let waker = Waker::from(seen.wakes.clone());
        then(&executor, &seen, &mut || {
            assert!(thread.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        });
    }

    #[test]
    fn a_thread_sleeps_until_its_root_or_a_task_is_woken() {
        by_hand(|executor, seen, poll| {
            poll();
            assert_eq!(seen.counts(), (0, 1));
            // Polled for nothing, as by a reactor.
            poll();
            assert_eq!(seen.counts(), (0, 1));
            seen.wake_root();
            assert_eq!(seen.counts(), (1, 1));
            poll();
            assert_eq!(seen.counts(), (1, 2));
            executor.spawn(async {}).detach();
            assert_eq!(seen.counts(), (2, 2));
            poll();
            poll();
            assert_eq!(seen.counts(), (2, 2));
        });
    }

    #[test]
    fn a_root_that_is_woken_more_than_once_has_one_turn() {
        by_hand(|_, seen, poll| {
            poll();
            for _ in 0..3 {
                seen.wake_root();
            }
            assert_eq!(seen.counts(), (1, 1));
            poll();
            poll();
            assert_eq!(seen.counts(), (1, 2));
        });
    }

    #[test]
    fn a_root_that_a_task_wakes_has_its_turn_in_the_same_poll_of_its_thread() {
        by_hand(|executor, seen, poll| {
            poll();
            let of_task = seen.clone();
            executor
                .spawn(async move {
                    for _ in 0..2 {
                        of_task.wake_root();
                    }
                })
                .detach();
            poll();
            assert_eq!(seen.counts(), (1, 2));
        });
    }

    /// Another thread has taken the proxy from the queue: the test, in its place.
    #[test]
    fn a_root_whose_turn_comes_on_another_thread_wakes_its_own_only_if_that_sleeps() {
        by_hand(|executor, seen, poll| {
            poll();
            seen.turn().give();
            assert_eq!(seen.counts(), (1, 1));
            poll();
            assert_eq!(seen.counts(), (1, 2));
            let of_task = seen.turn();
            executor.spawn(async move { of_task.give() }).detach();
            assert_eq!(seen.counts(), (2, 2));
            poll();
            assert_eq!(seen.counts(), (2, 3));
        });
    }

    #[test]
    fn a_thread_with_busy_tasks_looks_at_the_reactor_now_and_then() {
        by_hand(|executor, seen, poll| {
            executor
                .spawn(async {
                    loop {
                        yield_now().await;
                    }
                })
                .detach();
            for n in 1..5 {
                poll();
                assert_eq!(seen.counts(), (n, 1));
            }
        });
    }
}
