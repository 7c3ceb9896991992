//! Behaviours: calls from a blocking job back into the scope that awaits it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use foster::runtime::root;
use foster::scope::ReasonKind;
use foster::sync::{CapacityLimiter, Event};
use foster::thread::{CallError, Caller, block_on, caller, from_thread};
use foster::thread::{to_thread_abandon, try_to_thread};
use foster::{
    CancelScope, Instant, Nursery, checkpoint, deadline, defer, fail_after, graceful, is_cancelled, nursery, sleep,
    sleep_forever, stopping, thread, to_thread,
};

use super::Wakes;
use crate::groups::probe::{Count, assert_took, caught, crash, lingering, runtime, text};
use crate::harness::ms;
use crate::running::witness::both;

/// B228, B218: the future runs in the tree: it waits, on the runtime's clock, and its value comes back to the closure.
pub async fn a_job_calls_back_and_gets_a_value() {
    let start = Instant::now();
    let value = to_thread(|| {
        let one = from_thread(async {
            sleep(ms(3)).await;
            1
        });
        let two = from_thread(async { Err::<(), _>(2) });
        (one.unwrap(), two.unwrap())
    });
    assert_eq!(value.await, (1, Err(2)));
    assert_took(start, ms(3));
}

/// L9, L10: the future stands in the scope that awaits the job: it sees that scope's deadline, and what shields it.
pub async fn a_call_stands_in_the_scope_that_awaits_the_job() {
    let at = Instant::now() + ms(60_000);
    let seen = CancelScope::new().deadline_at(at).run(to_thread(|| from_thread(async { deadline() }).unwrap()));
    assert_eq!(seen.await.unwrap(), Some(at));
    assert_eq!(to_thread(|| from_thread(async { deadline() }).unwrap()).await, None);

    let mut scope = CancelScope::new().grace(ms(60_000));
    let handle = scope.handle();
    let call = async move {
        handle.cancel("stop, with a grace");
        stopping().await;
        checkpoint().await;
        7
    };
    let out = scope.run(graceful(to_thread(move || from_thread(call).unwrap())));
    assert_eq!(out.await.unwrap(), 7, "the grace holds for the call, too");
}

/// B230, L15: a cancel reaches the call; the closure is told when everything in it has ended, and with the reason.
pub async fn a_cancel_reaches_the_call() {
    let (started, cleaned, passed) = (Count::new(), Count::new(), Count::new());
    let (begun, cleaning, told) = (started.clone(), cleaned.clone(), Count::new());
    let tell = told.clone();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(both(
            async {
                to_thread(move || {
                    let inner = cleaning.clone();
                    let error = from_thread(lingering(&begun, &inner)).unwrap_err();
                    assert_eq!(cleaning.value(), 1, "everything in the call has ended");
                    let CallError::Cancelled(Some(reason)) = error else { panic!("{error:?}") };
                    assert_eq!(reason.text(), Some("enough"));
                    assert!(thread::is_cancelled());
                    tell.up();
                })
                .await;
                checkpoint().await;
                passed.up();
            },
            async {
                started.reaches(1).await;
                handle.cancel("enough");
            },
        ))
        .await;
    assert_eq!(out.unwrap_err().reason().text(), Some("enough"));
    assert_eq!((cleaned.value(), told.value(), passed.value()), (1, 1, 0));
}

/// L8, L14: a deadline reaches it, too; and in code that is cancelled already a call gets as far as its first
/// checkpoint.
pub async fn a_call_in_cancelled_code_stops_at_its_first_checkpoint() {
    let (polled, passed) = (Count::new(), Count::new());
    let (up, past) = (polled.clone(), passed.clone());
    let start = Instant::now();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope.run(async {
        to_thread(move || {
            // Not before: it may take its time until the job begins.
            assert!(handle.set_deadline(start + ms(3)));
            let first = from_thread(sleep_forever());
            assert!(matches!(first, Err(CallError::Cancelled(Some(_)))), "{first:?}");
            let second = from_thread(async move {
                up.up();
                checkpoint().await;
                past.up();
            });
            assert!(matches!(second, Err(CallError::Cancelled(Some(_)))), "{second:?}");
            assert!(from_thread(async { is_cancelled() }).unwrap());
        })
        .await;
        checkpoint().await;
    });
    assert_eq!(out.await.unwrap_err().reason().kind(), ReasonKind::Deadline);
    assert_took(start, ms(3));
    assert_eq!((polled.value(), passed.value()), (1, 0));
}

