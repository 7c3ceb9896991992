//! Behaviours: threads. Blocking work, waited for or abandoned, and how it learns that nobody wants it any more.
//!
//! The simulator runs a closure as one step, unless it waits by foster's means. So a closure in here waits for a task
//! by other means only behind `held`, which does nothing where time is virtual; what has to happen in between is done
//! by the closure itself.

mod calls;
mod portals;
mod refusing;
mod unblock;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::runtime::root;
use foster::sync::CapacityLimiter;
use foster::thread::{to_thread_abandon, try_to_thread};
use foster::{
    CancelScope, Instant, Nursery, checkpoint, defer, graceful, move_on_at, nursery, shield, sleep, sleep_forever,
    thread, to_thread,
};

use crate::groups::probe::{
    Count, Log, assert_took, caught, crash, is_virtual, observed, poll_once, runtime, text, until,
};
use crate::harness::ms;
use crate::running::witness::{abandon, both, lazily};
#[doc(hidden)]
pub use calls::*;
#[doc(hidden)]
pub use portals::*;
use refusing::{Drops, Refuses, on};
#[doc(hidden)]
pub use unblock::*;

/// Long enough for any machine, short enough that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gate between a task and a closure: what the closure waits for, if it can run side by side with tasks.
fn gate() -> (impl FnOnce() + Send, impl FnOnce() + Send) {
    let (open, wait) = mpsc::channel::<()>();
    let side_by_side = !is_virtual();
    let held = move || {
        if side_by_side {
            wait.recv_timeout(PATIENCE).expect("the task opens the gate while the closure blocks");
        }
    };
    // The waiter may be gone.
    (move || open.send(()).unwrap_or_default(), held)
}

/// How often a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn value(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits in a closure until it is told that nobody wants it any more.
fn until_told() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a hang is to be a failure, and this is no task")]
    let start = std::time::Instant::now();
    while !thread::is_cancelled() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// B218: a value, or an error, comes back to the very await that asked for it, however many there are.
pub async fn blocking_work_returns_its_result_to_whoever_awaits_it() {
    let Ok(()) = nursery(async |n: Nursery| {
        for index in 0..20_u32 {
            n.spawn(async move {
                let wanted = if index % 2 == 0 { Ok(index) } else { Err(format!("no {index}")) };
                let work = wanted.clone();
                assert_eq!(to_thread(move || work).await, wanted);
                assert_eq!(try_to_thread(move || index).await.unwrap(), index);
                assert_eq!(to_thread_abandon(move || index + 1).await.unwrap(), index + 1);
            });
        }
    })
    .await;
}

/// B218: the other tasks go on while a closure blocks: here it waits for one of them.
pub async fn tasks_go_on_while_a_closure_blocks() {
    let (open, held) = gate();
    let steps = Count::new();
    let Ok(()) = nursery(async |n: Nursery| {
        let (up, seen) = (steps.clone(), steps.clone());
        n.spawn(async move {
            for _ in 0..5 {
                checkpoint().await;
                up.up();
            }
            open();
        });
        let many = to_thread(move || {
            held();
            seen.value()
        })
        .await;
        assert!(is_virtual() || many == 5, "it ran side by side with the task");
    })
    .await;
    assert_eq!(steps.value(), 5);
}

/// B219, L14: code that is cancelled already starts no blocking work: the closure is dropped unused, and takes no
/// permit.
pub async fn cancelled_code_starts_no_blocking_work() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let (ran, dropped, passed) = (Count::new(), Count::new(), Count::new());
    for way in 0..3 {
        let mut scope = CancelScope::new();
        scope.handle().cancel("before the start");
        let (up, guard) = (ran.clone(), dropped.on_drop());
        let work = move || {
            let _guard = guard;
            up.up();
        };
        let out = scope
            .run(async {
                match way {
                    0 => to_thread(work).limiter(limiter.clone()).await,
                    1 => try_to_thread(work).limiter(limiter.clone()).await.unwrap(),
                    _ => to_thread_abandon(work).limiter(limiter.clone()).await.unwrap(),
                }
                passed.up();
            })
            .await;
        assert!(out.is_err());
        assert_eq!(dropped.value(), way + 1);
        assert_eq!(limiter.available(), 1);
    }
    assert_eq!((ran.value(), passed.value()), (0, 0));
}

