//! Tests of async code, as one writes them: one body for every adapter, a fixture that cleans up, limits of time, and what is
//! left after a cancel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::cleanup::ResourceGuard;
use foster::retry::retry;
use foster::{Instant, Nursery, bracket, move_on_after, nursery, sleep, sleep_forever};

/// A service, as far as the tests need one.
struct Server {
    open: Arc<AtomicUsize>,
    requests: AtomicUsize,
}

impl Server {
    async fn start(open: Arc<AtomicUsize>) -> Server {
        sleep(Duration::from_millis(1)).await;
        open.fetch_add(1, Ordering::SeqCst);
        Server { open, requests: AtomicUsize::new(0) }
    }

    async fn ask(&self) -> Result<usize, &'static str> {
        sleep(Duration::from_millis(2)).await;
        match self.requests.fetch_add(1, Ordering::SeqCst) {
            0 => Err("not ready"),
            number => Ok(number),
        }
    }

    async fn stop(self) {
        sleep(Duration::from_millis(1)).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The fixture: starts a server, lends it to the test, and stops it on every path.
async fn with_server<T, F: Future<Output = T>>(
    open: &Arc<AtomicUsize>,
    test: impl FnOnce(ResourceGuard<Server>) -> F,
) -> T {
    bracket(Server::start(open.clone()), test, |server, _exit| server.stop()).await
}

#[foster::test(smol, tokio, tokio_current_thread, sim, timeout = "60s", seeds = 100)]
async fn the_second_request_is_answered() {
    let open = Arc::default();
    let answer = with_server(&open, async |server| retry([Duration::ZERO], || server.ask()).await).await;
    assert_eq!(answer, Ok(1));
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[foster::test(smol, tokio, sim, timeout = "60s")]
async fn the_server_is_stopped_when_its_user_is_cancelled() {
    let open = Arc::default();
    let user = with_server(&open, async |_server| sleep_forever().await);
    assert!(move_on_after(Duration::from_millis(20), user).await.is_none());
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

/// Wherever it is cancelled: in virtual time every millisecond is tried at no cost.
#[foster::test(sim)]
async fn nothing_is_left_whenever_it_is_cancelled() {
    let open = Arc::default();
    let mut cut = Vec::new();
    for deadline in 0..12 {
        let user = with_server(&open, async |server| retry([Duration::from_millis(3)], || server.ask()).await);
        if move_on_after(Duration::from_millis(deadline), user).await.is_none() {
            cut.push(deadline);
        }
        assert_eq!(open.load(Ordering::SeqCst), 0, "after {deadline} ms");
    }
    // It starts at 1 ms, and the first request fails at 3 ms. A second one is only made if there is time for it, at 6 ms.
    assert_eq!(cut, [0, 1, 2, 7]);
}

#[foster::test(sim)]
async fn two_users_are_served_at_once() {
    let (open, start) = (Arc::default(), Instant::now());
    with_server(&open, async |server| {
        let server = Arc::new(server);
        let Ok(()) = nursery(async |n: Nursery| {
            for _user in 0..2 {
                let server = server.clone();
                n.spawn(async move {
                    let _answer = server.ask().await;
                });
            }
        })
        .await;
    })
    .await;
    assert_eq!(start.elapsed(), Duration::from_millis(1 + 2 + 1)); // exactly
}
