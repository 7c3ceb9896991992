//! Waiting code does not work: not for a shielded child of a cancelled nursery, for an hour.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use foster::cleanup::defer_within;
use foster::{
    CancelScope, LocalNursery, Nursery, bracket, graceful, local_nursery, move_on_after, nursery, shield, sleep,
    sleep_forever,
};
use foster_conformance::check;
use foster_conformance::harness::ms;

const HOUR: Duration = Duration::from_secs(3600);

/// Counts how often it is polled.
async fn counted<F: Future>(polls: Arc<AtomicUsize>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Relaxed);
        future.as_mut().poll(cx)
    })
    .await
}

/// Runs it on the simulator, where it takes an hour; it makes no more than so many steps and polls.
fn idles<F>(name: &str, most: usize, program: impl FnOnce() -> F)
where
    F: Future<Output = ()>,
{
    check(name, || {
        let polls = Arc::new(AtomicUsize::new(0));
        let run = foster_sim::Builder::new(1).observe(counted(polls.clone(), program()));
        let polls = polls.load(Relaxed);
        println!("{name:<60} {:>3} steps, {polls:>3} polls in {:?}", run.steps, run.elapsed);
        if let Err(payload) = run.outcome {
            std::panic::resume_unwind(payload);
        }
        assert!(run.elapsed >= HOUR, "it waited for {:?}", run.elapsed);
        assert!(run.steps <= most as u64 && polls <= most, "{} steps and {polls} polls to wait", run.steps);
    });
}

/// Cancels it after a millisecond; it ends when what is inside does.
async fn cancelled<F: Future<Output = ()>>(body: F) {
    assert!(move_on_after(ms(1), body).await.is_none());
}

#[test]
fn cancelled_nursery_waits_idly_for_a_shielded_child() {
    idles("cancelled_nursery_waits_idly_for_a_shielded_child", 12, || {
        cancelled(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(shield(sleep(HOUR)));
                sleep_forever().await;
            })
            .await;
        })
    });
}

/// The same with a thousand siblings, which end at once: work for each of them, none for the hour.
#[test]
fn cancelled_nursery_waits_idly_when_its_other_children_have_ended() {
    idles("cancelled_nursery_waits_idly_when_its_other_children_have_ended", 2 * 1000 + 12, || {
        cancelled(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(shield(sleep(HOUR)));
                for _ in 0..1000 {
                    n.spawn(sleep_forever());
                }
                sleep_forever().await;
            })
            .await;
        })
    });
}

#[test]
fn cancelled_local_nursery_waits_idly_for_a_shielded_child() {
    idles("cancelled_local_nursery_waits_idly_for_a_shielded_child", 12, || {
        cancelled(async {
            let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(shield(sleep(HOUR)));
                n.spawn(sleep_forever());
                sleep_forever().await;
            })
            .await;
        })
    });
}

/// L20, L22: scopes of all kinds around one another, a shield at the bottom, and a finalizer that takes its time.
#[test]
fn cancelled_scopes_wait_idly_for_what_is_inside() {
    idles("cancelled_scopes_wait_idly_for_what_is_inside", 12, || {
        cancelled(async {
            defer_within(2 * HOUR, sleep(HOUR));
            let inside = bracket(async {}, |_| shield(sleep(HOUR)), |(), _| async {});
            assert!(move_on_after(2 * HOUR, graceful(inside)).await.is_some());
            sleep_forever().await;
        })
    });
}

/// L20: a graceful shield holds until the grace is over.
#[test]
fn cancelled_scope_waits_idly_for_its_grace() {
    idles("cancelled_scope_waits_idly_for_its_grace", 12, || async {
        let scope = CancelScope::new().deadline_after(ms(1)).grace(HOUR);
        let ended = scope.run(graceful(async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(sleep_forever());
                sleep_forever().await;
            })
            .await;
        }));
        assert!(ended.await.is_err());
    });
}

/// A nursery that waits for a child that is lost with its handle, by the adopter (L27).
#[test]
fn adopter_waits_idly_for_what_was_left() {
    idles("adopter_waits_idly_for_what_was_left", 12, || async {
        let mut lost = Box::pin(nursery(async |n: Nursery| {
            n.spawn(shield(sleep(HOUR)));
            sleep_forever().await;
        }));
        poll_fn(|cx| {
            assert!(lost.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        // The child has to begin, or it will not (L13).
        sleep(ms(1)).await;
        drop(lost);
    });
}

/// On real runtimes: not an hour, but no more polls either.
#[test]
fn cancelled_nursery_waits_idly_on_real_runtimes() {
    async fn program(polls: Arc<AtomicUsize>) {
        let waits = counted(polls, async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(shield(sleep(ms(300))));
                sleep_forever().await;
            })
            .await;
        });
        assert!(move_on_after(ms(20), waits).await.is_none());
    }

    check("cancelled_nursery_waits_idly_on_real_runtimes", || {
        let (smol, tokio) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        foster_smol::run(program(smol.clone()));
        foster_tokio::run(program(tokio.clone()));
        let polls = [smol, tokio].map(|polls| polls.load(Relaxed));
        println!("polls on smol and tokio: {polls:?}");
        assert!(polls.iter().all(|polls| *polls <= 8), "{polls:?} polls to wait");
    });
}
