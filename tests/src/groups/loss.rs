//! Loss: a scope whose future is dropped or forgotten is finished by the scope around it (L25–L30).

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foster::error::JoinError;
use foster::nursery::TaskStatus;
use foster::observer::{HostDropped, OrphanKind};
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use foster::scope::ReasonKind;
use foster::{CancelScope, Instant, Nursery, Task, checkpoint, defer, is_cancelled, nursery, sleep, sleep_forever};

use super::both::both;
use super::probe::{
    Count, Finally, Log, Observed, assert_took, caught, crash, is_virtual, lingering, observed, poll_once, runtime,
    text, until, until_cancelled,
};
use crate::harness::ms;

both! {
    /// L25, L26, L27, L41, I16: a nursery that foreign code drops loses its body at once; its children are cancelled,
    /// and the scope around it waits for them. That scope itself is not cancelled.
    a_dropped_nursery_is_finished_by_the_scope_around_it, a_dropped_local_nursery_is_finished_by_the_scope_around_it: {
        let (started, cleaned, body) = (Count::new(), Count::new(), Count::new());
        let start = Instant::now();
        let out = CancelScope::new()
            .run(async {
                let mut lost = Box::pin(open(async |n: Handle| {
                    let _local = body.on_drop();
                    n.spawn(lingering(&started, &cleaned));
                    n.spawn(lingering(&started, &cleaned));
                    sleep_forever().await
                }));
                until(lost.as_mut(), started.reaches(2)).await;
                assert_eq!(body.value(), 0);
                drop(lost);
                assert_eq!(body.value(), 1);
                assert!(!is_cancelled());
                checkpoint().await;
                assert!(!is_virtual() || cleaned.value() == 0);
                5
            })
            .await;
        assert_eq!(out.unwrap(), 5);
        assert_eq!(cleaned.value(), 2);
        assert_took(start, ms(3));
    }

    /// L26: when the drop returns, the children have been asked to stop; only what winds down is still there.
    the_children_of_a_dropped_nursery_are_cancelled_when_the_drop_returns,
    the_children_of_a_dropped_local_nursery_are_gone_when_the_drop_returns: {
        let (started, cleaned, dropped) = (Count::new(), Count::new(), Count::new());
        let mut handles: Option<(Handle, Task<()>)> = None;
        CancelScope::new()
            .run(async {
                let mut lost = Box::pin(open(async |n: Handle| {
                    let (up, clean, gone) = (started.clone(), cleaned.clone(), dropped.on_drop());
                    let task = n.spawn(async move {
                        let _gone = gone;
                        defer(async move { clean.reaches(1).await });
                        up.up();
                        sleep_forever().await;
                    });
                    handles = Some((n.clone(), task));
                    sleep_forever().await
                }));
                until(lost.as_mut(), started.reaches(1)).await;
                drop(lost);
                let (n, task) = handles.as_mut().expect("the body ran");
                // L34: the finalizer holds the child until it has run.
                assert_eq!(task.status(), TaskStatus::Cancelling);
                assert!(!task.is_finished());
                if LOCAL {
                    // L41: dropped in place with the body; the finalizer is what is left.
                    assert_eq!((dropped.value(), n.len()), (1, 0));
                    assert!(n.try_spawn(async {}).is_err());
                } else {
                    assert_eq!(n.len(), 1);
                    // L4: admitted, because there is something left; and never polled (L13).
                    let refused = n.try_spawn(async { crash("polled") });
                    assert!(refused.is_ok());
                }
                cleaned.up();
            })
            .await
            .unwrap();
        let (n, task) = handles.expect("the body ran");
        assert!(n.is_closed());
        assert_eq!(dropped.value(), 1);
        assert_eq!(task.await, Err(JoinError::Cancelled));
    }

    /// L27, L3: where nothing is left, a dropped nursery is closed when the drop returns.
    a_dropped_nursery_without_children_is_closed_at_once, a_dropped_local_nursery_without_children_is_closed_at_once: {
        let mut handle: Option<Handle> = None;
        let mut lost = Box::pin(open(async |n: Handle| {
            handle = Some(n.clone());
            sleep_forever().await
        }));
        assert!(poll_once(lost.as_mut()).await.is_pending());
        drop(lost);
        let n = handle.expect("the body ran");
        assert!(n.is_closed());
        assert!(n.try_spawn(async {}).is_err());
    }

    /// L25: a task waits for what its body has lost, and so does whoever joins it.
    a_task_waits_for_what_its_body_has_lost, a_local_task_waits_for_what_its_body_has_lost: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            let (up, clean) = (started.clone(), cleaned.clone());
            let task = n.spawn(async move {
                let mut lost = Box::pin(open(async |m: Handle| {
                    m.spawn(lingering(&up, &clean));
                    sleep_forever().await
                }));
                until(lost.as_mut(), up.reaches(1)).await;
                Ok(6)
            });
            let value = task.await.unwrap();
            assert_eq!(cleaned.value(), 1);
            Ok(value)
        })
        .await;
        assert_eq!(out, Ok(6));
    }

    /// L25, L22: a finalizer waits for what it has lost, before the next one begins.
    a_finalizer_waits_for_what_it_has_lost, a_finalizer_waits_for_what_it_has_lost_of_a_local_nursery: {
        let log = Log::new();
        CancelScope::new()
            .run(async {
                let older = log.clone();
                defer(async move { older.add("older finalizer") });
                let newer = log.clone();
                defer(async move {
                    let started = Count::new();
                    let mut lost = Box::pin(open(async |n: Handle| {
                        let (up, log) = (started.clone(), newer.clone());
                        n.spawn(async move {
                            defer(async move {
                                sleep(ms(1)).await;
                                log.add("adopted");
                            });
                            up.up();
                            sleep_forever().await
                        });
                        sleep_forever().await
                    }));
                    until(lost.as_mut(), started.reaches(1)).await;
                    drop(lost);
                    newer.add("newer finalizer");
                });
            })
            .await
            .unwrap();
        assert_eq!(log.entries(), ["newer finalizer", "adopted", "older finalizer"]);
    }

    /// L26, L27: a task that is dropped with a nursery inside leaves its own nursery only when all that has ended.
    a_cancelled_task_waits_for_the_nursery_it_has_dropped, a_cancelled_local_task_waits_for_the_nursery_it_has_dropped: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            let (up, clean) = (started.clone(), cleaned.clone());
            let task = n.spawn(async move {
                let mut held = Box::pin(open(async |m: Handle| {
                    m.spawn(lingering(&up, &clean));
                    sleep_forever().await
                }));
                until(held.as_mut(), up.reaches(1)).await;
                // Held, and never polled again: undriven, dropped with the body (L16).
                sleep_forever().await
            });
            started.reaches(1).await;
            task.cancel("enough");
            assert_eq!(task.await.map(|never| match never {}), Err::<(), _>(JoinError::Cancelled));
            assert_eq!(cleaned.value(), 1);
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
    }

    /// L28: a nursery whose future is moved out of its scope is found when the scope's body is over, cancelled, and
    /// waited for; its body, which nobody can reach, is not dropped. Polling it later is a panic that names both
    /// scopes.
    a_forgotten_nursery_is_finished_by_the_scope_around_it, a_forgotten_local_nursery_is_finished_by_the_scope_around_it: {
        let (started, cleaned, body) = (Count::new(), Count::new(), Count::new());
        let handles: RefCell<Option<(Handle, Task<()>)>> = RefCell::new(None);
        let attic = RefCell::new(None);
        let out = CancelScope::new()
            .named("the scope it was opened in")
            .run(async {
                let mut forgotten = Box::pin(open(async |n: Handle| {
                    let _local = body.on_drop();
                    n.spawn(lingering(&started, &cleaned));
                    let lingering = lingering(&started, &cleaned);
                    let task = n.spawn(async move { match lingering.await {} });
                    *handles.borrow_mut() = Some((n.clone(), task));
                    sleep_forever().await
                }));
                until(forgotten.as_mut(), started.reaches(2)).await;
                *attic.borrow_mut() = Some(forgotten);
                7
            })
            .await;
        assert_eq!(out.unwrap(), 7);
        assert_eq!((cleaned.value(), body.value()), (2, 0));
        let (n, task) = handles.borrow_mut().take().expect("the body ran");
        assert!(n.is_closed() && n.try_spawn(async {}).is_err());
        assert_eq!(task.await, Err(JoinError::Cancelled));
        let mut found = attic.into_inner().expect("put there");
        let panic = caught(poll_once(found.as_mut())).await.map(|poll| poll.is_pending()).unwrap_err();
        let text = text(&*panic);
        assert!(text.contains("`nursery`") && text.contains("`the scope it was opened in`"), "{text}");
        drop(found);
        assert_eq!(body.value(), 1);
    }

    /// L29, L35: an error that was recorded in a nursery which is then dropped goes to the observer, once.
    an_error_in_a_dropped_nursery_goes_to_the_observer, an_error_in_a_dropped_local_nursery_goes_to_the_observer: {
        let (out, observer) = observed(async {
            let failed = Count::new();
            let mut lost = Box::pin(open_collecting(async |n: Handle<&'static str>| {
                n.child().named("failing").spawn(async { Err::<(), _>("before") }).wait().await;
                failed.up();
                sleep_forever().await;
                Ok(())
            }));
            until(lost.as_mut(), failed.reaches(1)).await;
            drop(lost);
            8
        })
        .await;
        assert_eq!(out, 8);
        assert_eq!(observer.errors(), [(OrphanKind::Reaped, "\"before\"".to_owned())]);
        assert_eq!(observer.orphans()[0].origin, "failing");
    }

    /// L29, L32, L37: a destructor that panics in a nursery that is dropped neither unwinds through the drop nor is it
    /// lost: the panic fails the scope around.
    a_destructor_that_panics_in_a_dropped_nursery_fails_the_adopter,
    a_destructor_that_panics_in_a_dropped_local_nursery_fails_the_adopter: {
        for in_child in [false, true] {
            let (dropped, cleaned) = (Count::new(), Count::new());
            let panic = caught(CancelScope::new().run(async {
                let started = Count::new();
                let mut lost = Box::pin(open(async |n: Handle| {
                    let bad = Finally::new(|| panic!("a destructor"));
                    let _in_body = if in_child {
                        let up = started.clone();
                        n.spawn(async move {
                            let _bad = bad;
                            up.up();
                            sleep_forever().await
                        });
                        None
                    } else {
                        started.up();
                        Some(bad)
                    };
                    n.spawn(lingering(&started, &cleaned));
                    sleep_forever().await
                }));
                until(lost.as_mut(), started.reaches(2)).await;
                drop(lost);
                dropped.up();
            }))
            .await
            .map(|_| ())
            .unwrap_err();
            assert_eq!(text(&*panic), "a destructor");
            assert_eq!((dropped.value(), cleaned.value()), (1, 1));
        }
    }

    /// L30, L38, I24: a root that is dropped drops all bodies at once, runs no finalizer, and tells how much was cut
    /// off; the handles say Cancelled.
    a_dropped_root_ends_everything_at_once, a_dropped_root_ends_local_children_at_once: {
        let (started, cleaned, dropped) = (Count::new(), Count::new(), Count::new());
        let mut handles: Option<(Handle, Vec<Task<()>>)> = None;
        let observer = Arc::new(Observed::default());
        let tree = root(
            runtime(),
            open(async |n: Handle| {
                let _local = dropped.on_drop();
                let finalizer = cleaned.clone();
                defer(async move { finalizer.up() });
                let tasks = (0..3).map(|_| {
                    let (up, gone, finalizer) = (started.clone(), dropped.on_drop(), cleaned.clone());
                    n.spawn(async move {
                        let _gone = gone;
                        defer(async move { finalizer.up() });
                        up.up();
                        sleep_forever().await;
                    })
                });
                handles = Some((n.clone(), tasks.collect()));
                sleep_forever().await
            }),
        );
        let mut tree = Box::pin(tree.observe(observer.clone()));
        until(tree.as_mut(), started.reaches(3)).await;
        drop(tree);
        // A body that another thread is just polling is dropped when that poll returns.
        assert!(!is_virtual() || dropped.value() == 4);
        dropped.reaches(4).await;
        let (n, tasks) = handles.expect("the body ran");
        assert!(n.is_closed() && n.try_spawn(async {}).is_err());
        for task in tasks {
            assert_eq!(task.await, Err(JoinError::Cancelled));
        }
        sleep(ms(1)).await;
        assert_eq!(cleaned.value(), 0);
        let [HostDropped { tasks, finalizers, .. }] = observer.hosts()[..] else { panic!("told once") };
        assert_eq!((tasks, finalizers), (3, 4));
        assert_eq!(observer.orphans(), []);
    }
}