/// B219, L14: the same if the cancel comes while the job waits for a permit; the permit goes to the next in line.
pub async fn a_job_that_waits_for_a_permit_can_be_cancelled() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let permit = limiter.clone().acquire_owned().await;
    let ran = Count::new();
    for way in 0..2 {
        let up = ran.clone();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let waiting = scope.run(both(
            async {
                let job = move || up.up();
                match way {
                    0 => to_thread(job).limiter(limiter.clone()).await,
                    _ => to_thread_abandon(job).limiter(limiter.clone()).await.unwrap(),
                }
            },
            async { handle.cancel("in the queue") },
        ));
        assert!(waiting.await.is_err());
    }
    drop(permit);
    assert_eq!(to_thread(|| 3).limiter(limiter.clone()).await, 3);
    assert_eq!((ran.value(), limiter.available()), (0, 1));
}

/// B220, B227, L21: a job that has started is waited for; its result arrives, and the cancel is seen at the next
/// checkpoint.
pub async fn a_cancel_waits_for_the_job_and_keeps_its_result() {
    let (came, passed) = (Count::new(), Count::new());
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(async {
            let told = to_thread(move || {
                let before = thread::is_cancelled();
                handle.cancel("while the job runs");
                (before, thread::is_cancelled())
            })
            .await;
            assert_eq!(told, (false, true));
            came.up();
            checkpoint().await;
            passed.up();
        })
        .await;
    assert_eq!(out.unwrap_err().reason().text(), Some("while the job runs"));
    assert_eq!((came.value(), passed.value()), (1, 0));
}

/// B220, L12: a body that ends with the job's result has completed, although it had been cancelled.
pub async fn a_result_that_comes_after_the_cancel_is_not_lost() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(to_thread(move || {
            handle.cancel("while the job runs");
            7
        }))
        .await;
    assert_eq!(out.unwrap(), 7);
}

/// B220, L19, L21: a cancel from a sibling branch, before the job has come to run: what stands around the job outlives
/// it.
pub async fn the_locals_around_a_job_outlive_it() {
    let (log, passed) = (Log::new(), Count::new());
    let (open, held) = gate();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(async {
            let _local = log.on_drop("local");
            let entry = log.clone();
            let job = to_thread(move || {
                held();
                entry.add("job");
            });
            both(
                async {
                    job.await;
                    sleep_forever().await
                },
                async {
                    handle.cancel("beside it");
                    open();
                    checkpoint().await;
                    passed.up();
                },
            )
            .await;
        })
        .await;
    assert!(out.is_err());
    assert_eq!(log.entries(), ["job", "local"]);
    assert_eq!(passed.value(), 0);
}

/// B220, L2, L21, L27: an await that is dropped half-way leaves its job to the scope around it, which waits; the job is
/// told.
pub async fn a_job_whose_await_was_dropped_is_waited_for() {
    for cancelled in [false, true] {
        let (told, ended) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let (tell, end) = (told.clone(), ended.clone());
                let job = to_thread(move || {
                    if until_told() {
                        tell.up();
                    }
                    end.up();
                });
                abandon(job).await;
                if cancelled {
                    handle.cancel("meanwhile");
                    checkpoint().await;
                }
                3
            })
            .await;
        assert_eq!((told.value(), ended.value()), (1, 1));
        assert_eq!(out.ok(), (!cancelled).then_some(3), "the scope that waits is not cancelled by it (L27)");
    }
}

/// L27, L2: also a nursery that is dropped while a child's job runs leaves it to the scope further out.
pub async fn a_job_of_a_dropped_nursery_is_waited_for() {
    let (begun, ended, cleaned) = (Count::new(), Count::new(), Count::new());
    let side_by_side = !is_virtual();
    CancelScope::new()
        .run(async {
            let (begin, end, clean) = (begun.clone(), ended.clone(), cleaned.clone());
            let mut group = Box::pin(nursery(async |n: Nursery| {
                n.spawn(async move {
                    defer(async move { clean.up() });
                    if !side_by_side {
                        // The job is started in this very poll, and runs when nothing else does.
                        begin.up();
                    }
                    to_thread(move || {
                        if side_by_side {
                            begin.up();
                            assert!(until_told());
                        }
                        end.up();
                    })
                    .await;
                });
                sleep_forever().await;
            }));
            until(group.as_mut(), begun.reaches(1)).await;
        })
        .await
        .unwrap();
    assert_eq!((ended.value(), cleaned.value()), (1, 1));
}

