//! Everything at once: foreign code, threads, and random steps.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::next;
use crate::{Receiver, Sender, bounded};
use foster_test_support::{Dice, ManualTask, block_on};

/// L36: wakers and values that use the channel themselves find it unlocked.
#[test]
fn foreign_code_runs_with_the_channel_unlocked() {
    type SharedEnds = Arc<Mutex<Option<(Sender<Nosy>, Receiver<Nosy>)>>>;
    #[derive(Clone)]
    struct Nosy(SharedEnds, Arc<AtomicUsize>);
    impl Nosy {
        fn look(&self) {
            // Not held by others on this thread: a lock of the channel would hang here.
            if let Some((tx, rx)) = &*self.0.lock().unwrap() {
                let _ = (tx.statistics(), rx.is_closed());
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.look();
        }
    }
    struct Waking(Nosy);
    impl Wake for Waking {
        fn wake(self: Arc<Self>) {
            self.0.look();
        }
    }
    let nosy = Nosy(Arc::default(), Arc::default());
    let (tx, rx) = bounded(1);
    *nosy.0.lock().unwrap() = Some((tx.clone(), rx.clone()));
    let poll = |future: &mut dyn FnMut(&mut Context<'_>) -> bool| {
        let waker = Waker::from(Arc::new(Waking(nosy.clone())));
        future(&mut Context::from_waker(&waker))
    };
    let mut recv = rx.recv();
    // Twice: the first waker is replaced, and dropped.
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut recv), cx).is_pending()));
    }
    tx.try_send(nosy.clone()).unwrap();
    tx.try_send(nosy.clone()).unwrap();
    let mut send = tx.send(nosy.clone());
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut send), cx).is_pending()));
    }
    let mut closed = tx.closed();
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut closed), cx).is_pending()));
    }
    drop(rx.try_recv());
    drop(send);
    drop(recv);
    drop(closed);
    rx.shutdown_now();
    let seen = nosy.1.load(Ordering::SeqCst);
    assert!(seen >= 10, "{seen}");
    let ends = nosy.0.lock().unwrap().take();
    drop(ends);
}

#[test]
fn threads_and_tasks_wait_in_one_line() {
    let (tx, rx) = bounded(2);
    let sum = thread::scope(|threads| {
        for n in 0..4 {
            let tx = tx.clone();
            threads.spawn(move || {
                for item in 0..500 {
                    if n % 2 == 0 {
                        tx.send_blocking(item).unwrap();
                    } else {
                        block_on(tx.send(item)).unwrap();
                    }
                }
            });
        }
        drop(tx);
        let consumers: Vec<_> = (0..3)
            .map(|n| {
                let rx = &rx;
                threads.spawn(move || {
                    let mut sum = 0;
                    while let Ok(item) = if n == 0 { block_on(rx.recv()) } else { rx.recv_blocking() } {
                        sum += item;
                    }
                    sum
                })
            })
            .collect();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum::<usize>()
    });
    assert_eq!(sum, 4 * (0..500).sum::<usize>());
    rx.assert_home();
}

