//! Two adapters in one process, at the same time: trees that talk with one another, cancel one another, and lie in one
//! another, and never take one context for the other (question 16 of the laws: a nested root is foreign to the tree
//! around it).

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use foster::channel::{Lag, bounded, broadcast, oneshot, unbounded, watch};
use foster::combine::{join, race};
use foster::error::JoinError;
use foster::runtime::current;
use foster::scope::ReasonKind;
use foster::sync::{Barrier, Event, Mutex, Semaphore};
use foster::{
    CancelScope, Instant, LocalNursery, Nursery, checkpoint, deadline, defer, fail_after, is_cancelled, local_nursery,
    move_on_after, nursery, remaining, shield, sleep, sleep_forever, to_thread,
};
use foster_conformance::check;
use foster_conformance::harness::ms;

/// A test that waits for longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a tree on smol and one on tokio, at the same time, each on threads of its own.
fn side_by_side<S, T>(smol: S, tokio: T) -> (S::Output, T::Output)
where
    S: Future<Output: Send> + Send,
    T: Future,
{
    thread::scope(|scope| {
        let smol = scope.spawn(|| foster_smol::Builder::new().threads(2).run(fail_after(PATIENCE, smol)));
        let tokio = foster_tokio::Builder::new().worker_threads(2).run(fail_after(PATIENCE, tokio));
        let smol = smol.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        (smol.expect("smol waits for ever"), tokio.expect("tokio waits for ever"))
    })
}

/// The adapter that the code runs on, as foster sees it.
fn here() -> &'static str {
    current().expect("inside a tree").name()
}

/// L14: the end of a task of another tree is not given to code that was cancelled before it, however many requests either tree
/// has seen.
#[test]
fn the_end_of_another_trees_task_is_not_given_to_cancelled_code() {
    async fn requests(count: usize) {
        for _ in 0..count {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            assert!(scope.run(async { handle.cancel("one more") && std::future::pending().await }).await.is_err());
        }
    }
    for (theirs, ours) in [(0, 0), (100, 0), (0, 100)] {
        check("the_end_of_another_trees_task_is_not_given_to_cancelled_code", || {
            let ((give, given), (goes, go)) = (oneshot(), oneshot::<()>());
            let has_task = async move {
                requests(theirs).await;
                let Ok(()) = nursery(async |n: Nursery| {
                    let task = n.spawn(async move { Ok(go.await.is_ok()) });
                    assert!(give.send(task).is_ok());
                })
                .await;
            };
            let awaits = async move {
                requests(ours).await;
                let mut task = given.await.unwrap();
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let (ended, seen) = (Arc::new(Event::new()), AtomicUsize::new(0));
                let outcome = scope.run(join((
                    async {
                        let end = task.wait().await;
                        seen.fetch_add(1, SeqCst);
                        end
                    },
                    async {
                        checkpoint().await;
                        handle.cancel("and then it ends");
                        goes.send(()).unwrap();
                        shield(sleep(ms(20))).await;
                    },
                )));
                assert!(outcome.await.is_err());
                drop(ended);
                assert_eq!(seen.load(SeqCst), 0, "given to cancelled code, after {theirs} and {ours} requests");
                assert!(task.await.unwrap());
            };
            side_by_side(has_task, awaits);
        });
    }
}

/// L36, L40: values go both ways, one waiting for the other, and each side stays where it is.
#[test]
fn trees_talk_over_channels() {
    const ROUNDS: u32 = 1_000;
    check("trees_talk_over_channels", || {
        let ((ask, asked), (answer, answered)) = (bounded(0), bounded(1));
        let asks = async move {
            for round in 0..ROUNDS {
                ask.send(round).await.expect("somebody answers");
                assert_eq!(answered.recv().await, Ok((round + 1, "tokio")));
                assert_eq!(here(), "smol");
            }
        };
        let answers = nursery(async move |n: Nursery| {
            n.spawn(async move {
                while let Ok(round) = asked.recv().await {
                    answer.send((round + 1, here())).await.expect("somebody asks");
                }
            });
        });
        let ((), Ok(())) = side_by_side(asks, answers);
    });
}

