//! Producers: streams that own a scope.

use foster::Nursery;
use foster::combine::Emitter;
use foster::combine::{produce, try_produce};
use foster_sim::random;
use std::sync::mpsc;
use std::task::{Wake, Waker};

use super::*;

/// It is lazy: nothing begins before it is asked for, and nothing goes on behind an `emit` before the next is.
#[test]
fn a_producer_goes_on_only_when_it_is_asked() {
    on_seeds(async || {
        let log = Log::default();
        let mut stream = produce(async |mut out| {
            for n in 1..3 {
                log.note("makes");
                out.emit(n).await;
                log.note("goes on");
            }
        });
        assert_eq!(log.take(), [""; 0]);
        assert_eq!(stream.next().await, Some(1));
        sleep(ms(5)).await;
        assert_eq!(log.take(), ["makes"]);
        assert_eq!(stream.next().await, Some(2));
        assert_eq!(log.take(), ["goes on", "makes"]);
        assert_eq!((stream.next().await, stream.next().await), (None, None));
        assert_eq!(log.take(), ["goes on"]);
    });
}

/// A waker that wakes, and then panics.
struct Panics(Waker);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        panic!("on purpose, in a waker");
    }
}

/// Polls the future with wakers that panic.
async fn badly<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(|cx| future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics(cx.waker().clone()))))))
        .await
}

/// L36: a waker that panics, of the code that emits or of that which takes, does not reach the other; nor does it unwind
/// out of the drop of the stream, which may come of a panic itself.
#[test]
fn the_panic_of_a_waker_on_one_side_does_not_reach_the_other() {
    on_seeds(async || {
        let emits = |wakers_panic: bool| {
            Box::pin(produce(async move |mut out: Emitter<u32>| {
                let Ok(()) = nursery(async |n: Nursery| {
                    let emits = async move {
                        for k in 0..3 {
                            out.emit(k).await;
                        }
                    };
                    n.spawn(async move { if wakers_panic { badly(emits).await } else { emits.await } });
                })
                .await;
            }))
        };
        let all = async |mut stream: Pin<Box<dyn futures_core::Stream<Item = u32>>>| {
            let mut all = Vec::new();
            while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                all.push(item);
            }
            all
        };
        assert_eq!(all(emits(true)).await, [0, 1, 2]);
        assert_eq!(badly(all(emits(false))).await, [0, 1, 2]);
        let panics = async {
            let mut stream = emits(true);
            assert_eq!(stream.next().await, Some(0));
            checkpoint().await;
            std::panic::resume_unwind(Box::new("the consumer"));
        };
        let mut panics = pin!(panics);
        let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        });
        let Err(payload) = caught.await;
        assert_eq!(*payload.downcast::<&str>().unwrap(), "the consumer");
    });
}

/// L36: an item that is still there, because its `emit` was forgotten, is dropped with the way to the consumer unlocked.
#[test]
fn an_item_whose_emit_was_forgotten_may_ask_for_another_as_it_is_dropped() {
    type Items = Rc<RefCell<Option<Pin<Box<dyn futures_core::Stream<Item = Item>>>>>>;
    struct Item(Option<Items>);
    impl Drop for Item {
        fn drop(&mut self) {
            let Some(items) = self.0.take() else { return };
            let mut items = items.borrow_mut();
            let items = items.as_mut().unwrap().as_mut();
            let Poll::Ready(Some(next)) = items.poll_next(&mut Context::from_waker(Waker::noop())) else {
                panic!("another item is there")
            };
            assert!(next.0.is_none());
        }
    }
    let _one = one_at_a_time();
    let (tell, told) = mpsc::channel();
    let program = std::thread::spawn(move || {
        foster_sim::run(1, async {
            let items = Items::default();
            let (give, given) = foster::channel::oneshot();
            let stream = produce(async move |out| {
                give.send(out).ok().unwrap();
                sleep_forever().await;
            });
            *items.borrow_mut() = Some(Box::pin(stream));
            let ask =
                async || poll_fn(|cx| Poll::Ready(items.borrow_mut().as_mut().unwrap().as_mut().poll_next(cx))).await;
            assert!(ask().await.is_pending());
            let mut out = given.await.unwrap();
            let mut forgotten = Box::pin(out.emit(Item(Some(items.clone()))));
            assert!(poll_fn(|cx| Poll::Ready(forgotten.as_mut().poll(cx))).await.is_pending());
            std::mem::forget(forgotten);
            let mut next = pin!(out.emit(Item(None)));
            assert!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await.is_pending());
            drop(items.borrow_mut().take());
        });
        tell.send(()).unwrap();
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(()), "a thread waits for itself");
    program.join().unwrap();
}

