//! Helpers that the tests of the simulator share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::Nursery;
use foster_sim::Run;

/// A blocking job.
pub async fn job<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    foster::to_thread(work).await
}

/// A nursery whose children cannot fail.
pub async fn scope<F, Fut>(body: F)
where
    F: FnOnce(Nursery<Infallible>) -> Fut,
    Fut: Future<Output = ()>,
{
    let done: Result<(), Infallible> = foster::nursery(body).await;
    done.unwrap_or_else(|never| match never {});
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A list of lines that tasks write to.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, line: impl Display) {
        self.0.lock().unwrap().push(line.to_string());
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The message with which a run panicked.
pub fn panic_of<T>(run: Run<T>) -> String {
    let payload = run.outcome.err().expect("the run fails");
    payload.downcast::<String>().map_or_else(|other| (*other.downcast::<&str>().unwrap()).to_owned(), |text| *text)
}

/// A program with much to choose from: tasks that yield, sleep, compete and run blocking jobs.
pub async fn busy_program() {
    let log = Log::default();
    scope(|n| async move {
        for task in 0..20u64 {
            let (log, inner) = (log.clone(), n.clone());
            n.spawn(async move {
                for round in 0..10 {
                    foster::yield_now().await;
                    foster::sleep(Duration::from_micros((task * 7 + round) % 5)).await;
                    log.add(format_args!("{task}.{round}"));
                    if foster_sim::random() % 4 == 0 {
                        job(|| ()).await;
                    }
                }
                inner.spawn(async { foster::sleep(millis(1)).await });
            });
        }
    })
    .await;
}

/// A program that uses most of foster, with much that is the machine's if anything leaks in: jitter, threads,
/// deadlines, queues of many waiters.
pub async fn broad_program() {
    let lock = Arc::new(foster::sync::Mutex::new(0u64));
    let permits = Arc::new(foster::sync::Semaphore::new(2));
    let (sender, receiver) = foster::channel::bounded::<u64>(2);
    scope(|n| async move {
        for task in 0..6u64 {
            let (lock, permits, sender) = (lock.clone(), permits.clone(), sender.clone());
            n.spawn(async move {
                foster::defer(async { foster::sleep(millis(1)).await });
                let mut tries = 0;
                let tried = foster::retry::retry(foster::retry::Backoff::new(), || {
                    tries += 1;
                    let enough = tries > 1 + task % 3;
                    async move { if enough { Ok(task) } else { Err("too few") } }
                });
                tried.await.expect("it gives up never");
                let _permit = permits.acquire().await;
                let seen = foster::move_on_after(millis(3), async {
                    let mut held = lock.lock().await;
                    foster::sleep(Duration::from_micros(foster_sim::random() % 4_000)).await;
                    *held += 1;
                    job(move || task).await
                });
                let seen = seen.await.unwrap_or(99);
                let first = foster::combine::race((
                    async {
                        foster::sleep(millis(seen)).await;
                        seen
                    },
                    async {
                        foster::yield_now().await;
                        foster::sleep(millis(2)).await;
                        2
                    },
                ));
                sender.send(first.await).await.expect("the receiver stays to the end");
            });
        }
        drop(sender);
        n.spawn(async move {
            let mut sum = 0;
            while let Ok(value) = receiver.recv().await {
                sum += value;
            }
            foster::sleep(Duration::from_nanos(sum)).await;
        });
        let doubled = foster::combine::map_concurrent(3, 0..9u64, |number| async move {
            foster::sleep(millis(number % 4)).await;
            Ok::<_, Infallible>(2 * number)
        });
        assert_eq!(doubled.await.expect("nothing fails").len(), 9);
    })
    .await;
}
