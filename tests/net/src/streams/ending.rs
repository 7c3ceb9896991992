//! N1: how streams end.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use foster::combine::join;
use foster::sync::Event;
use foster::{Nursery, fail_after, nursery, sleep};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::kinds::{Kind, pattern, read_to_end, waiting};
use foster_conformance::harness::ms;

/// N009: after a half-close the other side reads what was written, then the end, and can still answer. Our own next
/// write fails at once.
pub async fn n009_half_close<K: Kind>() {
    let (one, other) = K::pair().await;
    one.write_all(b"question").await.unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    assert_eq!(one.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(read_to_end(&other).await.unwrap(), b"question");
    other.write_all(b"answer").await.unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&one).await.unwrap(), b"answer");
}

/// N009: a write that waits in another task ends when the write side is shut down, in whatever way it waits. The other
/// side reads what was written before.
pub async fn n009_shutdown_ends_a_write_that_waits<K: Kind>() {
    for how in [Shutdown::Write, Shutdown::Both] {
        for polls in [false, true] {
            let (one, other) = K::pair().await;
            let one = Arc::new(one);
            let writes = nursery(async |n: Nursery<io::Error>| {
                let (mut writers, writers_there) = (Vec::new(), if polls { 3 } else { 1 });
                for _ in 0..writers_there {
                    let (writer, waits) = (one.clone(), Arc::new(Event::new()));
                    let tells = waits.clone();
                    let written = async move {
                        let chunk = vec![1; 1 << 16];
                        let all = async {
                            loop {
                                let written = match polls {
                                    true => AsyncWriteExt::write(&mut &*writer, &chunk).await,
                                    false => writer.write(&chunk).await,
                                };
                                if let Err(error) = written {
                                    return error;
                                }
                            }
                        };
                        waiting(all, &tells).await
                    };
                    writers.push(n.spawn(async { Ok(written.await) }));
                    waits.wait().await;
                }
                // By then they wait at the host, and not for a turn.
                sleep(ms(20)).await;
                one.shutdown(how)?;
                for writer in writers {
                    let error = fail_after(ms(10_000), writer).await.expect("a writer sleeps on").unwrap();
                    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{how:?}, by poll functions: {polls}");
                }
                drop(one);
                assert!(!read_to_end(&other).await?.is_empty());
                Ok(())
            });
            writes.await.unwrap();
        }
    }
}

/// N009: a read that waits in another task ends when the read side is shut down, in whatever way it waits. The other
/// direction is as before.
pub async fn n009_shutdown_ends_a_read_that_waits<K: Kind>() {
    for polls in [false, true] {
        let (one, other) = K::pair().await;
        let one = Arc::new(one);
        let reads = nursery(async |n: Nursery<io::Error>| {
            let (reader, waits) = (one.clone(), Arc::new(Event::new()));
            let tells = waits.clone();
            let read = n.spawn(async move {
                let mut buf = [0; 8];
                match polls {
                    true => waiting(AsyncReadExt::read(&mut &*reader, &mut buf), &tells).await,
                    false => waiting(reader.read(&mut buf), &tells).await,
                }
            });
            waits.wait().await;
            one.shutdown(Shutdown::Read)?;
            let read = fail_after(ms(10_000), read).await.expect("the reader sleeps on").unwrap();
            assert_eq!(read, 0, "by a poll function: {polls}");
            // It stays the end, whatever comes.
            let _ = other.write_all(b"too late").await;
            sleep(ms(20)).await;
            let mut buf = [0; 8];
            assert_eq!((one.read(&mut buf).await?, one.peek(&mut buf).await?), (0, 0));
            assert_eq!(AsyncReadExt::read(&mut &*one, &mut buf).await?, 0);
            one.write_all(b"still open").await?;
            one.shutdown(Shutdown::Write)?;
            assert_eq!(read_to_end(&other).await?, b"still open");
            Ok(())
        });
        reads.await.unwrap();
    }
}

/// N009: what had come before the read side was shut down is read first.
pub async fn n009_what_came_before_a_shutdown_is_read<K: Kind>() {
    let (one, other) = K::pair().await;
    other.write_all(b"before").await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(fail_after(ms(5000), one.peek(&mut buf)).await.unwrap().unwrap(), 6);
    one.shutdown(Shutdown::Read).unwrap();
    assert_eq!(one.read(&mut buf).await.unwrap(), 6);
    assert_eq!(one.read(&mut buf).await.unwrap(), 0);
}

