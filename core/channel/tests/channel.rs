//! `foster::channel` on the simulator: the storm, checkpoints, and what cancelled code may not begin.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::channel::{
    Lag, Receiver, RecvError, SendError, Sender, TryRecvError, bounded, broadcast, oneshot, unbounded, watch,
};
use foster::{CancelScope, Nursery, checkpoint, move_on_after, nursery, shield, sleep, to_thread, yield_now};
use foster_sim::{Builder, assert_checkpoints, random};

fn below(n: u64) -> u64 {
    random() % n
}

async fn nap() {
    match below(3) {
        0 => {}
        1 => checkpoint().await,
        _ => sleep(Duration::from_micros(below(2_000))).await,
    }
}

/// The fate of the items: made, sent for certain, come back, received.
#[derive(Default)]
struct Books {
    made: u64,
    sent: Vec<u64>,
    received: Vec<u64>,
    back: Vec<u64>,
}

/// An item that tells the books when it is dropped without having been received.
struct Item {
    number: u64,
    books: Arc<Mutex<Books>>,
    received: bool,
}

impl Item {
    fn new(books: &Arc<Mutex<Books>>) -> Self {
        let mut open = books.lock().unwrap();
        open.made += 1;
        Item { number: open.made, books: books.clone(), received: false }
    }

    fn receive(mut self) {
        self.received = true;
        self.books.lock().unwrap().received.push(self.number);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if !self.received {
            self.books.lock().unwrap().back.push(self.number);
        }
    }
}

async fn produce(tx: Sender<Item>, books: Arc<Mutex<Books>>) {
    for _ in 0..12 {
        // Cut at random; what was sent for certain must arrive.
        let _ = move_on_after(Duration::from_micros(below(4_000)), async {
            loop {
                let item = Item::new(&books);
                let number = item.number;
                match below(4) {
                    0 => {
                        let Ok(permit) = tx.reserve().await else { break };
                        nap().await;
                        if permit.send(item).is_err() {
                            break;
                        }
                    }
                    1 => drop(tx.try_send(item).map(|()| books.lock().unwrap().sent.push(number))),
                    _ => match tx.send(item).await {
                        Ok(()) => books.lock().unwrap().sent.push(number),
                        Err(_) => break,
                    },
                }
                nap().await;
            }
        })
        .await;
    }
}

async fn consume(rx: Receiver<Item>) {
    let mut end = false;
    while !end {
        end = move_on_after(Duration::from_micros(below(6_000)), async {
            loop {
                match rx.recv().await {
                    Ok(item) => item.receive(),
                    Err(_) => break,
                }
                nap().await;
            }
        })
        .await
        .is_some();
    }
}

