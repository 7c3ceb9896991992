//! Behaviours: closing. Finalizers and brackets: what runs, when, how often, and what outlives what (L19, L22, L23).

mod held;

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use foster::cleanup::{BracketExit, ResourceGuard, defer_within, try_bracket};
use foster::observer::OrphanKind;
use foster::scope::ReasonKind;
use foster::sync::Event;
use foster::{CancelScope, Instant, Nursery, bracket, defer, move_on_after, nursery, shield, sleep, sleep_forever};

use crate::groups::probe::{Count, Log, assert_took, caught, crash, observed, text, until};
use crate::harness::ms;
#[doc(hidden)]
pub use held::*;

/// A place for what a release was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<BracketExit>>>);

impl Told {
    fn note(&self, exit: BracketExit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(exit);
    }

    /// The one exit that was told.
    #[track_caller]
    fn exit(&self) -> BracketExit {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(told.len(), 1, "the release ran {} times", told.len());
        told[0].clone()
    }
}

/// L22: the newest first, and one at a time, although each takes its time.
pub async fn finalizers_run_newest_first_and_one_at_a_time() {
    let log = Log::new();
    let start = Instant::now();
    CancelScope::new()
        .run(async {
            for (begin, end) in [("first begins", "first ends"), ("second begins", "second ends")] {
                let log = log.clone();
                defer(async move {
                    log.add(begin);
                    sleep(ms(2)).await;
                    log.add(end);
                });
            }
            log.add("body");
        })
        .await
        .unwrap();
    assert_eq!(log.entries(), ["body", "second begins", "second ends", "first begins", "first ends"]);
    assert_took(start, ms(4));
}

/// L22: after all children, which go on when the body has returned; and in the nursery's own scope, not in the
/// children's.
pub async fn finalizers_of_a_nursery_wait_for_its_children() {
    let log = Log::new();
    let Ok(()) = nursery(async |n: Nursery| {
        let (finalizer, child) = (log.clone(), log.clone());
        defer(async move { finalizer.add("finalizer of the nursery") });
        n.spawn(async move {
            let finalizer = child.clone();
            defer(async move {
                sleep(ms(1)).await;
                finalizer.add("finalizer of the child");
            });
            sleep(ms(2)).await;
            child.add("child");
        });
    })
    .await;
    assert_eq!(log.entries(), ["child", "finalizer of the child", "finalizer of the nursery"]);
}

/// L22: past its budget a finalizer is cancelled, inside-out, and the next one runs.
pub async fn a_finalizer_past_its_budget_is_cancelled_and_the_next_one_runs() {
    let log = Log::new();
    let start = Instant::now();
    CancelScope::new()
        .run(async {
            let (first, second) = (log.clone(), log.clone());
            defer(async move { first.add("first") });
            defer_within(ms(3), async move {
                let _cut = second.on_drop("second is cut");
                let inner = second.clone();
                let _ = CancelScope::new()
                    .run(async move {
                        defer(async move {
                            sleep(ms(1)).await;
                            inner.add("finalizer of the second");
                        });
                        sleep_forever().await
                    })
                    .await;
                second.add("not reached");
            });
        })
        .await
        .unwrap();
    assert_eq!(log.entries(), ["finalizer of the second", "second is cut", "first"]);
    assert_took(start, ms(4));
}

/// L22: a budget counts from the start of its finalizer: a slow one eats nothing of the next.
pub async fn a_slow_finalizer_eats_nothing_of_the_next_ones_budget() {
    let done = Count::new();
    let budget = ms(60);
    CancelScope::new()
        .run(async {
            for _ in 0..2 {
                let done = done.clone();
                defer_within(budget, async move {
                    sleep(ms(40)).await;
                    done.up();
                });
            }
        })
        .await
        .unwrap();
    assert_eq!(done.value(), 2);
}

/// L22: what is cancelled further out does not reach a finalizer, whether it comes before or during.
pub async fn finalizers_are_shielded() {
    let done = Count::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let (early, late) = (done.clone(), done.clone());
        CancelScope::new()
            .run(async {
                defer(async move {
                    sleep(ms(1)).await;
                    early.up();
                });
                defer(async move {
                    handle.cancel("while a finalizer runs");
                    sleep(ms(1)).await;
                    late.up();
                });
            })
            .await
            .unwrap();
        sleep_forever().await
    });
    assert!(outcome.await.is_err());
    assert_eq!(done.value(), 2);
}

/// L22, L35: the error of a finalizer goes to the observer, and nowhere else.
pub async fn an_error_of_a_finalizer_goes_to_the_observer() {
    let (value, seen) = observed(async {
        CancelScope::new()
            .run(async {
                defer(async { Err::<(), _>("disk full") });
                7
            })
            .await
            .unwrap()
    })
    .await;
    assert_eq!(value, 7);
    assert_eq!(seen.errors(), [(OrphanKind::Finalizer, "\"disk full\"".to_owned())]);
}