/// B228, L32: a panic of the future is the caller's: it comes out of the call, and from there of the job.
pub async fn the_panic_of_a_call_comes_out_in_the_closure() {
    let out = caught(to_thread(|| from_thread(async { crash("in the call") }))).await;
    assert_eq!(text(&*out.unwrap_err()), "in the call");
    let kept = to_thread(|| {
        let call = std::panic::AssertUnwindSafe(|| from_thread(async { crash("in the call") }));
        std::panic::catch_unwind(call).is_err() && from_thread(async { true }).unwrap()
    });
    assert!(kept.await, "the next call is as good as the first");
}

/// B226, B230: an abandoned job whose await is gone while it calls is told at once; what it asks later is refused.
pub async fn an_abandoned_call_is_cancelled_and_later_ones_are_refused() {
    let (started, cleaned, dropped, told) = (Count::new(), Count::new(), Count::new(), Count::new());
    let (begun, cleaning, drops, tell) = (started.clone(), cleaned.clone(), dropped.on_drop(), told.clone());
    let out = CancelScope::new()
        .run(async {
            let job = to_thread_abandon(move || {
                let first = from_thread(lingering(&begun, &cleaning));
                assert!(matches!(first, Err(CallError::Cancelled(None))), "{first:?}");
                let later = from_thread(async move { drop(drops) });
                assert!(matches!(later, Err(CallError::Finished)), "{later:?}");
                tell.up();
            });
            crate::groups::probe::until(std::pin::pin!(job), started.reaches(1)).await;
        })
        .await;
    out.unwrap();
    assert_eq!(cleaned.value(), 1, "what the call has left behind is waited for by the scope around (L27)");
    told.reaches(1).await;
    assert_eq!(dropped.value(), 1);
}

/// B226, B230, L30: also if the whole tree has ended, or was dropped: cancelled, and then finished.
pub async fn a_job_that_outlives_its_tree_cannot_call_it() {
    for way in 0..2 {
        let (started, told) = (Count::new(), Count::new());
        let (begun, tell) = (started.clone(), told.clone());
        let work = move || {
            let first = from_thread(async move {
                begun.up();
                sleep_forever().await
            });
            assert!(matches!(first, Err(CallError::Cancelled(_))), "{first:?}");
            let later = from_thread(async {});
            assert!(matches!(later, Err(CallError::Finished)), "{later:?}");
            tell.up();
        };
        let mut host = Box::pin(root(runtime(), async {
            match way {
                0 => to_thread_abandon(work).await.unwrap(),
                _ => to_thread(work).await,
            }
        }));
        crate::groups::probe::until(host.as_mut(), started.reaches(1)).await;
        drop(host);
        told.reaches(1).await;
    }
}

/// B228: a thread that runs no job cannot call in, nor can one that polls a task: it would wait for itself. Both are
/// told why.
pub async fn who_may_not_call_is_told_why() {
    let call = || text(&*std::panic::catch_unwind(|| from_thread(async {})).unwrap_err()).to_owned();
    assert!(call().contains("blocks its thread, and this thread is polling"), "{}", call());
    let wait = std::panic::catch_unwind(|| block_on(async {})).unwrap_err();
    assert!(text(&*wait).contains("blocks its thread"), "{}", text(&*wait));
    let foreign = to_thread(move || std::thread::spawn(call).join().unwrap()).await;
    assert!(foreign.contains("runs no blocking job"), "{foreign}");
    let nested = to_thread(move || from_thread(async move { call() }).unwrap()).await;
    assert!(nested.contains("this thread is polling"), "{nested}");
}

