//! A wait at a socket costs nothing: a wake-up for nothing is one poll, and not the first of many.

#[path = "soak/hosts.rs"]
mod hosts;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use foster::{Nursery, nursery, sleep};
use foster_net::TcpListener;
use foster_net_conformance::in_time;
use foster_net_conformance::kinds::{Kind, Tcp};

use hosts::HOSTS;

/// A future that counts its polls, and keeps the last waker.
#[derive(Clone, Default)]
struct Watch {
    polls: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Watch {
    async fn over<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.polls.fetch_add(1, Ordering::SeqCst);
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            future.as_mut().poll(cx)
        })
        .await
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    /// How many polls come of one wake-up.
    async fn polls_of_a_wake(&self) -> usize {
        let before = self.polls();
        let waker = self.waker.lock().unwrap().clone().expect("it was polled");
        waker.wake();
        while self.polls() == before {
            sleep(Duration::from_millis(1)).await;
        }
        // Another one would follow at once.
        sleep(Duration::from_millis(50)).await;
        self.polls() - before
    }
}

/// Waits until each was polled, and none is any more.
async fn at_rest(watches: &[Watch]) {
    let (mut last, mut unchanged) = (Vec::new(), 0);
    while unchanged < 5 {
        sleep(Duration::from_millis(20)).await;
        let polls: Vec<_> = watches.iter().map(Watch::polls).collect();
        let rests = polls == last && !polls.contains(&0);
        (last, unchanged) = (polls, if rests { unchanged + 1 } else { 0 });
    }
}

/// N072, N022: in a task that waits to read, to write or to accept.
#[test]
fn a_wake_up_for_nothing_is_one_poll() {
    foster_conformance::check("a_wake_up_for_nothing_is_one_poll", || {
        for host in HOSTS {
            let polls = host.run(async {
                let mut polls = Vec::new();
                in_time(async {
                    let (one, other) = Tcp::pair().await;
                    let (full, _never_read) = Tcp::pair().await;
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let watches = [(); 3].map(|()| Watch::default());
                    let [read, write, accept] = watches.clone();
                    let waiting = nursery(async |n: Nursery<io::Error>| {
                        n.spawn_daemon(async move { read.over(one.read(&mut [0])).await.map(drop) });
                        n.spawn_daemon(async move { write.over(full.write_all(&vec![0; 50_000_000])).await });
                        n.spawn_daemon(async move { accept.over(listener.accept()).await.map(drop) });
                        at_rest(&watches).await;
                        for watch in &watches {
                            polls.push(watch.polls_of_a_wake().await);
                        }
                        Ok(())
                    });
                    waiting.await.unwrap();
                    drop(other);
                })
                .await;
                polls
            });
            assert_eq!(polls, [1, 1, 1], "on {host:?}");
        }
    });
}
