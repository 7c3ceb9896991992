//! A pool's resource borrowed, a token of a rate limiter taken, and an operation that succeeds at once tried, where nobody
//! waits; beside what one writes by hand, and the crates that one takes for it.

use foster::pool::{Pool, PoolError};
use foster::rate::RateLimiter;
use foster::retry::{Backoff, retry};
use std::convert::Infallible;
use std::time::Duration;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

const SIZE: usize = 4;
/// So many that none has ever to be waited for.
const RATE: u32 = 1_000_000_000;

async fn pool(n: u64) -> u64 {
    let pool = Pool::new(SIZE, async || Ok::<_, Infallible>(0_u64));
    let mut sum = 0;
    for i in 0..n {
        let used = pool.run(async |mut number| {
            **number = i;
            Ok::<u64, PoolError<Infallible>>(**number)
        });
        sum += used.await.unwrap();
    }
    pool.close(Duration::from_secs(1)).await;
    sum
}

async fn rate(n: u64) -> u64 {
    let limit = RateLimiter::new(RATE, Duration::from_secs(1));
    let mut sum = 0;
    for i in 0..n {
        limit.acquire().await;
        sum += i;
    }
    sum
}

async fn retries(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += retry(Backoff::new().into_iter().take(3), async || Ok::<u64, Infallible>(i)).await.unwrap();
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    for host in [Host::Plain, Host::TokioCt] {
        let row =
            rows.on(host, "pool", "a pool's idle resource is borrowed and given back", 10_000).bars(&[Bar::Ratio(4.0)]);
        row.foster(move |n| host.foster(measure(n, pool)));
        #[cfg(feature = "peers")]
        row.peer("deadpool", move |n| host.foster(measure(n, peers::deadpool)));
        #[cfg(feature = "peers")]
        row.peer("a semaphore and a list", move |n| host.foster(measure(n, peers::pool)));
        let row =
            rows.on(host, "retry", "an operation that succeeds in its first attempt", 20_000).bars(&[Bar::Ratio(4.0)]);
        row.foster(move |n| host.foster(measure(n, retries)));
        #[cfg(feature = "peers")]
        row.peer("backon", move |n| host.foster(measure(n, peers::retries)));
        let row = rows.on(host, "rate", "a rate limiter's token that is there", 20_000);
        row.foster(move |n| host.foster(measure(n, rate)));
        #[cfg(feature = "peers")]
        row.peer("governor", move |n| host.foster(measure(n, peers::rate)));
    }
}

#[cfg(feature = "peers")]
mod peers {
    use async_lock::Semaphore;
    use backon::{ExponentialBuilder, Retryable};
    use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};
    use governor::{Quota, RateLimiter};
    use std::convert::Infallible;
    use std::num::NonZeroU32;
    use std::sync::Mutex;

    use super::{RATE, SIZE};

    /// The least that a pool can be: it is not told of cancelled uses, closes nothing, and cannot be closed.
    pub(super) async fn pool(n: u64) -> u64 {
        let (permits, idle) = (Semaphore::new(SIZE), Mutex::new(Vec::new()));
        let mut sum = 0;
        for i in 0..n {
            let permit = permits.acquire().await;
            let taken = idle.lock().unwrap().pop();
            let mut resource = taken.unwrap_or_else(|| Box::new(0_u64));
            let used = async {
                *resource = i;
                *resource
            };
            sum += used.await;
            idle.lock().unwrap().push(resource);
            drop(permit);
        }
        sum
    }

    struct Numbers;

    impl Manager for Numbers {
        type Type = u64;
        type Error = Infallible;

        async fn create(&self) -> Result<u64, Infallible> {
            Ok(0)
        }

        async fn recycle(&self, _: &mut u64, _: &Metrics) -> RecycleResult<Infallible> {
            Ok(())
        }
    }

    pub(super) async fn deadpool(n: u64) -> u64 {
        let pool = Pool::<Numbers>::builder(Numbers).max_size(SIZE).build().unwrap();
        let mut sum = 0;
        for i in 0..n {
            let mut number = pool.get().await.unwrap();
            *number = i;
            sum += *number;
        }
        sum
    }

    pub(super) async fn retries(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            let retried = (async || Ok::<u64, Infallible>(i)).retry(ExponentialBuilder::default());
            sum += retried.await.unwrap();
        }
        sum
    }

    pub(super) async fn rate(n: u64) -> u64 {
        let limit = RateLimiter::direct(Quota::per_second(NonZeroU32::new(RATE).unwrap()));
        let mut sum = 0;
        for i in 0..n {
            limit.until_ready().await;
            sum += i;
        }
        sum
    }
}
