//! Failures while nobody listens, and destructors of what children have left.

use foster::observer::{Observer, Orphan, OrphanKind};

use super::*;

/// The reports to the observer of the tree.
#[derive(Default)]
struct Orphans(Mutex<Vec<(OrphanKind, String)>>);

impl Observer for Orphans {
    fn orphan(&self, orphan: &Orphan<'_>) {
        self.0.lock().unwrap().push((orphan.kind, format!("{:?}", orphan.error)));
    }
}

/// As [`on_seeds`], and calls `look` with the outcome of each run, a panic included, and the reports to the observer.
fn observed<T>(program: impl AsyncFn() -> T, mut look: impl FnMut(std::thread::Result<T>, &[(OrphanKind, String)])) {
    for seed in 0..SEEDS {
        let orphans = Arc::new(Orphans::default());
        let simulation = foster_sim::Builder::new(seed).observer(orphans.clone());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run(program())));
        let told = std::mem::take(&mut *orphans.0.lock().unwrap());
        look(ended, &told);
    }
}

fn is_panic<T>(ended: &std::thread::Result<T>, with: &'static str) -> bool {
    ended.as_ref().is_err_and(|payload| payload.downcast_ref() == Some(&with))
}

/// L35: what fails while the supervisor is being stopped is not a failure to be restarted after: an error goes to the
/// observer of the tree, and a panic resumes, as in any nursery.
#[test]
fn what_fails_while_it_is_being_stopped_is_not_lost() {
    for after in [0, 1] {
        let stopped = async |panics: bool| {
            let run = Supervisor::new().observe(|event: &SupervisorEvent<'_, String>| {
                assert!(matches!(event, SupervisorEvent::Started { lives: 1, .. }), "{event}");
            });
            let run = run.child("writer", move || {
                graceful(async move {
                    stopping().await;
                    sleep(secs(after)).await;
                    if panics {
                        std::panic::panic_any("no flush");
                    }
                    Err::<(), _>("the disk is full".to_owned())
                })
            });
            let scope = CancelScope::new().deadline_after(secs(1)).grace(secs(9));
            assert!(scope.run(run.run()).await.is_err());
        };
        observed(
            async || stopped(false).await,
            |ended, told| {
                ended.unwrap();
                assert_eq!(told, [(OrphanKind::Later, "\"the disk is full\"".to_owned())]);
            },
        );
        observed(
            async || stopped(true).await,
            |ended, told| {
                assert!(is_panic(&ended, "no flush"));
                assert_eq!(told, []);
            },
        );
    }
}

/// L35: and so is what fails after the supervisor has given up.
#[test]
fn what_fails_after_it_has_given_up_is_not_lost() {
    let gives_up = async |panics: bool| {
        let run = Supervisor::new().intensity(0, secs(1)).observe(quietly);
        let run = run.child("a", || async {
            sleep(secs(1)).await;
            Err::<(), _>("a".to_owned())
        });
        let run = run.child("b", move || {
            shield(async move {
                sleep(secs(2)).await;
                if panics {
                    std::panic::panic_any("b");
                }
                Err::<(), _>("b".to_owned())
            })
        });
        run.run().await.unwrap_err().child().to_owned()
    };
    observed(
        async || gives_up(false).await,
        |ended, told| {
            assert_eq!(ended.unwrap(), "a");
            assert_eq!(told, [(OrphanKind::Later, "\"b\"".to_owned())]);
        },
    );
    observed(
        async || gives_up(true).await,
        |ended, told| {
            assert!(is_panic(&ended, "b"));
            assert!(matches!(told, [(OrphanKind::Panicked, error)] if error.contains("TooManyRestarts")), "{told:?}");
        },
    );
}

