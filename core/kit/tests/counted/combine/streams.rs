//! Streams made of others: merged, in batches, throttled.

use foster::channel::unbounded;
use foster::combine::Emitter;
use foster::combine::{batch, merge, produce, throttle};
use foster_sim::random;
use futures_lite::Stream;

use super::*;

/// Everybody has a turn, and it ends with the last.
#[test]
fn merge_is_fair_and_ends_with_the_last() {
    on_seeds(async || {
        let endless = |name: &'static str| {
            produce(async move |mut out| {
                loop {
                    out.emit(name).await;
                }
            })
        };
        let mut both = merge([endless("a"), endless("b")]);
        for _ in 0..10 {
            let mut pair = [both.next().await.unwrap(), both.next().await.unwrap()];
            pair.sort_unstable();
            assert_eq!(pair, ["a", "b"]);
        }
        drop(both);
        let timed = |period: u64, count: u64| {
            produce(async move |mut out| {
                for n in 1..=count {
                    sleep(ms(period)).await;
                    out.emit(n * period).await;
                }
            })
        };
        let (start, mut got) = (Instant::now(), Vec::new());
        let mut three = merge([timed(7, 2), timed(2, 3), timed(5, 0)]);
        assert_eq!(three.len(), 3);
        while let Some(n) = three.next().await {
            assert_eq!(start.elapsed(), ms(n));
            got.push(n);
        }
        assert_eq!((got, three.is_empty(), three.next().await), (vec![2, 4, 6, 7, 14], true, None));
        assert!(merge(Vec::<foster::future::Interval>::new()).next().await.is_none());
    });
}

/// L14: a limit around one item leaves nothing behind: streams that were skipped, or did not start, go on in the next.
#[test]
fn merge_goes_on_after_a_limit_around_one_item() {
    on_seeds(async || {
        let (tx, rx) = unbounded();
        let mut both = merge([rx, unbounded().1]);
        // The receiver waits in the limit, and is skipped when a value comes.
        assert_eq!(move_on_after(ms(10), both.next()).await, None);
        tx.try_send(1).unwrap();
        assert_eq!(both.next().await, Some(1));
        // It does not even start, though there is a value.
        tx.try_send(2).unwrap();
        assert_eq!(move_on_after(Duration::ZERO, both.next()).await, None);
        assert_eq!(both.next().await, Some(2));
        // It is skipped while the limit is held by a shield.
        let held = move_on_after(ms(10), async {
            join((both.next(), shield(sleep(ms(20))))).await;
        });
        let late = async {
            sleep(ms(15)).await;
            tx.try_send(3).unwrap();
        };
        assert_eq!(join((held, late)).await.0, None);
        assert_eq!(both.next().await, Some(3));
    });
}

/// A stream that panics has ended.
#[test]
fn merge_ends_though_a_stream_has_panicked() {
    on_seeds(async || {
        let mut polls = 0;
        let odd = futures_lite::stream::poll_fn(move |_| {
            polls += 1;
            if polls == 2 { panic!("on purpose") } else { Poll::Ready(Some(polls)) }
        });
        let mut one = merge([odd]);
        assert_eq!(one.next().await, Some(1));
        let second = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| Pin::new(&mut one).poll_next(cx)))));
        assert!(second.await.is_err());
        assert_eq!((one.len(), one.next().await), (0, None));
    });
}

/// A stream whose destructor panics has ended; so has one that panics, and whose destructor does too: the first panic
/// counts.
#[test]
fn merge_ends_though_the_destructor_of_a_stream_has_panicked() {
    struct Ended {
        panics: bool,
        bomb: bool,
    }
    impl Stream for Ended {
        type Item = u8;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
            if self.panics { std::panic::resume_unwind(Box::new("poll")) } else { Poll::Ready(None) }
        }
    }
    impl Drop for Ended {
        fn drop(&mut self) {
            if self.bomb && !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("drop"));
            }
        }
    }
    on_seeds(async || {
        let streams = [(false, true), (true, true), (false, false)].map(|(panics, bomb)| Ended { panics, bomb });
        let mut merged = merge(streams);
        for (left, expected) in [(2, "drop"), (1, "poll")] {
            let next = poll_fn(|cx| {
                Poll::Ready(catch_unwind(AssertUnwindSafe(|| Pin::new(&mut merged).poll_next(cx))).map(drop))
            });
            let payload = next.await.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&expected));
            assert_eq!(merged.len(), left);
        }
        assert_eq!(merged.next().await, None);
        assert!(merged.is_empty());
    });
}