/// L29, L35: a child of a dropped nursery that fails while it winds down: its error goes to the observer, once.
pub async fn an_error_of_an_abandoned_child_goes_to_the_observer() {
    let (out, observer) = observed(async {
        let started = Count::new();
        let mut lost = Box::pin(nursery(async |n: Nursery<&'static str>| {
            let up = started.clone();
            n.child().named("late").spawn(async move {
                up.up();
                until_cancelled().await;
                Err::<(), _>("late")
            });
            sleep_forever().await;
            Ok(())
        }));
        until(lost.as_mut(), started.reaches(1)).await;
        drop(lost);
        9
    })
    .await;
    assert_eq!(out, 9);
    assert_eq!(observer.errors(), [(OrphanKind::Reaped, "\"late\"".to_owned())]);
    assert_eq!(observer.orphans()[0].origin, "late");
}

/// L29, L35: the value of a nursery that is dropped while it waits for its children is dropped, once.
pub async fn the_value_of_a_dropped_nursery_is_dropped() {
    let (started, cleaned, value) = (Count::new(), Count::new(), Count::new());
    CancelScope::new()
        .run(async {
            let mut lost = Box::pin(nursery(async |n: Nursery| {
                n.spawn(lingering(&started, &cleaned));
                Ok(value.on_drop())
            }));
            until(lost.as_mut(), started.reaches(1)).await;
            assert_eq!(value.value(), 0);
            drop(lost);
            assert_eq!(value.value(), 1);
        })
        .await
        .unwrap();
    assert_eq!(cleaned.value(), 1);
}