/// L32, L35: so does one whose own finalizer has panicked; the panic comes out of the scope.
pub async fn an_error_of_a_finalizer_beside_a_panic_goes_to_the_observer() {
    let (out, seen) = observed(caught(CancelScope::new().run(async {
        defer(async {
            defer(async { crash("in the finalizer of the finalizer") });
            Err::<(), _>("disk full")
        });
    })))
    .await;
    assert_eq!(text(&*out.unwrap_err()), "in the finalizer of the finalizer");
    assert_eq!(seen.errors(), [(OrphanKind::Finalizer, "\"disk full\"".to_owned())]);
}

/// L19: a local around a nursery outlives the nursery's children and their finalizers; the body's own locals go first.
pub async fn locals_around_a_nursery_outlive_its_children() {
    let log = Log::new();
    let (mut scope, begun) = (CancelScope::new(), Arc::new(Event::new()));
    let handle = scope.handle();
    let out = scope.run(async {
        let _permit = log.on_drop("permit");
        let Ok(()) = nursery(async |n: Nursery| {
            let _local = log.on_drop("local of the body");
            let (child, begins) = (log.clone(), begun.clone());
            n.spawn(async move {
                let finalizer = child.clone();
                defer(async move {
                    sleep(ms(2)).await;
                    finalizer.add("finalizer of the child");
                });
                let _local = child.on_drop("local of the child");
                begins.set();
                sleep_forever().await
            });
            begun.wait().await;
            handle.cancel("now that the child has begun");
            sleep_forever().await;
        })
        .await;
    });
    assert!(out.await.is_err());
    let entries = log.entries();
    assert_eq!(entries.len(), 4, "{entries:?}");
    // The children run in parallel with the drop of the body.
    assert!(entries[..2].contains(&"local of the body") && entries[..2].contains(&"local of the child"), "{entries:?}");
    assert_eq!(entries[2..], ["finalizer of the child", "permit"]);
}

/// L23: the release has the resource, and knows how the use ended: it returned.
pub async fn a_bracket_that_returns_releases_with_success() {
    let told = Told::default();
    let note = told.clone();
    let out = bracket(
        async { vec![1] },
        async |mut list| {
            list.push(2);
            list.len()
        },
        |list, exit| async move {
            assert_eq!(list, [1, 2]);
            note.note(exit);
        },
    )
    .await;
    assert_eq!(out, 2);
    assert!(matches!(told.exit(), BracketExit::Returned));
    assert!(told.exit().is_success());
}

/// L23: … it failed: the error comes out after the release.
pub async fn a_bracket_that_fails_releases_with_failure() {
    let told = Told::default();
    let note = told.clone();
    let start = Instant::now();
    let out: Result<(), &str> = try_bracket(
        async { Ok(()) },
        async |_| Err("constraint violated"),
        |(), exit| async move {
            sleep(ms(2)).await;
            note.note(exit);
        },
    )
    .await;
    assert_eq!(out, Err("constraint violated"));
    assert_took(start, ms(2));
    assert!(matches!(told.exit(), BracketExit::Failed));
}

/// L23: … it was cancelled from further out.
pub async fn a_bracket_that_is_cancelled_releases() {
    let told = Told::default();
    let note = told.clone();
    let out = move_on_after(
        ms(1),
        bracket(
            async {},
            async |_| sleep_forever().await,
            |(), exit| async move {
                sleep(ms(2)).await;
                note.note(exit);
            },
        ),
    )
    .await;
    assert!(out.is_none());
    assert!(matches!(told.exit(), BracketExit::Cancelled(_)));
}

/// L23, L32: … it panicked: the panic comes out after the release.
pub async fn a_bracket_that_panics_releases() {
    let told = Told::default();
    let note = told.clone();
    let (out, _) = observed(caught(bracket(
        async {},
        async |_| crash("in the use"),
        |(), exit| async move {
            sleep(ms(1)).await;
            note.note(exit);
        },
    )))
    .await;
    assert_eq!(text(&*out.unwrap_err()), "in the use");
    assert!(matches!(told.exit(), BracketExit::Panicked));
}

/// L23, L27: … foreign code dropped it: the scope around waits for the release.
pub async fn a_bracket_that_is_dropped_releases_and_is_waited_for() {
    let told = Told::default();
    let note = told.clone();
    let using = Count::new();
    let start = Instant::now();
    CancelScope::new()
        .run(async {
            let mut bracket = Box::pin(bracket(
                async {},
                async |_| {
                    using.up();
                    pending::<()>().await;
                },
                |(), exit| async move {
                    sleep(ms(2)).await;
                    note.note(exit);
                },
            ));
            until(bracket.as_mut(), using.reaches(1)).await;
            drop(bracket);
        })
        .await
        .unwrap();
    assert_took(start, ms(2));
    match told.exit() {
        BracketExit::Cancelled(Some(reason)) => assert_eq!(reason.kind(), ReasonKind::Abandoned),
        exit => panic!("{exit:?}"),
    }
}