/// B228, L27: code that is finished by a reaper is code of the tree, too, though no task's.
pub async fn a_finalizer_of_a_lost_scope_may_not_block() {
    let (portal, host) = foster::portal::Portal::new();
    let (sender, _receiver) = foster::channel::bounded::<u8>(1);
    let ran = Count::new();
    let up = ran.clone();
    let all = CancelScope::new().run(async {
        let lost = CancelScope::new().named("lost").run(async move {
            defer(async move {
                let refusals: [Box<dyn FnOnce() + std::panic::UnwindSafe>; 4] = [
                    Box::new(|| block_on(async {})),
                    Box::new(|| drop(from_thread(async {}))),
                    Box::new(std::panic::AssertUnwindSafe(|| drop(portal.call(async {})))),
                    Box::new(std::panic::AssertUnwindSafe(|| assert!(sender.send_blocking(1).is_ok()))),
                ];
                for refusal in refusals {
                    let refused = std::panic::catch_unwind(refusal).unwrap_err();
                    assert!(text(&*refused).contains("this thread is polling"), "{}", text(&*refused));
                    up.up();
                }
            });
            sleep_forever().await
        });
        let mut lost = Box::pin(lost);
        assert!(crate::groups::probe::poll_once(lost.as_mut()).await.is_pending());
        drop(lost);
    });
    all.await.unwrap();
    drop(host);
    assert_eq!(ran.value(), 4);
}

/// B228: with a token a thread may call, as long as the job lasts, and be told like the job itself.
pub async fn a_token_lets_other_threads_call() {
    let kept: Caller = to_thread(|| {
        let token = caller();
        let copy = token.clone();
        assert!(!copy.is_cancelled());
        token
    })
    .await;
    assert!(kept.is_cancelled(), "the job has ended");
    let late = to_thread(move || kept.call(async {}));
    let late = late.await;
    assert!(matches!(late, Err(CallError::Finished)), "{late:?}");
    if crate::groups::probe::is_virtual() {
        // A thread that is no job is no part of the simulation, which would not wait for it.
        return;
    }
    let sum = to_thread(|| {
        let token = caller();
        let slowly = |n: u32| async move {
            sleep(ms(1)).await;
            n
        };
        std::thread::scope(|threads| {
            let calls = [1, 2, 3].map(|n| {
                let token = token.clone();
                threads.spawn(move || token.call(slowly(n)).unwrap())
            });
            calls.map(|call| call.join().unwrap()).iter().sum::<u32>()
        })
    });
    assert_eq!(sum.await, 6);
}

/// B229: worker, loop, worker, and so on, all on one permit: nobody waits for who waits for it, and the permit comes
/// back.
pub async fn recursion_through_calls_does_not_deadlock() {
    fn descend(limiter: Arc<CapacityLimiter>, depth: u32) -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
        Box::pin(async move {
            let again = limiter.clone();
            let job = to_thread(move || match depth {
                0 => 0,
                _ => 1 + from_thread(descend(again, depth - 1)).unwrap(),
            });
            job.limiter(limiter).await
        })
    }
    let limiter = Arc::new(CapacityLimiter::new(1));
    assert_eq!(descend(limiter.clone(), 5).await, 5);
    assert_eq!((limiter.borrowed(), limiter.available()), (0, 1));
}

/// B229: while a job waits in a call its permit is free for others.
pub async fn a_permit_is_lent_while_its_job_calls() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let (lent, seen) = (limiter.clone(), limiter.clone());
    let job = to_thread(move || {
        assert_eq!((seen.borrowed(), seen.available()), (1, 0), "it has one");
        let inside = from_thread(async move {
            // Without a permit to be had this would wait for the job that waits for it.
            to_thread(move || lent.borrowed()).limiter(seen.clone()).await
        });
        inside.unwrap()
    });
    let inside = fail_after(ms(60_000), job.limiter(limiter.clone())).await;
    assert_eq!(inside.expect("the permit was not lent"), 1, "that of the job inside, and no other");
    assert_eq!(limiter.available(), 1);
}