/// B176, B181, L40: a hundred tasks whose sends and receives are cancelled at random.
#[test]
fn storm() {
    let mut cut = 0;
    for seed in 0..100 {
        Builder::new(seed).spurious_polls(if seed % 3 == 0 { 0.2 } else { 0.0 }).run(async {
            let books = Arc::new(Mutex::new(Books::default()));
            let (tx, rx) = bounded([0, 1, 3, 50][below(4) as usize]);
            let keeper = rx.clone();
            nursery(async |n: Nursery<Infallible>| {
                for _ in 0..8 {
                    n.spawn(produce(tx.clone(), books.clone()));
                }
                drop(tx);
                for _ in 0..5 {
                    n.spawn(consume(rx.clone()));
                }
                drop(rx);
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(keeper.try_recv().err(), Some(TryRecvError::Disconnected));
            let statistics = keeper.statistics();
            assert_eq!((statistics.used, statistics.waiting_senders, statistics.waiting_receivers), (0, 0, 0));
            assert_eq!((statistics.senders, statistics.receivers, statistics.permits), (0, 1, 0));
            let books = books.lock().unwrap();
            let mut fates = BTreeMap::<u64, u32>::new();
            for &number in books.received.iter().chain(&books.back) {
                *fates.entry(number).or_default() += 1;
            }
            assert_eq!(fates.len() as u64, books.made, "every item is accounted for");
            assert!(fates.values().all(|&times| times == 1), "exactly once");
            for number in &books.sent {
                assert!(books.received.contains(number), "what was sent was received");
            }
            assert!(books.received.len() > 20, "{}", books.received.len());
            cut += books.back.len();
        });
    }
    assert!(cut > 500, "{cut}");
}

/// Each producer's items arrive in the order in which it sent them, whatever the capacity and the schedule.
#[test]
fn order_is_kept() {
    for seed in 0..100 {
        Builder::new(seed).run(async {
            let (tx, rx) = bounded((seed % 4) as usize);
            nursery(async |n: Nursery<SendError<(usize, usize)>>| {
                for producer in 0..4 {
                    let tx = tx.clone();
                    n.spawn(async move {
                        for item in 0..20 {
                            tx.send((producer, item)).await?;
                        }
                        Ok(())
                    });
                }
                drop(tx);
                let mut next = [0; 4];
                while let Ok((producer, item)) = rx.recv().await {
                    assert_eq!(next[producer], item);
                    next[producer] += 1;
                    nap().await;
                }
                assert_eq!(next, [20; 4]);
                Ok(())
            })
            .await
            .unwrap();
        });
    }
}

/// B081, B169: also what can be had at once gives way, and is not begun by cancelled code.
#[test]
fn everything_is_a_checkpoint() {
    foster_sim::run(1, async {
        let (tx, rx) = unbounded();
        for _ in 0..20 {
            tx.try_send(1).unwrap();
        }
        assert_checkpoints(|| tx.send(1)).await;
        assert_checkpoints(|| tx.reserve()).await;
        assert_checkpoints(|| rx.recv()).await;
        assert_eq!(rx.statistics().used, 20, "one came, one went");
        let (closed, receiver) = unbounded::<u8>();
        let gone = closed.clone();
        drop(receiver);
        assert_checkpoints(|| closed.closed()).await;
        assert_checkpoints(|| gone.send(1)).await;
        let (_, ended) = unbounded::<u8>();
        assert_checkpoints(|| ended.recv()).await;

        for lag in [Lag::Wait, Lag::Skip, Lag::Disconnect] {
            let (tx, rx) = broadcast(100, lag);
            assert_checkpoints(|| tx.send(1)).await;
            assert_checkpoints(|| {
                let mut rx = rx.clone();
                async move { rx.recv().await }
            })
            .await;
        }
        let (tx, rx) = watch(1);
        tx.send(2).unwrap();
        assert_checkpoints(|| {
            let mut rx = rx.clone();
            async move { rx.recv().await }
        })
        .await;
        assert_checkpoints(|| {
            let mut rx = rx.clone();
            async move { rx.wait_for(|_| true).await }
        })
        .await;
        assert_checkpoints(|| {
            let (tx, rx) = oneshot();
            tx.send(1).unwrap();
            rx
        })
        .await;
    });
}

/// L14, B176: cancelled code sends nothing and takes nothing, though it could.
#[test]
fn cancelled_code_starts_nothing() {
    foster_sim::run(1, async {
        let (tx, rx) = bounded(2);
        tx.try_send(1).unwrap();
        for which in 0..3 {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope
                .run(async {
                    handle.cancel("test");
                    match which {
                        0 => drop(tx.send(2).await),
                        1 => drop(rx.recv().await),
                        _ => drop(tx.reserve().await.unwrap()),
                    }
                    unreachable!("it goes no further");
                })
                .await;
            assert!(outcome.is_err());
        }
        let statistics = rx.statistics();
        assert_eq!((statistics.used, statistics.permits), (1, 0));
        assert_eq!(rx.try_recv(), Ok(1));
    });
}

/// Cancelled while it gives way because the budget is used up, and polled again because a shield beside it still runs:
/// nothing was begun, so nothing is done.
#[test]
fn what_is_cancelled_while_it_gives_way_does_nothing() {
    foster_sim::run(1, async {
        let (tx, rx) = bounded(3);
        tx.try_send(1).unwrap();
        let mut polls = 0;
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope
            .run(async {
                let mut send = std::pin::pin!(tx.send(2));
                let mut recv = std::pin::pin!(rx.recv());
                let mut shielded = std::pin::pin!(shield(sleep(Duration::from_millis(1))));
                std::future::poll_fn(|cx| {
                    polls += 1;
                    while std::pin::pin!(checkpoint()).poll(cx).is_ready() {}
                    assert!(send.as_mut().poll(cx).is_pending() && recv.as_mut().poll(cx).is_pending());
                    handle.cancel("between");
                    shielded.as_mut().poll(cx)
                })
                .await;
                checkpoint().await;
            })
            .await;
        assert!(outcome.is_err());
        assert!(polls > 1, "the shield was waited for");
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
    });
}

/// L14, L38: a wait whose predicate makes news itself gives way like any loop, and other tasks get their turns.
#[test]
fn a_wait_that_always_finds_another_value_takes_from_the_budget() {
    const LAST: usize = 5_000;
    foster_sim::run(1, async {
        let (tx, mut rx) = watch(0);
        let looks = Arc::new(AtomicUsize::new(0));
        let seen = looks.clone();
        nursery(async |n: Nursery<Infallible>| {
            let turns = n.spawn(async move {
                // How often it was looked between two turns of this task.
                let (mut before, mut most) = (0, 0);
                while before <= LAST {
                    yield_now().await;
                    let now = seen.load(Ordering::SeqCst);
                    most = most.max(now - before);
                    before = now;
                }
                Ok(most)
            });
            let last = rx.wait_for(|value| {
                looks.fetch_add(1, Ordering::SeqCst);
                tx.replace(value + 1).unwrap();
                *value == LAST
            });
            assert_eq!(*last.await.unwrap(), LAST);
            let most = turns.await.unwrap();
            assert!((2..1_000).contains(&most), "{most} looks without a turn for others");
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// B171, B172 between tasks: closing is seen by both sides.
#[test]
fn closing_is_seen_by_both_sides() {
    for seed in 0..30 {
        foster_sim::run(seed, async {
            let (tx, rx) = bounded(1);
            let (tx, rx) = (Arc::new(tx), Arc::new(rx));
            tx.try_send(0).unwrap();
            nursery(async |n: Nursery<Infallible>| {
                let (blocked, closer) = (tx.clone(), rx.clone());
                let send = n.spawn(async move { Ok(blocked.send(1).await) });
                sleep(Duration::from_millis(1)).await;
                closer.close();
                assert_eq!(send.await.unwrap(), Err(SendError::Disconnected(1)));
                Ok(())
            })
            .await
            .unwrap();
            let (tx, rx) = bounded::<u8>(1);
            let (tx, rx) = (Arc::new(tx), Arc::new(rx));
            nursery(async |n: Nursery<Infallible>| {
                let blocked = rx.clone();
                let recv = n.spawn(async move { Ok(blocked.recv().await) });
                sleep(Duration::from_millis(1)).await;
                rx.close();
                assert_eq!(recv.await.unwrap(), Err(RecvError::Closed));
                drop(tx);
                Ok(())
            })
            .await
            .unwrap();
        });
    }
}

#[test]
fn blocking_jobs_and_tasks_wait_in_one_line() {
    foster_sim::run(1, async {
        let (tx, rx) = bounded(4);
        let job = to_thread(move || {
            for item in 0..4 {
                tx.send_blocking(item).unwrap();
            }
        });
        job.await;
        let sum = to_thread(move || {
            let mut sum = 0;
            while let Ok(item) = rx.recv_blocking() {
                sum += item;
            }
            sum
        })
        .await;
        assert_eq!(sum, 6);
    });
}

#[test]
#[should_panic(expected = "`send_blocking` blocks its thread, and this thread is polling")]
fn blocking_in_a_task_is_refused() {
    foster_sim::run(1, async {
        let (tx, _rx) = bounded(1);
        let _ = tx.send_blocking(1);
    });
}

#[test]
#[should_panic(expected = "Await `recv` there")]
fn blocking_in_a_scope_of_a_task_is_refused() {
    foster_sim::run(1, async {
        let (tx, rx) = bounded(1);
        tx.try_send(1).unwrap();
        let _ = move_on_after(Duration::from_secs(1), async { rx.recv_blocking() }).await;
    });
}

/// Receivers that are cancelled at random miss nothing where senders wait for them, and know what they missed
/// elsewhere.
#[test]
fn broadcasts_are_complete() {
    let mut missed = 0;
    for seed in 0..150 {
        Builder::new(seed).run(async {
            let lag = if seed % 2 == 0 { Lag::Wait } else { Lag::Skip };
            let (tx, rx) = broadcast(1 + below(3) as usize, lag);
            let totals = nursery(async |n: Nursery<Infallible>| {
                let consumers: Vec<_> = (0..4)
                    .map(|_| {
                        let mut rx = rx.clone();
                        n.spawn(async move {
                            let (mut seen, mut skipped) = (Vec::new(), 0);
                            let mut end = false;
                            while !end {
                                end = move_on_after(Duration::from_micros(below(2_000)), async {
                                    loop {
                                        match rx.recv().await {
                                            Ok(item) => seen.push(item),
                                            Err(foster::channel::BroadcastRecvError::Lagged(n)) => skipped += n,
                                            Err(_) => break,
                                        }
                                        nap().await;
                                    }
                                })
                                .await
                                .is_some();
                            }
                            assert!(seen.is_sorted());
                            Ok((seen.len() as u64, skipped))
                        })
                    })
                    .collect();
                drop(rx);
                n.spawn(async move {
                    for item in 0..40 {
                        tx.send(item).await.unwrap();
                        nap().await;
                    }
                });
                let mut totals = Vec::new();
                for consumer in consumers {
                    totals.push(consumer.await.unwrap());
                }
                Ok(totals)
            })
            .await
            .unwrap();
            for (seen, skipped) in totals {
                assert_eq!(seen + skipped, 40);
                assert!(lag == Lag::Skip || skipped == 0);
                missed += skipped;
            }
        });
    }
    assert!(missed > 100, "{missed}");
}

/// The last value always arrives, however many were skipped.
#[test]
fn watchers_end_with_the_latest() {
    for seed in 0..100 {
        Builder::new(seed).run(async {
            let (tx, rx) = watch(0);
            nursery(async |n: Nursery<Infallible>| {
                for _ in 0..4 {
                    let mut rx = rx.clone();
                    n.spawn(async move {
                        let mut last = 0;
                        while let Ok(value) = rx.recv().await {
                            assert!(*value > last);
                            last = *value;
                            nap().await;
                        }
                        assert_eq!(last, 30);
                    });
                }
                n.spawn(async move {
                    for value in 1..=30 {
                        tx.replace(value).unwrap();
                        nap().await;
                    }
                });
                Ok(())
            })
            .await
            .unwrap();
        });
    }
}

/// An answer that is cancelled and asked for again is not lost.
#[test]
fn an_answer_waits_to_be_taken() {
    for seed in 0..50 {
        foster_sim::run(seed, async {
            let (tx, mut rx) = oneshot();
            let answer = nursery(async |n: Nursery<Infallible>| {
                n.spawn(async move {
                    sleep(Duration::from_millis(3)).await;
                    tx.send(42).unwrap();
                });
                let mut tries = 0;
                loop {
                    tries += 1;
                    if let Some(answer) = move_on_after(Duration::from_millis(1), &mut rx).await {
                        assert!(tries > 2);
                        return Ok(answer);
                    }
                }
            })
            .await
            .unwrap();
            assert_eq!(answer, Ok(42));
        });
    }
}
