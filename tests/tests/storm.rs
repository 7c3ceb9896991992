//! The storm: a hundred tasks on locks, limiters and channels, of which a random scope is cancelled every millisecond.
//! At the end all permits are home, all items are accounted for, and nobody waits; on every adapter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foster::{CancelScope, Instant, Nursery, ScopeHandle, interval, move_on_after, nursery, yield_now};
use foster_conformance::harness::ms;

#[path = "storm/acts.rs"]
mod acts;
#[path = "storm/book.rs"]
mod book;
#[path = "storm/world.rs"]
mod world;

use acts::{ACTS, act, act_briefly};
use world::World;

const TASKS: u64 = 100;

/// Random numbers that are the same on every adapter: splitmix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The counts of what has happened, so that no green run is empty.
#[derive(Default)]
struct Counts {
    done: [AtomicUsize; ACTS],
    cancelled: AtomicUsize,
    timed_out: AtomicUsize,
}

/// The scopes of the tasks, to be cancelled.
#[derive(Default)]
struct Targets(Mutex<Vec<Option<ScopeHandle>>>);

impl Targets {
    fn set(&self, task: u64, handle: ScopeHandle) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[task as usize] = Some(handle);
    }

    fn get(&self, task: u64) -> Option<ScopeHandle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[task as usize].clone()
    }
}

async fn storm(seed: u64, rounds: u32, counts: Arc<Counts>) {
    let begin = Instant::now();
    let world = Arc::new(World::new());
    let targets = Arc::new(Targets(Mutex::new((0..TASKS).map(|_| None).collect())));
    let recorders = world.recorders();
    let Ok(()) = nursery(async |around: Nursery| {
        around.spawn(recorders);
        let Ok(()) = nursery(async |n: Nursery| {
            for task in 0..TASKS {
                let (world, targets, counts) = (world.clone(), targets.clone(), counts.clone());
                n.spawn(tossed(task, Dice(seed << 32 | task), rounds, world, targets, counts));
            }
            n.spawn_daemon(world.clone().serve());
            let (world, mut dice) = (world.clone(), Dice(!seed));
            n.spawn_daemon(async move {
                let mut ticks = interval(ms(1));
                loop {
                    ticks.tick().await;
                    for _ in 0..dice.below(4) {
                        yield_now().await;
                    }
                    if let Some(target) = targets.get(dice.below(TASKS)) {
                        target.cancel("storm");
                    }
                    world.resize(&mut dice);
                }
            });
        })
        .await;
        world.close();
    })
    .await;
    assert!(begin.elapsed() > ms(0));
    world.is_calm();
}

/// One of the tasks.
async fn tossed(task: u64, mut dice: Dice, rounds: u32, world: Arc<World>, targets: Arc<Targets>, counts: Arc<Counts>) {
    for _ in 0..rounds {
        let mut scope = CancelScope::new();
        targets.set(task, scope.handle());
        let limit = ms(1 + dice.below(40));
        let out = scope.run(move_on_after(limit, async {
            loop {
                if dice.below(4) == 0 {
                    act_briefly(&world, &mut dice).await;
                } else {
                    let which = act(&world, &mut dice).await;
                    counts.done[which].fetch_add(1, Ordering::Relaxed);
                }
                if dice.below(3) == 0 {
                    break;
                }
            }
        }));
        match out.await {
            Ok(Some(())) => {}
            Ok(None) => drop(counts.timed_out.fetch_add(1, Ordering::Relaxed)),
            Err(_) => drop(counts.cancelled.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Each act was done, and both ways to be cut short were taken.
fn covered(name: &str, counts: &Counts) {
    let done = counts.done.each_ref().map(|done| done.load(Ordering::Relaxed));
    let (cancelled, timed_out) = (counts.cancelled.load(Ordering::Relaxed), counts.timed_out.load(Ordering::Relaxed));
    println!("{name}: done {done:?}, cancelled {cancelled}, timed out {timed_out}");
    assert!(done.iter().all(|done| *done > 0) && cancelled > 20 && timed_out > 20);
}

/// I1, L40, B182, B197, B201: in virtual time, over many seeds, with polls that nobody has asked for.
#[test]
fn after_the_storm_all_is_calm_on_the_simulator() {
    let seeds = std::env::var("FOSTER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    let counts = Arc::new(Counts::default());
    for seed in 0..seeds {
        let spurious = if seed % 3 == 0 { 0.1 } else { 0.0 };
        foster_conformance::check("storm", || {
            let builder = foster_sim::Builder::new(seed).spurious_polls(spurious);
            let builder = if seed % 2 == 0 { builder } else { builder.unwatched() };
            builder.run(storm(seed, 8, counts.clone()));
        });
    }
    covered("the simulator", &counts);
}

/// The same with threads that race.
#[test]
fn after_the_storm_all_is_calm_on_smol() {
    for threads in [1, 4] {
        let counts = Arc::new(Counts::default());
        foster_conformance::check("storm", || {
            foster_smol::Builder::new().threads(threads).run(storm(threads as u64, 40, counts.clone()));
        });
        covered("smol", &counts);
    }
}

/// The same with threads that race.
#[test]
fn after_the_storm_all_is_calm_on_tokio() {
    let builders = [foster_tokio::Builder::new().current_thread(), foster_tokio::Builder::new().worker_threads(4)];
    for (seed, builder) in (7..).zip(builders) {
        let counts = Arc::new(Counts::default());
        foster_conformance::check("storm", || builder.run(storm(seed, 40, counts.clone())));
        covered("tokio", &counts);
    }
}
