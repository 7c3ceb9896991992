//! The root's body below `run`: it has the turns of one task among the tree's tasks.
//!
//! Turns are counted in polls of busy children, which do nothing but give way.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use foster::{Nursery, yield_now};
use foster_smol::Builder;
use smol::io::{AsyncReadExt, AsyncWriteExt};

/// How many turns of the root are counted.
const TURNS: usize = 300;

/// Children that give way until they are told to stop, and count their polls on the root's thread.
#[derive(Clone)]
struct Busy {
    stop: Arc<AtomicBool>,
    polls: Arc<AtomicU64>,
}

impl Busy {
    fn spawn(n: &Nursery<Infallible>, children: u64) -> Self {
        let busy = Busy { stop: Arc::default(), polls: Arc::default() };
        let root = thread::current().id();
        for _ in 0..children {
            let Busy { stop, polls } = busy.clone();
            n.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    polls.fetch_add(u64::from(thread::current().id() == root), Ordering::Relaxed);
                    yield_now().await;
                }
                Ok(())
            });
        }
        busy
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How often the root's thread polled busy children between two turns of a root that gives way; sorted.
fn polls_between_turns(threads: usize, children: u64) -> Vec<u64> {
    let mut polls = Vec::new();
    Builder::new()
        .threads(threads)
        .run(foster::nursery(async |n: Nursery<Infallible>| {
            let busy = Busy::spawn(&n, children);
            for _ in 0..TURNS {
                let before = busy.polls();
                yield_now().await;
                polls.push(busy.polls() - before);
            }
            busy.stop();
            Ok(())
        }))
        .unwrap();
    polls.sort_unstable();
    polls
}

#[test]
fn a_root_has_a_turn_after_each_round_of_its_children() {
    for children in [1, 2, 10, 100, 1000] {
        let polls = polls_between_turns(1, children);
        assert_eq!((polls[0], polls[TURNS - 1]), (children, children));
    }
}

/// The median, because a thread that has taken the proxy of the root from the queue may be delayed by its host.
#[test]
fn a_root_has_the_turns_of_a_task_also_on_several_threads() {
    for threads in [2, 4] {
        for children in [1, 10, 100] {
            let polls = polls_between_turns(threads, children);
            assert!(polls[TURNS / 2] <= children + 5, "{threads} threads, {children} children: {polls:?}");
        }
    }
}

