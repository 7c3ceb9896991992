//! Time limits, none of which is reached.

use foster::fail_after;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::turn::Yield;
use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::{Bar, Rows};

const LONG: Duration = Duration::from_secs(300);

async fn ready(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += fail_after(LONG, async move { black_box(i) }).await.unwrap();
    }
    sum
}

/// Gives way so many times, then returns a number.
async fn yields(turns: u64, i: u64) -> u64 {
    for _ in 0..turns {
        Yield::default().await;
    }
    black_box(i)
}

async fn bare<const TURNS: u64>(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += yields(TURNS, i).await;
    }
    sum
}

async fn pending<const TURNS: u64>(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += fail_after(LONG, yields(TURNS, i)).await.unwrap();
    }
    sum
}

/// Eight limits, one in the other.
macro_rules! eight {
    ($limit:path, $body:expr, $strip:path) => {{
        let (a, b) = (|future| $limit(LONG, future), |future| $limit(LONG, future));
        let (c, d) = (|future| $limit(LONG, future), |future| $limit(LONG, future));
        let (e, f) = (|future| $limit(LONG, future), |future| $limit(LONG, future));
        let (g, h) = (|future| $limit(LONG, future), |future| $limit(LONG, future));
        $strip(a(b(c(d(e(f(g(h($body)))))))))
    }};
}
pub(super) use eight;

/// The future as it is.
pub(super) fn whole<F>(future: F) -> F {
    future
}

async fn nested(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let result = eight!(fail_after, yields(1, i), whole).await;
        sum += flat(result);
    }
    sum
}

/// The value below eight layers of results.
fn flat<E>(result: Eight<E>) -> u64 {
    let values = result.into_iter().flatten().flatten().flatten().flatten().flatten().flatten().flatten();
    values.sum()
}

type Two<T, E> = Result<Result<T, E>, E>;
type Eight<E> = Two<Two<Two<Two<u64, E>, E>, E>, E>;