/// B221: an abandoned await ends at once; the job goes on, and its result is dropped when it is there.
pub async fn an_abandoned_await_ends_while_its_job_goes_on() {
    let (dropped, passed) = (Count::new(), Count::new());
    let (open, held) = gate();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let guard = dropped.on_drop();
    let out = scope
        .run(both(
            async {
                let job = to_thread_abandon(move || {
                    held();
                    guard
                });
                let _result = job.await;
                passed.up();
            },
            async { handle.cancel("not worth waiting for") },
        ))
        .await;
    assert!(out.is_err());
    assert_eq!((dropped.value(), passed.value()), (0, 0), "the scope has not waited for the job");
    open();
    dropped.reaches(1).await;
}

/// B221, L14: cancelled code that waits for something else is not given the end of the job, nor its panic; what was there
/// before the request it is.
pub async fn an_abandoned_job_gives_cancelled_code_nothing() {
    for panics in [false, true] {
        let passed = Count::new();
        let (open, closed) = foster::channel::bounded::<()>(1);
        let job = to_thread_abandon(move || {
            let go_on = closed.recv_blocking();
            if panics {
                crash("nobody hears of it");
            }
            go_on.is_ok()
        });
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let around = scope.run(both(
            async {
                let job = job.await.is_ok();
                passed.up();
                job
            },
            shield(async {
                sleep(ms(2)).await;
                handle.cancel("enough");
                open.send(()).await.expect("the job waits for it");
                sleep(ms(5)).await;
            }),
        ));
        assert!(around.await.is_err());
        assert_eq!(passed.value(), 0);
    }
}

/// B221, L14: a job whose end was withheld from cancelled code gives it to the code that polls it next; also if that is a
/// combinator which polls only what was woken. So it is woken when the scope has ended: cancelled code does not spin.
pub async fn an_abandoned_job_gives_its_end_to_other_code() {
    for panics in [false, true] {
        let (open, closed) = foster::channel::bounded::<()>(1);
        let mut job = pin!(to_thread_abandon(move || {
            let go_on = closed.recv_blocking();
            if panics {
                crash("somebody hears of it");
            }
            go_on.is_ok()
        }));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut poll = || job.as_mut().poll(&mut Context::from_waker(&waker));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            assert!(poll().is_pending());
            handle.cancel("it moves");
            shield(async {
                open.send(()).await.expect("the job waits for it");
                while wakes.value() == 0 {
                    sleep(ms(1)).await;
                }
            })
            .await;
            assert!(poll().is_pending(), "the end came after the request");
            assert!(poll().is_pending());
            assert_eq!(wakes.value(), 1, "it spins");
            checkpoint().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(wakes.value(), 2, "who polls only what was woken would never poll it again");
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(polled) => assert!(!panics && matches!(polled, Poll::Ready(Ok(true)))),
            Err(panic) => assert!(panics && text(&*panic) == "somebody hears of it"),
        }
    }
}

/// B221, L35: an error, a panic, or a result that panics when it is dropped: of an abandoned job nobody hears.
pub async fn an_abandoned_job_fails_quietly() {
    let ended = Count::new();
    let ((), observer) = observed(async {
        for way in 0..3 {
            let (open, held) = gate();
            let guard = ended.on_drop();
            let job = to_thread_abandon(move || {
                held();
                let explosive = Explosive { armed: way == 2, _guard: guard };
                match way {
                    0 => Err("too late"),
                    1 => panic!("too late"),
                    _ => Ok(explosive),
                }
            });
            abandon(job).await;
            open();
            ended.reaches(way + 1).await;
        }
        checkpoint().await;
    })
    .await;
    assert_eq!(observer.orphans(), []);
    assert_eq!(ended.value(), 3);
    assert_eq!(to_thread(|| 1).await, 1, "the threads are as good as new");
}

/// A value that panics when it is dropped, if it is armed.
struct Explosive {
    armed: bool,
    _guard: crate::groups::probe::OnDrop,
}

impl Drop for Explosive {
    fn drop(&mut self) {
        if self.armed {
            crash("in a destructor");
        }
    }
}

