//! What the tests of the simulator share.
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

/// What a run panicked with.
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
