//! Waiting for all: `gather`, `gather_results`, `join`, `try_join`, and no inputs at all.

use super::*;

/// B153: the results are in the order of the inputs.
#[test]
fn gather_returns_results_in_the_order_of_its_inputs() {
    on_seeds(async || {
        let start = Instant::now();
        assert_eq!(gather([30, 10, 20].map(succeed)).await, Ok(vec![30, 10, 20]));
        assert_eq!(start.elapsed(), ms(30));
    });
}

/// B154: the first error cancels the others, and comes back when they have cleaned up.
#[test]
fn gather_cancels_the_others_and_waits_for_their_cleanup() {
    on_seeds(async || {
        let start = Instant::now();
        let log = Log::default();
        let slow = async {
            let _dropped = log.guard("body dropped");
            let cleaned = foster::Instant::now();
            defer(async move {
                sleep(ms(7)).await;
                assert_eq!(cleaned.elapsed(), ms(12));
            });
            sleep(ms(100)).await;
            log.note("never");
            Ok(0)
        };
        let bad = async { fail(5).await };
        let both: Vec<Pin<Box<dyn Future<Output = Result<u64, u64>>>>> = vec![Box::pin(slow), Box::pin(bad)];
        assert_eq!(gather(both).await, Err(5));
        assert_eq!(start.elapsed(), ms(12));
        assert_eq!(log.take(), ["body dropped"]);
    });
}

/// L20: a loser's shield holds; what follows it does not begin.
#[test]
fn gather_lets_shields_of_the_others_end() {
    on_seeds(async || {
        let start = Instant::now();
        let shielded = Cell::new(false);
        let branch = |bad: bool| {
            let shielded = &shielded;
            async move {
                if bad {
                    return fail(5).await;
                }
                shield(sleep(ms(20))).await;
                shielded.set(true);
                sleep(ms(1)).await;
                unreachable!("a cancelled branch stops at its next checkpoint")
            }
        };
        assert_eq!(gather([false, true].map(branch)).await, Err(5));
        assert_eq!(start.elapsed(), ms(20));
        assert!(shielded.get());
    });
}

/// L13: branches that have not begun when one fails at once are not begun.
#[test]
fn gather_does_not_begin_what_comes_after_an_immediate_error() {
    on_seeds(async || {
        let begun = Cell::new(0);
        let branch = |input: u32| {
            let begun = &begun;
            async move {
                begun.set(begun.get() + 1);
                if input == 2 { Err("two") } else { Ok(()) }
            }
        };
        assert_eq!(gather((0..10).map(branch)).await, Err("two"));
        assert_eq!(begun.get(), 3);
    });
}

/// S04: every outcome, in order; none touches another.
#[test]
fn gather_settled_returns_every_outcome_in_order() {
    on_seeds(async || {
        let start = Instant::now();
        let branch = async |time: u64| if time == 10 { fail(time).await } else { succeed(time).await };
        assert_eq!(gather_results([30, 10, 20].map(branch)).await, [Ok(30), Err(10), Ok(20)]);
        assert_eq!(start.elapsed(), ms(30));
    });
}

/// L31: an error that was there when the scope around is cancelled comes back all the same, after the cleanup.
#[test]
fn an_error_is_returned_even_if_the_scope_around_is_cancelled_meanwhile() {
    on_seeds(async || {
        let got = Cell::new(None);
        let branch = async |time: u64| {
            if time == 5 {
                return fail(time).await;
            }
            shield(sleep(ms(time))).await;
            succeed(1).await
        };
        let out = move_on_after(ms(10), async {
            let failed = gather([20, 5].map(branch)).await;
            got.set(Some(failed));
            checkpoint().await;
        })
        .await;
        assert_eq!((out, got.take()), (None, Some(Err(5))));

        let out = move_on_after(ms(10), async {
            got.set(Some(try_join((branch(20), branch(5))).await.map(|_| Vec::new())));
            checkpoint().await;
        })
        .await;
        assert_eq!((out, got.take()), (None, Some(Err(5))));
    });
}