/// B221, B226: an abandoned job may outlive its whole tree; what it asks then has an answer.
pub async fn an_abandoned_job_may_outlive_its_tree() {
    let (told, ended) = (Count::new(), Count::new());
    let (open, held) = gate();
    let (tell, end) = (told.clone(), ended.clone());
    root(runtime(), async {
        abandon(to_thread_abandon(move || {
            held();
            if thread::is_cancelled() {
                tell.up();
            }
            end.up();
            Err::<(), _>("nobody hears it")
        }))
        .await;
    })
    .await;
    assert_eq!(ended.value(), 0, "the tree has not waited for it");
    open();
    ended.reaches(1).await;
    assert_eq!(told.value(), 1);
}

/// B221: an abandoned job keeps its permit until it ends, so that the limit holds for what really runs.
pub async fn an_abandoned_job_keeps_its_permit_until_it_ends() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let (open, held) = gate();
    abandon(to_thread_abandon(held).limiter(limiter.clone())).await;
    assert_eq!(limiter.available(), 0);
    open();
    let permit = limiter.clone().acquire_owned().await;
    assert_eq!(limiter.available(), 0);
    drop(permit);
    assert_eq!(limiter.available(), 1);
}

/// L30: a host that is dropped waits for nothing, its job neither; the job is told, and ends by itself.
pub async fn a_job_ends_by_itself_when_its_host_is_dropped() {
    let (told, ended) = (Count::new(), Count::new());
    let (tell, end) = (told.clone(), ended.clone());
    let mut host = Box::pin(root(
        runtime(),
        to_thread(move || {
            if until_told() {
                tell.up();
            }
            end.up();
        }),
    ));
    assert!(poll_once(host.as_mut()).await.is_pending());
    drop(host);
    ended.reaches(1).await;
    assert_eq!(told.value(), 1);
}

/// B223: a runtime that has no thread says so; the closure is dropped unused, and its permit is free again.
pub async fn a_thread_that_cannot_be_had_is_an_error() {
    let (ran, dropped) = (Count::new(), Count::new());
    on(Refuses(runtime()), async {
        let limiter = Arc::new(CapacityLimiter::new(1));
        for way in 0..3 {
            let (up, guard) = (ran.clone(), dropped.on_drop());
            let work = move || {
                let _guard = guard;
                up.up();
            };
            let said = match way {
                0 => try_to_thread(work).limiter(limiter.clone()).await.unwrap_err().to_string(),
                1 => to_thread_abandon(work).limiter(limiter.clone()).await.unwrap_err().to_string(),
                _ => text(&*caught(to_thread(work).limiter(limiter.clone())).await.unwrap_err()).to_owned(),
            };
            assert!(said.contains("no thread to be had"), "{said}");
            assert_eq!((dropped.value(), limiter.available()), (way + 1, 1));
        }
        // Nothing is left of the jobs that would hold up the scope.
        checkpoint().await;
    })
    .await;
    assert_eq!(ran.value(), 0);
}

/// B223, R8, R10: a runtime that is torn down may drop a job that has not run: no await hangs, and no permit is lost.
pub async fn a_job_that_the_runtime_drops_hangs_nobody() {
    let ran = Count::new();
    on(Drops(runtime()), async {
        let limiter = Arc::new(CapacityLimiter::new(1));
        for way in 0..2 {
            let up = ran.clone();
            let work = move || up.up();
            let out = match way {
                0 => caught(to_thread(work).limiter(limiter.clone())).await,
                _ => caught(async { to_thread_abandon(work).limiter(limiter.clone()).await.unwrap() }).await,
            };
            assert!(text(&*out.unwrap_err()).contains("without running it"));
            assert_eq!(limiter.available(), 1);
        }
    })
    .await;
    assert_eq!(ran.value(), 0);
}

/// B224: a limiter that is made smaller under a job disturbs neither the job nor its result; it only lets in nobody
/// else.
pub async fn a_limiter_that_shrinks_under_a_job_does_not_disturb_it() {
    let limiter = Arc::new(CapacityLimiter::new(2));
    let shrunk = limiter.clone();
    let out: Result<(), &str> = to_thread(move || {
        shrunk.set_total(0);
        Err("the error of the work")
    })
    .limiter(limiter.clone())
    .await;
    assert_eq!(out, Err("the error of the work"));
    assert_eq!((limiter.total(), limiter.borrowed()), (0, 0));
    assert!(limiter.try_acquire().is_err());
}

