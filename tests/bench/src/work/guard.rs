//! Asking whether to stop, and scopes around code that has nothing to stop for.

use foster::{CancelScope, bracket, fail_after, is_cancelled, shield};
use std::hint::black_box;
use std::pin::Pin;
use std::time::Duration;

use super::turn::Yield;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

async fn bare_ready(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += async move { black_box(i) }.await;
    }
    sum
}

async fn check(n: u64) -> u64 {
    (0..n).map(|i| if is_cancelled() { 0 } else { black_box(i) }).sum()
}

async fn check_in_scope(n: u64) -> u64 {
    CancelScope::new().run(check(n)).await.unwrap()
}

/// So long that it never fires.
const LONG: Duration = Duration::from_secs(3600);

async fn check_in_limit(n: u64) -> u64 {
    fail_after(LONG, check(n)).await.unwrap()
}

async fn check_deep(n: u64) -> u64 {
    let mut work: Pin<Box<dyn Future<Output = u64>>> = Box::pin(check(n));
    for _ in 0..8 {
        work = Box::pin(async move { CancelScope::new().run(work).await.unwrap() });
    }
    work.await
}

async fn scoped(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += CancelScope::new().run(async move { black_box(i) }).await.unwrap();
    }
    sum
}

async fn scoped_once(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += CancelScope::new().run(once(i)).await.unwrap();
    }
    sum
}

async fn once(i: u64) -> u64 {
    Yield::default().await;
    i
}

async fn with_handle(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        sum += scope.run(async move { black_box(i) }).await.unwrap();
        black_box(handle);
    }
    sum
}

async fn shielded(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += shield(async move { black_box(i) }).await;
    }
    sum
}

async fn bracketed(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let body = async |number: foster::cleanup::ResourceGuard<u64>| black_box(*number);
        sum += bracket(async move { i }, body, |number, _| async move { _ = black_box(number) }).await;
    }
    sum
}

/// One future that is polled again and again.
async fn polls(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        Yield::default().await;
        sum += i;
    }
    sum
}

async fn scoped_polls(n: u64) -> u64 {
    CancelScope::new().run(polls(n)).await.unwrap()
}

type Work = fn(u64) -> Pin<Box<dyn Future<Output = u64>>>;

pub(super) fn rows(rows: &mut Rows) {
    let row = rows.on(Host::Plain, "check", "cancel check", 20_000).bars(&[Bar::Ratio(1.0)]).gated();
    row.foster(|n| Host::Plain.foster(measure(n, check)));
    #[cfg(feature = "peers")]
    row.peer("CancellationToken", |n| Host::Plain.alone(measure(n, peers::check)));
    row.bare(|n| Host::Plain.foster(measure(n, bare_ready)));

    // In a limit the clock is read, once.
    for (key, what, bars, work) in [
        (
            "check-scope",
            "cancel check in a `CancelScope`",
            &[Bar::Ratio(1.0)][..],
            (|n| Box::pin(check_in_scope(n))) as Work,
        ),
        ("check-deep", "cancel check eight `CancelScope`s deep", &[Bar::Ratio(1.0)], |n| Box::pin(check_deep(n))),
        ("check-limit", "cancel check in a `fail_after`", &[], |n| Box::pin(check_in_limit(n))),
    ] {
        let row = rows.on(Host::Plain, key, what, 20_000).bars(bars);
        row.foster(move |n| Host::Plain.foster(measure(n, work)));
        #[cfg(feature = "peers")]
        row.peer("CancellationToken", |n| Host::Plain.alone(measure(n, peers::check)));
        row.bare(|n| Host::Plain.foster(measure(n, bare_ready)));
    }

    let row = rows.on(Host::Plain, "guard-ready", "`CancelScope` around a ready future", 20_000);
    row.gated().foster(|n| Host::Plain.foster(measure(n, scoped)));
    #[cfg(feature = "peers")]
    row.peer("CancellationToken", |n| Host::Plain.alone(measure(n, peers::guarded)))
        .peer("event-listener", |n| Host::Plain.alone(measure(n, peers::listening)))
        .peer("Abortable", |n| Host::Plain.alone(measure(n, peers::abortable)))
        .peer("select! and a token", |n| Host::Plain.alone(measure(n, peers::selected)));
    row.bare(|n| Host::Plain.foster(measure(n, bare_ready)));

    // What a branch of a combinator costs that has to wait: its scope gets a node.
    let row = rows.on(Host::Plain, "guard-once", "`CancelScope` around a future that is pending once", 20_000);
    row.foster(|n| Host::Plain.foster(measure(n, scoped_once))).bare(|n| Host::Plain.foster(measure(n, polls)));

    let row = rows.on(Host::Plain, "guard-handle", "`CancelScope` with a handle, around a ready future", 20_000);
    row.foster(|n| Host::Plain.foster(measure(n, with_handle)));
    #[cfg(feature = "peers")]
    row.peer("token and child", |n| Host::Plain.alone(measure(n, peers::child_token)));
    row.bare(|n| Host::Plain.foster(measure(n, bare_ready)));

    let row = rows.on(Host::Plain, "guard-poll", "one more poll of a future in a `CancelScope`", 50_000);
    row.gated().foster(|n| Host::Plain.foster(measure(n, scoped_polls)));
    #[cfg(feature = "peers")]
    row.peer("CancellationToken", |n| Host::Plain.foster(measure(n, peers::guarded_polls)))
        .peer("event-listener", |n| Host::Plain.foster(measure(n, peers::listening_polls)))
        .peer("Abortable", |n| Host::Plain.foster(measure(n, peers::abortable_polls)))
        .peer("select! and a token", |n| Host::Plain.foster(measure(n, peers::selected_polls)));
    row.bare(|n| Host::Plain.foster(measure(n, polls)));

    let row = rows.on(Host::Plain, "shield", "`shield` around a ready future", 20_000);
    row.foster(|n| Host::Plain.foster(measure(n, shielded))).bare(|n| Host::Plain.foster(measure(n, bare_ready)));
    let row = rows.on(Host::Plain, "bracket", "`bracket` around a ready future", 10_000);
    row.foster(|n| Host::Plain.foster(measure(n, bracketed))).bare(|n| Host::Plain.foster(measure(n, bare_ready)));
}

