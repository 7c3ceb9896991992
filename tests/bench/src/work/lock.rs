//! Locks and events: free, and fought over by 64 children in one task.
//!
//! Peers run in the same tree on the same host, so only the lock differs.

use foster::sync::{Event, Mutex, Semaphore};
use foster::{LocalNursery, local_nursery};
use std::future::Future;

use super::turn::Yield;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

async fn semaphore(n: u64) -> u64 {
    let semaphore = Semaphore::new(4);
    let mut sum = 0;
    for i in 0..n {
        let _permit = semaphore.fast_acquire().await;
        sum += i;
    }
    sum
}

async fn mutex(n: u64) -> u64 {
    let mutex = Mutex::new(0);
    for i in 0..n {
        *mutex.fast_lock().await += i;
    }
    mutex.into_inner().unwrap_or_default()
}

async fn event(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let event = Event::new();
        event.set();
        event.wait().await;
        sum += i;
    }
    sum
}

const CHILDREN: u64 = 64;

/// 64 children, each of which does its part of `n` turns.
async fn fight<F: Future<Output = u64> + Send>(n: u64, turn: impl Fn(u64) -> F + Sync) -> u64 {
    let turn = &turn;
    let Ok(sum) = local_nursery(async |nursery: LocalNursery<'_>| {
        let child = |child| async move {
            let mut sum = 0;
            for i in (child..n).step_by(CHILDREN as usize) {
                sum += turn(i).await;
            }
            Ok(sum)
        };
        let tasks: Vec<_> = (0..CHILDREN).map(|number| nursery.spawn(child(number))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

async fn bare_fight(n: u64) -> u64 {
    fight(n, |i| async move {
        Yield::default().await;
        i
    })
    .await
}

async fn fought_semaphore(n: u64) -> u64 {
    let semaphore = Semaphore::new(4);
    fight(n, |i| {
        let permit = semaphore.fast_acquire();
        async move {
            let _permit = permit.await;
            Yield::default().await;
            i
        }
    })
    .await
}

async fn fought_mutex(n: u64) -> u64 {
    let mutex = Mutex::new(());
    fight(n, |i| {
        let guard = mutex.fast_lock();
        async move {
            let _guard = guard.await;
            Yield::default().await;
            i
        }
    })
    .await
}

pub(super) fn rows(rows: &mut Rows) {
    let bars = [Bar::Ratio(1.0), Bar::Allocs(0.0)];
    let row = rows.on(Host::Plain, "semaphore-free", "semaphore, free (`fast_acquire`)", 20_000).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, semaphore)));
    #[cfg(feature = "peers")]
    row.peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_semaphore)))
        .peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_semaphore)));
    let row = rows.on(Host::Plain, "mutex-free", "mutex, free (`fast_lock`)", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, mutex)));
    #[cfg(feature = "peers")]
    row.peer("futures", |n| Host::Plain.foster(measure(n, peers::futures_mutex)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_mutex)))
        .peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_mutex)));
    let row = rows.on(Host::Plain, "event-free", "event: made, set, waited for, nobody listens", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, event)));
    #[cfg(feature = "peers")]
    row.peer("event-listener and a flag", |n| Host::Plain.foster(measure(n, peers::event)));

    let row =
        rows.on(Host::Plain, "semaphore-fought", "semaphore with 4 permits, fought over by 64", 50_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, fought_semaphore)));
    #[cfg(feature = "peers")]
    row.peer("async-lock", |n| Host::Plain.foster(measure(n, peers::fought_async_lock_semaphore)))
        .peer("tokio", |n| Host::Plain.foster(measure(n, peers::fought_tokio_semaphore)));
    row.bare(|n| Host::Plain.foster(measure(n, bare_fight)));
    let row = rows.on(Host::Plain, "mutex-fought", "mutex, fought over by 64", 50_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, fought_mutex)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::fought_tokio_mutex)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::fought_async_lock_mutex)))
        .peer("futures", |n| Host::Plain.foster(measure(n, peers::fought_futures_mutex)));
    row.bare(|n| Host::Plain.foster(measure(n, bare_fight)));
}

#[cfg(feature = "peers")]
mod peers {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::fight;
    use crate::work::turn::Yield;

    macro_rules! semaphores {
        ($free:ident, $fought:ident, $new:expr) => {
            pub(super) async fn $free(n: u64) -> u64 {
                let semaphore = $new;
                let mut sum = 0;
                for i in 0..n {
                    let _permit = semaphore.acquire().await;
                    sum += i;
                }
                sum
            }

            pub(super) async fn $fought(n: u64) -> u64 {
                let semaphore = $new;
                fight(n, |i| {
                    let permit = semaphore.acquire();
                    async move {
                        let _permit = permit.await;
                        Yield::default().await;
                        i
                    }
                })
                .await
            }
        };
    }

    macro_rules! mutexes {
        ($free:ident, $fought:ident, $mutex:ty) => {
            pub(super) async fn $free(n: u64) -> u64 {
                let mutex = <$mutex>::new(0);
                for i in 0..n {
                    *mutex.lock().await += i;
                }
                mutex.into_inner()
            }

            pub(super) async fn $fought(n: u64) -> u64 {
                let mutex = <$mutex>::new(0);
                fight(n, |i| {
                    let guard = mutex.lock();
                    async move {
                        let _guard = guard.await;
                        Yield::default().await;
                        i
                    }
                })
                .await
            }
        };
    }

    semaphores!(async_lock_semaphore, fought_async_lock_semaphore, async_lock::Semaphore::new(4));
    semaphores!(tokio_semaphore, fought_tokio_semaphore, tokio::sync::Semaphore::new(4));
    mutexes!(futures_mutex, fought_futures_mutex, futures::lock::Mutex<u64>);
    mutexes!(async_lock_mutex, fought_async_lock_mutex, async_lock::Mutex<u64>);
    mutexes!(tokio_mutex, fought_tokio_mutex, tokio::sync::Mutex<u64>);

    /// What `foster::sync::Event` is, made of event-listener in the way its own documentation shows.
    pub(super) async fn event(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            let (flag, event) = (AtomicBool::new(false), event_listener::Event::new());
            flag.store(true, Ordering::SeqCst);
            event.notify(usize::MAX);
            while !flag.load(Ordering::SeqCst) {
                event.listen().await;
            }
            sum += i;
        }
        sum
    }
}
