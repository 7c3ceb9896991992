//! N1: streams.

mod ending;
mod sharing;

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;

use foster::combine::join;
use foster::{CancelScope, Nursery, fail_after, move_on_after, nursery, sleep, yield_now};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::kinds::{Kind, Numbers, pattern, read_to_end};
use foster_conformance::harness::ms;

pub use ending::*;
pub use sharing::*;

/// N001: an empty write is `Ok(0)`, and the other side sees nothing of it.
pub async fn n001_empty_write_is_invisible<K: Kind>() {
    let (one, other) = K::pair().await;
    assert_eq!(one.write(&[]).await.unwrap(), 0);
    assert_eq!(one.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])]).await.unwrap(), 0);
    one.write_all(&[]).await.unwrap();
    assert_eq!(AsyncWriteExt::write(&mut &one, &[]).await.unwrap(), 0);
    one.write_all(b"x").await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(other.read(&mut buf).await.unwrap(), 1);
    assert_eq!(buf[0], b'x');
}

/// N002: a read into an empty buffer is `Ok(0)` at once, and consumes nothing.
pub async fn n002_empty_read_consumes_nothing<K: Kind>() {
    let (one, other) = K::pair().await;
    assert_eq!(other.read(&mut []).await.unwrap(), 0);
    assert_eq!(other.peek(&mut []).await.unwrap(), 0);
    assert_eq!(other.read_vectored(&mut [IoSliceMut::new(&mut [])]).await.unwrap(), 0);
    other.read_exact(&mut []).await.unwrap();
    one.write_all(b"data").await.unwrap();
    assert_eq!(other.read(&mut []).await.unwrap(), 0);
    let mut buf = [0; 4];
    other.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"data");
}

/// N003: buffers of any size get the bytes in order, with nothing lost at the cut.
pub async fn n003_small_buffers_lose_nothing<K: Kind>() {
    let (one, other) = K::pair().await;
    one.write_all(b"0123456789abcdef").await.unwrap();
    let mut all = Vec::new();
    for size in [1, 7, 8] {
        let mut buf = vec![0; size];
        other.read_exact(&mut buf).await.unwrap();
        all.extend(buf);
    }
    assert_eq!(all, b"0123456789abcdef");
}

/// N003, for several buffers at once: the first is filled first.
pub async fn n003_vectored_reads_and_writes_keep_the_order<K: Kind>() {
    let (mut one, other) = K::pair().await;
    let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
    assert_eq!(one.write_vectored(&bufs).await.unwrap(), 5);
    assert_eq!(AsyncWriteExt::write_vectored(&mut one, &bufs).await.unwrap(), 5);
    let (mut first, mut second) = ([0; 3], [0; 16]);
    let read = other.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).await.unwrap();
    assert_eq!((read, &first, &second[..7]), (10, b"abc", &b"deabcde"[..]));
}

/// N004: both sides write and read 1 MiB at the same time, in random pieces.
pub async fn n004_both_directions_at_once<K: Kind>() {
    let (one, other) = K::pair().await;
    let data = Arc::new(pattern(1 << 20));
    let ends = nursery(async |n: Nursery<io::Error>| {
        for (seed, stream) in [(1, one), (2, other)] {
            let (mut read, mut write) = stream.into_split();
            let sent = data.clone();
            n.spawn(async move {
                let mut numbers = Numbers::new(seed);
                let mut left = &sent[..];
                while !left.is_empty() {
                    let (piece, rest) = left.split_at(left.len().min(1 + numbers.below(16 * 1024)));
                    write.write_all(piece).await?;
                    left = rest;
                }
                Ok(())
            });
            let wanted = data.clone();
            n.spawn(async move {
                let (mut numbers, mut all) = (Numbers::new(seed + 2), Vec::new());
                loop {
                    let mut buf = vec![0; 1 + numbers.below(16 * 1024)];
                    match read.read(&mut buf).await? {
                        0 => break,
                        length => all.extend_from_slice(&buf[..length]),
                    }
                }
                assert!(all == *wanted, "{} bytes came", all.len());
                Ok(())
            });
        }
        Ok(())
    });
    ends.await.unwrap();
}