/// L31: the same for branches that were stopped from further out before the error came.
#[test]
fn an_error_is_returned_even_if_the_others_were_cancelled_from_further_out_before() {
    on_seeds(async || {
        let start = Instant::now();
        let got = RefCell::new(Vec::new());
        let branch = async |time: u64| if time == 20 { shield(fail(20)).await } else { succeed(time).await };
        let list = move_on_after(ms(10), async {
            let failed = gather([90, 20, 80].map(branch)).await;
            got.borrow_mut().push(failed.is_err());
            checkpoint().await;
        });
        let tuple = move_on_after(ms(10), async {
            let failed = try_join((branch(90), branch(20), branch(80))).await;
            got.borrow_mut().push(failed.is_err());
            checkpoint().await;
        });
        assert_eq!(join((list, tuple)).await, (None, None));
        assert_eq!((got.into_inner(), start.elapsed()), (vec![true, true], ms(20)));
    });
}

/// L12: the winner has completed before the code around was cancelled, while a loser was still winding down.
#[test]
fn a_value_is_returned_though_the_scope_around_is_cancelled_during_the_cleanup() {
    on_seeds(async || {
        let start = Instant::now();
        let branch = async |time: u64| {
            if time > 5 {
                shield(sleep(ms(time))).await;
            }
            nap(5).await
        };
        let came_back = Cell::new(false);
        let tuple = move_on_after(ms(10), async {
            race((branch(20), branch(5))).await;
            came_back.set(true);
        });
        let list = move_on_after(ms(10), async {
            race_all([20, 5].map(branch)).await;
            came_back.set(true);
        });
        assert_eq!(join((tuple, list)).await, (Some(()), Some(())));
        assert!(came_back.get());
        assert_eq!(start.elapsed(), ms(20));
    });
}

/// L13: in code that is cancelled nothing begins.
#[test]
fn cancelled_code_begins_no_branch() {
    on_seeds(async || {
        let begun = Cell::new(0);
        let branch = |_: u32| {
            begun.set(begun.get() + 1000);
            let begun = &begun;
            async move {
                begun.set(begun.get() + 1);
                Ok::<_, ()>(())
            }
        };
        let now = Duration::ZERO;
        let made = || [branch(0), branch(1)];
        assert_eq!(move_on_after(now, gather(made())).await, None);
        assert_eq!(move_on_after(now, race(made())).await, None);
        let [a, b] = made();
        assert_eq!(move_on_after(now, try_join((a, b))).await, None);
        let [a, b] = made();
        assert_eq!(move_on_after(now, race((a, b))).await, None);
        assert_eq!(begun.replace(0), 8000);
        // These do not even take the input.
        assert_eq!(move_on_after(now, map_concurrent(3, 0..9, branch)).await, None);
        assert_eq!(move_on_after(now, for_each_concurrent(3, 0..9, branch)).await, None);
        assert!(move_on_after(now, staggered(ms(1), (0..9).map(branch))).await.is_none());
        assert_eq!(begun.get(), 0);
    });
}

