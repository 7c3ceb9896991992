//! N10: what becomes of writes: cancelled, never flushed, failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::observer::{Observer, Orphan};
use foster::runtime::{current, root};
use foster::sync::CapacityLimiter;
use foster::{CancelScope, Nursery, move_on_after, nursery, yield_now};
use foster_conformance::harness::ms;
use foster_fs::{File, with_limiter};
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::{Numbers, can_be_repeated, place};

/// N142, D12: what `write_all` has taken in is in the file when the scope around it has ended, although the file was
/// dropped without a flush.
pub async fn n142_a_dropped_file_has_all_its_bytes() {
    let (_directory, path) = place("file");
    for round in 0..1000usize {
        let contents = vec![b'x'; 1 + round * 37 % 10_000];
        let done = CancelScope::new().run(async {
            let mut file = File::create(&path).await.unwrap();
            file.write_all(&contents).await.unwrap();
        });
        done.await.unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        assert_eq!(length, contents.len() as u64, "a short file in round {round}");
    }
}

/// N142, L28: so it is when the file stays outside of the scope that wrote.
pub async fn n142_a_scope_that_wrote_ends_after_its_bytes() {
    let (_directory, path) = place("file");
    let mut file = File::create(&path).await.unwrap();
    let mut length = 0;
    for round in 0..200u64 {
        let written = move_on_after(ms(60_000), file.write_all(&vec![b'x'; 100 + 7 * round as usize])).await;
        written.unwrap().unwrap();
        length += 100 + 7 * round;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length, "round {round}");
    }
}

/// N142: a child that was cancelled behind its write has written.
pub async fn n142_cancelled_after_the_write() {
    let (_directory, path) = place("file");
    for round in 0..100 {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope.run(async {
            let mut file = File::create(&path).await.unwrap();
            file.write_all(&[b'x'; 5000]).await.unwrap();
            handle.cancel("while it is being written");
            foster::sleep_forever().await
        });
        assert!(cut.await.is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 5000, "a short file in round {round}");
    }
}

/// N139, L21: after a cancel at any point nothing goes on: the file has a beginning of what was to be written, and can
/// be used.
pub async fn n139_cancelled_at_any_point() {
    let (_directory, path) = place("file");
    let mut numbers = Numbers::new(139);
    let piece = numbers.bytes(10_000);
    let mut cut = 0;
    for round in 0..60usize {
        let mut file = File::create_new(&path).await.unwrap();
        let (file, piece) = (&mut file, &piece);
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let ended = nursery(async |n: Nursery<std::io::Error>| {
            n.spawn(async move {
                for _ in 0..round {
                    yield_now().await;
                }
                handle.cancel("now");
                Ok(())
            });
            Ok(scope
                .run(async {
                    for _ in 0..20 {
                        file.write_all(piece).await?;
                        file.flush().await?;
                        yield_now().await;
                    }
                    Ok::<_, std::io::Error>(())
                })
                .await)
        });
        cut += usize::from(ended.await.unwrap().is_err());
        let there = std::fs::read(&path).unwrap();
        assert!(there.iter().eq(piece.iter().cycle().take(there.len())), "what is there is no beginning");
        // Whatever was taken in is written: the file is used, and what it has shows that nothing went on meanwhile.
        assert_eq!(file.seek(std::io::SeekFrom::End(0)).await.unwrap(), there.len() as u64);
        file.write_all(b"end").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), there.len() as u64 + 3);
        std::fs::remove_file(&path).unwrap();
    }
    assert!(cut > 5 || !can_be_repeated(), "only {cut} were cancelled");
}

/// N139: a read that was cancelled loses nothing, wherever the next one comes from.
pub async fn n139_cancelled_reads_lose_nothing() {
    let (_directory, path) = place("file");
    let contents = Numbers::new(7).bytes(20_000);
    std::fs::write(&path, &contents).unwrap();
    let mut file = File::open(&path).await.unwrap();
    let (mut all, mut lost, mut numbers) = (Vec::new(), 0, Numbers::new(8));
    loop {
        let mut some = vec![0; 1 + numbers.below(200)];
        let read = match numbers.below(4) {
            // Cancelled by its own scope, which waits for the job.
            0 => {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let read = scope.run(async {
                    let mut reading = std::pin::pin!(file.read(&mut some));
                    let polled = poll_once(reading.as_mut()).await;
                    handle.cancel("now");
                    match polled {
                        Some(read) => read,
                        None => reading.await,
                    }
                });
                read.await.ok()
            }
            // Dropped by foreign code, which waits for nothing.
            1 => poll_once(file.read(&mut some)).await,
            // Moved out of a scope half-way, and polled on.
            2 => {
                let mut reading = std::pin::pin!(file.read(&mut some));
                match CancelScope::new().run(poll_once(reading.as_mut())).await.unwrap() {
                    Some(read) => Some(read),
                    None => Some(reading.await),
                }
            }
            _ => Some(file.read(&mut some).await),
        };
        match read {
            None => lost += 1,
            Some(Ok(0)) => break,
            Some(count) => all.extend_from_slice(&some[..count.unwrap()]),
        }
    }
    assert!(all == contents, "{} bytes of {}", all.len(), contents.len());
    assert!(lost > 5 || !can_be_repeated(), "only {lost} were cancelled");
}

