//! L36: no code of the user runs under a lock of foster's, and a waker that panics keeps nothing from ending.

use std::fmt::{self, Write};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use foster::leaf::{self, Waiter};
use foster::rate::RateLimiter;
use foster::sync::{CapacityLimiter, OnceCell, WaitQueue};
use foster::{CancelScope, Instant, Nursery, move_on_after, nursery, sleep, sleep_until, to_thread};
use foster_sim::Builder;

/// Asks the tree while it is written to.
struct Asking(String);

impl Write for Asking {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        assert!(leaf::current_task().is_some());
        self.0.push_str(text);
        Ok(())
    }
}

#[test]
fn what_a_handle_is_printed_to_may_ask_the_tree() {
    let printed = foster_sim::run(1, async {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        scope
            .run(async {
                nursery(async |n: Nursery<String>| {
                    let inner = n.clone();
                    let printing = n.spawn(async move {
                        let mut to = Asking(String::new());
                        write!(to, "{inner:?} {handle:?}").unwrap();
                        Ok(to.0)
                    });
                    printing.await.map_err(|error| error.to_string())
                })
                .await
            })
            .await
    });
    let printed = printed.unwrap().unwrap();
    assert!(printed.contains("Nursery") && printed.contains("ScopeHandle"), "{printed}");
}

/// A waker that panics.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker of foreign code");
    }
}

/// L28: what was forgotten with a waker that panics is finished all the same, and so is what was forgotten beside it.
#[test]
fn a_waker_that_panics_keeps_no_forgotten_future_from_its_end() {
    let ended = Builder::new(1).run(async {
        let waker = Waker::from(Arc::new(Panicking));
        let forgotten = CancelScope::new().run(async {
            for _ in 0..2 {
                let mut job = Box::pin(to_thread(|| ()));
                // The job is handed over with a waker that panics.
                poll_fn(|cx| {
                    let _ = job.as_mut().poll(cx);
                    assert!(job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    Poll::Ready(())
                })
                .await;
                std::mem::forget(job);
            }
        });
        move_on_after(Duration::from_secs(3600), forgotten).await
    });
    assert!(ended.is_some(), "the scope waits for jobs that nobody drives");
}

/// Calls a function when it is woken.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Prepares two functions, and calls the second one in the first poll of a limit whose time is over already, while a
/// sleeper is due whose waker calls the first one. If that poll gives the limit its place in the tree, the sleeper is
/// woken there and then. The two take the same lock, so this thread would wait for itself if the sleeper were woken
/// under it.
fn wakes_no_sleeper_under_a_lock<L: Fn() + Send + Sync + 'static, U: FnOnce() + 'static>(prepare: fn() -> (L, U)) {
    let (tell, told) = mpsc::channel();
    let program = thread::spawn(move || {
        foster_smol::run(async {
            let (look, act) = prepare();
            let waker = Waker::from(Arc::new(Calls(look)));
            let due = Instant::now() + Duration::from_micros(30);
            let mut sleeper = Box::pin(sleep_until(due));
            assert!(sleeper.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let limited = move_on_after(Duration::ZERO, async {
                while Instant::now() <= due {}
                act();
                sleep(Duration::from_secs(1)).await;
            });
            assert!(limited.await.is_none());
        });
        drop(tell);
    });
    let end = told.recv_timeout(Duration::from_secs(60));
    assert_eq!(end, Err::<(), _>(mpsc::RecvTimeoutError::Disconnected), "a thread waits for itself");
    program.join().unwrap();
}

/// A future that has been polled once, and waits.
fn waiting<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

#[test]
fn a_place_in_a_queue_is_taken_with_no_timer_fired_under_its_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let queue = Arc::new(WaitQueue::new());
        let looked = queue.clone();
        let look = move || assert_eq!(looked.waiting(), 0);
        let act = move || {
            let waiter = Waiter::unpolled();
            drop(queue.lock().park(0, waiter));
        };
        (look, act)
    });
}

#[test]
fn a_permit_is_given_back_with_no_timer_fired_under_the_limiters_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let permit = limiter.clone().try_acquire_owned().unwrap();
        let next = waiting(limiter.clone().acquire_owned());
        (move || assert_eq!(limiter.total(), 1), move || drop((permit, next)))
    });
}

#[test]
fn a_limiters_queue_is_left_with_no_timer_fired_under_the_limiters_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let permit = limiter.clone().try_acquire_owned().unwrap();
        let next = waiting(limiter.clone().acquire_owned());
        (move || assert_eq!(limiter.total(), 1), move || drop((next, permit)))
    });
}

/// A cell that is being filled, and two futures: the one that fills it, and one that waits for that.
fn filling() -> (Arc<OnceCell<u32>>, [Pin<Box<dyn Future<Output = ()> + Send>>; 2]) {
    let cell = Arc::new(OnceCell::new());
    let fill = |cell: Arc<OnceCell<u32>>| async move { assert!(*cell.get_or_init(pending).await > 0) };
    let (first, second) = (waiting(fill(cell.clone())), waiting(fill(cell.clone())));
    assert_eq!(cell.waiting(), 1);
    (cell, [first, second])
}

#[test]
fn a_cell_is_set_with_no_timer_fired_under_its_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let (cell, both) = filling();
        let looked = cell.clone();
        let look = move || {
            let _is_late = looked.set(1);
        };
        let act = move || {
            // On a slow machine the sleeper may have come first.
            let _is_late = cell.set(2);
            drop(both);
        };
        (look, act)
    });
}

#[test]
fn the_turn_to_fill_a_cell_is_passed_on_with_no_timer_fired_under_its_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let (cell, [first, second]) = filling();
        let look = move || {
            let _is_late = cell.set(1);
        };
        let act = move || {
            drop(first);
            drop(second);
        };
        (look, act)
    });
}

/// A limiter, and two that wait at it: the first one, and one behind.
fn rate_limited() -> (Arc<RateLimiter>, [Pin<Box<dyn Future<Output = ()> + Send>>; 2]) {
    let limiter = Arc::new(RateLimiter::new(1, Duration::from_secs(3600)));
    limiter.try_acquire().expect("it has a token");
    let acquire = |limiter: Arc<RateLimiter>| async move { limiter.acquire().await };
    let both = [limiter.clone(), limiter.clone()].map(|limiter| waiting(acquire(limiter)) as _);
    assert_eq!(limiter.waiting(), 2);
    (limiter, both)
}

#[test]
fn a_rate_limiter_is_joined_with_no_timer_fired_under_its_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let (limiter, both) = rate_limited();
        let looked = limiter.clone();
        let act = move || {
            drop(waiting(limiter.acquire()));
            drop(both);
        };
        (move || assert!(looked.waiting() > 1), act)
    });
}

#[test]
fn a_rate_limiter_is_left_with_no_timer_fired_under_its_lock() {
    wakes_no_sleeper_under_a_lock(|| {
        let (limiter, both) = rate_limited();
        (move || assert!(limiter.waiting() < 3), move || drop(both))
    });
}