/// L26: what is lost ends inside-out: the inner scope finds the outer one live, and the adopter comes last.
pub async fn lost_scopes_end_inside_out() {
    let log = Log::new();
    let slowly = |entry| {
        let log = log.clone();
        async move {
            sleep(ms(1)).await;
            log.add(entry);
        }
    };
    CancelScope::new()
        .run(async {
            defer(slowly("adopter's finalizer"));
            let started = Count::new();
            let mut lost = Box::pin(CancelScope::new().run(async {
                defer(slowly("outer finalizer"));
                let _local = log.on_drop("outer local");
                CancelScope::new()
                    .run(async {
                        defer(slowly("inner finalizer"));
                        let _local = log.on_drop("inner local");
                        started.up();
                        sleep_forever().await
                    })
                    .await
            }));
            until(lost.as_mut(), started.reaches(1)).await;
            drop(lost);
            log.add("dropped");
        })
        .await
        .unwrap();
    assert_eq!(
        log.entries(),
        ["inner local", "outer local", "dropped", "inner finalizer", "outer finalizer", "adopter's finalizer"]
    );
}

/// L26: a finalizer that is half-run when its scope is dropped goes on, is waited for, and is not started again.
pub async fn a_half_run_finalizer_survives_the_loss_of_its_scope() {
    let (begun, ended) = (Count::new(), Count::new());
    CancelScope::new()
        .run(async {
            let (up, over) = (begun.clone(), ended.clone());
            let mut lost = Box::pin(CancelScope::new().run(async move {
                defer(async move {
                    up.up();
                    sleep(ms(2)).await;
                    over.up();
                });
            }));
            until(lost.as_mut(), begun.reaches(1)).await;
            drop(lost);
        })
        .await
        .unwrap();
    assert_eq!((begun.value(), ended.value()), (1, 1));
}