/// Polls each future once, when all are there, then drops them.
pub(super) async fn armed<F: Future>(n: u64, limit: impl Fn(u64) -> F) -> u64 {
    let mut all: Vec<Pin<Box<F>>> = Vec::with_capacity(n as usize);
    for i in 0..n {
        let mut future = Box::pin(limit(i));
        let was_pending =
            std::future::poll_fn(|cx: &mut Context<'_>| Poll::Ready(future.as_mut().poll(cx).is_pending()));
        assert!(was_pending.await);
        all.push(future);
    }
    meter::all_is_live();
    drop(all);
    n * n.saturating_sub(1) / 2
}

async fn armed_foster(n: u64) -> u64 {
    armed(n, |_| fail_after(LONG, std::future::pending::<()>())).await
}

pub(super) fn rows(rows: &mut Rows) {
    // Below one task, the timers are async-io's, and its own thread drives them.
    for host in [Host::Plain, Host::TokioCt, Host::TokioMt2] {
        let bars = [Bar::Ratio(1.3)];
        let row = rows.on(host, "limit-ready", "`fail_after`, ready at once", 20_000);
        row.bars(&bars).foster(move |n| host.foster(measure(n, ready)));
        if !host.is_parallel() {
            row.gated();
        }
        row.bare(move |n| host.foster(measure(n, bare::<0>)));
        #[cfg(feature = "peers")]
        peers::ready(row, host);

        let row = rows.on(host, "limit-once", "`fail_after`, pending once, one after the other in one task", 20_000);
        row.bars(&bars).foster(move |n| host.foster(measure(n, pending::<1>)));
        if host == Host::TokioCt {
            // Only there: async-io's own thread is counted, too, and does not do the same in each run.
            row.gated();
        }
        row.bare(move |n| host.foster(measure(n, bare::<1>)));
        #[cfg(feature = "peers")]
        peers::pending::<1>(row, host);

        let row = rows.on(host, "limit-ten", "`fail_after`, pending ten times", 10_000);
        row.foster(move |n| host.foster(measure(n, pending::<10>)));
        row.bare(move |n| host.foster(measure(n, bare::<10>)));
        #[cfg(feature = "peers")]
        peers::pending::<10>(row, host);

        let row = rows.on(host, "limit-nested", "eight `fail_after`, one in the other, pending once", 5_000);
        row.bars(&bars).foster(move |n| host.foster(measure(n, nested)));
        row.bare(move |n| host.foster(measure(n, bare::<1>)));
        #[cfg(feature = "peers")]
        peers::nested(row, host);

        let row = rows.on(host, "limit-1e5", "100 000 `fail_after` pending, then dropped", 100_000);
        row.bars(&[Bar::Ratio(1.2)]).foster(move |n| host.foster(measure(n, armed_foster)));
        row.bare(move |n| host.foster(measure(n, |n| armed(n, |_| std::future::pending::<()>()))));
        #[cfg(feature = "peers")]
        peers::armed(row, host);
    }
}

#[cfg(feature = "peers")]
pub(super) mod peers {
    use futures_lite::future::or;
    use futures_timer::Delay;
    use pin_project_lite::pin_project;
    use smol::Timer;
    use std::future::Future;
    use std::hint::black_box;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use super::{LONG, flat, whole, yields};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    pin_project! {
        /// The future that people write by hand, around a timer of their runtime.
        pub(in super::super) struct Limit<F, D> {
            #[pin]
            body: F,
            #[pin]
            timer: D,
        }
    }

    impl<F: Future, D: Future> Future for Limit<F, D> {
        type Output = Result<F::Output, ()>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let this = self.project();
            if let Poll::Ready(value) = this.body.poll(cx) {
                return Poll::Ready(Ok(value));
            }
            this.timer.poll(cx).map(|_| Err(()))
        }
    }

    pub(in super::super) fn limit<F: Future>(after: Duration, body: F) -> Limit<F, Timer> {
        Limit { body, timer: Timer::after(after) }
    }

    fn limit_by_delay<F: Future>(after: Duration, body: F) -> Limit<F, Delay> {
        Limit { body, timer: Delay::new(after) }
    }

    /// The function that they write with `or`. It keeps the body twice, and so does its block.
    pub(in super::super) async fn or_timer<F: Future>(after: Duration, body: F) -> Result<F::Output, ()> {
        // Made here, and not when the body has to wait, so that the time begins to run as in the others.
        let timer = Timer::after(after);
        let late = async {
            timer.await;
            Err(())
        };
        or(async { Ok(body.await) }, late).await
    }

    /// tokio's limit, as a function of one's own.
    pub(in super::super) async fn own_timeout<F: Future>(after: Duration, body: F) -> Result<F::Output, ()> {
        tokio::time::timeout(after, body).await.map_err(drop)
    }

    /// Adds `work` with tokio's limit or with async-io's, whichever is the host's own; in a tree, as foster's,
    /// so that the bare work is the same.
    macro_rules! native {
        ($row:ident, $host:ident, $limit:ident => $work:expr) => {
            if $host != Host::Plain {
                use tokio::time::timeout as $limit;
                $row.peer("tokio timeout", move |n| $host.foster(measure(n, $work)));
            } else {
                native!($row, $host, "async-io Timer", limit as $limit => $work);
                native!($row, $host, "or and async-io Timer", or_timer as $limit => $work);
                native!($row, $host, "futures-timer", limit_by_delay as $limit => $work);
            }
        };
        ($row:ident, $host:ident, $name:literal, $own:ident as $limit:ident => $work:expr) => {{
            use $own as $limit;
            $row.peer($name, move |n| $host.foster(measure(n, $work)));
        }};
    }

    pub(super) fn ready(row: &mut Row, host: Host) {
        native!(row, host, limited => async |n| {
            let mut sum = 0;
            for i in 0..n {
                sum += limited(LONG, async move { black_box(i) }).await.unwrap();
            }
            sum
        });
    }

    pub(super) fn pending<const TURNS: u64>(row: &mut Row, host: Host) {
        native!(row, host, limited => async |n| {
            let mut sum = 0;
            for i in 0..n {
                sum += limited(LONG, yields(TURNS, i)).await.unwrap();
            }
            sum
        });
    }

    pub(super) fn nested(row: &mut Row, host: Host) {
        macro_rules! nested {
            ($limit:ident) => {
                async |n| {
                    let mut sum = 0;
                    for i in 0..n {
                        sum += flat(eight!($limit, yields(1, i), whole).await);
                    }
                    sum
                }
            };
        }
        native!(row, host, limited => nested!(limited));
        if host != Host::Plain {
            native!(row, host, "tokio timeout in an async fn", own_timeout as limited => nested!(limited));
        }
    }

    pub(super) fn armed(row: &mut Row, host: Host) {
        native!(row, host, limited => async |n| super::armed(n, |_| limited(LONG, std::future::pending::<()>())).await);
    }
}
