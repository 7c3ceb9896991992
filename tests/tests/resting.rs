//! Scopes that wait without a node of their own: each program comes out the same whether they do, or the tree is
//! watched and they may not.

#[path = "resting/woken.rs"]
mod woken;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::combine::join;
use foster::observer::ScopeState;
use foster::{
    CancelScope, Instant, LocalNursery, Nursery, defer, dump, fail_after, is_cancelled, local_nursery, move_on_after,
    nursery, shield, sleep, sleep_forever,
};
use foster_sim::{Builder, plain_sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns the output of a program, which is the same in both sorts of trees and on each schedule.
fn same<T: PartialEq + std::fmt::Debug, F: Future<Output = T>>(program: impl Fn() -> F) -> T {
    let mut said = None;
    for seed in 0..10 {
        let builder = Builder::new(seed).spurious_polls(if seed % 2 == 0 { 0.0 } else { 0.2 });
        for builder in [builder.clone(), builder.unwatched()] {
            let mut now = None;
            foster_conformance::check("resting", || now = Some(builder.run(program())));
            assert!(said.is_none() || said == now, "{said:?} is not {now:?}");
            said = now;
        }
    }
    said.expect("it has run")
}

/// Polls once.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// The milliseconds that have gone by.
fn elapsed(start: Instant) -> u128 {
    (Instant::now() - start).as_millis()
}

/// A value whose destructor does something.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A child's own waker is not kept with what rests there, but it is called: at the deadline, and when the nursery has
/// to stop.
#[test]
fn a_scope_that_rests_in_a_child_wakes_the_child() {
    let limit = |time| async move {
        let start = Instant::now();
        let late = fail_after(ms(time), pending::<()>()).await.is_err();
        Ok::<_, Infallible>((late, elapsed(start)))
    };
    let ends = same(|| async {
        let Ok(ends) = nursery(async |n: Nursery| {
            let of_a_task = n.spawn(limit(20));
            let Ok(of_a_local_child) = local_nursery(async |n: LocalNursery<'_>| Ok(n.spawn(limit(30)).await)).await;
            Ok((of_a_task.await, of_a_local_child))
        })
        .await;
        let start = Instant::now();
        let stopped = move_on_after(ms(10), async {
            nursery(async |n: Nursery| {
                n.spawn(limit(5_000));
                local_nursery(async |n: LocalNursery<'_>| drop(n.spawn(limit(5_000)))).await
            })
            .await
        });
        (ends, stopped.await.is_none(), elapsed(start))
    });
    assert_eq!(ends, ((Ok((true, 20)), Ok((true, 30))), true, 10));
}

/// L1: its place is that of its first poll, so a limit around a later poll is not its own.
#[test]
fn a_scope_stays_where_it_was_polled_first() {
    let looks = same(|| async {
        let mut work = pin!(fail_after(ms(100), plain_sleep(ms(25))));
        begin(work.as_mut()).await;
        let mut looks = 1;
        while move_on_after(ms(10), &mut work).await.is_none() {
            looks += 1;
        }
        looks
    });
    assert_eq!(looks, 3);
}

/// L1: also when it was cancelled there, by its own deadline.
#[test]
fn a_scope_that_moved_is_cancelled_where_it_stands() {
    let ends = same(|| async {
        let start = Instant::now();
        let mut work = pin!(fail_after(ms(30), sleep_forever()));
        begin(work.as_mut()).await;
        let seen = move_on_after(ms(100), &mut work).await;
        (seen.expect("it was in time").is_err(), elapsed(start))
    });
    assert_eq!(ends, (true, 30));
}

/// L28: the scope around it has ended.
#[test]
fn a_scope_that_has_escaped_from_one_that_rests_is_lost() {
    let message = same(|| async {
        let mut escaped = Box::pin(fail_after(ms(50), sleep_forever()));
        assert_eq!(move_on_after(ms(10), begin(escaped.as_mut())).await, Some(()));
        let polled = std::panic::AssertUnwindSafe(|| escaped.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        let payload = std::panic::catch_unwind(polled).expect_err("it was polled after its end");
        let text = payload.downcast_ref::<String>().expect("a message").clone();
        text.contains("was polled after the body of the scope around it was over")
    });
    assert!(message);
}

/// L28: it is woken to find out, and leaves no timer behind.
#[test]
fn who_still_rests_at_the_end_of_the_scope_around_is_woken() {
    struct Note(Arc<std::sync::atomic::AtomicUsize>);
    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let woken = same(|| async {
        let wakes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut kept = Vec::new();
        let scope = CancelScope::new().named("around").run(async {
            for _ in 0..2 {
                // One directly, one inside another light one.
                let mut left = Box::pin(fail_after(ms(50), fail_after(ms(20), std::future::pending::<()>())));
                let waker = Waker::from(Arc::new(Note(wakes.clone())));
                assert!(left.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                kept.push(left);
            }
        });
        assert!(scope.await.is_ok());
        wakes.load(std::sync::atomic::Ordering::SeqCst) >= 2
    });
    assert!(woken);
}

/// Two in one that rests: one of them needs nodes, and the other finds itself in them.
#[test]
fn a_sibling_becomes_a_node() {
    let ends = same(|| async {
        let start = Instant::now();
        let waits = fail_after(ms(40), plain_sleep(ms(60)));
        let value = fail_after(ms(60), plain_sleep(ms(30)));
        let spawns = async {
            plain_sleep(ms(10)).await;
            let Ok(task) = nursery(async |n: Nursery| {
                let task = n.spawn(sleep(ms(5)));
                Ok(task.await.is_ok())
            })
            .await;
            (task, elapsed(start))
        };
        let inner = fail_after(ms(100), join((waits, value, spawns))).await.expect("in time");
        let time = elapsed(start);
        let all = fail_after(
            ms(50),
            join((fail_after(ms(80), sleep_forever()), async {
                plain_sleep(ms(10)).await;
                defer(async {});
                sleep_forever().await
            })),
        );
        (inner.0.is_err(), inner.1.is_ok(), inner.2, time, all.await.is_err(), elapsed(start))
    });
    assert_eq!(ends, (true, true, (true, 15), 40, true, 90));
}

/// L38: what is dropped with it knows where it is: in a scope that has to stop, and can still do what scopes do.
#[test]
fn a_body_is_dropped_in_its_scope() {
    let seen = same(|| async {
        let cleaned = Rc::new(Cell::new(0));
        let (seen, start) = (Rc::new(RefCell::new(Vec::new())), Instant::now());
        for cleans in [false, true] {
            let (sees, cleaned) = (seen.clone(), Arc::new(std::sync::Mutex::new(0)));
            let mut waits = Box::pin(move_on_after(ms(50), {
                let cleaned = cleaned.clone();
                async move {
                    let _value = OnDrop(|| {
                        sees.borrow_mut().push((is_cancelled(), foster::scope::reason().map(|reason| reason.kind())));
                        if cleans {
                            let cleaned = cleaned.clone();
                            defer(async move {
                                sleep(ms(5)).await;
                                *cleaned.lock().unwrap() += 1;
                            });
                        }
                    });
                    std::future::pending::<()>().await;
                }
            }));
            let scope = CancelScope::new().run(async {
                begin(waits.as_mut()).await;
                drop(waits)
            });
            assert!(scope.await.is_ok());
            seen.borrow_mut().push((*cleaned.lock().unwrap() == usize::from(cleans), None));
        }
        cleaned.set(elapsed(start));
        (seen.take(), cleaned.get())
    });
    assert_eq!(seen.0.len(), 4);
    assert!(seen.0.iter().all(|(yes, _)| *yes), "{seen:?}");
    assert_eq!(seen.1, 5);
}

/// L26, L38: so is one that rests in another one that is dropped with it: what it leaves is waited for where it stood.
#[test]
fn a_body_further_in_is_dropped_in_its_scope() {
    let ends = same(|| async {
        let start = Instant::now();
        let leaves = || OnDrop(|| defer(sleep(ms(5))));
        let mut waits = Box::pin(move_on_after(ms(50), async {
            move_on_after(ms(50), async {
                let _value = leaves();
                std::future::pending::<()>().await;
            })
            .await
        }));
        let scope = CancelScope::new().run(async {
            begin(waits.as_mut()).await;
            drop(waits);
        });
        assert!(scope.await.is_ok());
        let dropped = elapsed(start);
        let scope = CancelScope::new().run(async {
            // The first one loses, and is dropped while it rests.
            let loses = move_on_after(ms(50), async {
                let _value = leaves();
                std::future::pending::<()>().await;
            });
            foster::combine::race((async { assert!(loses.await.is_none()) }, plain_sleep(ms(10)))).await;
        });
        assert!(scope.await.is_ok());
        (dropped, elapsed(start))
    });
    assert_eq!(ends, (5, 20));
}

/// The drop of scopes that rest in one another makes no nodes, where nothing in it asks for one.
#[test]
fn scopes_that_rest_are_dropped_as_they_are() {
    let more = same(|| async {
        let seen = Rc::new(Cell::new(None));
        let sees = seen.clone();
        let mut waits = Box::pin(move_on_after(ms(50), async {
            move_on_after(ms(50), async {
                let _value = OnDrop(|| sees.set(foster::observer::live_counts().map(|live_counts| live_counts.scopes)));
                std::future::pending::<()>().await;
            })
            .await
        }));
        begin(waits.as_mut()).await;
        let before = foster::observer::live_counts().map(|live_counts| live_counts.scopes);
        drop(waits);
        seen.get() == before
    });
    assert!(more);
}

/// L26, L32: a panic waits for what the destructors of its body have left.
#[test]
fn a_panic_waits_for_what_its_body_leaves() {
    let ends = same(|| async {
        let start = Instant::now();
        let mut panics = pin!(move_on_after(ms(50), async {
            let _value = OnDrop(|| defer(sleep(ms(5))));
            plain_sleep(ms(10)).await;
            std::panic::resume_unwind(Box::new("here"));
        }));
        let told =
            poll_fn(|cx| match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|_: Option<()>| "nothing"),
                Err(payload) => Poll::Ready(*payload.downcast_ref::<&str>().expect("a text")),
            });
        (told.await, elapsed(start))
    });
    assert_eq!(ends, ("here", 15));
}

/// L32: a panic of a destructor goes to the scope around.
#[test]
fn a_body_that_panics_as_it_is_dropped_fails_the_scope_around() {
    let told = same(|| async {
        let scope = CancelScope::new().run(async {
            let mut waits = Box::pin(move_on_after(ms(50), async {
                let _value = OnDrop(|| panic!("in the drop"));
                sleep_forever().await
            }));
            begin(waits.as_mut()).await;
            drop(waits);
            sleep_forever().await
        });
        let mut scope = pin!(scope);
        let result =
            poll_fn(|cx| match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scope.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(_)) => Poll::Ready(String::new()),
                Err(payload) => Poll::Ready(payload.downcast_ref::<&str>().expect("a text").to_string()),
            });
        result.await
    });
    assert_eq!(told, "in the drop");
}

/// A combinator that polls only what was woken, as `FuturesUnordered` does.
struct Lazy<'a>(Vec<(Pin<&'a mut dyn Future<Output = ()>>, Arc<Flag>)>);