#[test]
fn trees_talk_over_events_oneshots_watches_and_broadcasts() {
    check("trees_talk_over_events_oneshots_watches_and_broadcasts", || {
        let (event, barrier) = (Event::new(), Barrier::new(2));
        let (promise, answer) = oneshot();
        let (level, mut levels) = watch(0);
        let (news, mut heard) = broadcast(1, Lag::Wait);
        let smol = async {
            event.wait().await;
            promise.send(here()).expect("it is awaited");
            assert_eq!(levels.wait_for(|level| *level == 100).await.map(|level| *level), Ok(100));
            for number in 0..100 {
                assert_eq!(heard.recv().await, Ok(number));
            }
            barrier.wait().await;
        };
        let tokio = async {
            sleep(ms(1)).await;
            event.set();
            assert_eq!(answer.await, Ok("smol"));
            for number in 1..=100 {
                level.replace(number).expect("it is watched");
                checkpoint().await;
            }
            for number in 0..100 {
                news.send(number).await.expect("it is heard");
            }
            barrier.wait().await;
        };
        side_by_side(smol, tokio);
    });
}

/// L40: a lock and permits go from one to the other, also past waiters that are cancelled while they wait.
#[test]
fn trees_share_locks() {
    const TURNS: usize = 200;
    check("trees_share_locks", || {
        let (mutex, semaphore) = (Mutex::new(0), Semaphore::new(1));
        let turns = || async {
            for turn in 0..TURNS {
                if turn % 4 == 0 {
                    // Mostly too late, now and then not.
                    let permit = move_on_after(Duration::from_micros(20), semaphore.acquire()).await;
                    drop(permit);
                } else {
                    let _permit = semaphore.acquire().await;
                    checkpoint().await;
                }
                let mut guard = mutex.lock().await;
                let before = *guard;
                checkpoint().await;
                *guard = before + 1;
            }
        };
        side_by_side(turns(), turns());
        assert_eq!((mutex.try_lock().map(|guard| *guard).ok(), semaphore.available()), (Some(2 * TURNS), 1));
    });
}

