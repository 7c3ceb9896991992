//! How big the futures are: a wrapper adds a fixed number of bytes to what it wraps, and never holds it twice.
//!
//! An `async fn` around a future holds it twice, as its argument and while it is awaited, so that a few levels of them
//! take kilobytes. Foster's own futures are structs, and this is the proof. The bounds are for pointers of 64 bits, in
//! bytes; a change of one is a change that users feel.

#![cfg(target_pointer_width = "64")]

use std::future::Future;
use std::hint::black_box;
use std::marker::PhantomData;
use std::mem::size_of_val;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foster::channel::{Lag, bounded, broadcast, oneshot, watch};
use foster::checkpoint_if_cancelled;
use foster::cleanup::try_bracket;
use foster::combine::Emitter;
use foster::combine::{
    as_completed, first_ok, for_each_concurrent, gather, gather_results, join, map_concurrent, produce, quorum, race,
    race_all, staggered, try_join, try_produce,
};
use foster::error::JoinError;
use foster::leaf::operation;
use foster::nursery::Started;
use foster::pool::{Pool, PoolError};
use foster::rate::RateLimiter;
use foster::retry::retry;
use foster::sync::{Barrier, CapacityLimiter, Condition, Event, Mutex, OnceCell, Promise, RwLock, Semaphore};
use foster::thread::to_thread_abandon;
use foster::{
    CancelScope, LocalNursery, Nursery, NurseryOptions, ScopedValue, bracket, checkpoint, fail_after, fail_at,
    graceful, interval, local_nursery, move_on_after, move_on_at, nursery, shield, sleep, sleep_forever, sleep_until,
    stopping, to_thread, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

static VALUE: ScopedValue<u8> = ScopedValue::new();

/// A future of `N` bytes.
struct Leaf<T, const N: usize>([u8; N], PhantomData<fn() -> T>);

fn leaf<T, const N: usize>() -> Leaf<T, N> {
    Leaf(black_box([0; N]), PhantomData)
}

impl<T, const N: usize> Future for Leaf<T, N> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        black_box(self.0[0]);
        Poll::Pending
    }
}

const SMALL: usize = 16;
const BIG: usize = 1024 + SMALL;
type Value = [u8; 1024];

/// A wrapper, once and eight times around a future: a small one, a big one, and one that returns something big.
struct Wrapped {
    name: &'static str,
    /// The bytes that a level may add.
    bound: usize,
    small: [usize; 2],
    big: [usize; 2],
    /// None if the wrapper does not hand the value on.
    value: Option<[usize; 2]>,
}

/// In a function of its own: without optimization, nothing in a function shares its place on the stack.
fn apart<T>(sizes: impl FnOnce() -> T) -> T {
    sizes()
}

macro_rules! eight {
    ($inner:ident, $leaf:expr, $wrap:expr) => {
        apart(|| {
            let $inner = $leaf;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            let $inner = $wrap;
            size_of_val(&$inner)
        })
    };
}

macro_rules! once {
    ($inner:ident, $leaf:expr, $wrap:expr) => {
        apart(|| {
            let $inner = $leaf;
            size_of_val(&$wrap)
        })
    };
}

macro_rules! wrapped {
    ($($name:ident <= $bound:literal: |$inner:ident| $wrap:expr $(, handing on |$same:ident| $handing_on:expr)?;)*) => {
        vec![$(Wrapped {
            name: stringify!($name),
            bound: $bound,
            small: [once!($inner, leaf::<(), SMALL>(), $wrap), eight!($inner, leaf::<(), SMALL>(), $wrap)],
            big: [once!($inner, leaf::<(), BIG>(), $wrap), eight!($inner, leaf::<(), BIG>(), $wrap)],
            value: None$(.or(Some([
                once!($same, leaf::<Result<Value, ()>, SMALL>(), $handing_on),
                eight!($same, leaf::<Result<Value, ()>, SMALL>(), $handing_on),
            ])))?,
        }),*]
    };
}

/// `retry` makes its futures itself, so what is nested is what makes them.
macro_rules! retried {
    ($bytes:ident) => {
        apart(|| {
            let make = || Trying(leaf::<(), $bytes>());
            let one = size_of_val(&retry([SECOND; 2], make));
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            let make = move || retry([SECOND; 2], make);
            [one, size_of_val(&retry([SECOND; 2], make))]
        })
    };
}

/// A future without a value, whatever the one inside has.
struct Quiet<F>(F);

impl<F: Future> Future for Quiet<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// As [`Quiet`], and it could fail.
struct Trying<F>(F);

impl<F: Future> Future for Trying<F> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Pending
    }
}