struct Flag(std::sync::Mutex<(bool, Option<Waker>)>);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        let mut flag = self.0.lock().unwrap();
        flag.0 = true;
        let driver = flag.1.take();
        drop(flag);
        driver.into_iter().for_each(Waker::wake);
    }
}

impl<'a> Lazy<'a> {
    fn new(futures: Vec<Pin<&'a mut dyn Future<Output = ()>>>) -> Self {
        Lazy(futures.into_iter().map(|f| (f, Arc::new(Flag(std::sync::Mutex::new((true, None)))))).collect())
    }
}

impl Future for Lazy<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|(future, flag)| {
            let mut state = flag.0.lock().unwrap();
            state.1 = Some(cx.waker().clone());
            let woken = std::mem::take(&mut state.0);
            drop(state);
            let waker = Waker::from(flag.clone());
            !woken || future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// L11, L12: it is woken itself, so it stops at once, whatever else holds up the scope around it.
#[test]
fn a_scope_that_rests_is_woken_when_the_scope_around_has_to_stop() {
    // It rests in a light scope, in the node that is cancelled, and in a node inside that.
    for nodes in 0..3 {
        let ends = same(|| async {
            let start = Instant::now();
            let dropped = Rc::new(Cell::new(0));
            let mut waits = pin!(async {
                let body = async {
                    let _value = OnDrop(|| dropped.set(elapsed(start)));
                    sleep_forever().await
                };
                assert!(move_on_after(ms(500), body).await.is_none());
            });
            let mut held = pin!(shield(sleep(ms(100))));
            let lazy = Lazy::new(vec![waits.as_mut(), held.as_mut()]);
            let body = async move {
                lazy.await;
                sleep_forever().await
            };
            let around = CancelScope::new().deadline_after(ms(10));
            let cut = match nodes {
                0 => around.run(body).await.is_err(),
                1 => around.named("a node").run(body).await.is_err(),
                _ => around.named("a node").run(CancelScope::new().named("another").run(body)).await.is_err(),
            };
            (cut, dropped.get(), elapsed(start))
        });
        assert_eq!(ends, (true, 10, 100), "{nodes}");
    }
}

/// L8: no time at all is over at once, without the help of a timer.
#[test]
fn no_time_is_over_at_once() {
    let polls = same(|| async {
        let polls = Rc::new(Cell::new(0));
        let count = poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<()>::Pending
        });
        let mut now = pin!(fail_after(Duration::ZERO, count));
        let first = poll_fn(|cx| Poll::Ready(now.as_mut().poll(cx).is_ready())).await;
        let past = Instant::now();
        let at = pin!(foster::fail_at(past, std::future::pending::<()>()));
        let mut at = at;
        (first, polls.get(), poll_fn(|cx| Poll::Ready(at.as_mut().poll(cx).is_ready())).await)
    });
    assert_eq!(polls, (true, 1, true));
}

/// A dump shows them, each in the other.
#[test]
fn a_dump_shows_those_that_rest() {
    let seen = same(|| async {
        let start = Instant::now();
        let waits = fail_after(ms(30), fail_after(ms(20), sleep_forever()));
        let looks = async {
            let scopes = dump();
            let here: Vec<_> = scopes.scopes().iter().filter(|scope| scope.kind == "cancel scope").cloned().collect();
            let indices: Vec<_> =
                here.iter().map(|scope| (scope.depth, scope.deadline.map(|at| (at - start).as_millis()))).collect();
            let nested = here[1].parent.map(|parent| scopes.scopes()[parent].deadline) == Some(here[0].deadline);
            (
                indices,
                nested,
                here.iter().all(|scope| {
                    scope.state == ScopeState::Open && scope.origin.location().file().ends_with("resting.rs")
                }),
            )
        };
        let (waited, looked) = join((waits, looks)).await;
        (waited.is_ok(), looked, elapsed(start))
    });
    assert_eq!(seen, (true, (vec![(1, Some(30)), (2, Some(20))], true, true), 20));
}