/// L7, L11, L18: a handle works from the tree of another runtime, and so does a nursery's cancel; who is cancelled
/// cleans up at home.
#[test]
fn a_scope_is_cancelled_from_the_other_tree() {
    async fn waits(mut scope: CancelScope, ready: Arc<Event>, cleaned: Arc<AtomicUsize>) {
        let home = here();
        let handle = scope.handle();
        let ended = scope.run(nursery(async |n: Nursery| {
            for _ in 0..3 {
                let cleaned = cleaned.clone();
                n.spawn(async move {
                    defer(async move {
                        sleep(ms(1)).await;
                        assert_eq!(here(), home);
                        cleaned.fetch_add(1, SeqCst);
                    });
                    sleep_forever().await;
                });
            }
            sleep(ms(1)).await;
            ready.set();
            sleep_forever().await;
        }));
        let cancelled = ended.await.expect_err("the other tree cancels");
        assert_eq!(cancelled.reason().kind(), ReasonKind::Explicit);
        assert!(cancelled.to_string().contains("from the other side"), "{cancelled}");
        assert!(handle.is_closed() && !is_cancelled());
        assert_eq!((here(), cleaned.load(SeqCst)), (home, 3));
    }

    check("a_scope_is_cancelled_from_the_other_tree", || {
        let new = || (CancelScope::new(), Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
        let ((mut first, ready_first, cleaned), (mut second, ready_second, also_cleaned)) = (new(), new());
        let (cancels_first, cancels_second) = (first.handle(), second.handle());
        let cancel = |ready: Arc<Event>, handle: foster::ScopeHandle| async move {
            ready.wait().await;
            assert!(handle.cancel("from the other side"));
        };
        let smol = join((waits(first, ready_first.clone(), cleaned), cancel(ready_second.clone(), cancels_second)));
        let tokio = join((waits(second, ready_second, also_cleaned), cancel(ready_first, cancels_first)));
        side_by_side(smol, tokio);
    });
}

/// L4, L33, L34: a nursery's handle spawns from the other tree; the child runs where the nursery is, and is awaited
/// there and here.
#[test]
fn a_child_is_spawned_and_awaited_from_the_other_tree() {
    check("a_child_is_spawned_and_awaited_from_the_other_tree", || {
        let (lend, borrow) = oneshot::<Nursery>();
        let done = Event::new();
        let smol = async {
            nursery(async |n: Nursery| {
                lend.send(n.clone()).expect("it is awaited");
                done.wait().await;
            })
            .await
        };
        let tokio = async {
            let n = borrow.await.expect("it is sent");
            let child = n.spawn(async {
                sleep(ms(1)).await;
                Ok(here())
            });
            assert_eq!(child.await, Ok("smol"));
            let cancelled = n.spawn(async { Ok(sleep_forever().await) });
            assert!(cancelled.cancel("not needed"));
            assert_eq!(cancelled.await.map(|_: Infallible| ()), Err(JoinError::Cancelled));
            // The child in the other tree does not see this tree's deadline.
            let slow = n.spawn(async { Ok(remaining()) });
            let seen = fail_after(Duration::from_secs(7), slow).await.expect("in time").expect("it returns");
            assert!(seen.is_some_and(|left| left > Duration::from_secs(7)), "{seen:?}");
            assert_eq!(here(), "tokio");
            done.set();
        };
        let (Ok(()), ()) = side_by_side(smol, tokio);
    });
}

/// R5: both count from one origin, so an instant means the same on both.
#[test]
fn both_have_one_clock() {
    check("both_have_one_clock", || {
        let (ask, asked) = bounded(0);
        let (answer, answered) = bounded(0);
        let smol = async move {
            let mut latest = Instant::now();
            for _ in 0..100 {
                ask.send(latest).await.expect("somebody answers");
                let then = answered.recv().await.expect("an answer");
                let now = Instant::now();
                assert!(latest <= then && then <= now, "{latest:?} on smol, {then:?} on tokio, {now:?} on smol");
                latest = now;
            }
            let on_host = latest.to_std().expect("it is the host's clock");
            assert_eq!(Instant::from_std(on_host), Some(latest));
            on_host
        };
        let tokio = async move {
            let mut latest = Instant::now();
            while let Ok(then) = asked.recv().await {
                let now = Instant::now();
                assert!(then <= now && latest <= now, "{then:?} on smol, then {now:?} on tokio");
                latest = now;
                answer.send(now).await.expect("it is awaited");
            }
            latest.to_std().expect("it is the host's clock")
        };
        let (smol, tokio) = side_by_side(smol, tokio);
        assert!(tokio <= smol);
    });
}

/// R5: a sleep that has begun on one takes its time on the other, whichever comes first.
#[test]
fn a_sleep_moves_from_one_to_the_other() {
    const LENGTH: Duration = Duration::from_millis(100);
    check("a_sleep_moves_from_one_to_the_other", || {
        for smol_is_first in [true, false] {
            #[expect(clippy::disallowed_methods, reason = "the host's clock is what is compared with")]
            let begin = std::time::Instant::now();
            let mut sleep = Box::pin(sleep(LENGTH));
            let begins = async {
                assert!(futures_lite::future::poll_once(&mut sleep).await.is_none());
            };
            if smol_is_first {
                foster_smol::run(begins)
            } else {
                foster_tokio::run(begins)
            }
            let ends = fail_after(PATIENCE, sleep);
            let ended = if smol_is_first { foster_tokio::run(ends) } else { foster_smol::run(ends) };
            assert_eq!(ended, Ok(()));
            assert!(begin.elapsed() >= LENGTH, "{:?}", begin.elapsed());
        }
    });
}

/// L8, R5: a deadline that code in the other tree sets, by its own clock.
#[test]
fn a_deadline_is_set_from_the_other_tree() {
    check("a_deadline_is_set_from_the_other_tree", || {
        let expires = async |scope: CancelScope| {
            let begin = Instant::now();
            let ended = scope.run(sleep(PATIENCE / 2)).await.expect_err("it has a deadline");
            assert_eq!(ended.reason().kind(), ReasonKind::Deadline);
            assert!(begin.elapsed() >= ms(20), "{:?}", begin.elapsed());
        };
        let sets = async |handle: foster::ScopeHandle| {
            sleep(ms(5)).await;
            handle.set_deadline(Instant::now() + ms(20));
        };
        let (mut on_smol, mut on_tokio) = (CancelScope::new(), CancelScope::new());
        let (of_smol, of_tokio) = (on_smol.handle(), on_tokio.handle());
        side_by_side(async { join((expires(on_smol), sets(of_tokio))).await }, async {
            join((expires(on_tokio), sets(of_smol))).await
        });
    });
}

/// L21: blocking jobs of both, at once, each awaited by its own.
#[test]
fn both_have_blocking_jobs() {
    check("both_have_blocking_jobs", || {
        let (tx, rx) = unbounded();
        let jobs = |from: &'static str| {
            let tx = tx.clone();
            async move {
                let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                    for number in 0..20 {
                        let tx = tx.clone();
                        n.spawn(async move {
                            let echo = to_thread(move || (tx.try_send((from, number)).is_ok(), number)).await;
                            assert_eq!((echo, here()), ((true, number), from));
                        });
                    }
                })
                .await;
            }
        };
        side_by_side(jobs("smol"), jobs("tokio"));
        let mut all: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
        all.sort_unstable();
        let expected: Vec<_> = ["smol", "tokio"].into_iter().flat_map(|from| (0..20).map(move |n| (from, n))).collect();
        assert_eq!(all, expected);
    });
}