/// N139: a write that is polled from one scope and then from another is done once.
pub async fn n139_a_write_that_moves_is_done_once() {
    let (_directory, path) = place("file");
    let mut file = File::create(&path).await.unwrap();
    for _ in 0..100 {
        let mut writing = std::pin::pin!(file.write_all(b"0123456789"));
        if CancelScope::new().run(poll_once(writing.as_mut())).await.unwrap().is_none() {
            writing.await.unwrap();
        }
    }
    file.close().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789".repeat(100));
}

/// N139: a call that goes on when foreign code has dropped its future comes before all that follows.
pub async fn n139_a_call_that_was_left_comes_first() {
    let (_directory, path) = place("file");
    let mut left = 0;
    for round in 0..200 {
        std::fs::write(&path, "0123456789").unwrap();
        let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
        // With a new budget, so that it starts.
        yield_now().await;
        left += usize::from(poll_once(file.set_len(0)).await.is_none());
        match round % 4 {
            0 => file.write_all(b"new").await.unwrap(),
            1 => assert_eq!(file.read(&mut [0; 1]).await.unwrap(), 0, "round {round}"),
            2 => assert_eq!(file.seek(std::io::SeekFrom::End(0)).await.unwrap(), 0, "round {round}"),
            _ => assert_eq!(file.metadata().await.unwrap().len(), 0, "round {round}"),
        }
        file.close().await.unwrap();
        let expected: &[u8] = if round % 4 == 0 { b"new" } else { b"" };
        assert_eq!(std::fs::read(&path).unwrap(), expected, "round {round}");
    }
    assert!(left > 0, "all have ended at once");
}

