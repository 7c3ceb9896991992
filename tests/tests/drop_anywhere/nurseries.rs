//! Nurseries, local nurseries, and what their handles give.

use std::rc::Rc;

use foster::nursery::{Started, UnsendNursery};
use foster::{LocalNursery, Nursery, NurseryOptions, defer, local_nursery, nursery, shield, sleep};
use foster_conformance::harness::ms;

use crate::driver::{Scene, error, nothing};
use crate::inside::{beside, busy, child, daemon, failing, grandchildren, local_child, local_daemon, local_failing};
use crate::probe::Oops;

cases! {
    nursery_: run, |scene: Scene| nursery(async move |n: Nursery<Oops>| {
        let _local = scene.probe.local();
        defer(scene.probe.finalizer());
        n.spawn(child(scene.probe.clone()));
        n.spawn_daemon(daemon(scene.probe.clone()));
        n.spawn(grandchildren(scene.probe.clone(), n.clone()));
        n.spawn(shield(child(scene.probe.clone())));
        busy(scene.probe.clone()).await;
        Ok(())
    }), error;
    nursery_child_fails: run, |scene: Scene| nursery(async move |n: Nursery<Oops>| {
        let _local = scene.probe.local();
        n.spawn(child(scene.probe.clone()));
        n.spawn(failing(scene.probe.clone()));
        n.spawn(failing(scene.probe.clone()));
        busy(scene.probe.clone()).await;
        Ok(())
    }), error;
    nursery_body_fails: run, |scene: Scene| nursery(async move |n: Nursery<Oops>| {
        n.spawn(child(scene.probe.clone()));
        n.spawn(failing(scene.probe.clone()));
        sleep(ms(1)).await;
        Err::<(), _>(scene.probe.raise())
    }), error;
    collecting_nursery_: run, |scene: Scene| NurseryOptions::new().collect_errors().run(async move |n: Nursery<Oops>| {
        let _local = scene.probe.local();
        n.spawn(child(scene.probe.clone()));
        n.spawn(failing(scene.probe.clone()));
        n.spawn(failing(scene.probe.clone()));
        n.spawn_daemon(daemon(scene.probe.clone()));
        Ok(())
    }), |group| group.err().into_iter().flat_map(|group| group.into_errors()).collect();
    infallible_nursery: run, |scene: Scene| nursery::infallible(async move |n| {
        let _local = scene.probe.local();
        n.spawn(child(scene.probe.clone()));
        n.spawn_daemon(daemon(scene.probe.clone()));
    }), nothing;
    /// Three children, two places: `spawn_limited` waits.
    nursery_spawn_limited: run, |scene: Scene| NurseryOptions::new().limit(2).run(async move |n: Nursery<Oops>| {
        for _ in 0..3 {
            n.spawn_limited(child(scene.probe.clone())).await;
        }
        Ok(())
    }), error;

    /// The nursery goes on; only the future of `spawn_limited` goes.
    spawn_limited: run.beside(), |scene: Scene| async move {
        let beside = scene.probe.clone();
        for _ in 0..2 {
            let alive = beside.beside();
            scene.nursery.spawn_limited(async move { sleep(ms(2)).await; drop(alive); }).await;
        }
    }, nothing;
    task: run.beside(), |scene: Scene| scene.nursery.spawn(beside(scene.probe.clone())), nothing;
    task_wait: run.beside(), |scene: Scene| async move {
        let mut task = scene.nursery.spawn(beside(scene.probe.clone()));
        task.wait().await;
        task.wait().await;
        task.await.is_ok()
    }, nothing;
    local_task: run.beside(), |scene: Scene| scene.local.spawn(beside(scene.probe.clone())), nothing;
    local_spawn_limited: run.beside(), |scene: Scene| async move {
        for _ in 0..2 {
            scene.local.spawn_limited(beside(scene.probe.clone())).await;
        }
    }, nothing;
    start: run.beside(), |scene: Scene| async move {
        let probe = scene.probe.clone();
        let started = scene.nursery.start(move |status| async move {
            let _inside = probe.beside();
            defer(probe.finalizer());
            sleep(ms(2)).await;
            let child = nursery(async |n: Nursery| { n.spawn(beside(probe.clone())); status.started(7); });
            let Ok(()) = child.await;
            sleep(ms(2)).await;
        });
        started.await
    }, error;
    start_task: run.beside(), |scene: Scene| async move {
        let probe = scene.probe.clone();
        let (value, task) = scene.nursery.start_task(move |status| async move {
            let _inside = probe.beside();
            sleep(ms(2)).await;
            status.started(7);
            sleep(ms(2)).await;
            Ok(8)
        }).await?;
        Ok((value, task.await.ok()))
    }, error;
    /// The child fails before it is ready: its error is the caller's.
    start_fails: run.beside(), |scene: Scene| async move {
        let probe = scene.probe.clone();
        let started = scene.nursery.start(move |status: Started<()>| async move {
            let _inside = probe.beside();
            defer(probe.finalizer());
            sleep(ms(2)).await;
            drop(status);
            Err(probe.raise())
        });
        started.await
    }, error;
    start_never_ready: run.beside(), |scene: Scene| async move {
        let started = scene.nursery.start(move |status: Started<()>| async move {
            sleep(ms(2)).await;
            drop(status);
        });
        started.await
    }, error;
    local_start: run.beside(), |scene: Scene| async move {
        let probe = scene.probe.clone();
        let started = scene.local.start(move |status| async move {
            let _inside = probe.beside();
            defer(probe.finalizer());
            sleep(ms(2)).await;
            status.started(7);
            sleep(ms(2)).await;
        });
        started.await
    }, error;
    local_start_task: run.beside(), |scene: Scene| async move {
        let probe = scene.probe.clone();
        let (value, task) = scene.local.start_task(move |status| async move {
            let _inside = probe.beside();
            sleep(ms(2)).await;
            status.started(7);
            sleep(ms(2)).await;
            Ok(8)
        }).await?;
        Ok((value, task.await.ok()))
    }, error;

    local_nursery_: run, |scene: Scene| async move {
        let probe = scene.probe;
        let lent = &probe;
        local_nursery(async |n: LocalNursery<'_, Oops>| {
            let _local = lent.local();
            defer(lent.finalizer());
            n.spawn(async { local_child(lent.clone()).await });
            n.spawn_daemon(local_daemon(lent.clone()));
            n.spawn(shield(local_child(lent.clone())));
            n.spawn({
                let n = n.clone();
                async move {
                    sleep(ms(1)).await;
                    n.spawn(local_child(lent.clone()));
                }
            });
            busy(lent.clone()).await;
            Ok(())
        })
        .await
    }, error;
    local_nursery_child_fails: run, |scene: Scene| local_nursery(async move |n: LocalNursery<'_, Oops>| {
        n.spawn(local_child(scene.probe.clone()));
        n.spawn(local_failing(scene.probe.clone()));
        n.spawn(local_failing(scene.probe.clone()));
        sleep(ms(9)).await;
        Ok(())
    }), error;
    collecting_local_nursery_: run, |scene: Scene| NurseryOptions::new().collect_errors().run_local(async move |n: LocalNursery<'_, Oops>| {
        let _local = scene.probe.local();
        n.spawn(local_child(scene.probe.clone()));
        n.spawn(local_failing(scene.probe.clone()));
        n.spawn(local_failing(scene.probe.clone()));
        Ok(())
    }), |group| group.err().into_iter().flat_map(|group| group.into_errors()).collect();
    infallible_local_nursery: run, |scene: Scene| nursery::infallible_local(async move |n| {
        let _local = scene.probe.local();
        n.spawn(local_child(scene.probe.clone()));
    }), nothing;
    local_nursery_unsend_: run_unsend, |scene: Scene| NurseryOptions::new().run_local_unsend(async move |n: UnsendNursery<'_, Oops>| {
        let shared = Rc::new(scene.probe.local());
        let kept = shared.clone();
        n.spawn(async move {
            sleep(ms(1)).await;
            drop(kept);
        });
        n.spawn(local_child(scene.probe.clone()));
        sleep(ms(2)).await;
        drop(shared);
        Ok(())
    }), error;
    collecting_local_nursery_unsend_: run_unsend, |scene: Scene| {
        NurseryOptions::new().collect_errors().run_local_unsend(async move |n: UnsendNursery<'_, Oops>| {
            let _local = Rc::new(scene.probe.local());
            n.spawn(local_failing(scene.probe.clone()));
            n.spawn(local_child(scene.probe.clone()));
            Ok(())
        })
    }, |group| group.err().into_iter().flat_map(|group| group.into_errors()).collect();
}