/// Two trees in one task, polled in turn: each poll has the context of its own tree, and between them there is that
/// around.
async fn two_in_one_task(outer: Option<&'static str>) {
    let tree = |name: &'static str, limit: Duration| async move {
        let spawned = fail_after(limit, async {
            for _ in 0..20 {
                assert_eq!(here(), name);
                let left = remaining().expect("a deadline");
                assert!(left <= limit && left > limit / 2, "{left:?} of {limit:?} on {name}");
                checkpoint().await;
            }
            let Ok(spawned) = nursery(async |n: Nursery| {
                let task = n.spawn(async move {
                    sleep(ms(1)).await;
                    Ok((here(), to_thread(|| 7).await))
                });
                Ok(task.await)
            })
            .await;
            spawned
        });
        assert_eq!(spawned.await.expect("in time"), Ok((name, 7)));
    };
    let smol = foster_smol::attach(tree("smol", Duration::from_secs(100)));
    let tokio = foster_tokio::attach(tree("tokio", Duration::from_secs(500)));
    let mut both = std::pin::pin!(futures_lite::future::zip(smol, tokio));
    std::future::poll_fn(|cx| {
        assert_eq!(current().map(|runtime| runtime.name()), outer);
        let poll = both.as_mut().poll(cx);
        assert_eq!(current().map(|runtime| runtime.name()), outer);
        poll
    })
    .await;
}

#[test]
fn trees_inside_a_tokio_main() {
    #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
    async fn main() {
        two_in_one_task(None).await;
        assert_eq!(deadline(), None);
    }

    check("trees_inside_a_tokio_main", main);
}

#[test]
fn trees_inside_a_current_thread_tokio_main() {
    #[tokio::main(flavor = "current_thread")]
    async fn main() {
        two_in_one_task(None).await;
    }

    check("trees_inside_a_current_thread_tokio_main", main);
}

/// With a tokio runtime entered, as `async-compat` does, both are at hand in smol's `block_on`, too.
#[test]
fn trees_inside_smols_block_on() {
    check("trees_inside_smols_block_on", || {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let tokio = tokio.expect("a runtime");
        let _entered = tokio.enter();
        smol::block_on(two_in_one_task(None));
        smol::block_on(async {
            #[expect(clippy::disallowed_methods, reason = "trees in a program that smol runs")]
            let task = smol::spawn(foster_smol::attach(async { (checkpoint().await, here()).1 }));
            assert_eq!(task.await, "smol");
        });
    });
}

#[test]
fn trees_inside_a_tree_of_the_other() {
    check("trees_inside_a_tree_of_the_other", || {
        foster_tokio::run(async {
            let outer = fail_after(Duration::from_secs(50), async {
                two_in_one_task(Some("tokio")).await;
                let left = remaining().expect("the outer tree's deadline");
                assert!(left <= Duration::from_secs(50), "{left:?}");
            });
            outer.await.expect("in time");
        });
    });
}