/// L26, L27: a scope without anything left is closed when its drop returns, with the reason on record.
pub async fn a_dropped_scope_with_nothing_left_is_closed_at_once() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let mut lost = Box::pin(scope.run(sleep_forever()));
    assert!(poll_once(lost.as_mut()).await.is_pending());
    assert!(!handle.is_closed() && !handle.is_cancelled());
    drop(lost);
    assert!(handle.is_closed());
    assert_eq!(handle.reason().map(|reason| reason.kind()), Some(ReasonKind::Abandoned));
    assert!(!handle.cancel("too late"));
}

/// L30, L26: a task that the runtime drops instead of running it is cancelled; its handle says so, and nobody hangs.
pub async fn a_task_that_the_runtime_drops_is_cancelled() {
    let faulty = Arc::new(Faulty::new());
    let (polled, dropped) = (Count::new(), Count::new());
    let observer = Arc::new(Observed::default());
    let out = root(
        faulty.clone(),
        nursery(async |n: Nursery| {
            faulty.refuse(true);
            let (up, gone) = (polled.clone(), dropped.on_drop());
            let task = n.spawn(async move {
                let _gone = gone;
                up.up();
            });
            faulty.refuse(false);
            assert_eq!(task.await, Err(JoinError::Cancelled));
            Ok(1)
        }),
    )
    .observe(observer.clone())
    .await;
    assert_eq!(out, Ok(1));
    assert_eq!((polled.value(), dropped.value()), (0, 1));
    assert_eq!(observer.orphans(), []);
}