/// A stream that is awaited.
struct Stream<S>(S);

impl<S: futures_core::Stream> Future for Stream<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[test]
fn wrappers_hold_what_they_wrap_once() {
    let mut rows = wrapped! {
        move_on_after <= 64: |f| move_on_after(SECOND, f), handing on |f| move_on_after(SECOND, f);
        move_on_at <= 64: |f| move_on_at(foster::Instant::from_nanos(7), f), handing on |f| move_on_at(foster::Instant::from_nanos(7), f);
        fail_after <= 64: |f| fail_after(SECOND, f), handing on |f| fail_after(SECOND, f);
        fail_at <= 64: |f| fail_at(foster::Instant::from_nanos(7), f), handing on |f| fail_at(foster::Instant::from_nanos(7), f);
        cancel_scope <= 112: |f| CancelScope::new().named("scope").run(f), handing on |f| CancelScope::new().run(f);
        shield <= 64: |f| shield(f), handing on |f| shield(f);
        graceful <= 64: |f| graceful(f), handing on |f| graceful(f);
        operation <= 32: |f| operation("read", f), handing on |f| operation("read", f);
        bracket <= 136: |f| bracket(async {}, |_| f, |(), _| async {}), handing on |f| bracket(async {}, |_| f, |(), _| async {});
        try_bracket <= 136: |f| try_bracket(async { Ok::<_, ()>(()) }, |_| Trying(f), |(), _| async {}), handing on |f| try_bracket(async { Ok(()) }, |_| f, |(), _| async {});
        scoped_value <= 64: |f| VALUE.scope(7, f), handing on |f| VALUE.scope(7, f);
        nursery <= 88: |f| nursery(|_: Nursery| Quiet(f)), handing on |f| nursery(|_: Nursery<()>| f);
        nursery_options <= 88: |f| NurseryOptions::new().limit(3).run(|_: Nursery| Quiet(f));
        local_nursery <= 216: |f| local_nursery(|_: LocalNursery<'_>| Quiet(f)), handing on |f| local_nursery(|_: LocalNursery<'_, ()>| f);
        join <= 24: |f| join((f, async {}));
        try_join <= 256: |f| try_join((Trying(f), async { Ok(()) }));
        race <= 240: |f| race((Quiet(f), async {}));
        // These have boxes.
        produce <= 56: |f| Stream(produce(|_: Emitter<u8>| Quiet(f)));
        try_produce <= 56: |f| Stream(try_produce(|_: Emitter<u8>| Trying(f)));
        race_all <= 144: |f| race_all([f]);
        first_ok <= 200: |f| first_ok([Trying(f)]);
        quorum <= 200: |f| quorum(1, [Trying(f)]);
        gather <= 168: |f| gather([Trying(f)]);
        gather_results <= 160: |f| gather_results([f]);
        as_completed <= 136: |f| Stream(as_completed([f]));
        staggered <= 288: |f| staggered(SECOND, [Trying(f)]);
        map_concurrent <= 232: |f| { let mut once = Some(Trying(f)); map_concurrent(2, [()], move |()| once.take().expect("once")) };
        for_each_concurrent <= 208: |f| { let mut once = Some(Quiet(f)); for_each_concurrent(2, [()], move |()| once.take().expect("once")) };
    };
    rows.push(Wrapped { name: "retry", bound: 224, small: retried!(SMALL), big: retried!(BIG), value: None });
    println!("{:<22} {:>6}   16 bytes ×1, ×8   1040 bytes ×1, ×8   a value of 1024 ×1, ×8", "", "bound");
    let mut wrong = Vec::new();
    for Wrapped { name, bound, small, big, value } in &rows {
        let value_of = value.map_or(String::new(), |[one, eight]| format!("{one:>10} {eight:>9}"));
        println!("{name:<22} {bound:>6}   {:>8} {:>7}   {:>10} {:>8}   {value_of}", small[0], small[1], big[0], big[1]);
        for (levels, small, big) in [(1, small[0], big[0]), (8, small[1], big[1])] {
            if small > SMALL + levels * bound {
                wrong.push(format!("{name} adds {} bytes in {levels} levels", small - SMALL));
            }
            if big - small > BIG - SMALL {
                wrong.push(format!("{name} holds what it wraps more than once: {big} bytes in {levels} levels"));
            }
        }
        // The value takes the place of the body that leaves it: one place, however many levels hand it on.
        let place = size_of::<Value>() + 8;
        if value.is_some_and(|[one, eight]| one > place + bound || eight > place + 8 * (bound + 8)) {
            wrong.push(format!("{name} keeps its value more than once: {value:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A future that wraps nothing, and what it may have.
macro_rules! plain {
    ($($name:ident <= $bound:literal: $future:expr;)*) => {
        [$((stringify!($name), $bound, { let future = $future; size_of_val(&future) })),*]
    };
}

#[test]
fn futures_that_wait_are_small() {
    let rows = foster_sim::run(1, async {
        let (event, barrier, semaphore, limiter) =
            (Event::new(), Barrier::new(2), Semaphore::new(1), CapacityLimiter::new(1));
        let (mutex, rw_lock, condition, promise) =
            (Mutex::new(()), RwLock::new(()), Condition::new(), Promise::<u8>::new());
        let cell = OnceCell::<u8>::new();
        let ((tx, rx), (mut shot, answer), (state, mut watching)) = (bounded::<u64>(1), oneshot::<u64>(), watch(0u64));
        let (news, mut heard) = broadcast::<u64>(1, Lag::Wait);
        let mut ticks = interval(SECOND);
        let (rate, pool) = (RateLimiter::new(1, SECOND), Pool::new(1, async || Ok::<_, u8>(7u64)));
        let in_nursery: Result<_, JoinError> = nursery(async |n: Nursery<JoinError>| {
            let mut task = n.spawn(async { Ok(7u64) });
            Ok(plain! {
                spawn_limited <= 256: n.spawn_limited(leaf::<(), SMALL>());
                start <= 672: n.start(|_: Started<u64>| leaf::<(), SMALL>());
                start_of_a_big_child <= 672: n.start(|_: Started<u64>| leaf::<(), BIG>());
                start_with_a_big_closure <= 1712: { let f = leaf::<(), BIG>(); n.start(|_: Started<u64>| f) };
                spawn_limited_of_a_big_child <= 256: n.spawn_limited(leaf::<(), BIG>());
                task_wait <= 64: task.wait();
                task <= 96: task;
            })
        })
        .await;
        let in_local_nursery: Result<_, JoinError> = local_nursery(async |n: LocalNursery<'_, JoinError>| {
            Ok(plain! {
                local_start <= 768: n.start(|_: Started<u64>| leaf::<(), SMALL>());
                local_start_of_a_big_child <= 768: n.start(|_: Started<u64>| leaf::<(), BIG>());
            })
        })
        .await;
        let outside = plain! {
            checkpoint <= 32: checkpoint();
            checkpoint_if_cancelled <= 32: checkpoint_if_cancelled();
            yield_now <= 32: yield_now();
            sleep <= 64: sleep(SECOND);
            sleep_until <= 64: sleep_until(foster::Instant::now() + SECOND);
            sleep_forever <= 0: sleep_forever();
            stopping <= 40: stopping();
            interval <= 96: interval(SECOND);
            interval_tick <= 24: ticks.tick();
            to_thread <= 64: to_thread(|| 7u64);
            to_thread_abandon <= 32: to_thread_abandon(|| 7u64);
            event_wait <= 64: event.wait();
            barrier_wait <= 64: barrier.wait();
            mutex_lock <= 72: mutex.lock();
            rw_lock_read <= 72: rw_lock.read();
            rw_lock_write <= 72: rw_lock.write();
            semaphore_acquire <= 80: semaphore.acquire();
            limiter_acquire <= 96: limiter.acquire();
            condition_wait <= 112: condition.wait(mutex.lock().await);
            promise_wait <= 64: promise.wait();
            once_cell_get_or_init <= 96: cell.get_or_init(leaf::<u8, SMALL>);
            channel_send <= 96: tx.send(7);
            channel_reserve <= 96: tx.reserve();
            channel_closed <= 80: tx.closed();
            channel_recv <= 96: rx.recv();
            oneshot_recv <= 64: answer;
            oneshot_closed <= 64: shot.closed();
            watch_wait_for <= 80: watching.wait_for(|value| *value > 7);
            watch_recv <= 80: watching.recv();
            watch_closed <= 80: state.closed();
            broadcast_send <= 96: news.send(7);
            broadcast_recv <= 80: heard.recv();
            rate_acquire <= 136: rate.acquire();
            pool_use <= 300: pool.run(|_| leaf::<Result<(), PoolError<u8>>, SMALL>());
        };
        [&in_nursery.expect("nothing fails")[..], &in_local_nursery.expect("nothing fails")[..], &outside[..]].concat()
    });
    let mut wrong = Vec::new();
    for (name, bound, size) in rows {
        println!("{name:<26} {size:>5} of {bound:>5} bytes");
        if size > bound {
            wrong.push(format!("{name}: {size} bytes"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