/// L13: when one branch has the code around cancelled, it is the last that begins: also of those whose turn it is
/// already.
#[test]
fn when_a_branch_cancels_the_code_around_no_other_begins() {
    on_seeds(async || {
        // The third one that begins cancels the scope around. Counts how many have begun, and been taken.
        for what in 0..10 {
            let (begun, taken) = (&Cell::new(0), &Cell::new(0));
            let mut scope = CancelScope::new();
            let handle = &scope.handle();
            let branch = |value: Result<u32, u32>| async move {
                begun.set(begun.get() + 1);
                if begun.get() == 3 {
                    handle.cancel("enough");
                }
                value
            };
            let inputs = (0..100).inspect(|_| taken.set(taken.get() + 1));
            let work = async move {
                match what {
                    0 => _ = gather((0..100).map(|n| branch(Ok(n)))).await,
                    1 => _ = gather_results((0..100).map(|n| branch(Ok(n)))).await,
                    2 => _ = first_ok((0..100).map(|n| branch(Err(n)))).await,
                    3 => _ = race_all((0..100).map(async |n| (branch(Ok(n)).await, nap(1).await))).await,
                    4 => _ = staggered(Duration::MAX, inputs.map(|n| branch(Err(n)))).await,
                    5 => _ = map_concurrent(1, inputs, |n| branch(Ok(n))).await,
                    6 => _ = map_concurrent(9, inputs, |n| branch(Ok(n))).await,
                    7 => _ = for_each_concurrent(1, inputs, async |n| branch(Ok(n)).await.map(drop)).await,
                    8 => {
                        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| branch(Ok(n)));
                        _ = try_join((a, b, c, d, e)).await;
                    }
                    _ => {
                        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(async |n| (branch(Ok(n)).await, nap(1).await));
                        _ = race((a, b, c, d, e)).await;
                    }
                }
            };
            assert!(scope.run(work).await.is_err(), "{what}");
            assert_eq!(begun.get(), 3, "{what}");
            // With room for nine, nine inputs were taken before the first of them began.
            assert!(taken.get() <= if what == 6 { 11 } else { 3 }, "{what}: {}", taken.get());
        }
    });
}

/// L25–L27: the call is dropped by foreign code; the scope around waits for what the branches leave.
#[test]
fn what_a_dropped_gather_leaves_is_waited_for_by_the_scope_around() {
    on_seeds(async || {
        let start = Instant::now();
        let Ok(()) = NurseryOptions::new()
            .run_local_unsend(async |_| {
                let mut call = pin!(Some(gather([async {
                    defer(async { sleep(ms(20)).await });
                    succeed(100).await
                }])));
                sleep(ms(1)).await;
                poll_fn(|cx| {
                    let poll = call.as_mut().as_pin_mut().map(|call| call.poll(cx));
                    assert!(matches!(poll, Some(Poll::Pending)));
                    call.set(None);
                    Poll::Ready(())
                })
                .await;
                assert_eq!(start.elapsed(), ms(1));
                Ok::<_, std::convert::Infallible>(())
            })
            .await;
        assert_eq!(start.elapsed(), ms(21));
    });
}

/// L32: a panic cancels the others, waits for them, and resumes.
#[test]
fn a_panic_cancels_the_others_and_resumes_when_they_have_ended() {
    on_seeds(async || {
        let branch = async |time: u64| {
            if time == 5 {
                sleep(ms(5)).await;
                std::panic::resume_unwind(Box::new("thrown"));
            }
            tidy(time, 7).await;
            Ok::<_, ()>(())
        };
        let log = Log::default();
        let caught = async |what: &'static str, call: Pin<Box<dyn Future<Output = bool> + '_>>| {
            let start = Instant::now();
            let mut call = call;
            let payload = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(_)) => panic!("{what} has returned"),
                Err(payload) => Poll::Ready(payload),
            })
            .await;
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"thrown"));
            assert_eq!(start.elapsed(), ms(12), "{what}");
            log.note(what);
        };
        caught("gather", Box::pin(async { gather([90, 5].map(branch)).await.is_ok() })).await;
        caught("settled", Box::pin(async { gather_results([90, 5].map(branch)).await.is_empty() })).await;
        caught("race", Box::pin(async { race([90, 5].map(branch)).await.is_ok() })).await;
        caught("pair", Box::pin(async { race((branch(90), branch(5))).await.is_ok() })).await;
        caught("try_join", Box::pin(async { try_join((branch(90), branch(5))).await.is_ok() })).await;
        caught("map", Box::pin(async { map_concurrent(2, [90, 5, 80], branch).await.is_ok() })).await;
        caught("staggered", Box::pin(async { staggered(Duration::ZERO, [90, 5].map(branch)).await.is_ok() })).await;
        let thrown = (0..).map(|input| if input == 1 { std::panic::resume_unwind(Box::new("thrown")) } else { input });
        let late = async |input: u64| {
            sleep(ms(input)).await;
            tidy(5, 7).await
        };
        caught("inputs", Box::pin(async { map_concurrent_results(1, thrown, late).await.is_empty() })).await;
        assert_eq!(log.take().len(), 8);
    });
}