/// B218, B224: no more jobs run at once than the limiter allows, and every one has its turn.
pub async fn a_limiter_bounds_how_many_jobs_run_at_once() {
    let limiter = Arc::new(CapacityLimiter::new(2));
    let (running, most, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Count::new());
    let Ok(()) = nursery(async |n: Nursery| {
        for index in 0..8 {
            let (running, most, done) = (running.clone(), most.clone(), done.clone());
            let (limiter, seen) = (limiter.clone(), limiter.clone());
            n.spawn(async move {
                let job = move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let borrowed = seen.borrowed();
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    done.up();
                    borrowed
                };
                let borrowed = match index % 2 {
                    0 => to_thread(job).limiter(limiter).await,
                    _ => to_thread_abandon(job).limiter(limiter).await.unwrap(),
                };
                assert!((1..=2).contains(&borrowed), "{borrowed} permits are out");
            });
        }
    })
    .await;
    assert_eq!((done.value(), limiter.available()), (8, 2));
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
}

/// B218: jobs that wait for a permit run in the order in which they came.
pub async fn jobs_get_their_permits_in_the_order_they_came() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let permit = limiter.clone().acquire_owned().await;
    let log = Log::new();
    let mut jobs: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for entry in ["first", "second", "third"] {
        let log = log.clone();
        jobs.push(Box::pin(to_thread(move || log.add(entry)).limiter(limiter.clone())));
    }
    jobs.push(Box::pin(async move { drop(permit) }));
    lazily(jobs).await;
    assert_eq!(log.entries(), ["first", "second", "third"]);
}

/// B218: the limiter that jobs have by themselves is the tree's: other trees have their own.
pub async fn each_tree_has_a_limiter_of_its_own() {
    let (one, two) = (thread::limiter(), thread::limiter());
    assert!(Arc::ptr_eq(&one, &two), "one tree, one limiter");
    assert_eq!(one.total(), thread::DEFAULT_THREADS);
    let inside = root(runtime(), async {
        let mine = thread::limiter();
        mine.set_total(1);
        let borrowed = to_thread(move || mine.borrowed()).await;
        assert_eq!(borrowed, 1);
        thread::limiter()
    })
    .await;
    assert!(!Arc::ptr_eq(&one, &inside));
    assert_eq!(one.total(), thread::DEFAULT_THREADS);
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(async move { assert!(Arc::ptr_eq(&one, &thread::limiter()), "tasks of one tree share it") });
    })
    .await;
}

/// B227: an abandoned job is told as soon as its scope is cancelled, or its await is gone.
pub async fn an_abandoned_job_is_told() {
    let answers = Count::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let up = answers.clone();
    let out = scope
        .run(async {
            let job = to_thread_abandon(move || {
                let before = thread::is_cancelled();
                handle.cancel("by the job itself");
                if !before && thread::is_cancelled() {
                    up.up();
                }
            });
            let _result = job.await;
            sleep_forever().await
        })
        .await;
    assert!(out.is_err());
    answers.reaches(1).await;

    let up = answers.clone();
    abandon(to_thread_abandon(move || {
        if until_told() {
            up.up();
        }
    }))
    .await;
    answers.reaches(2).await;
}

/// B227, L9, L20: a job behind a shield is not cancelled, and not told so; behind a graceful one it has the grace.
pub async fn a_job_behind_a_shield_is_not_told() {
    for full in [true, false] {
        let (answer, passed) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let job = to_thread(move || {
                    handle.cancel_within(Duration::from_secs(3600), "outside of the shield");
                    thread::is_cancelled()
                });
                let told = if full { shield(job).await } else { graceful(job).await };
                assert!(!told);
                answer.up();
                checkpoint().await;
                passed.up();
            })
            .await;
        assert!(out.is_err());
        assert_eq!((answer.value(), passed.value()), (1, 0));
    }
}