/// N005: a reader that starts when the writer is blocked gets all of it, then a later byte, then the end.
pub async fn n005_a_late_reader_gets_all<K: Kind>() {
    const LENGTH: usize = 10_000_000;
    let (one, other) = K::pair().await;
    let reads = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move {
            one.write_all(&pattern(LENGTH)).await?;
            one.write_all(b"!").await
        });
        sleep(ms(50)).await;
        let mut all = vec![0; LENGTH];
        other.read_exact(&mut all).await?;
        assert!(all == pattern(LENGTH));
        assert_eq!(read_to_end(&other).await?, b"!");
        Ok(())
    });
    reads.await.unwrap();
}

/// N008: who writes without end is blocked after a bounded number of bytes, and goes on when the other side reads.
pub async fn n008_a_peer_that_does_not_read_is_back_pressure<K: Kind>() {
    let (one, other) = K::pair().await;
    let one = &one;
    let piece = vec![7; 64 * 1024];
    let mut written = 0;
    while let Some(more) = move_on_after(ms(100), one.write(&piece)).await {
        written += more.unwrap();
        assert!(written < 1 << 28, "it never blocks");
    }
    let mut buf = vec![0; written];
    let (read, more) = join((other.read_exact(&mut buf), one.write_all(&piece))).await;
    read.and(more).unwrap();
}

/// N018, L14: code that is cancelled takes nothing that waits in the kernel, and sends nothing.
pub async fn n018_cancelled_code_transfers_nothing<K: Kind>() {
    let (one, mut other) = K::pair().await;
    one.write_all(b"data").await.unwrap();
    let mut buf = [0; 8];
    for way in 0..6 {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope.run(async {
            handle.cancel("before it starts");
            match way {
                0 => other.read(&mut buf).await,
                1 => other.peek(&mut buf).await,
                2 => AsyncReadExt::read(&mut other, &mut buf).await,
                3 => AsyncReadExt::read(&mut &other, &mut buf).await,
                4 => one.write(b"not this").await,
                _ => AsyncWriteExt::write(&mut &one, b"not this").await,
            }
        });
        assert!(cut.await.is_err(), "cancelled code went on: {way}");
    }
    drop(one);
    assert_eq!(read_to_end(&other).await.unwrap(), b"data");
}

/// N019: a read that is cancelled at any moment loses nothing: what came is returned, or is there for the next read.
pub async fn n019_cancelled_reads_lose_nothing<K: Kind>() {
    const BYTES: usize = 3000;
    let (one, other) = K::pair().await;
    let reads = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move {
            let mut numbers = Numbers::new(19);
            for byte in pattern(BYTES) {
                one.write_all(&[byte]).await?;
                for _ in 0..numbers.below(8) {
                    yield_now().await;
                }
                if numbers.below(50) == 0 {
                    sleep(ms(1)).await;
                }
            }
            Ok(())
        });
        let (mut all, mut cut, mut numbers) = (Vec::new(), 0, Numbers::new(20));
        loop {
            let mut buf = [0; 3];
            let limit = std::time::Duration::from_micros(numbers.below(300) as u64);
            match move_on_after(limit, other.read(&mut buf)).await {
                Some(Ok(0)) => break,
                Some(read) => all.extend_from_slice(&buf[..read?]),
                None => cut += 1,
            }
        }
        assert!(all == pattern(BYTES), "{} bytes of {BYTES}", all.len());
        assert!(cut > 0, "no read was cancelled");
        Ok(())
    });
    reads.await.unwrap();
}

/// N020: of a `write_all` that was cancelled half way the other side has a part from the beginning; the stream can be
/// closed.
pub async fn n020_a_cancelled_write_all_has_sent_a_prefix<K: Kind>() {
    const LENGTH: usize = 20_000_000;
    let (one, other) = K::pair().await;
    let data = pattern(LENGTH);
    assert!(move_on_after(ms(50), one.write_all(&data)).await.is_none(), "there is room for all of it");
    one.shutdown(std::net::Shutdown::Write).unwrap();
    let got = fail_after(ms(10_000), read_to_end(&other)).await.unwrap().unwrap();
    assert!(!got.is_empty() && got.len() < LENGTH, "{} bytes", got.len());
    assert!(got == data[..got.len()], "what came is not the beginning");
}

/// N021: a loop of reads that all succeed quickly ends at its deadline.
pub async fn n021_a_busy_reader_keeps_its_deadline<K: Kind>() {
    let (one, other) = K::pair().await;
    let reads = nursery(async |n: Nursery<io::Error>| {
        n.spawn_daemon(async move {
            while one.write_all(&[1; 256]).await.is_ok() {
                sleep(ms(1)).await;
            }
        });
        let start = foster::Instant::now();
        let reading = async {
            let mut buf = [0; 1];
            while other.read(&mut buf).await.unwrap() > 0 {}
        };
        assert!(move_on_after(ms(100), reading).await.is_none());
        let took = start.elapsed();
        assert!(took >= ms(100) && took < ms(5000), "{took:?}");
        Ok(())
    });
    reads.await.unwrap();
}

