//! Checkpoints and time.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::time::Duration;

use foster::checkpoint_if_cancelled;
use foster::leaf::operation;
use foster::{Instant, checkpoint, interval, sleep, sleep_forever, sleep_until, stopping, yield_now};
use foster_conformance::harness::ms;
use futures_core::Stream;

use crate::driver::nothing;

cases! {
    checkpoint_: run, |_| async { checkpoint().await; checkpoint().await }, nothing;
    checkpoint_if_cancelled_: run, |_| async { yield_now().await; checkpoint_if_cancelled().await }, nothing;
    yield_now_: run, |_| async { yield_now().await; yield_now().await }, nothing;

    sleep_: run, |_| sleep(ms(3)), nothing;
    sleep_zero: run, |_| sleep(Duration::ZERO), nothing;
    sleep_until_: run, |_| async { sleep_until(Instant::now() + ms(2)).await }, nothing;
    sleep_forever_: run.never(), |_| sleep_forever(), nothing;
    interval_tick: run, |_| async {
        let mut interval = interval(ms(2));
        for _ in 0..3 {
            interval.tick().await;
        }
    }, nothing;
    interval_stream: run, |_| async {
        let mut interval = pin!(interval(ms(2)));
        for _ in 0..3 {
            poll_fn(|cx| interval.as_mut().poll_next(cx)).await;
        }
    }, nothing;
    /// A bare `stopping`, where nobody asks to stop.
    stopping_never: run.never(), |_| stopping(), nothing;

    operation_: run, |_| async { operation("a yield", futures_lite::future::yield_now()).await; operation("a yield", futures_lite::future::yield_now()).await }, nothing;
    operation_never: run.never(), |_| operation("nothing", pending::<()>()), nothing;
}