/// L26, L27: dropped part-way, the body is dropped at once, and the scope around waits for what it leaves.
#[test]
fn a_producer_that_is_dropped_leaves_nothing_behind() {
    on_seeds(async || {
        let (log, start) = (Log::default(), Instant::now());
        let finished = Rc::new(Cell::new(0));
        fail_after(ms(100), async {
            let children = Arc::new(AtomicUsize::new(0));
            let mut stream = produce(async |mut out| {
                let _guard = log.guard("body");
                defer(async { sleep(ms(7)).await });
                let running = children.clone();
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(async move {
                        running.fetch_add(1, Ordering::SeqCst);
                        defer(async { sleep(ms(2)).await });
                        sleep_forever().await;
                    });
                    out.emit(1).await;
                    finished.set(1);
                    sleep_forever().await;
                })
                .await;
            });
            assert_eq!(stream.next().await, Some(1));
            assert_eq!(log.take(), [""; 0]);
            drop(stream);
            assert_eq!(log.take(), ["body"]);
        })
        .await
        .unwrap();
        // The finalizers: of the child, if it had begun, then of the producer.
        assert!([ms(7), ms(9)].contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(finished.get(), 0);
    });
}

/// L19, L20: closed part-way, it is cancelled inside-out, shields included, and awaited. It goes on behind the `emit`
/// that it stood in only as far as a shield reaches.
#[test]
fn a_producer_that_is_closed_is_awaited_with_its_shields() {
    on_seeds(async || {
        let (log, start) = (Log::default(), Instant::now());
        let mut stream = produce(async |mut out| {
            let _guard = log.guard("body");
            out.emit(1).await;
            log.note("goes on");
            checkpoint().await;
            log.note("goes further");
        });
        assert_eq!(stream.next().await, Some(1));
        stream.close().await;
        assert_eq!((log.take(), start.elapsed()), (vec!["body"], ms(0)));
        let mut stream = produce(async |mut out| {
            shield(async {
                out.emit(1).await;
                sleep(ms(4)).await;
                out.emit(2).await;
                log.note("shielded");
            })
            .await;
            checkpoint().await;
            log.note("goes further");
        });
        assert_eq!(stream.next().await, Some(1));
        stream.close().await;
        assert_eq!((log.take(), start.elapsed()), (vec!["shielded"], ms(4)));
    });
}

/// A shielded emitter whose stream was dropped does not wait for a consumer.
#[test]
fn an_emitter_without_a_stream_does_not_wait() {
    on_seeds(async || {
        let reached = Arc::new(AtomicBool::new(false));
        fail_after(ms(100), async {
            let mut stream = produce(async |mut out: Emitter<u8>| {
                let reached = reached.clone();
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(shield(async move {
                        out.emit(1).await;
                        assert!(out.is_closed());
                        out.emit(2).await;
                        reached.store(true, Ordering::SeqCst);
                    }));
                })
                .await;
            });
            assert_eq!(stream.next().await, Some(1));
        })
        .await
        .unwrap();
        assert!(reached.load(Ordering::SeqCst));
    });
}

/// An emitter may go to a child: the child and the consumer call each other.
#[test]
fn a_child_of_the_body_may_emit() {
    on_seeds(async || {
        let start = Instant::now();
        let mut stream = try_produce(async |mut out| {
            nursery(async |n: Nursery<&str>| {
                n.spawn(async move {
                    for n in 1..4 {
                        sleep(ms(n)).await;
                        out.emit(n).await;
                    }
                    Err::<(), _>("no more")
                });
            })
            .await
        });
        for n in 1..4 {
            assert_eq!(stream.next().await, Some(Ok(n)));
        }
        assert_eq!(stream.next().await, Some(Err("no more")));
        assert_eq!(stream.next().await, None);
        assert_eq!(start.elapsed(), ms(1 + 2 + 3));
    });
}

/// L31, L32: an error comes when everything in the body has ended, and so does a panic.
#[test]
fn errors_and_panics_of_a_producer_come_out_at_its_end() {
    on_seeds(async || {
        let start = Instant::now();
        let mut failing = try_produce(async |mut out| {
            defer(async { sleep(ms(3)).await });
            out.emit(1).await;
            Err("broken")
        });
        assert_eq!(failing.next().await, Some(Ok(1)));
        assert_eq!(failing.next().await, Some(Err("broken")));
        assert_eq!((failing.next().await, start.elapsed()), (None, ms(3)));
        let mut panicking = produce(async |mut out| {
            defer(async { sleep(ms(3)).await });
            out.emit(1).await;
            panic!("in the body");
        });
        assert_eq!(panicking.next().await, Some(1));
        let payload = caught(panicking.next()).await.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"in the body"));
        assert_eq!(start.elapsed(), ms(6));
        let late: Result<(), &str> = try_produce(async |mut out: Emitter<()>| {
            shield(async { sleep(ms(1)).await }).await;
            out.emit(()).await;
            Err("late")
        })
        .close()
        .await;
        // It was polled once, as every scope is, and stopped at the emit.
        assert_eq!(late, Ok(()));
    });
}