/// N022: each time more data come after the reader had found none, it is woken.
pub async fn n022_a_reader_is_woken_each_time<K: Kind>() {
    const TURNS: usize = 5000;
    let (one, other) = K::pair().await;
    let turns = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move {
            let mut buf = [0; 64];
            loop {
                // A part of what is ready, then the rest, then nothing.
                let read = AsyncReadExt::read(&mut &other, &mut buf[..3]).await?;
                match read {
                    0 => return Ok(()),
                    read => other.write_all(&buf[..read]).await?,
                }
            }
        });
        let mut buf = [0; 4];
        for turn in 0..TURNS {
            let sent = (turn as u32).to_be_bytes();
            one.write_all(&sent).await?;
            one.read_exact(&mut buf).await?;
            assert_eq!(buf, sent);
        }
        one.shutdown(std::net::Shutdown::Write)
    });
    fail_after(ms(60_000), turns).await.expect("a wake-up was lost").unwrap();
}

/// Bytes that are only looked at are read again.
///
/// N002, N018
pub async fn n018_peek_consumes_nothing<K: Kind>() {
    let (one, other) = K::pair().await;
    one.write_all(b"data").await.unwrap();
    let (mut few, mut buf) = ([0; 2], [0; 8]);
    assert_eq!(other.peek(&mut few).await.unwrap(), 2);
    assert_eq!(&few, b"da");
    assert_eq!(other.read(&mut buf).await.unwrap(), 4);
    drop(one);
    assert_eq!(other.peek(&mut buf).await.unwrap(), 0, "the end, too, is only looked at");
    assert_eq!(other.read(&mut buf).await.unwrap(), 0);
}

/// N021, L38: a loop of operations that are ready gives way to others.
pub async fn n021_ready_operations_give_way<K: Kind>() {
    let (one, other) = K::pair().await;
    let mut turns = 0u32;
    let busy = async {
        let mut buf = [0; 1];
        loop {
            one.write_all(b"x").await.unwrap();
            other.read_exact(&mut buf).await.unwrap();
        }
    };
    let counts = async {
        while turns < 20 {
            turns += 1;
            yield_now().await;
        }
    };
    fail_after(ms(10_000), foster::combine::race((busy, counts))).await.expect("the loop gives no turn to others");
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! streams_suite {
    ($runner:ident; $module:ident, $kind:ident) => {
        $crate::behaviours!($runner; $module, streams [$kind] {
            n001_empty_write_is_invisible,
            n002_empty_read_consumes_nothing,
            n003_small_buffers_lose_nothing,
            n003_vectored_reads_and_writes_keep_the_order,
            n004_both_directions_at_once,
            n005_a_late_reader_gets_all,
            n006_a_reader_and_a_writer_have_wakers_of_their_own,
            n007_a_second_reader_is_refused,
            n007_a_second_writer_is_refused,
            n007_polls_of_a_shared_stream_lose_no_wake_up,
            n007_a_direction_is_free_after_a_cancel,
            n008_a_peer_that_does_not_read_is_back_pressure,
            n009_half_close,
            n009_shutdown_ends_a_write_that_waits,
            n009_shutdown_ends_a_read_that_waits,
            n009_what_came_before_a_shutdown_is_read,
            n009_nobody_writes_to_one_who_has_shut_down,
            n010_the_end_comes_again,
            n011_shutdown_is_idempotent,
            n012_poll_close_shuts_down,
            n013_the_write_half_closes_its_direction,
            n013_halves_come_together_again,
            n014_a_drop_after_writing_loses_nothing,
            n015_writes_to_a_closed_peer_fail,
            n017_closed_is_one_kind,
            n018_cancelled_code_transfers_nothing,
            n018_peek_consumes_nothing,
            n019_cancelled_reads_lose_nothing,
            n020_a_cancelled_write_all_has_sent_a_prefix,
            n021_a_busy_reader_keeps_its_deadline,
            n021_ready_operations_give_way,
            n022_a_reader_is_woken_each_time,
            n026_cancelled_tasks_leave_no_descriptor,
        });
    };
}