/// A turn polls what was woken before it began: branches that yield do not keep the task, also while they clean up.
#[test]
fn branches_that_yield_in_their_cleanup_let_other_tasks_run() {
    on_seeds(async || {
        let flag = Arc::new(AtomicBool::new(false));
        let is_set = || flag.load(Ordering::Relaxed);
        let Ok(()) = nursery(async |n| {
            let flag = flag.clone();
            n.spawn(async move {
                for _ in 0..5 {
                    yield_now().await;
                }
                flag.store(true, Ordering::Relaxed);
            });
            let stubborn = async || {
                let cleanup = async {
                    while !is_set() {
                        yield_now().await;
                    }
                };
                shield(cleanup).await;
                sleep_forever().await;
            };
            race_all([Some(()), None].map(async |quick| {
                if quick.is_none() {
                    stubborn().await
                }
            }))
            .await;
            race((async {}, stubborn())).await;
            Ok::<_, std::convert::Infallible>(())
        })
        .await;
    });
}

/// The work grows with the number of wake-ups, not with the number of branches.
#[test]
fn a_branch_is_polled_only_when_it_was_woken() {
    struct Counted<'a, F>(Pin<Box<F>>, &'a Cell<u32>);
    impl<F: Future> Future for Counted<'_, F> {
        type Output = F::Output;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            self.1.set(self.1.get() + 1);
            self.0.as_mut().poll(cx)
        }
    }
    on_seeds(async || {
        let polls = Cell::new(0);
        let done = gather_results((0..300).map(|time| Counted(Box::pin(nap(time + 1)), &polls))).await;
        assert_eq!(done.len(), 300);
        assert!(polls.get() <= 600, "{} polls for 300 sleeps", polls.get());
    });
}

/// All are awaited; values of any type.
#[test]
fn join_waits_for_all() {
    on_seeds(async || {
        let start = Instant::now();
        assert_eq!(join((nap(10), async { "b" }, nap(30))).await, (10, "b", 30));
        assert_eq!(start.elapsed(), ms(30));
        assert_eq!(try_join((succeed(10), async { Ok("b") })).await, Ok((10, "b")));
    });
}

/// B154 on tuples.
#[test]
fn try_join_cancels_the_others_and_waits_for_their_cleanup() {
    on_seeds(async || {
        let start = Instant::now();
        let slow = async { Ok(tidy(90, 7).await) };
        assert_eq!(try_join((slow, fail(5), async { Ok(()) })).await, Err(5));
        assert_eq!(start.elapsed(), ms(12));
    });
}

/// A user's future is stored once, however deep the combinators nest.
#[test]
fn combinators_store_the_users_future_once() {
    let big = || async {
        let kept = [0u8; 4096];
        checkpoint().await;
        assert_eq!(kept.len(), 4096);
    };
    let one = size_of_val(&big());
    assert!(one >= 4096);
    assert!(size_of_val(&join((big(), big()))) < 2 * one + 64);
    assert!(size_of_val(&race((big(), big()))) < 2 * one + 512);
    assert!(size_of_val(&race((race((big(), big())), big()))) < 3 * one + 1024);
    assert!(size_of_val(&race([big(), big()])) < 512);
    assert!(size_of_val(&for_each_concurrent(4, 0..4, |_| big())) < 512);
}