/// L40: a `next` that is thrown away loses nothing.
#[test]
fn a_next_that_is_given_up_loses_nothing() {
    on_seeds(async || {
        let mut stream = produce(async |mut out| {
            for n in 0..20 {
                sleep(ms(3)).await;
                out.emit(n).await;
            }
        });
        let mut got = Vec::new();
        while got.len() < 20 {
            got.extend(move_on_after(ms(random() % 5), stream.next()).await.flatten());
        }
        assert_eq!(got, Vec::from_iter(0..20));
    });
}

/// L15, L19: cancelled from further out, it is cancelled inside-out before what stands around it.
#[test]
fn a_cancelled_consumer_takes_its_producer_along() {
    on_seeds(async || {
        let (log, start) = (Log::default(), Instant::now());
        let out = move_on_after(ms(2), async {
            let _outer = log.guard("outer");
            let mut stream = produce(async |mut out| {
                let _inner = log.guard("body");
                defer(async { sleep(ms(5)).await });
                out.emit(1).await;
                sleep_forever().await;
            });
            assert_eq!(stream.next().await, Some(1));
            stream.next().await
        });
        assert_eq!(out.await, None);
        assert_eq!((log.take(), start.elapsed()), (vec!["body", "outer"], ms(7)));
    });
}

/// Catches the panic of a future.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn std::any::Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}

/// L40: what was offered by an emit that is thrown away is not there any more.
#[test]
fn an_emit_that_is_thrown_away_takes_its_item_along() {
    on_seeds(async || {
        let (log, start) = (Log::default(), Instant::now());
        let mut items = produce(async |mut out| {
            let mut given_up = Box::pin(out.emit(log.guard("first")));
            let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx).is_pending()));
            assert!(pending.await);
            drop(given_up);
            assert_eq!(log.take(), ["first"]);
            sleep(ms(5)).await;
            out.emit(log.guard("second")).await;
        });
        let item = items.next().await.expect("there is a second");
        assert_eq!((start.elapsed(), log.take()), (ms(5), vec![]));
        drop(item);
        assert_eq!(log.take(), ["second"]);
        assert!(items.next().await.is_none());
    });
}

/// L16, L20: a consumer that is cancelled, and awaits something else, ends, though its producer is out in a shield:
/// whether the item was taken before the cancel, or in its wake.
#[test]
fn an_emit_in_a_shield_does_not_hold_up_a_cancelled_consumer() {
    on_seeds(async || {
        for (works, ends) in [(0, 5), (9, 9)] {
            let (log, start) = (Log::default(), Instant::now());
            let out = move_on_after(ms(5), async {
                let mut items = produce(async |mut out: Emitter<u8>| {
                    shield(async {
                        let _guard = log.guard("shield");
                        out.emit(1).await;
                        sleep(ms(works)).await;
                        out.emit(2).await;
                        log.note("goes on");
                        out.emit(3).await;
                    })
                    .await;
                });
                assert_eq!(items.next().await, Some(1));
                assert_eq!(items.next().await, Some(2), "the shield holds while it works");
                sleep(ms(9)).await;
                log.note("never");
            });
            assert_eq!(out.await, None);
            assert_eq!(start.elapsed(), ms(ends));
            assert_eq!(log.take(), ["shield"]);
        }
    });
}

/// L16: with a consumer that is cancelled and shielded itself, it goes on as before: no item is lost, none comes twice.
#[test]
fn a_shielded_consumer_gets_every_item_of_a_shielded_producer() {
    on_seeds(async || {
        let out = move_on_after(ms(5), async {
            let mut items = produce(async |mut out: Emitter<u64>| {
                shield(async {
                    for n in 1..5 {
                        sleep(ms(n)).await;
                        out.emit(n).await;
                    }
                })
                .await;
            });
            let mut got = Vec::new();
            shield(async {
                while let Some(n) = items.next().await {
                    got.push(n);
                    sleep(ms(1)).await;
                }
            })
            .await;
            got
        });
        assert_eq!(out.await, Some(vec![1, 2, 3, 4]));
    });
}