/// B227, L8, R13: a deadline is told, too: who asks when the clock has passed it is told so, however late the timers
/// are. Where time is virtual it passes while a closure asks.
pub async fn a_job_is_told_when_the_deadline_has_passed() {
    let (begun, told) = (Count::new(), Count::new());
    // On a slow machine the time may be over before the job has begun; then it gets more.
    for millis in (3..).map(|attempt| attempt * attempt / 3) {
        let start = Instant::now();
        let deadline = start + ms(millis);
        let (begins, tell, clock) = (begun.clone(), told.clone(), runtime());
        let out = move_on_at(deadline, async {
            to_thread(move || {
                begins.up();
                loop {
                    let has_passed = clock.now() >= deadline;
                    if thread::is_cancelled() {
                        tell.up();
                        return;
                    }
                    if has_passed {
                        return;
                    }
                    std::thread::yield_now();
                }
            })
            .await;
            checkpoint().await;
        });
        assert!(out.await.is_none());
        assert_took(start, ms(millis));
        if begun.value() > 0 {
            break;
        }
    }
    assert_eq!(told.value(), 1, "the job has asked after the deadline, and was not told");
}

/// B227, B228: where no job runs the question makes no sense, and the panic says why: in async code, on a thread that a
/// job has started, and in async code after a job.
pub async fn only_a_job_can_ask_whether_it_is_wanted() {
    let ask = || catch_unwind(AssertUnwindSafe(thread::is_cancelled));
    let refused = |answer: std::thread::Result<bool>| {
        let payload = answer.expect_err("there is no job");
        assert!(text(&*payload).contains("runs no blocking job"), "{}", text(&*payload));
    };
    refused(ask());
    refused(to_thread(move || std::thread::spawn(ask).join().expect("its panic is caught")).await);
    assert!(!to_thread(thread::is_cancelled).await);
    refused(ask());
    let _panicked = caught(to_thread(|| crash("in the job"))).await;
    refused(ask());
}

/// B229, L4: a job that spawns a child that starts a job, and so on, with one permit: nobody waits for who waits for
/// it.
pub async fn jobs_may_spawn_children_that_start_jobs() {
    fn descend(n: &Nursery, limiter: &Arc<CapacityLimiter>, depth: usize, count: &Count) {
        let (m, limiter, count) = (n.clone(), limiter.clone(), count.clone());
        n.spawn(async move {
            let again = limiter.clone();
            let job = to_thread(move || {
                count.up();
                if depth > 0 {
                    descend(&m, &again, depth - 1, &count);
                }
            });
            job.limiter(limiter).await;
        });
    }
    let (limiter, count) = (Arc::new(CapacityLimiter::new(1)), Count::new());
    let Ok(()) = nursery(async |n: Nursery| descend(&n, &limiter, 5, &count)).await;
    assert_eq!((count.value(), limiter.available()), (6, 1));
}

/// B232: when the await returns, what the closure has captured is gone, its permit is back, and the result is the
/// caller's alone.
pub async fn a_finished_job_keeps_nothing() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let (captured, results) = (Count::new(), Count::new());
    for way in 0..3 {
        let (argument, result) = (captured.on_drop(), results.on_drop());
        let work = move || {
            let _argument = argument;
            result
        };
        let result = match way {
            0 => to_thread(work).limiter(limiter.clone()).await,
            1 => try_to_thread(work).limiter(limiter.clone()).await.unwrap(),
            _ => to_thread_abandon(work).limiter(limiter.clone()).await.unwrap(),
        };
        assert_eq!((captured.value(), results.value(), limiter.available()), (way + 1, way, 1));
        drop(result);
        assert_eq!(results.value(), way + 1);
    }
}

/// L21, L22: a finalizer may use a thread, also in a cancelled scope.
pub async fn a_finalizer_may_use_a_thread() {
    let answers = Count::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let up = answers.clone();
    let out = scope
        .run(async {
            defer(async move {
                sleep(ms(1)).await;
                if !to_thread(thread::is_cancelled).await {
                    up.up();
                }
            });
            handle.cancel("enough");
            sleep_forever().await
        })
        .await;
    assert!(out.is_err());
    assert_eq!(answers.value(), 1);
}