/// L19, L23: the release begins when everything has ended that was started inside, and before the locals around go.
pub async fn a_release_waits_for_everything_that_was_started_inside() {
    let log = Log::new();
    let (child, release) = (log.clone(), log.clone());
    let started = Count::new();
    let up = started.clone();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let _permit = log.on_drop("permit");
        bracket(
            async {},
            async |_| {
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(async move {
                        defer(async move {
                            sleep(ms(2)).await;
                            child.add("finalizer of the child");
                        });
                        up.up();
                        sleep_forever().await
                    });
                    started.reaches(1).await;
                    handle.cancel("in use");
                    sleep_forever().await;
                })
                .await;
            },
            |(), _| async move {
                sleep(ms(2)).await;
                release.add("release");
            },
        )
        .await;
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["finalizer of the child", "release", "permit"]);
}

/// L23: what could not be acquired is not used, and not released.
pub async fn a_failed_acquisition_releases_nothing() {
    let called = Count::new();
    let (used, released) = (called.clone(), called.clone());
    let out: Result<(), &str> = try_bracket(
        async { Err::<u8, _>("no connection") },
        async move |_| {
            used.up();
            Ok(())
        },
        move |_, _| async move { released.up() },
    )
    .await;
    assert_eq!((out, called.value()), (Err("no connection"), 0));
}

/// L13, L23: nothing comes between: an acquisition that ends in cancelled code is used up to the first checkpoint, and
/// released.
pub async fn what_was_acquired_in_cancelled_code_is_released() {
    let log = Log::new();
    let release = log.clone();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(bracket(
        shield(async {
            handle.cancel("while it is acquired");
            sleep(ms(1)).await;
        }),
        async |_| {
            log.add("used");
            sleep(ms(1)).await;
            log.add("not reached");
        },
        |(), exit| async move {
            assert!(!exit.is_success());
            release.add("released");
        },
    ));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["used", "released"]);
}

/// L22, L23: a release has a budget.
pub async fn a_release_past_its_budget_is_cancelled() {
    let log = Log::new();
    let release = log.clone();
    let start = Instant::now();
    let out = bracket(
        async { 1 },
        async |one| *one,
        |_, _| async move {
            let _cut = release.on_drop("cut");
            sleep_forever().await;
        },
    )
    .budget(ms(3))
    .await;
    assert_eq!(out, 1);
    assert_eq!(log.entries(), ["cut"]);
    assert_took(start, ms(3));
}

/// L23: a guard that is the value of the body keeps the resource: there is nothing to release.
pub async fn a_resource_that_leaves_its_bracket_is_not_released() {
    let released = Count::new();
    let up = released.clone();
    let guard: ResourceGuard<&str> =
        bracket(async { "resource" }, async |lent| lent, |_, _| async move { up.up() }).await;
    assert_eq!((*guard, released.value()), ("resource", 0));
    drop(guard);
    assert_eq!(released.value(), 0);
}

/// L22: a finalizer runs exactly once, also if it is the drop of a scope half-way through its finalizers that it
/// survives.
pub async fn a_scope_dropped_among_its_finalizers_runs_each_of_them_once() {
    let log = Log::new();
    let (running, dropped) = (Count::new(), Count::new());
    CancelScope::new()
        .run(async {
            let mut closing = pin!(Some(Box::pin(CancelScope::new().run(async {
                let (first, second) = (log.clone(), log.clone());
                let (up, dropped) = (running.clone(), dropped.clone());
                defer(async move { first.add("first") });
                defer(async move {
                    up.up();
                    dropped.reaches(1).await;
                    second.add("second");
                });
            }))));
            if let Some(scope) = closing.as_mut().as_pin_mut() {
                until(scope, running.reaches(1)).await;
            }
            closing.set(None);
            log.add("dropped");
            dropped.up();
        })
        .await
        .unwrap();
    assert_eq!(log.entries(), ["dropped", "second", "first"]);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! closing_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; closing {
            a_lock_that_is_held_for_a_use_is_released_after_its_cleanup,
            a_permit_that_is_held_for_a_use_is_released_after_its_cleanup,
            a_limiters_permit_that_is_held_for_a_use_is_released_after_its_cleanup,
            a_use_in_line_can_be_cancelled_and_a_guard_can_be_moved_out,
            finalizers_run_newest_first_and_one_at_a_time,
            finalizers_of_a_nursery_wait_for_its_children,
            a_finalizer_past_its_budget_is_cancelled_and_the_next_one_runs,
            a_slow_finalizer_eats_nothing_of_the_next_ones_budget,
            finalizers_are_shielded,
            an_error_of_a_finalizer_goes_to_the_observer, an_error_of_a_finalizer_beside_a_panic_goes_to_the_observer,
            locals_around_a_nursery_outlive_its_children,
            a_bracket_that_returns_releases_with_success,
            a_bracket_that_fails_releases_with_failure,
            a_bracket_that_is_cancelled_releases,
            a_bracket_that_panics_releases,
            a_bracket_that_is_dropped_releases_and_is_waited_for,
            a_release_waits_for_everything_that_was_started_inside,
            a_failed_acquisition_releases_nothing,
            what_was_acquired_in_cancelled_code_is_released,
            a_release_past_its_budget_is_cancelled,
            a_resource_that_leaves_its_bracket_is_not_released,
            a_scope_dropped_among_its_finalizers_runs_each_of_them_once,
        });
    };
}