/// They are as `Send` as what they hold.
#[test]
fn combinators_of_send_futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let parts = || [succeed(1), succeed(2)];
    let [a, b] = parts();
    is_send(join((a, b)));
    let [a, b] = parts();
    is_send(try_join((a, b)));
    let [a, b] = parts();
    is_send(race((a, b)));
    is_send(race(parts()));
    is_send(gather(parts()));
    is_send(gather_results(parts()));
    is_send(as_completed(parts()));
    is_send(first_ok(parts()));
    is_send(quorum(1, parts()));
    is_send(staggered(ms(1), parts()));
    is_send(map_concurrent(1, [1, 2], succeed));
    is_send(async {
        let names = vec!["a".to_owned()];
        let sizes = map_concurrent(1, &names, async |name| Ok::<_, std::fmt::Error>(name.len())).await;
        let pair = try_join((succeed(1), async { Ok(names.len()) })).await;
        for_each_concurrent(1, &names, async |name| sleep(ms(name.len() as u64)).await).await;
        drop((sizes, pair));
    });
}

/// B158: no inputs have an answer everywhere. (An empty `race` does not compile.)
#[test]
fn every_combinator_has_an_answer_to_no_inputs() {
    on_seeds(async || {
        let none = || Vec::<std::future::Ready<Result<u8, u8>>>::new();
        let work = |()| std::future::ready(Ok::<u8, u8>(0));
        assert_eq!(gather(none()).await, Ok(vec![]));
        assert_eq!(gather_results(none()).await, []);
        assert_eq!(as_completed(none()).next().await, None);
        assert_eq!(race_all(none()).await, None);
        assert_eq!(map_concurrent(1, [], work).await, Ok(vec![]));
        assert_eq!(map_concurrent_results(1, [], work).await, []);
        for_each_concurrent(1, [(); 0], async |()| ()).await;
        assert_eq!(first_ok(none()).await.unwrap_err().to_string(), "there was nothing to try");
        assert_eq!(staggered(ms(1), none()).await.unwrap_err().into_errors(), []);
        assert_eq!(quorum(0, none()).await, Ok(vec![]));
        assert_eq!(quorum(1, none()).await.unwrap_err().needed(), 1);
    });
}

/// L35: an error that comes when the outcome is settled goes to the observer, once, and an outcome to the caller.
#[test]
fn a_later_error_goes_to_the_observer() {
    #[derive(Default)]
    struct Orphans(Mutex<Vec<String>>);
    impl foster::observer::Observer for Orphans {
        fn orphan(&self, orphan: &foster::observer::Orphan<'_>) {
            self.0.lock().unwrap().push(orphan.to_string());
        }
    }
    let _one = one_at_a_time();
    for seed in 0..12 {
        let orphans = Arc::new(Orphans::default());
        let lingers = async |error| {
            shield(sleep(ms(5))).await;
            Err::<(), _>(error)
        };
        foster_sim::Builder::new(seed).observer(orphans.clone()).run(async {
            let fast = async || Err::<(), _>("first");
            assert_eq!(try_join((lingers("try_join"), fast())).await, Err("first"));
            let branches: [Pin<Box<dyn Future<Output = _>>>; 2] = [Box::pin(lingers("gather")), Box::pin(fast())];
            assert_eq!(gather(branches).await, Err("first"));
            let good = CancelScope::new().named("around").run(first_ok::<_, Pin<Box<dyn Future<Output = _>>>, _, _>([
                Box::pin(lingers("first_ok")) as _,
                Box::pin(async { Ok(()) }) as _,
            ]));
            assert!(good.await.unwrap().is_ok());
        });
        let orphans = orphans.0.lock().unwrap();
        let said: Vec<_> = ["try_join", "gather", "first_ok"].iter().map(|error| format!("{error:?}")).collect();
        assert_eq!(orphans.len(), 3, "{orphans:?}");
        for (orphan, error) in orphans.iter().zip(said) {
            assert!(orphan.starts_with("a further error in") && orphan.ends_with(&error), "{orphan}");
        }
        assert!(orphans[2].contains("around"), "{orphans:?}");
    }
}
