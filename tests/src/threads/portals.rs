//! Behaviours: portals, for sync code that starts work in a tree.
//!
//! The sync code is the closure of a job here, so that the simulator can take turns with it.

use foster::nursery::Started;
use foster::nursery::TaskStatus;
use foster::portal::Portal;
use foster::portal::{PortalError, PortalStartError};
use foster::{CancelScope, Instant, Nursery, checkpoint, nursery, sleep, sleep_forever, to_thread};

use crate::groups::probe::{Count, assert_took, caught, crash, lingering, poll_once, text, until};
use crate::harness::ms;

/// Hosts a portal, and lets `work` use it on a thread.
async fn with<T: Send + 'static>(work: impl FnOnce(Portal) -> T + Send + 'static) -> T {
    let (portal, host) = Portal::new();
    let Ok(value) = nursery(async |n: Nursery| {
        n.spawn(host);
        Ok(to_thread(move || work(portal)).await)
    })
    .await;
    value
}

/// B234: sync code calls, and gets values; it starts tasks, and waits for them when it likes.
pub async fn sync_code_calls_and_starts_tasks() {
    let start = Instant::now();
    let sum = with(|portal| {
        let slow = portal.spawn(async {
            sleep(ms(3)).await;
            40
        });
        let slow = slow.unwrap();
        let quick = portal.call(async {
            checkpoint().await;
            2
        });
        slow.join().unwrap() + quick.unwrap()
    });
    assert_eq!(sum.await, 42);
    assert_took(start, ms(3));
}

/// B128, B132, B143, B234: a task is started, and sync code goes on when it says that it is ready, with what it says;
/// the task goes on, and its handle has its value.
pub async fn sync_code_starts_a_task_that_gets_ready() {
    let start = Instant::now();
    let looked = Count::new();
    let wait = looked.clone();
    with(move |portal| {
        let (port, server) = portal
            .start(async move |status: Started<u16>| {
                sleep(ms(3)).await;
                status.started(8080);
                wait.reaches(1).await;
                sleep(ms(80)).await;
                "served"
            })
            .unwrap();
        assert_eq!(port, 8080);
        portal.call(async move { assert_took(start, ms(3)) }).unwrap();
        assert!(!server.is_finished());
        looked.up();
        assert_eq!(server.join().unwrap(), "served");
        portal.call(async move { assert_took(start, ms(83)) }).unwrap();

        let (v, kept) = portal.start(async |status: Started<u8>| ready_and_wait(status).await).unwrap();
        assert!(kept.cancel("enough"));
        assert_eq!(v, 7, "it stays readable");
        assert!(matches!(kept.join(), Err(PortalError::Cancelled(Some(_)))));
    })
    .await;
}

async fn ready_and_wait(status: Started<u8>) {
    status.started(7);
    sleep_forever().await;
}

/// B129, B130, B149, L35: a task that does not get ready tells why: with what it returned, or by its panic; the portal
/// goes on.
pub async fn a_task_that_does_not_get_ready_is_told_to_sync_code() {
    with(|portal| {
        let failed = portal.start(async |status: Started<u8>| {
            checkpoint().await;
            drop(status);
            Err::<(), _>("no such port")
        });
        let Err(PortalStartError::NotReady(Err(why))) = failed else { panic!("{failed:?}") };
        assert_eq!(why, "no such port");

        let call = std::panic::AssertUnwindSafe(|| portal.start(async |_: Started<u8>| crash("early")).map(drop));
        let payload = std::panic::catch_unwind(call).unwrap_err();
        assert_eq!(text(&*payload), "early");
        assert_eq!(portal.call(async { 3 }).unwrap(), 3, "neither has touched the others");

        portal.close();
        let refused = portal.start(async |status: Started<u8>| ready_and_wait(status).await);
        assert!(matches!(refused, Err(PortalStartError::Portal(PortalError::Closed))), "{refused:?}");
    })
    .await;
}

/// B134, B234: a portal that is cancelled cancels a task that is not ready yet, waits for its cleanup, and tells who
/// has started it.
pub async fn a_start_ends_with_its_portal() {
    let (started, cleaned) = (Count::new(), Count::new());
    let (begun, cleaning) = (started.clone(), cleaned.clone());
    with(move |portal| {
        let up = portal.clone();
        let wait = begun.clone();
        drop(portal.spawn(async move {
            wait.reaches(1).await;
            up.cancel("enough");
        }));
        let clean = cleaning.clone();
        let told = portal.start(move |_ready: Started<u8>| lingering(&begun, &clean));
        assert!(matches!(told, Err(PortalStartError::Portal(PortalError::Cancelled(_)))), "{told:?}");
        assert_eq!(cleaning.value(), 1);
    })
    .await;
    assert_eq!((started.value(), cleaned.value()), (1, 1));
}

/// B234: a portal that is closed, or whose last handle is gone, waits for its tasks, and lets nothing in meanwhile.
pub async fn a_closed_portal_waits_for_its_tasks() {
    for explicit in [true, false] {
        let (ended, start) = (Count::new(), Instant::now());
        let end = ended.clone();
        with(move |portal| {
            let task = portal.spawn(async move {
                sleep(ms(3)).await;
                end.up();
            });
            drop(task.unwrap());
            if explicit {
                portal.close();
                let refused = portal.call(async {});
                assert!(matches!(refused, Err(PortalError::Closed)), "{refused:?}");
                let refused = portal.spawn(async {});
                assert!(matches!(refused, Err(PortalError::Closed)), "{refused:?}");
                assert!(portal.is_closed());
            }
        })
        .await;
        assert_eq!(ended.value(), 1);
        assert_took(start, ms(3));
    }
}