/// L21, L29, L35: a job that panics after its await was dropped has no caller left: its panic fails the scope that
/// waits for it.
pub async fn the_panic_of_a_job_without_a_caller_fails_the_scope_that_waits() {
    let passed = Count::new();
    let mut scope = Box::pin(CancelScope::new().run(async {
        abandon(to_thread(|| {
            until_told();
            crash("in a job without a caller");
        }))
        .await;
        passed.up();
    }));
    let out = caught(pin!(scope.as_mut())).await;
    assert_eq!(passed.value(), 1);
    assert_eq!(text(&*out.expect_err("the panic has to come out somewhere")), "in a job without a caller");
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! threads_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; threads {
            blocking_work_returns_its_result_to_whoever_awaits_it,
            tasks_go_on_while_a_closure_blocks,
            cancelled_code_starts_no_blocking_work,
            a_job_that_waits_for_a_permit_can_be_cancelled,
            a_cancel_waits_for_the_job_and_keeps_its_result,
            a_result_that_comes_after_the_cancel_is_not_lost,
            the_locals_around_a_job_outlive_it,
            a_job_whose_await_was_dropped_is_waited_for,
            a_job_of_a_dropped_nursery_is_waited_for,
            an_abandoned_await_ends_while_its_job_goes_on,
            an_abandoned_job_gives_cancelled_code_nothing,
            an_abandoned_job_gives_its_end_to_other_code,
            an_abandoned_job_fails_quietly,
            an_abandoned_job_may_outlive_its_tree,
            an_abandoned_job_keeps_its_permit_until_it_ends,
            a_job_ends_by_itself_when_its_host_is_dropped,
            a_thread_that_cannot_be_had_is_an_error,
            a_job_that_the_runtime_drops_hangs_nobody,
            a_limiter_that_shrinks_under_a_job_does_not_disturb_it,
            a_limiter_bounds_how_many_jobs_run_at_once,
            jobs_get_their_permits_in_the_order_they_came,
            each_tree_has_a_limiter_of_its_own,
            an_abandoned_job_is_told,
            a_job_behind_a_shield_is_not_told,
            a_job_is_told_when_the_deadline_has_passed,
            only_a_job_can_ask_whether_it_is_wanted,
            jobs_may_spawn_children_that_start_jobs,
            a_finished_job_keeps_nothing,
            a_finalizer_may_use_a_thread,
            the_panic_of_a_job_without_a_caller_fails_the_scope_that_waits,
            a_job_calls_back_and_gets_a_value,
            a_call_stands_in_the_scope_that_awaits_the_job,
            a_cancel_reaches_the_call,
            a_call_in_cancelled_code_stops_at_its_first_checkpoint,
            the_panic_of_a_call_comes_out_in_the_closure,
            an_abandoned_call_is_cancelled_and_later_ones_are_refused,
            a_job_that_outlives_its_tree_cannot_call_it,
            who_may_not_call_is_told_why,
            a_token_lets_other_threads_call,
            recursion_through_calls_does_not_deadlock,
            a_call_whose_await_was_forgotten_ends,
            a_lost_call_that_panics_does_not_end_the_wait_for_its_job,
            a_permit_is_lent_while_its_job_calls,
            a_job_has_its_permit_again_after_a_call,
            the_holder_of_a_jobs_permit_is_whoever_awaits_it,
            a_finalizer_of_a_lost_scope_may_not_block,
            a_call_may_do_what_any_code_may,
            a_call_whose_await_was_dropped_is_cancelled,
            a_closure_may_wait_for_tasks,
            sync_code_calls_and_starts_tasks,
            sync_code_starts_a_task_that_gets_ready,
            a_task_that_does_not_get_ready_is_told_to_sync_code,
            a_start_ends_with_its_portal,
            a_closed_portal_waits_for_its_tasks,
            a_cancelled_portal_cancels_its_tasks,
            a_task_of_a_portal_is_cancelled_by_its_handle,
            a_call_ends_with_the_host_of_its_portal,
            a_portal_without_a_host_is_closed,
            panics_in_a_portal_come_out_once,
            the_tasks_of_a_dropped_host_are_waited_for,
            jobs_have_the_value_one_at_a_time_in_the_order_they_came,
            who_waits_for_the_value_holds_no_thread,
            a_cancel_waits_for_the_job_that_has_the_value_and_no_other,
            a_use_that_was_dropped_ends_before_the_next_one_begins,
            a_panic_leaves_the_value_as_it_is,
            the_value_comes_out_of_the_last_handle,
        });
    };
}
