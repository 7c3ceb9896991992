//! Daemons: children that end with the others (L24).

use foster::error::{ErrorGroup, JoinError};
use foster::nursery::TaskStatus;
use foster::scope::ReasonKind;
use foster::{CancelScope, Nursery, Task, is_cancelled, nursery, shield, sleep, sleep_forever};

use super::both::both;
use super::probe::{Count, Finally, caught, crash, lingering, text, until, until_cancelled};
use crate::harness::ms;

both! {
    /// L24: when the body and the other children are over, the daemons are cancelled, clean up, and void nothing.
    daemons_are_cancelled_when_only_they_are_left, local_daemons_are_cancelled_when_only_they_are_left: {
        let (started, cleaned, ended) = (Count::new(), Count::new(), Count::new());
        let mut daemon = None;
        let out = open(async |n: Handle| {
            daemon = Some(n.spawn_daemon(lingering(&started, &cleaned)));
            n.child().daemon().spawn(lingering(&started, &cleaned));
            let (up, cleaned) = (ended.clone(), cleaned.clone());
            n.spawn(async move {
                sleep(ms(2)).await;
                assert_eq!(cleaned.value(), 0, "the daemons stay as long as another child does");
                up.up();
            });
            started.reaches(2).await;
            Ok(1)
        })
        .await;
        assert_eq!(out, Ok(1));
        assert_eq!((ended.value(), cleaned.value()), (1, 2));
        let daemon = daemon.expect("spawned");
        assert_eq!(daemon.status(), TaskStatus::Cancelled);
        assert_eq!(daemon.reason().map(|reason| reason.kind()), Some(ReasonKind::OnlyDaemonsLeft));
    }

    /// L24: a daemon may end earlier, with a value.
    a_daemon_may_end_by_itself, a_local_daemon_may_end_by_itself: {
        let out = open(async |n: Handle| {
            let daemon = n.spawn_daemon(async { Ok(2) });
            Ok(daemon.await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(2));
    }

    /// L24: a daemon that fails fails its nursery, also while it is being dismissed.
    an_error_of_a_daemon_counts, an_error_of_a_local_daemon_counts: {
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            n.spawn_daemon(async { Err::<(), _>("at once") });
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert_eq!(out, Err("at once"));
        let out: Result<(), ErrorGroup<&str>> = open_collecting(async |n: Handle<&'static str>| {
            let started = Count::new();
            let up = started.clone();
            n.spawn_daemon(async move {
                up.up();
                until_cancelled().await;
                Err::<(), _>("dismissed")
            });
            started.reaches(1).await;
            Ok(())
        })
        .await;
        assert_eq!(out.unwrap_err().into_errors(), ["dismissed"]);
    }

    /// L24, L32: a daemon's panic counts like any child's.
    a_panic_of_a_daemon_counts, a_panic_of_a_local_daemon_counts: {
        let panic = caught(open(async |n: Handle| {
            n.spawn_daemon(async { crash("a daemon's panic") });
            sleep_forever().await
        }))
        .await
        .unwrap_err();
        assert_eq!(text(&*panic), "a daemon's panic");
    }

    /// L24, L33: a daemon that is cut from outside voids nothing.
    a_cut_daemon_voids_nothing, a_cut_local_daemon_voids_nothing: {
        let (started, cleaned) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(open(async |n: Handle| {
                n.spawn_daemon(lingering(&started, &cleaned));
                started.reaches(1).await;
                handle.cancel("from outside");
                Ok(5)
            }))
            .await;
        assert_eq!(out.unwrap(), Ok(5));
        assert_eq!(cleaned.value(), 1);
    }

    /// L24, L4: while the daemons are being dismissed others may come: a child, which keeps the nursery, and a daemon,
    /// which is dismissed after that.
    a_daemon_that_comes_late_is_dismissed_too, a_local_daemon_that_comes_late_is_dismissed_too: {
        let (late, ended) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            let started = Count::new();
            let dismissed = Finally::new({
                let (n, late, ended) = (n.clone(), late.clone(), ended.clone());
                move || {
                    let gone = late.on_drop();
                    n.spawn(async move {
                        sleep(ms(2)).await;
                        assert_eq!(late.value(), 0);
                        ended.up();
                    });
                    n.spawn_daemon(async move {
                        let _gone = gone;
                        sleep_forever().await
                    });
                }
            });
            let up = started.clone();
            n.spawn_daemon(async move {
                let _dismissed = dismissed;
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!((late.value(), ended.value()), (1, 1));
    }

    /// L24, L27: what a nursery has adopted keeps it, and the daemons.
    daemons_stay_until_adopted_work_has_ended, local_daemons_stay_until_adopted_work_has_ended: {
        let (adopted, daemon) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            let started = Count::new();
            let (gone, up) = (daemon.on_drop(), started.clone());
            n.spawn_daemon(async move {
                let _gone = gone;
                up.up();
                sleep_forever().await
            });
            let mut lost = Box::pin(nursery(async |m: Nursery| {
                let (up, adopted, daemon) = (started.clone(), adopted.clone(), daemon.clone());
                m.spawn(shield(async move {
                    up.up();
                    sleep(ms(2)).await;
                    assert_eq!(daemon.value(), 0);
                    adopted.up();
                }));
                sleep_forever().await
            }));
            until(lost.as_mut(), started.reaches(2)).await;
            drop(lost);
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!((adopted.value(), daemon.value()), (1, 1));
    }

    /// L24: a nursery with nothing but daemons, whose body is over at once, ends.
    a_nursery_of_daemons_ends_with_its_body, a_local_nursery_of_daemons_ends_with_its_body: {
        let tasks = open(async |n: Handle| {
            Ok((0..3).map(|_| n.spawn_daemon(sleep_forever())).collect::<Vec<Task<_>>>())
        })
        .await
        .unwrap();
        for task in tasks {
            assert_eq!(task.await.map(|never| match never {}), Err::<(), _>(JoinError::Cancelled));
        }
        assert!(!is_cancelled());
    }
}
