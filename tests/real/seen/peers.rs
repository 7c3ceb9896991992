//! Channels and join handles of others.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::combine::gather;
use foster::{CancelScope, Instant, Nursery, nursery, sleep};

use super::rests::{Tells, after_this_poll};
use super::{on_host, on_observed_host};
use crate::hosts::{HOSTS, Host};
use foster_conformance::seen::real_rounds;
use futures_lite::future::yield_now;

const ROUNDS: usize = 100;

/// Runs a producer that never finishes and its consumer under a deadline, again and again: the consumer never takes the
/// end of the channel for the end of the work.
async fn never_commits<P, C>(pair: impl Fn(Arc<AtomicBool>, Arc<AtomicUsize>) -> (P, C))
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    for _ in real_rounds(ROUNDS) {
        let commits = Arc::new(AtomicUsize::new(0));
        let (sent, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (producer, consumer) = pair(sent.clone(), received.clone());
        let counted = commits.clone();
        let rests = Arc::new(AtomicBool::new(false));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope.run(nursery(async |n: Nursery| {
            n.spawn(producer);
            // A channel tells its receiver of an item after that is there. One that finds it before is told while it waits
            // for the next one, and is runnable by that. So it comes when the item was sent.
            while !sent.load(Ordering::SeqCst) {
                sleep(Duration::from_micros(50)).await;
            }
            let consumer = async move {
                consumer.await;
                counted.fetch_add(1, Ordering::SeqCst);
            };
            n.spawn(WaitsForMore { consumer: Box::pin(consumer), received, rests: rests.clone() });
            // A consumer that is told something when the deadline comes, or that is being polled, is runnable, and may
            // find out with its one poll that the channel was closed (the book's page of guarantees, "Foreign
            // operations"). So the deadline is set when it waits for the second item, and its poll is over.
            while !rests.load(Ordering::SeqCst) {
                sleep(Duration::from_micros(50)).await;
            }
            handle.set_deadline(Instant::now() + Duration::from_micros(200));
            Ok(())
        }));
        assert!(cut.await.is_err());
        assert_eq!(commits.load(Ordering::SeqCst), 0, "a consumer has committed partial work");
    }
}

/// Sets `rests` when the consumer has received something and waits again.
struct WaitsForMore<F> {
    consumer: Pin<Box<F>>,
    received: Arc<AtomicUsize>,
    rests: Arc<AtomicBool>,
}

impl<F: Future> Future for WaitsForMore<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = self.consumer.as_mut().poll(cx);
        if poll.is_pending() && self.received.load(Ordering::SeqCst) > 0 {
            after_this_poll(&self.rests);
        }
        poll
    }
}

/// Longer than a thread is ever kept from running.
async fn pace() {
    sleep(Duration::from_secs(600)).await;
}

#[test]
fn partial_work_of_another_ones_channel_is_never_committed() {
    foster_conformance::check("partial_work_of_another_ones_channel", || {
        for host in HOSTS {
            on_observed_host(host, "partial_work_of_tokios_channel", Arc::new(Tells), async |_| {
                never_commits(|sent, received| {
                    let (tx, mut rx) = tokio::sync::mpsc::channel(2);
                    let producer = async move {
                        while tx.send(1).await.is_ok() {
                            sent.store(true, Ordering::SeqCst);
                            pace().await;
                        }
                    };
                    let consumer = async move {
                        while rx.recv().await.is_some() {
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    (producer, consumer)
                })
                .await;
            });
            on_observed_host(host, "partial_work_of_async_channel", Arc::new(Tells), async |_| {
                never_commits(|sent, received| {
                    let (tx, rx) = async_channel::bounded(2);
                    let producer = async move {
                        while tx.send(1).await.is_ok() {
                            sent.store(true, Ordering::SeqCst);
                            pace().await;
                        }
                    };
                    let consumer = async move {
                        while rx.recv().await.is_ok() {
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    (producer, consumer)
                })
                .await;
            });
        }
    });
}

/// A client as hyper's: a child drives the connection, and the body waits for its answer. The end of the child by the
/// cut is not an answer.
///
/// To be run in a task of its own. In one that has waited for other children before, a thread that was held up as it
/// told of the end of one of those may wake the task at any instant since: and code that is woken is not blocked.
async fn request_is_cut_off() {
    let rests = Arc::new(AtomicBool::new(false));
    let went_on = Arc::new(AtomicBool::new(false));
    let (to_connection, requests) = tokio::sync::oneshot::channel();
    let (answer, answered) = tokio::sync::oneshot::channel::<u32>();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cut = scope.run(nursery(async |n: Nursery| {
        n.spawn(async move {
            let _request: u32 = requests.await.expect("there is a request");
            pace().await;
            let _ = answer.send(1);
        });
        to_connection.send(7).expect("the connection lives");
        let begun = rests.clone();
        n.spawn(async move {
            // As above: the deadline is set when the request waits, and the poll of it is over.
            while !begun.load(Ordering::SeqCst) {
                yield_now().await;
            }
            handle.set_deadline(Instant::now() + Duration::from_micros(200));
            // If it ended, the nursery would be polled for that, and the request with it: and what is being polled is
            // no more blocked than what runs.
            pace().await;
        });
        let received = Arc::new(AtomicUsize::new(1));
        let answer = WaitsForMore { consumer: Box::pin(answered), received, rests }.await;
        // A nursery with a child that was cut has no value (L33): what it gives does not tell whether this was reached.
        went_on.store(true, Ordering::SeqCst);
        Ok(answer)
    }));
    let outcome = cut.await;
    assert!(outcome.is_err(), "the request was not cut off: {outcome:?}");
    assert!(!went_on.load(Ordering::SeqCst), "the request has seen what became of its connection");
}

#[test]
fn a_request_that_is_cut_off_does_not_see_that_its_connection_is_gone() {
    foster_conformance::check("a_request_that_is_cut_off", || {
        for host in HOSTS {
            on_observed_host(host, "a_request_in_a_task", Arc::new(Tells), async |_| {
                for _ in real_rounds(ROUNDS) {
                    let task = nursery(async |n: Nursery| {
                        n.spawn(request_is_cut_off());
                        Ok(())
                    });
                    task.await.expect("nothing has failed");
                }
            });
            // A new host takes longer than a new task.
            for _ in real_rounds(ROUNDS / 10) {
                on_observed_host(host, "a_request_in_a_root", Arc::new(Tells), async |_| request_is_cut_off().await);
            }
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
