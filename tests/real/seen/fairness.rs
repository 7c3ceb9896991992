//! A child has its host's fairness: measured in turns, beside plain tasks of the same host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foster::{Nursery, nursery, sleep};

use super::{Plain, on_host};
use crate::hosts::{HOSTS, Host};
use futures_lite::future::yield_now;

#[expect(clippy::disallowed_methods, reason = "plain tasks have no other clock")]
fn compute(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Computes for a millisecond in each turn until it is told to stop, and counts the turns.
async fn computes(stop: Arc<AtomicBool>, turns: Arc<AtomicUsize>) {
    while !stop.load(Ordering::SeqCst) {
        compute(Duration::from_millis(1));
        turns.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
    }
}

/// How many turns four tasks that compute have until a sleep of 5 ms has ended, for the median of some rounds.
async fn turns_until_woken(host: Host, plain: Option<Plain>) -> usize {
    let mut rounds = Vec::new();
    for _ in 0..7 {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let Ok(()) = nursery(async |n: Nursery| {
            let busy = (0..4).map(|_| computes(stop.clone(), turns.clone()));
            let told = stop.clone();
            match &plain {
                None => {
                    busy.for_each(|busy| drop(n.spawn(busy)));
                    n.spawn(async move {
                        sleep(Duration::from_millis(5)).await;
                        told.store(true, Ordering::SeqCst);
                    });
                }
                Some(plain) => {
                    // They end before the next round, as they are told to.
                    let runs = Arc::new(AtomicUsize::new(4));
                    for busy in busy {
                        let runs = runs.clone();
                        plain.spawn(async move {
                            busy.await;
                            runs.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                    plain.spawn(async move {
                        match host {
                            Host::Smol(_) => drop(smol::Timer::after(Duration::from_millis(5)).await),
                            _ => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                        told.store(true, Ordering::SeqCst);
                    });
                    while runs.load(Ordering::SeqCst) > 0 {
                        yield_now().await;
                    }
                }
            }
            Ok(())
        })
        .await;
        rounds.push(turns.load(Ordering::SeqCst));
    }
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

/// L38: a timer is no later beside children that compute than beside plain tasks that do.
#[test]
fn a_sleep_beside_busy_children_ends_as_soon_as_beside_busy_tasks() {
    foster_conformance::check("a_sleep_beside_busy_children", || {
        for host in HOSTS {
            let (ours, theirs) = on_host(host, "a_sleep_beside_busy_children", async |plain| {
                (turns_until_woken(host, None).await, turns_until_woken(host, Some(plain)).await)
            });
            println!("{host:?}: {ours} turns of busy children until the sleep has ended, {theirs} of plain tasks");
            assert!(ours <= 4 * theirs.max(8), "{host:?}: {ours} turns of busy children, of plain tasks {theirs}");
        }
    });
}

/// L38: a child has as many turns as a plain task.
#[test]
fn busy_children_have_as_many_turns_as_busy_tasks() {
    const EACH: usize = 1000;
    const TURNS: usize = 200_000;
    foster_conformance::check("busy_children_have_as_many_turns", || {
        for host in HOSTS {
            let counts = [0; 2].map(|_| Arc::new(AtomicUsize::new(0)));
            let [ours, theirs] = on_host(host, "busy_children_have_as_many_turns", async |plain| {
                let stop = Arc::new(AtomicBool::new(false));
                let ran = Arc::new(AtomicUsize::new(0));
                let busy = |counts: &Arc<AtomicUsize>| {
                    let (stop, turns, ran) = (stop.clone(), counts.clone(), ran.clone());
                    async move {
                        // All begin to count when all have begun.
                        ran.fetch_add(1, Ordering::SeqCst);
                        while !stop.load(Ordering::SeqCst) {
                            if ran.load(Ordering::SeqCst) >= 2 * EACH {
                                turns.fetch_add(1, Ordering::SeqCst);
                            }
                            yield_now().await;
                        }
                        ran.fetch_sub(1, Ordering::SeqCst);
                    }
                };
                let Ok(()) = nursery(async |n: Nursery| {
                    for _ in 0..EACH {
                        n.spawn(busy(&counts[0]));
                        plain.spawn(busy(&counts[1]));
                    }
                    let turns = || counts.iter().map(|turns| turns.load(Ordering::SeqCst)).sum::<usize>();
                    while turns() < TURNS {
                        yield_now().await;
                    }
                    let counted = counts.each_ref().map(|turns| turns.load(Ordering::SeqCst));
                    stop.store(true, Ordering::SeqCst);
                    while ran.load(Ordering::SeqCst) > 0 {
                        yield_now().await;
                    }
                    [0, 1].iter().for_each(|n| counts[*n].store(counted[*n], Ordering::SeqCst));
                    Ok(())
                })
                .await;
                counts.each_ref().map(|turns| turns.load(Ordering::SeqCst))
            });
            println!("{host:?}: {ours} turns of {EACH} children, {theirs} of as many plain tasks");
            let (less, more) = (ours.min(theirs), ours.max(theirs));
            assert!(2 * more < 5 * less, "{host:?}: children had {ours} turns, as many plain tasks {theirs}");
        }
    });
}