/// L35: each failure is looked at by the supervisor, or ends with the observer, once; also those that have come, and
/// were not looked at yet when the supervisor gave up, was cancelled or was dropped.
#[test]
fn each_failure_ends_in_one_place() {
    for (panics, ends) in [false, true].into_iter().flat_map(|panics| (0..3).map(move |ends| (panics, ends))) {
        let (failed, looked_at) = (Log::default(), Log::default());
        let unread = Cell::new(0);
        let program = async || {
            let hook = looked_at.clone();
            let restarts = if ends == 0 { 0 } else { usize::MAX };
            let mut run = Supervisor::new().backoff(doubling()).intensity(restarts, secs(1)).observe(
                move |event: &SupervisorEvent<'_, String>| {
                    if let SupervisorEvent::Ended { exit, .. } = event {
                        hook.add(format!("{exit:?}"));
                    }
                },
            );
            for name in ["c0", "c1", "c2", "c3", "c4"] {
                let failed = failed.clone();
                run = run.child(name, move || {
                    let failed = failed.clone();
                    async move {
                        sleep(secs(1)).await;
                        failed.add(name);
                        if panics {
                            std::panic::panic_any(name);
                        }
                        Err::<(), _>(name.to_owned())
                    }
                });
            }
            let run = run.run();
            match ends {
                0 => drop(run.await.unwrap_err()),
                1 => drop(move_on_after(secs(1), run).await),
                _ => foster::combine::race((sleep(secs(1)), async { drop(run.await) })).await,
            }
        };
        observed(program, |ended, told| {
            // A panic that came after the request resumes; those of that moment are of one scope, which has one (L32).
            assert!(ended.is_ok() || panics);
            unread.set(unread.get() + told.len());
            let mut all: Vec<String> = looked_at.entries().into_iter().map(|(_, exit)| exit).collect();
            // Without the supervisor's own error, beside which one has panicked.
            let told = told.iter().filter(|(kind, _)| *kind != OrphanKind::Panicked);
            all.extend(told.map(|(_, error)| error.clone()));
            for (_, name) in failed.entries() {
                let places = all.iter().filter(|exit| exit.contains(&name)).count();
                assert!(places == 1 || places == 0 && ended.is_err(), "{name}: {all:?}");
            }
            failed.0.lock().unwrap().clear();
            looked_at.0.lock().unwrap().clear();
        });
        assert!(unread.get() > 0 || ends > 0, "some have come, and were not looked at");
    }
}

/// An error, or a payload, whose destructor panics.
#[derive(Debug)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 != "disarmed" {
            let with = std::mem::replace(&mut self.0, "disarmed");
            std::panic::panic_any(with)
        }
    }
}

/// The destructor of an error, or of what a panic carries, is code of the child, and its panic disturbs nobody else. It
/// goes to the observer (L35).
#[test]
fn a_destructor_of_a_failure_disturbs_nobody() {
    for panics in [false, true] {
        observed(
            async || {
                let lives = Arc::new(AtomicU64::new(0));
                let count = lives.clone();
                let run = Supervisor::new().observe(|_: &SupervisorEvent<'_, Bomb>| {});
                let run = run.child("a", move || {
                    let life = count.fetch_add(1, Ordering::SeqCst);
                    async move {
                        match (life, panics) {
                            (0, true) => std::panic::panic_any(Bomb("a")),
                            (0, false) => Err(Bomb("a")),
                            _ => Ok(()),
                        }
                    }
                });
                let finished = Arc::new(AtomicBool::new(false));
                let tell = finished.clone();
                let run = run.child("b", move || {
                    let finished = tell.clone();
                    async move {
                        sleep(secs(9)).await;
                        finished.store(true, Ordering::SeqCst);
                    }
                });
                assert!(run.run().await.is_ok());
                (lives.load(Ordering::SeqCst), finished.load(Ordering::SeqCst))
            },
            |ended, told| {
                assert_eq!(ended.unwrap(), (2, true));
                assert_eq!(told, [(OrphanKind::Later, "ChildExit(has panicked: a)".to_owned())]);
            },
        );
        // Also while it is being stopped, when nobody looks at the error.
        observed(
            async || {
                let run = Supervisor::new().child("a", move || {
                    graceful(async move {
                        stopping().await;
                        if panics { std::panic::panic_any(Bomb("a")) } else { Err::<(), _>(Bomb("a")) }
                    })
                });
                let scope = CancelScope::new().deadline_after(secs(1)).grace(secs(9));
                assert!(scope.run(run.run()).await.is_err());
            },
            |ended, told| match panics {
                true => {
                    let mut payload = ended.unwrap_err();
                    let Some(bomb) = payload.downcast_mut::<Bomb>() else { panic!("the payload comes out") };
                    bomb.0 = "disarmed";
                }
                false => {
                    ended.unwrap();
                    let kinds: Vec<&str> = told.iter().map(|(_, error)| error.as_str()).collect();
                    assert_eq!(kinds, ["Bomb(\"a\")", "ChildExit(has panicked: a)"]);
                }
            },
        );
    }
}