/// N139: L14: code that is cancelled opens nothing, reads nothing and writes nothing.
pub async fn n139_cancelled_code_starts_nothing() {
    let (directory, path) = place("file");
    let other = directory.path().join("other");
    std::fs::write(&path, "0123456789").unwrap();
    let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
    for way in 0..9 {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope.run(async {
            handle.cancel("before it starts");
            match way {
                0 => file.read(&mut [0; 4]).await.map(drop),
                1 => file.write(b"x").await.map(drop),
                2 => file.seek(std::io::SeekFrom::End(0)).await.map(drop),
                3 => file.set_len(0).await,
                4 => File::create(&other).await.map(drop),
                5 => foster_fs::write(&other, "x").await,
                6 => foster_fs::remove_file(&path).await,
                7 => foster_fs::atomic_write(&path, "new").await,
                _ => foster_fs::replace(&path, async |_| Ok(())).await,
            }
        });
        assert!(cut.await.is_err(), "cancelled code went on: {way}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    assert!(!other.exists());
    assert_eq!(file.stream_position().await.unwrap(), 0);
}

/// N143: a write that fails late is told with the next flush, and with each one after it; `sync_all` never says `Ok`.
#[cfg(target_os = "linux")]
pub async fn n143_a_late_error_stays() {
    use std::io::ErrorKind::StorageFull;
    for way in 0..5 {
        let mut file = File::options().write(true).open("/dev/full").await.unwrap();
        let written = file.write_all(&[b'x'; 3000]).await;
        assert!(written.is_ok(), "it is taken in");
        let first = match way {
            0 => file.flush().await,
            1 => file.sync_all().await,
            2 => file.sync_data().await,
            // Read, and not told: the error is not used up.
            3 => file.metadata().await.map(drop).and(file.flush().await),
            _ => loop {
                // The next write, or one of those that follow, when the host has said so.
                if let Err(error) = file.write_all(b"more").await {
                    break Err(error);
                }
            },
        };
        assert_eq!(first.unwrap_err().kind(), StorageFull, "{way}");
        for _ in 0..3 {
            assert_eq!(file.flush().await.unwrap_err().kind(), StorageFull, "{way}: a second flush");
            assert_eq!(file.sync_all().await.unwrap_err().kind(), StorageFull, "{way}");
            assert_eq!(file.write(b"x").await.unwrap_err().kind(), StorageFull, "{way}: the next write");
        }
        if way % 2 == 0 {
            assert_eq!(file.close().await.unwrap_err().kind(), StorageFull);
        } else {
            let refused = file.into_std().await.unwrap_err();
            assert_eq!(refused.error.kind(), StorageFull);
        }
    }
    assert_eq!(foster_fs::write("/dev/full", "x").await.unwrap_err().kind(), StorageFull);
}

/// Counts what goes to the observer.
#[derive(Default)]
struct Reports(AtomicUsize);

impl Observer for Reports {
    fn orphan(&self, _: &Orphan<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Opens a file of a full disk, and runs `body` with it in a tree of its own. Returns how many errors were reported.
async fn reports(body: impl AsyncFnOnce(File)) -> usize {
    let reports = Arc::new(Reports::default());
    let body = async { body(File::options().write(true).open("/dev/full").await.unwrap()).await };
    root(current().expect("a test has a runtime"), body).observe(reports.clone()).await;
    reports.0.load(Ordering::SeqCst)
}

/// N143, L14: an error that is there for cancelled code only is told to nobody, and so it is reported.
#[cfg(target_os = "linux")]
pub async fn n143_cancelled_code_is_not_told() {
    for way in 0..5 {
        let reported = reports(async |mut file| {
            file.write_all(&[b'x'; 3000]).await.unwrap();
            // When this is there, the write has failed.
            file.metadata().await.unwrap();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let cut = scope.run(async {
                if way < 4 {
                    handle.cancel("before it is told");
                }
                match way {
                    0 => file.write(b"x").await.map(drop),
                    1 => file.flush().await,
                    2 => file.sync_all().await,
                    3 => file.close().await,
                    // It waits for a thread, and there is none.
                    _ => {
                        let none = Arc::new(CapacityLimiter::new(0));
                        assert!(with_limiter(none, move_on_after(ms(20), file.close())).await.is_none());
                        handle.cancel("all is done");
                        foster::sleep_forever().await;
                        Ok(())
                    }
                }
            });
            assert!(cut.await.is_err(), "{way}: cancelled code was told");
        });
        assert_eq!(reported.await, 1, "{way}");
    }
}

/// N143: of an error that comes in the middle of a vectored write the next write is told; if there is none, it is
/// reported.
#[cfg(target_os = "linux")]
pub async fn n143_a_part_of_a_vectored_write() {
    let bufs = vec![std::io::IoSlice::new(b"0123456789"); 100];
    for round in 0..200 {
        let mut was_told = false;
        let reported = reports(async |mut file| {
            file.write_all(b"x").await.unwrap();
            was_told = file.write_vectored(&bufs).await.is_err();
            // When this is there, the write has failed.
            file.metadata().await.unwrap();
        });
        assert_eq!(reported.await, usize::from(!was_told), "round {round}");
    }
}

/// N143: what cannot be synced, as a pipe, has lost nothing.
#[cfg(unix)]
pub async fn n143_a_pipe_cannot_be_synced() {
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut file = File::from_std(std::os::fd::OwnedFd::from(writer).into());
    for _ in 0..2 {
        file.write_all(b"word").await.unwrap();
        assert_eq!(file.sync_all().await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert!(file.sync_data().await.is_err());
    }
    file.close().await.unwrap();
    let mut all = String::new();
    std::io::Read::read_to_string(&mut reader, &mut all).unwrap();
    assert_eq!(all, "wordword");
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! writing_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; writing {
            n139_cancelled_at_any_point,
            n139_cancelled_reads_lose_nothing,
            n139_a_write_that_moves_is_done_once,
            n139_a_call_that_was_left_comes_first,
            n139_cancelled_code_starts_nothing,
            n142_a_dropped_file_has_all_its_bytes,
            n142_a_scope_that_wrote_ends_after_its_bytes,
            n142_cancelled_after_the_write,
            #[cfg(target_os = "linux")]
            n143_a_late_error_stays,
            #[cfg(target_os = "linux")]
            n143_cancelled_code_is_not_told,
            #[cfg(target_os = "linux")]
            n143_a_part_of_a_vectored_write,
            #[cfg(unix)]
            n143_a_pipe_cannot_be_synced,
        });
    };
}