/// B234: a portal that is cancelled cancels its tasks, waits for their cleanup, and lets nothing in any more.
pub async fn a_cancelled_portal_cancels_its_tasks() {
    let (started, cleaned) = (Count::new(), Count::new());
    let (begun, cleaning) = (started.clone(), cleaned.clone());
    with(move |portal| {
        let task = portal.spawn(lingering(&begun, &cleaning)).unwrap();
        let up = portal.clone();
        foster::thread::block_on(begun.reaches(1));
        up.cancel("enough");
        let refused = portal.spawn(async {});
        assert!(matches!(refused, Err(PortalError::Closed)), "{refused:?}");
        let out = task.join();
        assert!(matches!(out, Err(PortalError::Cancelled(_))), "{out:?}");
        assert_eq!(cleaning.value(), 1, "a handle resolves when the task has ended (L34)");
    })
    .await;
    assert_eq!((started.value(), cleaned.value()), (1, 1));
}

/// B235: a task is cancelled through its handle: at once after the start, later, and when the portal is closed.
pub async fn a_task_of_a_portal_is_cancelled_by_its_handle() {
    let (polled, cleaned) = (Count::new(), Count::new());
    let (begun, cleaning) = (polled.clone(), cleaned.clone());
    with(move |portal| {
        let at_once = portal.spawn(sleep_forever()).unwrap();
        assert!(at_once.cancel("at once"));
        assert!(!at_once.cancel("again"));
        let Err(PortalError::Cancelled(Some(reason))) = at_once.join() else { panic!("it was cancelled") };
        assert_eq!(reason.text(), Some("at once"));

        let later = portal.spawn(lingering(&begun, &cleaning)).unwrap();
        foster::thread::block_on(begun.reaches(1));
        assert!(later.cancel("later"));
        assert!(later.join().is_err());
        assert_eq!(cleaning.value(), 1);

        let after = portal.spawn(sleep_forever()).unwrap();
        portal.close();
        assert!(after.cancel("after the close"));
        assert!(matches!(after.status(), TaskStatus::Cancelling | TaskStatus::Cancelled));
        assert!(after.join().is_err());
    })
    .await;
    assert_eq!((polled.value(), cleaned.value()), (1, 1));
}

/// B230, B234: a thread that waits in a portal while its host is cancelled is told; afterwards the portal is closed.
pub async fn a_call_ends_with_the_host_of_its_portal() {
    let (started, told) = (Count::new(), Count::new());
    let (begun, tell) = (started.clone(), told.clone());
    let (portal, host) = Portal::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(to_thread(move || {
            let call = portal.call(async move {
                begun.up();
                sleep_forever().await
            });
            assert!(matches!(call, Err(PortalError::Cancelled(_))), "{call:?}");
            tell.up();
        }));
        n.spawn(async move {
            assert!(scope.run(host).await.is_err());
        });
        started.reaches(1).await;
        handle.cancel("the end");
    })
    .await;
    assert_eq!(told.value(), 1);
}

/// B234, L26: a host that is never polled, or dropped, lets nobody wait for ever.
pub async fn a_portal_without_a_host_is_closed() {
    let (portal, host) = Portal::new();
    drop(host);
    assert!(portal.is_closed());
    let refused = to_thread(move || portal.call(async {})).await;
    assert!(matches!(refused, Err(PortalError::Closed)), "{refused:?}");

    let (portal, host) = Portal::new();
    let mut job = Box::pin(to_thread(move || portal.call(async {})));
    assert!(poll_once(job.as_mut()).await.is_pending());
    drop(host);
    let refused = job.await;
    assert!(matches!(refused, Err(PortalError::Closed)), "{refused:?}");
}

/// B234, L32, L35: a panic of a call is the caller's; that of a task cancels the others, and comes out of the host.
pub async fn panics_in_a_portal_come_out_once() {
    let call = with(|portal| {
        let call = std::panic::AssertUnwindSafe(|| portal.call(async { crash("in the call") }));
        let payload = std::panic::catch_unwind(call).unwrap_err();
        assert_eq!(text(&*payload), "in the call");
        portal.call(async { 3 }).unwrap()
    });
    assert_eq!(call.await, 3);

    let (started, cleaned) = (Count::new(), Count::new());
    let (begun, cleaning) = (started.clone(), cleaned.clone());
    let (portal, host) = Portal::new();
    let out = caught(nursery(async |n: Nursery| {
        n.spawn(host);
        to_thread(move || {
            let other = portal.spawn(lingering(&begun, &cleaning)).unwrap();
            foster::thread::block_on(begun.reaches(1));
            let task = portal.spawn(async { crash("in the task") }).unwrap();
            assert!(matches!(task.join(), Err(PortalError::Panicked)));
            assert!(matches!(other.join(), Err(PortalError::Cancelled(_))));
        })
        .await;
    }))
    .await;
    assert_eq!(text(&*out.unwrap_err()), "in the task");
    assert_eq!(cleaned.value(), 1);
}

/// B234, L27: a host that foreign code drops half-way: the tasks are cancelled, and waited for by the scope around.
pub async fn the_tasks_of_a_dropped_host_are_waited_for() {
    let (started, cleaned) = (Count::new(), Count::new());
    CancelScope::new()
        .run(async {
            let (portal, host) = Portal::new();
            let mut host = Box::pin(host);
            assert!(poll_once(host.as_mut()).await.is_pending());
            let task = portal.spawn(lingering(&started, &cleaned)).unwrap();
            until(host.as_mut(), started.reaches(1)).await;
            drop(host);
            assert!(portal.is_closed());
            assert!(to_thread(move || task.join()).await.is_err());
        })
        .await
        .unwrap();
    assert_eq!(cleaned.value(), 1);
}