/// Of two panics the one that resumes is alone: the payload of the other, whose destructor may panic, is gone by then.
#[test]
fn merge_drops_the_payload_of_a_later_panic_before_the_first_resumes() {
    /// Notes whether its destructor, which panics, has met a panic that was going on.
    struct Bomb(Arc<AtomicBool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(true, Ordering::SeqCst);
            } else {
                std::panic::resume_unwind(Box::new("payload"));
            }
        }
    }
    struct Ended(Arc<AtomicBool>);
    impl Stream for Ended {
        type Item = u8;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
            std::panic::resume_unwind(Box::new("poll"))
        }
    }
    impl Drop for Ended {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Bomb(self.0.clone())));
        }
    }
    on_seeds(async || {
        let met = Arc::new(AtomicBool::new(false));
        let mut merged = merge([Ended(met.clone())]);
        let next =
            poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| Pin::new(&mut merged).poll_next(cx))).map(drop)));
        let payload = next.await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"poll"));
        assert!(!met.load(Ordering::SeqCst), "it was dropped while the first went on");
    });
}

/// Only streams that were woken are polled.
#[test]
fn merge_polls_what_was_woken() {
    on_seeds(async || {
        let polls = Cell::new(0);
        let quiet = produce(async |_: Emitter<u8>| {
            let mut sleep = pin!(sleep_forever());
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                sleep.as_mut().poll(cx).map(|_| ())
            })
            .await
        });
        let busy = produce(async |mut out| {
            for n in 0..100 {
                sleep(ms(1)).await;
                out.emit(n).await;
            }
        });
        type Boxed<'a> = Pin<Box<dyn futures_core::Stream<Item = u8> + 'a>>;
        let mut both = merge([Box::pin(quiet) as Boxed<'_>, Box::pin(busy)]);
        for _ in 0..100 {
            both.next().await.unwrap();
        }
        assert_eq!(polls.get(), 1);
    });
}

/// By number, by time from the first item, and what is left; an item that comes in the last instant is in.
#[test]
fn batches_by_number_and_by_time() {
    on_seeds(async || {
        let at = [0, 1, 2, 50, 60, 61, 300];
        let start = Instant::now();
        let items = produce(async |mut out| {
            for time in at {
                foster::sleep_until(start + ms(time)).await;
                out.emit(time).await;
            }
        });
        let mut batches = Box::pin(batch(items, 3, ms(10)));
        let mut got = Vec::new();
        while let Some(batch) = batches.next().await {
            got.push((start.elapsed(), batch));
        }
        let wanted = [(2, vec![0, 1, 2]), (60, vec![50, 60]), (71, vec![61]), (300, vec![300])];
        let wanted = wanted.map(|(time, batch)| (ms(time), batch));
        // Which of two timers of one instant fires first is open.
        let other = [(2, vec![0, 1, 2]), (60, vec![50]), (70, vec![60, 61]), (300, vec![300])];
        let other = other.map(|(time, batch)| (ms(time), batch));
        assert!(got == wanted || got == other, "{got:?}");
    });
}

