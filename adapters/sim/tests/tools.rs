//! The tools: quiescence, sequencer, checkpoints, and what they say outside of a simulation.

mod support;

use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster_sim::{
    Builder, Sequencer, SequencerError, assert_checkpoints, assert_no_checkpoints, clock, probe, run,
    wait_all_tasks_blocked, wait_all_tasks_blocked_for,
};
use support::{Log, millis, scope};

/// B273.
#[test]
fn quiescence_waits_for_tasks_that_are_runnable_again_and_again() {
    for seed in 0..50 {
        run(
            seed,
            scope(|n| async move {
                let done = Arc::new(AtomicBool::new(false));
                let flag = done.clone();
                n.spawn(async move {
                    for _ in 0..20 {
                        foster::yield_now().await;
                    }
                    flag.store(true, Relaxed);
                    foster::sleep(millis(1)).await;
                });
                wait_all_tasks_blocked().await;
                assert!(done.load(Relaxed));
                assert_eq!(clock().elapsed(), Duration::ZERO, "the clock passed a waiter");
            }),
        );
    }
}

/// B272.
#[test]
fn cushions_outlast_tasks_that_flicker_and_end_in_order() {
    for seed in 0..50 {
        let log = Log::default();
        run(
            seed,
            scope(|n| {
                let log = log.clone();
                async move {
                    let blink = log.clone();
                    n.spawn(async move {
                        for _ in 0..3 {
                            foster::sleep(millis(10)).await;
                        }
                        blink.add("blink");
                    });
                    for cushion in [30, 0, 20, 20] {
                        let log = log.clone();
                        n.spawn(async move {
                            wait_all_tasks_blocked_for(millis(cushion)).await;
                            log.add(format_args!("{cushion} at {:?}", clock().elapsed()));
                        });
                    }
                }
            }),
        );
        assert_eq!(log.lines(), ["0 at 0ns", "blink", "20 at 50ms", "20 at 50ms", "30 at 80ms"]);
    }
}

/// B273: it is cancelled as any other wait, and then nobody waits for it.
#[test]
fn a_quiescence_wait_can_be_cancelled() {
    for seed in 0..50 {
        run(
            seed,
            scope(|n| async move {
                let waits = n.spawn(async { wait_all_tasks_blocked_for(millis(15)).await });
                n.spawn(async {
                    for _ in 0..4 {
                        foster::sleep(millis(10)).await;
                    }
                });
                foster::sleep(millis(25)).await;
                assert!(waits.cancel("enough"));
                assert!(matches!(waits.await, Err(foster::error::JoinError::Cancelled)));
                assert_eq!(clock().elapsed(), millis(25));
                wait_all_tasks_blocked_for(millis(15)).await;
                assert_eq!(clock().elapsed(), millis(55));
            }),
        );
    }
}