/// B181, L40: random sends, receives, drops and closings; every item is accounted for exactly once.
#[test]
fn storm() {
    /// Counts itself away.
    struct TrackedItem(usize, Arc<Mutex<Vec<usize>>>);
    impl Drop for TrackedItem {
        fn drop(&mut self) {
            self.1.lock().unwrap()[self.0] += 1;
        }
    }
    let mut covered = [0; 6];
    for seed in 1..600 {
        let mut dice = Dice::new(seed);
        let drops = Arc::new(Mutex::new(Vec::new()));
        let item = || {
            let mut drops = drops.lock().unwrap();
            drops.push(0);
            drops.len() - 1
        };
        let (tx, rx) = bounded([0, 1, 2, 5, usize::MAX][dice.below(5)]);
        let senders = [tx.clone(), tx.clone(), tx];
        let receivers = [rx.clone(), rx.clone(), rx.clone()];
        let mut streams = [rx.clone(), rx];
        let mut received = BTreeSet::new();
        let mut back = BTreeSet::new();
        let (mut sends, mut recvs, mut reserves, mut permits) = (vec![], vec![], vec![], vec![]);
        let closing = dice.below(3) == 0;
        let dropped = || drops.lock().unwrap().iter().sum::<usize>();
        let mut withdrawn = 0;
        let mut take = |item: TrackedItem, covered: &mut [usize; 6]| {
            covered[0] += 1;
            assert!(received.insert(item.0), "twice: {}", item.0);
        };
        for step in 0..150 {
            let (s, r) = (dice.below(3), dice.below(3));
            match dice.below(if closing && step > 60 { 15 } else { 12 }) {
                0 | 1 => {
                    let mut hand = ManualTask::new(senders[s].send(TrackedItem(item(), drops.clone())));
                    match hand.poll() {
                        Poll::Ready(Err(error)) => {
                            covered[1] += 1;
                            assert!(back.insert(error.into_inner().0));
                        }
                        Poll::Ready(Ok(())) => {}
                        Poll::Pending => sends.push(hand),
                    }
                }
                2 | 3 => {
                    let mut hand = ManualTask::new(receivers[r].recv());
                    match hand.poll() {
                        Poll::Ready(Ok(item)) => take(item, &mut covered),
                        Poll::Ready(Err(_)) => covered[2] += 1,
                        Poll::Pending => recvs.push(hand),
                    }
                }
                4 if !sends.is_empty() => {
                    let mut hand = sends.swap_remove(dice.below(sends.len()));
                    match hand.poll() {
                        Poll::Ready(Err(error)) => {
                            covered[1] += 1;
                            assert!(back.insert(error.into_inner().0));
                        }
                        Poll::Ready(Ok(())) => {}
                        Poll::Pending => sends.push(hand),
                    }
                }
                5 if !recvs.is_empty() => {
                    let mut hand = recvs.swap_remove(dice.below(recvs.len()));
                    match hand.poll() {
                        Poll::Ready(Ok(item)) => take(item, &mut covered),
                        Poll::Ready(Err(_)) => covered[2] += 1,
                        Poll::Pending => recvs.push(hand),
                    }
                }
                6 if !sends.is_empty() => {
                    let leaver = sends.swap_remove(dice.below(sends.len()));
                    covered[3] += usize::from(leaver.wakes() > 0);
                    let before = dropped();
                    drop(leaver);
                    withdrawn += dropped() - before;
                }
                7 if !recvs.is_empty() => {
                    let leaver = recvs.swap_remove(dice.below(recvs.len()));
                    covered[4] += usize::from(leaver.wakes() > 0);
                }
                8 => {
                    if let Err(error) = senders[s].try_send(TrackedItem(item(), drops.clone())) {
                        assert!(back.insert(error.into_inner().0));
                    }
                }
                9 => {
                    if let Ok(item) = receivers[r].try_recv() {
                        take(item, &mut covered);
                    }
                }
                10 => {
                    let mut hand = ManualTask::new(senders[s].reserve());
                    match hand.poll() {
                        Poll::Ready(Ok(permit)) => permits.push(permit),
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => reserves.push(hand),
                    }
                    if !reserves.is_empty() {
                        let mut hand = reserves.swap_remove(dice.below(reserves.len()));
                        match (dice.below(4), hand.poll()) {
                            (0, _) => drop(hand),
                            (_, Poll::Ready(Ok(permit))) => permits.push(permit),
                            (_, Poll::Ready(Err(_))) => {}
                            (_, Poll::Pending) => reserves.push(hand),
                        }
                    }
                    if !permits.is_empty() && dice.below(2) == 0 {
                        covered[5] += 1;
                        let permit = permits.swap_remove(dice.below(permits.len()));
                        if dice.below(3) == 0 {
                            drop(permit);
                        } else if let Err(error) = permit.send(TrackedItem(item(), drops.clone())) {
                            assert!(back.insert(error.into_inner().0));
                        }
                    }
                }
                11 => {
                    if let Poll::Ready(Some(item)) = next(&mut streams[r % 2]) {
                        take(item, &mut covered);
                    }
                }
                12 => drop(senders[s].close()),
                13 => drop(receivers[r].close()),
                14 if dice.below(4) == 0 => {
                    if dice.below(2) == 0 {
                        senders[s].shutdown();
                    } else {
                        receivers[r].shutdown_now();
                    }
                }
                _ => {}
            }
            receivers[0].inspect(|state| state.check());
        }
        // Operations under way are dropped, in any order; items that are left in the channel are received.
        while !(sends.is_empty() && recvs.is_empty() && reserves.is_empty() && permits.is_empty()) {
            match dice.below(4) {
                0 if !sends.is_empty() => {
                    let before = dropped();
                    drop(sends.swap_remove(dice.below(sends.len())));
                    withdrawn += dropped() - before;
                }
                1 if !recvs.is_empty() => drop(recvs.swap_remove(dice.below(recvs.len()))),
                2 if !reserves.is_empty() => drop(reserves.swap_remove(dice.below(reserves.len()))),
                3 if !permits.is_empty() => drop(permits.swap_remove(dice.below(permits.len()))),
                _ => {}
            }
        }
        let left = receivers[0].statistics();
        assert_eq!((left.waiting_senders, left.permits), (0, 0), "seed {seed}");
        for receiver in receivers.iter().chain(&streams) {
            while let Ok(item) = receiver.try_recv() {
                take(item, &mut covered);
            }
        }
        drop((sends, recvs, reserves, permits));
        drop(senders);
        drop((receivers, streams));
        let drops = drops.lock().unwrap();
        assert!(drops.iter().all(|&times| times == 1), "seed {seed}: {drops:?}");
        assert!(received.is_disjoint(&back), "seed {seed}");
        if !closing {
            assert_eq!(received.len() + back.len() + withdrawn, drops.len(), "seed {seed}: nothing is lost");
        }
    }
    assert!(covered.iter().all(|&count| count > 100), "{covered:?}");
}