/// A root that waits is not polled; and children do not have to wait for a root that does not.
#[test]
fn a_root_that_waits_has_no_turns_and_one_that_gives_way_takes_no_more_than_its_share() {
    Builder::new()
        .run(foster::nursery(async |n: Nursery<Infallible>| {
            let child = n.spawn(async {
                for _ in 0..1000 {
                    yield_now().await;
                }
                Ok(())
            });
            let mut polls = 0;
            let mut child = std::pin::pin!(child);
            poll_fn(|cx| {
                polls += 1;
                child.as_mut().poll(cx)
            })
            .await
            .unwrap();
            assert_eq!(polls, 2);

            let turns = Arc::new(AtomicU64::new(0));
            let of_child = turns.clone();
            let child = n.spawn(async move {
                for _ in 0..1000 {
                    of_child.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
                Ok(())
            });
            for turn in 0..1000 {
                assert_eq!(turns.load(Ordering::Relaxed), turn);
                yield_now().await;
            }
            child.await.unwrap();
            Ok(())
        }))
        .unwrap();
}

#[test]
fn a_root_that_another_thread_wakes_has_its_turn_within_a_round() {
    let (ask, asked) = mpsc::channel::<(std::task::Waker, Arc<AtomicBool>, Busy)>();
    let waker = thread::spawn(move || {
        asked
            .iter()
            .map(|(waker, woken, busy)| {
                woken.store(true, Ordering::SeqCst);
                let before = busy.polls();
                waker.wake();
                before
            })
            .collect::<Vec<_>>()
    });
    let mut after = Vec::new();
    Builder::new()
        .run(foster::nursery(async |n: Nursery<Infallible>| {
            let busy = Busy::spawn(&n, 1);
            for _ in 0..TURNS {
                let woken = Arc::new(AtomicBool::new(false));
                let mut is_asked = false;
                poll_fn(|cx| {
                    if woken.load(Ordering::SeqCst) {
                        return Poll::Ready(());
                    }
                    if !std::mem::replace(&mut is_asked, true) {
                        ask.send((cx.waker().clone(), woken.clone(), busy.clone())).unwrap();
                    }
                    Poll::Pending
                })
                .await;
                after.push(busy.polls());
            }
            busy.stop();
            drop(ask);
            Ok(())
        }))
        .unwrap();
    let before = waker.join().unwrap();
    let mut polls: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    polls.sort_unstable();
    // The thread may be delayed after it has looked at the count.
    assert!(polls[TURNS / 2] <= 10, "{polls:?}");
}

/// If one wake-up got lost, this would hang.
#[test]
fn no_wake_up_of_the_root_is_lost_on_any_number_of_threads() {
    for threads in [1, 2, 3] {
        let rounds = Builder::new().threads(threads).run(foster::nursery(async |n: Nursery<Infallible>| {
            let (to_child, questions) = foster::channel::bounded(1);
            let (to_root, answers) = foster::channel::bounded(1);
            n.spawn(async move {
                while let Ok(question) = questions.recv().await {
                    if to_root.send(question).await.is_err() {
                        break;
                    }
                }
                Ok(())
            });
            for round in 0..20_000 {
                to_child.send(round).await.unwrap();
                // Both awake, and one of them asleep.
                if round % 3 == 0 {
                    yield_now().await;
                }
                assert_eq!(answers.recv().await.unwrap(), round);
            }
            drop(to_child);
            Ok(20_000)
        }));
        assert_eq!(rounds, Ok(20_000));
    }
}

#[test]
fn a_root_waits_for_sockets_and_timers_beside_busy_children() {
    for threads in [1, 2] {
        let (turns, polls) = Builder::new()
            .threads(threads)
            .run(foster::nursery(async |n: Nursery<Infallible>| {
                let busy = Busy::spawn(&n, 3);
                let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let peer = thread::spawn(move || {
                    let mut peer = std::net::TcpStream::connect(address).unwrap();
                    let mut byte = [0];
                    for _ in 0..20 {
                        peer.write_all(&[7]).unwrap();
                        peer.read_exact(&mut byte).unwrap();
                        assert_eq!(byte, [8]);
                    }
                });
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                // How often children had a turn after each request, in the turns that the root needs for its answer.
                let mut polls = Vec::new();
                for _ in 0..20 {
                    stream.read_exact(&mut byte).await.unwrap();
                    let before = busy.polls();
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    polls.push(busy.polls() - before);
                    foster::sleep(Duration::from_micros(100)).await;
                    stream.write_all(&[byte[0] + 1]).await.unwrap();
                }
                peer.join().unwrap();
                busy.stop();
                polls.sort_unstable();
                Ok((polls.len(), polls[10]))
            }))
            .unwrap();
        assert_eq!(turns, 20);
        assert!(polls <= 10 * 3 + 10, "{polls}");
    }
}

/// The executor wakes a thread for a new task. It must not be the root's, which was asleep until now and is busy with
/// the root.
#[test]
fn a_root_that_blocks_its_thread_does_not_hold_up_the_others() {
    for _ in 0..50 {
        Builder::new()
            .threads(2)
            .run(foster::nursery(async |n: Nursery<Infallible>| {
                foster::sleep(Duration::from_millis(1)).await;
                let (done, is_done) = mpsc::channel();
                n.spawn(async move {
                    done.send(()).unwrap();
                    Ok(())
                });
                is_done.recv_timeout(Duration::from_secs(20)).expect("the other thread is idle");
                Ok(())
            }))
            .unwrap();
    }
}

/// Notes its name in a list when it is dropped.
struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[test]
fn a_root_that_panics_in_a_later_turn_is_dropped_before_its_children_and_its_panic_goes_on() {
    for threads in [1, 2] {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let noted = |name| Noted(name, dropped.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let around = noted("what the root's future holds");
            Builder::new().threads(threads).run(async {
                let _around = around;
                foster::nursery(async |n: Nursery<Infallible>| -> Result<(), Infallible> {
                    let child = noted("child");
                    n.spawn(async move {
                        let _child = child;
                        loop {
                            yield_now().await;
                        }
                    });
                    let _body = noted("body");
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    panic!("on purpose");
                })
                .await
            })
        }));
        assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"on purpose"));
        assert_eq!(*dropped.lock().unwrap(), ["body", "child", "what the root's future holds"]);
    }
}
