//! Locks and events: free, and fought over by 64 children in one task.
//!
//! Peers run in the same tree on the same host, so only the lock differs.

use foster::sync::{Event, Mutex, RwLock, Semaphore};
use foster::{LocalNursery, local_nursery};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use super::turn::Yield;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

async fn semaphore(n: u64) -> u64 {
    let semaphore = Semaphore::new(4);
    let mut sum = 0;
    for i in 0..n {
        let _permit = semaphore.acquire().await;
        sum += i;
    }
    sum
}

async fn mutex(n: u64) -> u64 {
    let mutex = Mutex::new(0);
    for i in 0..n {
        *mutex.lock().await += i;
    }
    mutex.into_inner()
}

async fn read(n: u64) -> u64 {
    let lock = RwLock::new(1);
    let mut sum = 0;
    for i in 0..n {
        sum += *lock.read().await * i;
    }
    sum
}

async fn write(n: u64) -> u64 {
    let lock = RwLock::new(0);
    for i in 0..n {
        *lock.write().await += i;
    }
    lock.into_inner()
}

/// Asked and set, with nobody there.
async fn event_alone(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let event = Event::new();
        if !event.is_set() {
            event.set();
        }
        sum += if event.is_set() { i } else { 0 };
    }
    sum
}

/// Polls once a future that has to wait.
pub(super) async fn begun<F: Future>(mut future: Pin<&mut F>) {
    let waits = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending()));
    assert!(waits.await);
}

/// Waited for by one, and set.
async fn event_waited(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let event = Event::new();
        let mut wait = pin!(event.wait());
        begun(wait.as_mut()).await;
        event.set();
        wait.await;
        sum += i;
    }
    sum
}

/// Waits that are given up.
async fn event_left(n: u64) -> u64 {
    let event = Event::new();
    let mut sum = 0;
    for i in 0..n {
        begun(pin!(event.wait())).await;
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
        let permit = semaphore.acquire();
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
        let guard = mutex.lock();
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
    let row = rows.on(Host::Plain, "semaphore-free", "semaphore, free (`acquire`)", 20_000).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, semaphore)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_semaphore)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_semaphore)));
    let row = rows.on(Host::Plain, "mutex-free", "mutex, free (`lock`)", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, mutex)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_mutex)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_mutex)))
        .peer("futures", |n| Host::Plain.foster(measure(n, peers::futures_mutex)));
    let row = rows.on(Host::Plain, "rw-read-free", "reader-writer lock, free, read (`read`)", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, read)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_read)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_read)));
    let row = rows.on(Host::Plain, "rw-write-free", "reader-writer lock, free, written (`write`)", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, write)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::tokio_write)))
        .peer("async-lock", |n| Host::Plain.foster(measure(n, peers::async_lock_write)));
    let row = rows.on(Host::Plain, "event-alone", "event: made and set, nobody waits", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, event_alone)));
    #[cfg(feature = "peers")]
    row.peer("event-listener and a flag", |n| Host::Plain.foster(measure(n, peers::listener_alone)))
        .peer("tokio Notify and a flag", |n| Host::Plain.foster(measure(n, peers::notify_alone)));
    let row = rows.on(Host::Plain, "event-waited", "event: made, waited for, set", 20_000).bars(&[Bar::Ratio(1.0)]);
    row.foster(|n| Host::Plain.foster(measure(n, event_waited)));
    #[cfg(feature = "peers")]
    row.peer("event-listener", |n| Host::Plain.foster(measure(n, peers::listener_waited)))
        .peer("event-listener on the stack", |n| Host::Plain.foster(measure(n, peers::stack_waited)))
        .peer("tokio Notify", |n| Host::Plain.foster(measure(n, peers::notify_waited)));
    let row = rows.on(Host::Plain, "event-left", "event: a wait begun and dropped", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, event_left)));
    #[cfg(feature = "peers")]
    row.peer("event-listener", |n| Host::Plain.foster(measure(n, peers::listener_left)))
        .peer("tokio Notify", |n| Host::Plain.foster(measure(n, peers::notify_left)));

    let bars = [Bar::Ratio(1.2), Bar::Allocs(0.0)];
    let row =
        rows.on(Host::Plain, "semaphore-fought", "semaphore with 4 permits, fought over by 64", 50_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, fought_semaphore)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::fought_tokio_semaphore)))
        // Not fair: whoever comes may take a permit that others wait for, so it waits for one in four only.
        .peer("async-lock (barging)", |n| Host::Plain.foster(measure(n, peers::fought_async_lock_semaphore)));
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
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{begun, fight};
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

    macro_rules! rw_locks {
        ($read:ident, $write:ident, $lock:ty) => {
            pub(super) async fn $read(n: u64) -> u64 {
                let lock = <$lock>::new(1);
                let mut sum = 0;
                for i in 0..n {
                    sum += *lock.read().await * i;
                }
                sum
            }

            pub(super) async fn $write(n: u64) -> u64 {
                let lock = <$lock>::new(0);
                for i in 0..n {
                    *lock.write().await += i;
                }
                lock.into_inner()
            }
        };
    }

    rw_locks!(tokio_read, tokio_write, tokio::sync::RwLock<u64>);
    rw_locks!(async_lock_read, async_lock_write, async_lock::RwLock<u64>);

    /// The three rows about events.
    macro_rules! events {
        ($alone:ident, $waited:ident, $left:ident, $event:ty, $set:expr, $wait:expr) => {
            pub(super) async fn $alone(n: u64) -> u64 {
                let mut sum = 0;
                for i in 0..n {
                    let (flag, event) = (AtomicBool::new(false), <$event>::new());
                    if !flag.load(Ordering::Acquire) {
                        flag.store(true, Ordering::Release);
                        $set(&event);
                    }
                    sum += if flag.load(Ordering::Acquire) { i } else { 0 };
                }
                sum
            }

            pub(super) async fn $waited(n: u64) -> u64 {
                let mut sum = 0;
                for i in 0..n {
                    let event = <$event>::new();
                    let mut wait = pin!($wait(&event));
                    begun(wait.as_mut()).await;
                    $set(&event);
                    wait.await;
                    sum += i;
                }
                sum
            }

            pub(super) async fn $left(n: u64) -> u64 {
                let event = <$event>::new();
                let mut sum = 0;
                for i in 0..n {
                    begun(pin!($wait(&event))).await;
                    sum += i;
                }
                sum
            }
        };
    }

    events!(
        listener_alone,
        listener_waited,
        listener_left,
        event_listener::Event,
        |event: &event_listener::Event| event.notify(usize::MAX),
        event_listener::Event::listen
    );
    events!(
        notify_alone,
        notify_waited,
        notify_left,
        tokio::sync::Notify,
        tokio::sync::Notify::notify_waiters,
        tokio::sync::Notify::notified
    );

    pub(super) async fn stack_waited(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            let event = event_listener::Event::new();
            event_listener::listener!(event => wait);
            begun(Pin::new(&mut wait)).await;
            event.notify(usize::MAX);
            wait.await;
            sum += i;
        }
        sum
    }
}