/// A tree in a task of another: the outer deadline is not the inner's, the outer's shield does not mask in it, and when
/// the outer scope is cancelled the inner tree is dropped with the body that holds it (L30).
#[test]
fn a_nested_tree_is_foreign_to_the_tree_around_it() {
    check("a_nested_tree_is_foreign_to_the_tree_around_it", || {
        let gone = Arc::new(AtomicUsize::new(0));
        foster_tokio::run(async {
            let counts = Gone(gone.clone());
            let outer = move_on_after(ms(50), async {
                foster_smol::attach(async move {
                    assert_eq!((deadline(), is_cancelled(), here()), (None, false, "smol"));
                    let Ok(()) = nursery(async move |n: Nursery| {
                        n.spawn(async move {
                            let _counts = counts;
                            // In its own tree this would hold; but its host is gone.
                            shield(sleep_forever()).await;
                        });
                        sleep_forever().await;
                    })
                    .await;
                })
                .await;
            });
            assert!(outer.await.is_none());
            assert_eq!(here(), "tokio");
        });
        // A worker of smol's may be polling the child when the host goes; then it drops it right after.
        let mut patience = 0;
        while gone.load(SeqCst) == 0 {
            patience += 1;
            assert!(patience < 10_000, "the child of the inner tree is alive");
            foster_smol::run(sleep(ms(1)));
        }
    });
}

/// Counts its drop.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// L32: a panic in one tree is that tree's.
#[test]
fn a_panic_in_one_tree_leaves_the_other_alone() {
    check("a_panic_in_one_tree_leaves_the_other_alone", || {
        let (tx, rx) = bounded::<u8>(1);
        let other = thread::spawn(move || {
            foster_smol::run(async move {
                let _tx = tx;
                sleep(ms(1)).await;
                std::panic::resume_unwind(Box::new("on smol"));
            })
        });
        let ended = foster_tokio::run(fail_after(PATIENCE, async move {
            // The channel says that the other side is gone.
            let lost = rx.recv().await;
            sleep(ms(1)).await;
            (lost.is_err(), here())
        }));
        assert_eq!(ended, Ok((true, "tokio")));
        let payload = other.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&"on smol"));
    });
}

/// The race of futures of both worlds: the loser is cancelled where it is, and waited for.
#[test]
fn a_race_over_both() {
    check("a_race_over_both", || {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let counts = cleaned.clone();
        let winner = foster_tokio::run(async move {
            let slow = async {
                defer(async move {
                    sleep(ms(1)).await;
                    counts.fetch_add(1, SeqCst);
                });
                sleep_forever().await;
                unreachable!("nobody wakes it")
            };
            race((slow, foster_smol::attach(async { (sleep(ms(2)).await, here()).1 }))).await
        });
        assert_eq!((winner, cleaned.load(SeqCst)), ("smol", 1));
    });
}

/// A `run` in code of the other runtime's tree would block its tasks, with one thread for ever: it is refused.
#[test]
fn a_run_inside_a_tree_of_the_other_is_refused() {
    let refused = |run: fn()| {
        let Err(payload) = std::panic::catch_unwind(run) else { panic!("it has run") };
        payload.downcast_ref::<String>().cloned().expect("a text")
    };
    check("a_run_inside_a_tree_of_the_other_is_refused", || {
        foster_tokio::Builder::new().current_thread().run(async {
            let text = refused(|| foster_smol::run(async {}));
            assert!(text.starts_with("`foster_smol::run` blocks its thread, and this thread is polling"), "{text}");
        });
        foster_smol::run(async {
            let text = refused(|| foster_tokio::run(async {}));
            assert!(text.starts_with("`foster_tokio::run` blocks its thread, and this thread is polling"), "{text}");
            // There it blocks nobody.
            assert_eq!(to_thread(|| foster_tokio::run(async { 1 })).await, 1);
        });
        assert_eq!(foster_smol::run(async { 2 }), 2);
    });
}
