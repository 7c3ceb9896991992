//! Two futures in one task: the first one counts, or both do.

use std::future::pending;

use super::turn::Yield;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// Gives way once.
pub(super) async fn late(i: u64) -> u64 {
    Yield::default().await;
    i
}

async fn race(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += foster::combine::race((late(i), pending())).await;
    }
    sum
}

async fn join(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += foster::combine::join((late(i), late(0))).await.0;
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    let row = rows.on(Host::Plain, "race", "race of two, pending once", 5_000).bars(&[Bar::Ratio(25.0)]);
    row.foster(|n| Host::Plain.foster(measure(n, race)));
    #[cfg(feature = "peers")]
    row.peer("futures select", |n| Host::Plain.alone(measure(n, peers::select)))
        .peer("tokio select!", |n| Host::Plain.alone(measure(n, peers::tokio_select)))
        .peer("futures-lite or", |n| Host::Plain.alone(measure(n, peers::or)))
        .peer("futures-concurrency", |n| Host::Plain.alone(measure(n, peers::concurrency_race)));
    let row = rows.on(Host::Plain, "join", "join of two, pending once", 5_000).bars(&[Bar::Ratio(4.0)]);
    row.foster(|n| Host::Plain.foster(measure(n, join)));
    #[cfg(feature = "peers")]
    row.peer("futures join", |n| Host::Plain.alone(measure(n, peers::join)))
        .peer("futures-concurrency", |n| Host::Plain.alone(measure(n, peers::concurrency_join)));
}

#[cfg(feature = "peers")]
mod peers {
    use futures_concurrency::prelude::*;
    use std::future::pending;
    use std::pin::pin;

    use super::late;

    pub(super) async fn select(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            let (first, second) = (pin!(late(i)), pin!(pending::<u64>()));
            sum += futures::future::select(first, second).await.factor_first().0;
        }
        sum
    }

    pub(super) async fn tokio_select(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += tokio::select! {
                first = late(i) => first,
                second = pending() => second,
            };
        }
        sum
    }

    pub(super) async fn or(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += futures_lite::future::or(late(i), pending()).await;
        }
        sum
    }

    pub(super) async fn concurrency_race(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += (late(i), pending()).race().await;
        }
        sum
    }

    pub(super) async fn concurrency_join(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += (late(i), late(0)).join().await.0;
        }
        sum
    }

    pub(super) async fn join(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += futures::future::join(late(i), late(0)).await.0;
        }
        sum
    }
}