/// N009: who has shut down both directions, and keeps the stream, takes in no more: a writer at the other end is told, also
/// one that waits for room.
pub async fn n009_nobody_writes_to_one_who_has_shut_down<K: Kind>() {
    for waits in [false, true] {
        let (one, other) = K::pair().await;
        let upload = async {
            loop {
                if let Err(error) = one.write_all(&[1; 1 << 16]).await {
                    return error;
                }
            }
        };
        let shut = async {
            if waits {
                sleep(ms(50)).await;
            }
            other.shutdown(Shutdown::Both).unwrap();
        };
        let (error, ()) = fail_after(ms(10_000), join((upload, shut))).await.expect("it writes on for ever");
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}

/// N010: the end of a stream comes again at each read, at once.
pub async fn n010_the_end_comes_again<K: Kind>() {
    let (one, mut other) = K::pair().await;
    drop(one);
    for _ in 0..10 {
        let mut buf = [0; 8];
        assert_eq!(fail_after(ms(5000), other.read(&mut buf)).await.unwrap().unwrap(), 0);
        assert_eq!(fail_after(ms(5000), AsyncReadExt::read(&mut other, &mut buf)).await.unwrap().unwrap(), 0);
    }
}

/// N011, D3: to shut down again is fine, also when the other side has gone.
pub async fn n011_shutdown_is_idempotent<K: Kind>() {
    let (mut one, other) = K::pair().await;
    for how in [Shutdown::Write, Shutdown::Write, Shutdown::Both] {
        one.shutdown(how).unwrap();
    }
    drop(other);
    sleep(ms(20)).await;
    for _ in 0..3 {
        one.shutdown(Shutdown::Both).unwrap();
        AsyncWriteExt::close(&mut one).await.unwrap();
    }
    let (mut one, other) = K::pair().await;
    // Reset, if the family knows that.
    one.write_all(b"unread").await.unwrap();
    drop(other);
    sleep(ms(20)).await;
    for _ in 0..3 {
        AsyncWriteExt::close(&mut one).await.unwrap();
        one.shutdown(Shutdown::Write).unwrap();
    }
}

/// N012: `poll_close` is a real end for the other side, although our stream and its other half are alive.
pub async fn n012_poll_close_shuts_down<K: Kind>() {
    let (mut one, other) = K::pair().await;
    one.write_all(b"all").await.unwrap();
    AsyncWriteExt::close(&mut one).await.unwrap();
    assert_eq!(fail_after(ms(5000), read_to_end(&other)).await.unwrap().unwrap(), b"all");
    let (_read, mut write) = other.into_split();
    write.write_all(b"and back").await.unwrap();
    AsyncWriteExt::close(&mut write).await.unwrap();
    assert_eq!(fail_after(ms(5000), read_to_end(&one)).await.unwrap().unwrap(), b"and back");
}

/// N014: what was written before a drop is read to the end, however slowly.
pub async fn n014_a_drop_after_writing_loses_nothing<K: Kind>() {
    const LENGTH: usize = 1 << 20;
    let (one, other) = K::pair().await;
    let slow = nursery(async |n: Nursery<io::Error>| {
        n.spawn(async move { one.write_all(&pattern(LENGTH)).await });
        let mut all = Vec::new();
        let mut buf = vec![0; 32 * 1024];
        loop {
            sleep(ms(1)).await;
            match other.read(&mut buf).await? {
                0 => break,
                read => all.extend_from_slice(&buf[..read]),
            }
        }
        assert!(all == pattern(LENGTH), "{} bytes", all.len());
        Ok(())
    });
    slow.await.unwrap();
}

/// N015: who goes on writing to a side that has closed fails within a bounded number of bytes, and then at once.
pub async fn n015_writes_to_a_closed_peer_fail<K: Kind>() {
    let (one, other) = K::pair().await;
    drop(other);
    let mut written = 0;
    let known = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    let error = loop {
        match fail_after(ms(5000), one.write(&[0; 4096])).await.unwrap() {
            Ok(more) => written += more,
            Err(error) => break error,
        }
        assert!(written < 1 << 26);
        sleep(ms(1)).await;
    };
    assert!(known.contains(&error.kind()), "{error:?}");
    for _ in 0..3 {
        let again = fail_after(ms(5000), one.write(&[0; 4096])).await.unwrap().unwrap_err();
        assert!(known.contains(&again.kind()), "{again:?}");
    }
}

/// N017, in the reading that a stream is closed by its drop: after `shutdown` each write, an empty one included, is
/// `BrokenPipe`, and each read is the end.
pub async fn n017_closed_is_one_kind<K: Kind>() {
    for peer_has_gone in [false, true] {
        let (mut one, other) = K::pair().await;
        let other = if peer_has_gone {
            drop(other);
            sleep(ms(20)).await;
            None
        } else {
            Some(other)
        };
        one.shutdown(Shutdown::Both).unwrap();
        for buf in [&b"data"[..], b""] {
            assert_eq!(one.write(buf).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(one.write_all(buf).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let polled = AsyncWriteExt::write(&mut one, buf).await;
            assert_eq!(polled.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        assert_eq!(one.read(&mut [0; 8]).await.unwrap(), 0);
        drop(other);
    }
}