/// L37, L30: where no reaper can be spawned, what it was to finish is cut off at once: nobody hangs, and the observer
/// is told.
pub async fn what_no_reaper_can_finish_is_cut_off() {
    let faulty = Arc::new(Faulty::new());
    let (started, cleaned, dropped, never) = (Count::new(), Count::new(), Count::new(), Count::new());
    let observer = Arc::new(Observed::default());
    let mut tree = Box::pin(
        root(faulty.clone(), async {
            let mut lost = Box::pin(nursery(async |n: Nursery| {
                for _ in 0..2 {
                    let (up, done, never) = (started.clone(), cleaned.clone(), never.reaches(1));
                    let gone = dropped.on_drop();
                    n.spawn(async move {
                        defer(async move {
                            let _gone = gone;
                            never.await;
                            done.up();
                        });
                        up.up();
                        sleep_forever().await
                    });
                }
                sleep_forever().await
            }));
            until(lost.as_mut(), started.reaches(2)).await;
            faulty.refuse(true);
            drop(lost);
            faulty.refuse(false);
            checkpoint().await;
            2
        })
        .observe(observer.clone()),
    );
    let out = tree.as_mut().await;
    drop(tree);
    // Another thread may have been polling one of them: it is dropped as soon as that poll returns.
    dropped.reaches(2).await;
    never.up();
    sleep(ms(1)).await;
    assert_eq!((out, cleaned.value()), (2, 0));
    let [HostDropped { tasks, finalizers, .. }] = observer.hosts()[..] else { panic!("told once") };
    assert_eq!((tasks, finalizers), (2, 2));
}

/// The runtime of the test, with a fault: it may drop the jobs it is given.
struct Faulty {
    inner: Arc<dyn Runtime>,
    refuses: AtomicBool,
}

impl Faulty {
    fn new() -> Self {
        Faulty { inner: runtime(), refuses: AtomicBool::new(false) }
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

impl Runtime for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn spawn(&self, job: Job) {
        if self.refuses.load(Ordering::SeqCst) {
            drop(job);
        } else {
            self.inner.spawn(job);
        }
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }

    fn poll_budget(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.inner.poll_budget(cx)
    }

    fn should_yield(&self) -> bool {
        self.inner.should_yield()
    }
}
