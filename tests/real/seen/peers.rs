//! Channels and join handles of others.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::{CancelScope, Instant, Nursery, gather, nursery, sleep};

use super::on_host;
use crate::hosts::{HOSTS, Host};
use futures_lite::future::yield_now;

const ROUNDS: usize = 500;

/// Runs a producer that never finishes and its consumer under a deadline, and counts how often the consumer took the end of the
/// channel for the end of the work.
async fn commits<P, C>(pair: impl Fn(Arc<AtomicUsize>) -> (P, C)) -> usize
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let commits = Arc::new(AtomicUsize::new(0));
    for _ in 0..ROUNDS {
        let received = Arc::new(AtomicUsize::new(0));
        let (producer, consumer) = pair(received.clone());
        let counted = commits.clone();
        let waits = Arc::new(AtomicBool::new(false));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope.run(nursery(async |n: Nursery| {
            n.spawn(producer);
            let consumer = async move {
                consumer.await;
                counted.fetch_add(1, Ordering::SeqCst);
            };
            n.spawn(WaitsForMore { consumer: Box::pin(consumer), received, waits: waits.clone() });
            // A consumer that was sent something when the deadline comes is runnable, and may find out with its one poll that the channel
            // was closed (the book's page of guarantees, "Foreign operations"). So the deadline is set when it waits for the second item.
            while !waits.load(Ordering::SeqCst) {
                sleep(Duration::from_micros(50)).await;
            }
            handle.set_deadline(Instant::now() + Duration::from_micros(200));
            Ok(())
        }));
        assert!(cut.await.is_err());
    }
    commits.load(Ordering::SeqCst)
}

/// Says when the consumer has received something and waits again.
struct WaitsForMore<F> {
    consumer: Pin<Box<F>>,
    received: Arc<AtomicUsize>,
    waits: Arc<AtomicBool>,
}

impl<F: Future> Future for WaitsForMore<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = self.consumer.as_mut().poll(cx);
        if poll.is_pending() && self.received.load(Ordering::SeqCst) > 0 {
            self.waits.store(true, Ordering::SeqCst);
        }
        poll
    }
}

/// Much longer than the deadline.
async fn pace() {
    sleep(Duration::from_millis(200)).await;
}

#[test]
fn partial_work_of_another_ones_channel_is_never_committed() {
    foster_conformance::check("partial_work_of_another_ones_channel", || {
        for host in HOSTS {
            let (tokio, smol) = on_host(host, "partial_work_of_another_ones_channel", async |_| {
                let tokio = commits(|received| {
                    let (tx, mut rx) = tokio::sync::mpsc::channel(2);
                    let producer = async move {
                        while tx.send(1).await.is_ok() {
                            pace().await;
                        }
                    };
                    let consumer = async move {
                        while rx.recv().await.is_some() {
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    (producer, consumer)
                });
                let tokio = tokio.await;
                let smol = commits(|received| {
                    let (tx, rx) = async_channel::bounded(2);
                    let producer = async move {
                        while tx.send(1).await.is_ok() {
                            pace().await;
                        }
                    };
                    let consumer = async move {
                        while rx.recv().await.is_ok() {
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    (producer, consumer)
                });
                (tokio, smol.await)
            });
            println!("{host:?}: of {ROUNDS}, {tokio} commits with tokio's channel, {smol} with async-channel");
            assert_eq!((tokio, smol), (0, 0), "{host:?}: of {ROUNDS} so many consumers have committed partial work");
        }
    });
}

/// Counts the polls of a future.
struct Counted<F>(F, Arc<AtomicUsize>);

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll(cx)
    }
}

#[test]
fn gathering_handles_that_have_ended_takes_a_poll_or_two_of_each() {
    foster_conformance::check("gathering_handles_that_have_ended", || {
        for host in [Host::TokioCurrentThread, Host::TokioMultiThread(2)] {
            for many in [2_000, 20_000] {
                let polls = on_host(host, "gathering_handles_that_have_ended", async |_| {
                    #[expect(clippy::disallowed_methods, reason = "they are to be none of foster's")]
                    let handles: Vec<_> = (0..many).map(|_| tokio::spawn(async {})).collect();
                    while !handles.iter().all(tokio::task::JoinHandle::is_finished) {
                        yield_now().await;
                    }
                    let polls = Arc::new(AtomicUsize::new(0));
                    let counted = handles.into_iter().map(|handle| Counted(handle, polls.clone()));
                    let ended = gather(counted).await.expect("none of them panics");
                    assert_eq!(ended.len(), many);
                    polls.load(Ordering::Relaxed)
                });
                println!("{host:?}: {polls} polls of {many} handles");
                assert!(polls <= 3 * many, "{host:?}: {polls} polls for {many} handles that had ended");
            }
        }
    });
}