#[test]
fn a_quiescence_wait_that_is_dropped_is_forgotten() {
    run(7, async {
        let mut wait = Box::pin(wait_all_tasks_blocked_for(millis(5)));
        std::future::poll_fn(|context| {
            assert!(wait.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(wait);
        foster::sleep(millis(50)).await;
        assert_eq!(clock().elapsed(), millis(50));
    });
}

/// B278.
#[test]
fn wake_ups_that_do_nothing_do_not_disturb_quiescence() {
    run(
        7,
        scope(|n| async move {
            let stale = std::future::poll_fn(|context| std::task::Poll::Ready(context.waker().clone())).await;
            let ended = n.spawn(std::future::poll_fn(|context| std::task::Poll::Ready(Ok(context.waker().clone()))));
            let ended = ended.await.unwrap();
            let waits = n.spawn(async { wait_all_tasks_blocked_for(millis(5)).await });
            foster::sleep(millis(4)).await;
            ended.wake_by_ref();
            foster::sleep(millis(4)).await;
            ended.wake();
            stale.wake();
            waits.await.unwrap();
            // 4 ms and 8 ms are the times at which this task ran.
            assert_eq!(clock().elapsed(), millis(13));
        }),
    );
}

/// B274.
#[test]
fn a_sequencer_orders_its_slots() {
    for seed in 0..50 {
        let log = Log::default();
        run(
            seed,
            scope(|n| {
                let log = log.clone();
                async move {
                    let sequencer = Sequencer::new();
                    for parity in 0..2 {
                        let (log, sequencer) = (log.clone(), sequencer.clone());
                        n.spawn(async move {
                            for round in 0..5 {
                                let slot = round * 2 + parity;
                                let _turn = sequencer.turn(slot).await.unwrap();
                                foster::yield_now().await;
                                log.add(slot);
                            }
                        });
                    }
                }
            }),
        );
        assert_eq!(log.lines().concat(), "0123456789");
    }
}

/// Wakes by panicking.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("boom");
    }
}

/// L36.
#[test]
fn a_waker_that_panics_does_not_unwind_out_of_a_sequencer() {
    let waker = Waker::from(Arc::new(Bomb));
    let mut cx = Context::from_waker(&waker);
    let sequencer = Sequencer::new();
    let mut turns = [0, 1, 3].map(|slot| sequencer.turn(slot));
    let [Poll::Ready(Ok(first)), Poll::Pending, Poll::Pending] =
        turns.each_mut().map(|turn| Pin::new(turn).poll(&mut cx))
    else {
        panic!("only the first slot may be entered")
    };
    drop(first);
    let [_, second, last] = turns;
    drop(second);
    drop(last);
}

/// B274.
#[test]
fn a_slot_taken_twice_is_refused_and_a_cancelled_waiter_breaks_the_sequencer() {
    run(
        7,
        scope(|n| async move {
            let sequencer = Sequencer::new();
            drop(sequencer.turn(0).await.unwrap());
            assert_eq!(sequencer.turn(0).await.unwrap_err(), SequencerError::Used { slot: 0 });

            let waiter = n.spawn({
                let sequencer = sequencer.clone();
                async move { Ok(sequencer.turn(3).await.unwrap_err()) }
            });
            wait_all_tasks_blocked().await;
            // Cancelled code does not even take the slot; so one that waits is cancelled.
            assert!(foster::move_on_after(Duration::ZERO, sequencer.turn(2)).await.is_none());
            assert!(foster::move_on_after(millis(1), sequencer.turn(2)).await.is_none());
            assert_eq!(waiter.await.unwrap(), SequencerError::Broken);
            assert_eq!(sequencer.turn(1).await.unwrap_err(), SequencerError::Broken);
        }),
    );
}

/// B275. A bare yield is enough for both: where foster's code is pending, it can be cancelled.
#[test]
fn checkpoints_are_seen() {
    run(7, async move {
        assert_checkpoints(foster::checkpoint).await;
        assert_checkpoints(|| foster::sleep(millis(1))).await;
        assert_checkpoints(wait_all_tasks_blocked).await;
        assert_no_checkpoints(|| async {}).await;
        assert_no_checkpoints(|| foster::shield(async {})).await;
        let seen = probe(foster::checkpoint_if_cancelled).await;
        assert!(seen.stops && !seen.yields);
        let seen = probe(|| async { Sequencer::new().turn(0).await.map(drop) }).await;
        assert!(seen.stops && !seen.yields);
    });
    let fails = |program| Builder::new(7).observe(program).outcome.is_err();
    let check_only: std::pin::Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(assert_checkpoints(foster::checkpoint_if_cancelled));
    assert!(fails(check_only));
    assert!(fails(Box::pin(assert_checkpoints(|| async {}))));
    assert!(fails(Box::pin(assert_no_checkpoints(|| foster::sleep(millis(1))))));
    assert!(fails(Box::pin(assert_no_checkpoints(foster::checkpoint_if_cancelled))));
}

#[test]
fn tools_explain_themselves_outside_of_a_simulation() {
    let message = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().unwrap();
    let panic = catch_unwind(|| clock().now()).unwrap_err();
    assert!(message(panic).contains("`foster_sim::clock` was used where no simulation runs"));
    let panic = catch_unwind(foster_sim::random).unwrap_err();
    assert!(message(panic).contains("`foster_sim::random`"));
    foster_sim::note("goes nowhere");
}

/// B271: a clock has no influence where it is not installed.
#[test]
fn simulations_nest() {
    run(7, async {
        foster::sleep(millis(1)).await;
        let inner = run(8, async {
            assert_eq!(clock().elapsed(), Duration::ZERO);
            clock().jump(millis(500));
            foster::sleep(millis(5)).await;
            clock().elapsed()
        });
        assert_eq!((inner, clock().elapsed()), (millis(505), millis(1)));
    });
}

/// The place of a misuse is that of the call.
#[test]
fn random_outside_of_a_simulation_names_the_caller() {
    static PLACE: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);
    thread_local!(static HERE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match HERE.get() {
        true => *PLACE.lock().unwrap() = panic.location().map(|location| location.file().to_owned()),
        false => before(panic),
    }));
    HERE.set(true);
    let _ = catch_unwind(|| foster_sim::random());
    HERE.set(false);
    let place = PLACE.lock().unwrap().take().unwrap();
    assert!(place.ends_with("tools.rs"), "{place}");
}