/// B229: the statistics name the task that awaits a job, and the place of its `to_thread`, also after the job has
/// called back.
pub async fn the_holder_of_a_jobs_permit_is_whoever_awaits_it() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let seen = limiter.clone();
    let job = move || {
        let holder = || seen.statistics().holders.pop().expect("the job has a permit");
        let first = holder();
        from_thread(sleep(ms(1))).unwrap();
        (first, holder())
    };
    let Ok(()) = nursery(async |n: Nursery| {
        n.child().named("importer").spawn(async move {
            let line = line!() + 1;
            let (first, second) = to_thread(job.clone()).limiter(limiter.clone()).await;
            assert_eq!(first.task.as_ref().map(|task| task.name()), Some("importer"));
            assert_eq!((first.location.file(), first.location.line()), (file!(), line));
            assert_eq!(first, second, "it is the same after a call");

            let line = line!() + 1;
            let (first, second) = to_thread_abandon(job).limiter(limiter).await.unwrap();
            assert_eq!((first.location.file(), first.location.line()), (file!(), line));
            assert_eq!(first, second);
        });
    })
    .await;
}

/// B229: a job whose call has returned has its permit again, and does not wait for it: who has got it meanwhile may wait
/// for this job, for a lock, say. It counts beyond the total then, so that no other job begins.
pub async fn a_job_has_its_permit_again_after_a_call() {
    let wait = |for_it: &AtomicBool| {
        while !for_it.load(Ordering::SeqCst) {
            // Others may go on here.
            let _ = thread::is_cancelled();
            std::thread::yield_now();
        }
    };
    let limiter = Arc::new(CapacityLimiter::new(1));
    let [calls, has_returned, third_runs] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
    let second_runs = Arc::new(Event::new());
    let Ok(()) = nursery(async |n: Nursery| {
        let (lent, calling, runs) = (limiter.clone(), calls.clone(), second_runs.clone());
        let (returned, third) = (has_returned.clone(), third_runs.clone());
        let first = to_thread(move || {
            let call = async move {
                calling.store(true, Ordering::SeqCst);
                runs.wait().await;
            };
            from_thread(call).unwrap();
            let counts = (lent.borrowed(), lent.available(), third.load(Ordering::SeqCst));
            returned.store(true, Ordering::SeqCst);
            counts
        });
        let first = first.limiter(limiter.clone());
        let first = n.spawn(async { Ok(first.await) });
        while !calls.load(Ordering::SeqCst) {
            sleep(ms(1)).await;
        }
        let running = second_runs.clone();
        let second = to_thread(move || {
            second_runs.set();
            wait(&has_returned);
        });
        n.spawn(second.limiter(limiter.clone()));
        running.wait().await;
        let (alone, runs) = (limiter.clone(), third_runs.clone());
        let third = to_thread(move || {
            runs.store(true, Ordering::SeqCst);
            assert_eq!(alone.borrowed(), 1, "the others have ended");
        });
        n.spawn(third.limiter(limiter.clone()));
        assert_eq!(first.await.unwrap(), (2, 0, false), "both count, and no other begins");
    })
    .await;
    assert_eq!((limiter.available(), third_runs.load(Ordering::SeqCst)), (1, true));
}

/// L21: what a call waits for may be another job, a nursery, a finalizer: a call is ordinary code of the tree.
pub async fn a_call_may_do_what_any_code_may() {
    let cleaned = Count::new();
    let up = cleaned.clone();
    let sum = to_thread(move || {
        let clean = up.clone();
        from_thread(async move {
            defer(async move { clean.up() });
            let Ok(sum) = nursery(async |n: Nursery| {
                let a = n.spawn(async { Ok(to_thread(|| 1).await) });
                let b = n.spawn(async { Ok::<_, Infallible>(2) });
                Ok(a.await.unwrap() + b.await.unwrap())
            })
            .await;
            sum
        })
        .inspect(|_| assert_eq!(up.value(), 1, "its finalizer has run"))
        .unwrap()
    });
    assert_eq!(sum.await, 3);
    let late = to_thread(|| from_thread(fail_after(ms(1), sleep_forever())).unwrap());
    assert!(late.await.is_err());
}

/// L16, L26: an await that is dropped while its job calls: the call is cancelled, the job waited for all the same.
pub async fn a_call_whose_await_was_dropped_is_cancelled() {
    let (started, ended) = (Count::new(), Count::new());
    let (begun, end) = (started.clone(), ended.clone());
    CancelScope::new()
        .run(async {
            let job = to_thread(move || {
                let call = from_thread(async move {
                    begun.up();
                    sleep_forever().await
                });
                assert!(matches!(call, Err(CallError::Cancelled(None))), "{call:?}");
                end.up();
            });
            crate::groups::probe::until(std::pin::pin!(job), started.reaches(1)).await;
        })
        .await
        .unwrap();
    assert_eq!(ended.value(), 1);
}