/// A stream that is always ready does not keep a batch open when its time is over.
#[test]
fn the_time_of_a_batch_ends_though_the_stream_is_ready() {
    on_seeds(async || {
        let (count, waits) = (Cell::new(0), Cell::new(true));
        let items = futures_lite::stream::poll_fn(|_| {
            count.set(count.get() + 1);
            match count.get() {
                2 if waits.get() => {
                    count.set(1);
                    Poll::Pending
                }
                n @ ..=10_000 => Poll::Ready(Some(n)),
                _ => Poll::Ready(None),
            }
        });
        let mut batches = batch(items, usize::MAX, ms(10));
        assert!(move_on_after(ms(5), batches.next()).await.is_none());
        sleep(ms(10)).await;
        waits.set(false);
        let first = batches.next().await.unwrap();
        assert!(first.len() < 100, "{} items", first.len());
        // The time of the next one begins anew; the simulator's clock stands still while anybody runs.
        let second = batches.next().await.unwrap();
        assert!(first.into_iter().chain(second).eq(1..=10_000));
        assert_eq!(batches.next().await, None);
    });
}

/// Without a limit of time it waits; what was collected stays when a call is given up, and comes back with the stream.
#[test]
fn a_batch_that_is_given_up_keeps_what_it_has() {
    on_seeds(async || {
        let items = produce(async |mut out| {
            for n in 0..5 {
                sleep(ms(10)).await;
                out.emit(n).await;
            }
        });
        let mut batches = batch(items, 3, Duration::MAX);
        assert!(move_on_after(ms(25), batches.next()).await.is_none());
        assert_eq!(batches.next().await, Some(vec![0, 1, 2]));
        assert!(move_on_after(ms(15), batches.next()).await.is_none());
        let (mut items, collected) = batches.into_parts();
        assert_eq!((collected, items.next().await), (vec![3], Some(4)));
    });
}

#[test]
#[should_panic(expected = "zero items")]
fn a_batch_of_nothing_is_refused() {
    drop(batch(foster::interval(ms(1)), 0, ms(1)));
}

/// The time counts from item to item; a consumer that is slow enough is not held back.
#[test]
fn throttled_items_keep_their_distance() {
    on_seeds(async || {
        let start = Instant::now();
        let quick = produce(async |mut out| {
            for n in 0..5 {
                out.emit(n).await;
            }
        });
        let mut slow = throttle(quick, ms(10));
        for (n, time) in [(0, 0), (1, 10)] {
            assert_eq!((slow.next().await, start.elapsed()), (Some(n), ms(time)));
        }
        sleep(ms(7)).await;
        assert_eq!((slow.next().await, start.elapsed()), (Some(2), ms(20)));
        sleep(ms(13)).await;
        assert_eq!((slow.next().await, start.elapsed()), (Some(3), ms(33)));
        assert!(move_on_after(ms(4), slow.next()).await.is_none());
        assert_eq!((slow.next().await, start.elapsed()), (Some(4), ms(43)));
        assert_eq!(slow.next().await, None);
    });
}

/// The storm: items through producers, a merge and batches, with every call given up at random; each comes out once, in
/// the order of its producer. Half of the streams are dropped part-way.
#[test]
fn storm_of_streams() {
    let total = Cell::new(0);
    on_seeds(async || {
        for round in 0..4 {
            let producers = (0..5).map(|who| {
                produce(async move |mut out| {
                    for n in 0..20 {
                        match random() % 4 {
                            0 => checkpoint().await,
                            1 => sleep(Duration::from_micros(random() % 3_000)).await,
                            2 => to_thread(|| ()).await,
                            _ => {}
                        }
                        out.emit((who, n)).await;
                    }
                })
            });
            let mut batches =
                batch(merge(producers), 1 + random() as usize % 5, Duration::from_micros(random() % 5_000));
            let mut next = [0; 5];
            let enough = if round % 2 == 0 { 100 } else { random() as usize % 100 };
            loop {
                let Some(step) = move_on_after(Duration::from_micros(random() % 2_000), batches.next()).await else {
                    continue;
                };
                let Some(items) = step else { break };
                assert!(!items.is_empty());
                for (who, n) in items {
                    assert_eq!(n, next[who]);
                    next[who] += 1;
                }
                if next.iter().sum::<usize>() > enough {
                    break;
                }
            }
            if round % 2 == 0 {
                assert_eq!(next, [20; 5]);
            }
            total.set(total.get() + next.iter().sum::<usize>());
        }
    });
    assert!(total.get() > 5_000, "{}", total.get());
}