#[cfg(feature = "peers")]
mod peers {
    use event_listener::Event;
    use futures::FutureExt;
    use futures::future::{AbortHandle, Abortable};
    use futures_lite::future::or;
    use std::future::Future;
    use std::hint::black_box;
    use std::pin::pin;
    use tokio_util::sync::CancellationToken;

    use super::polls;

    pub(super) async fn check(n: u64) -> u64 {
        let token = CancellationToken::new();
        (0..n).map(|i| if token.is_cancelled() { 0 } else { black_box(i) }).sum()
    }

    pub(super) async fn guarded(n: u64) -> u64 {
        let token = CancellationToken::new();
        let mut sum = 0;
        for i in 0..n {
            sum += token.run_until_cancelled(async move { black_box(i) }).await.unwrap();
        }
        sum
    }

    pub(super) async fn child_token(n: u64) -> u64 {
        let token = CancellationToken::new();
        let mut sum = 0;
        for i in 0..n {
            let child = token.child_token();
            sum += child.run_until_cancelled(async move { black_box(i) }).await.unwrap();
        }
        sum
    }

    pub(super) async fn listening(n: u64) -> u64 {
        let event = Event::new();
        let mut sum = 0;
        for i in 0..n {
            sum += until(&event, async move { black_box(i) }).await;
        }
        sum
    }

    async fn until(event: &Event, body: impl Future<Output = u64>) -> u64 {
        let cancelled = async {
            event.listen().await;
            u64::MAX
        };
        or(body, cancelled).await
    }

    pub(super) async fn listening_polls(n: u64) -> u64 {
        until(&Event::new(), polls(n)).await
    }

    pub(super) async fn abortable(n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            let (handle, registration) = AbortHandle::new_pair();
            sum += Abortable::new(async move { black_box(i) }, registration).await.unwrap();
            black_box(handle);
        }
        sum
    }

    pub(super) async fn abortable_polls(n: u64) -> u64 {
        let (_handle, registration) = AbortHandle::new_pair();
        Abortable::new(polls(n), registration).await.unwrap()
    }

    /// Of futures; tokio's needs its macros.
    async fn select(token: &CancellationToken, body: impl Future<Output = u64>) -> u64 {
        let (mut body, mut cancelled) = (pin!(body.fuse()), pin!(token.cancelled().fuse()));
        futures::select! {
            i = body => i,
            () = cancelled => u64::MAX,
        }
    }

    pub(super) async fn selected(n: u64) -> u64 {
        let token = CancellationToken::new();
        let mut sum = 0;
        for i in 0..n {
            sum += select(&token, async move { black_box(i) }).await;
        }
        sum
    }

    pub(super) async fn selected_polls(n: u64) -> u64 {
        select(&CancellationToken::new(), polls(n)).await
    }

    pub(super) async fn guarded_polls(n: u64) -> u64 {
        CancellationToken::new().run_until_cancelled(polls(n)).await.unwrap()
    }
}