/// L28, B226: a call of a job whose await was forgotten ends as one whose await was dropped, whether it came before or after;
/// and the scope around ends, by itself or by its deadline.
pub async fn a_call_whose_await_was_forgotten_ends() {
    for calls_before in [true, false] {
        for waits in [true, false] {
            let (started, forgotten, told) = (Count::new(), Count::new(), Count::new());
            let (begun, go, tell) = (started.clone(), forgotten.clone(), told.clone());
            // Where it leaks nothing.
            let mut kept = None;
            let mut around = CancelScope::new().named("around");
            let handle = around.handle();
            let out = around.run(async {
                let mut job = Box::pin(to_thread(move || {
                    if !calls_before {
                        begun.up();
                        block_on(go.reaches(1));
                    }
                    let call = from_thread(async move {
                        begun.up();
                        sleep_forever().await
                    });
                    assert!(matches!(call, Err(CallError::Cancelled(_) | CallError::Finished)), "{call:?}");
                    tell.up();
                }));
                crate::groups::probe::until(job.as_mut(), started.reaches(1)).await;
                kept = Some(job);
                forgotten.up();
                if waits {
                    assert!(handle.set_deadline(Instant::now() + ms(3)));
                    sleep_forever().await;
                }
            });
            assert_eq!(out.await.is_err(), waits);
            assert_eq!(told.value(), 1, "the scope around waits for the job (L21)");
            let lost = caught(kept.expect("it is kept")).await.expect_err("a future that was lost is not polled");
            assert!(text(&*lost).contains("finished by cancel scope `around`"), "{}", text(&*lost));
        }
    }
}

/// L21, L29: a call that was not run panics as it is dropped, because the await of its job was forgotten. That fails the
/// scope around, which still waits for the job.
pub async fn a_lost_call_that_panics_does_not_end_the_wait_for_its_job() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            crash("dropped with its call")
        }
    }
    let (called, begun, told, ended) = (Arc::new(Wakes::default()), Count::new(), Count::new(), Count::new());
    let release = Arc::new(Event::new());
    let (begin, tell, end, wait) = (begun.clone(), told.clone(), ended.clone(), release.clone());
    let mut kept = None;
    let around = caught(CancelScope::new().run(async {
        let mut job = Box::pin(try_to_thread(move || {
            let dropped = PanicsOnDrop;
            let call = from_thread(async move {
                let _dropped = dropped;
                begin.up();
                sleep_forever().await
            });
            assert!(matches!(call, Err(CallError::Cancelled(None))), "{call:?}");
            tell.up();
            block_on(wait.wait());
            end.up();
        }));
        let waker = Waker::from(called.clone());
        // It may be refused by the budget.
        while !job.has_started() {
            assert!(job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            sleep(ms(1)).await;
        }
        // The call has come; perhaps so early that the poll in which the job has started has polled it.
        while called.value() + begun.value() == 0 {
            sleep(ms(1)).await;
        }
        kept = Some(job);
    }));
    let ends = async { (around.await, ended.value()) };
    let releases = async {
        // The call has ended, and the job goes on.
        told.reaches(1).await;
        sleep(ms(3)).await;
        release.set();
    };
    let ((out, had_ended), ()) = both(ends, releases).await;
    assert_eq!(text(&*out.unwrap_err()), "dropped with its call");
    assert_eq!(had_ended, 1, "the scope around waits for the job");
}

/// B228: `block_on` waits on a job's thread for what tasks do; the tasks go on meanwhile.
pub async fn a_closure_may_wait_for_tasks() {
    let (go, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let Ok(()) = nursery(async |n: Nursery| {
        let (wait, set) = (go.clone(), done.clone());
        n.spawn(to_thread(move || {
            block_on(wait.wait());
            set.set();
        }));
        n.spawn(async move {
            sleep(ms(2)).await;
            go.set();
            done.wait().await;
        });
    })
    .await;
}
