//! N10: threads, and turns of others.

use std::io::SeekFrom;
use std::sync::Arc;

use foster::Elapsed;
use foster::combine::{gather, race};
use foster::sync::CapacityLimiter;
use foster::{Nursery, fail_after, move_on_after, nursery, yield_now};
use foster_conformance::harness::ms;
use foster_fs::{File, with_limiter};
use futures_lite::future::or;
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::place;

/// N140: a hundred files read at once with a limiter of four are complete, and each has needed one of the four.
pub async fn n140_a_limiter_counts_all_threads() {
    let (directory, _) = place("");
    for number in 0..100 {
        std::fs::write(directory.path().join(number.to_string()), vec![b'x'; number]).unwrap();
    }
    let path = |number: usize| directory.path().join(number.to_string());
    let limiter = Arc::new(CapacityLimiter::new(0));
    let mut file = File::options().read(true).write(true).open(path(50)).await.unwrap();

    // No thread: nothing is done, whatever it is, and a write that waits has taken nothing in.
    with_limiter(limiter.clone(), async {
        let (mut some, short) = ([0; 8], ms(20));
        assert!(move_on_after(short, foster_fs::read(path(1))).await.is_none());
        assert!(move_on_after(short, foster_fs::read_dir(directory.path())).await.is_none());
        assert!(move_on_after(short, file.read(&mut some)).await.is_none());
        assert!(move_on_after(short, file.write_all(b"not this")).await.is_none());
        assert!(move_on_after(short, file.metadata()).await.is_none());
        assert!(move_on_after(short, file.try_clone()).await.is_none());
        assert!(move_on_after(short, foster_fs::atomic_write(path(1), "")).await.is_none());
    })
    .await;
    file.write_all(b"this").await.unwrap();
    file.flush().await.unwrap();
    assert!(std::fs::read(path(50)).unwrap().starts_with(b"thisxxxx"));
    std::fs::write(path(50), vec![b'x'; 50]).unwrap();

    limiter.set_total(4);
    let mut most = 0;
    let watch = async {
        loop {
            most = most.max(limiter.borrowed());
            yield_now().await;
        }
    };
    let reads = async {
        let all = with_limiter(limiter.clone(), gather((0..100).map(|number| foster_fs::read(path(number)))));
        for (number, contents) in all.await.unwrap().into_iter().enumerate() {
            assert_eq!(contents, vec![b'x'; number]);
        }
    };
    race((reads, watch)).await;
    assert!(most <= 4, "{most} at once");
}

/// N140: the limit counts for the tasks of a nursery inside. In a task itself: a limit around a nursery is `Send`.
pub async fn n140_a_limiter_counts_for_the_tasks_inside() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "contents").unwrap();
    let none = Arc::new(CapacityLimiter::new(0));
    let limited = nursery(async |n: Nursery<Elapsed>| {
        n.spawn(async move {
            let inside = nursery(async |n: Nursery<Elapsed>| {
                n.spawn(async move { fail_after(ms(20), foster_fs::read(path)).await.map(drop) });
                Ok(())
            });
            with_limiter(none, inside).await
        });
        Ok(())
    });
    assert!(limited.await.is_err(), "it was read without a thread");
}

/// N140, L38: a task that does nothing but read and write lets others run.
pub async fn n140_a_busy_file_gives_way() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    let busy = async {
        loop {
            file.write_all(b"x").await.unwrap();
            if futures_lite::future::poll_once(file.read(&mut [0; 1])).await.is_some() {
                file.flush().await.unwrap();
            }
        }
    };
    let counts = async {
        for _ in 0..50 {
            yield_now().await;
        }
    };
    fail_after(ms(100_000), race((busy, counts))).await.expect("the loop gives no turn to others");

    // Writes that are taken in at once, from a loop that never waits.
    let busy = async {
        loop {
            file.write_all(b"x").await.unwrap();
        }
    };
    let counts = async {
        for _ in 0..50 {
            yield_now().await;
        }
    };
    fail_after(ms(100_000), race((busy, counts))).await.expect("the loop gives no turn to others");
}

/// N140: a file that nobody polls any more keeps no place among those who wait for a thread: the threads go to others,
/// and to what the file does next.
pub async fn n140_a_file_that_nobody_polls_takes_no_thread() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "contents").unwrap();
    let one = Arc::new(CapacityLimiter::new(1));
    with_limiter(one.clone(), async {
        let mut reads = File::open(&path).await.unwrap();
        let mut seeks = File::open(&path).await.unwrap();
        let mut writes = File::options().append(true).open(&path).await.unwrap();
        let busy = one.clone().acquire_owned().await;
        // Left by foreign code, whose scope goes on. That it waits in the queue is seen.
        let waiting = |count: usize| {
            let one = one.clone();
            async move {
                while one.statistics().waiting < count {
                    yield_now().await;
                }
            }
        };
        or(async { drop(reads.read(&mut [0; 8]).await) }, waiting(1)).await;
        or(async { drop(seeks.seek(SeekFrom::Start(2)).await) }, waiting(2)).await;
        or(async { drop(writes.write(b"more").await) }, waiting(3)).await;
        drop(busy);

        assert_eq!(one.borrowed(), 0, "a permit for nobody");
        assert_eq!(foster_fs::read_to_string(&path).await.unwrap(), "contents");
        assert_eq!(reads.metadata().await.unwrap().len(), 8);
        assert_eq!(seeks.stream_position().await.unwrap(), 0);
        let mut text = String::new();
        reads.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "contents");
        writes.write_all(b", and more").await.unwrap();
        writes.flush().await.unwrap();
        assert_eq!(foster_fs::read_to_string(&path).await.unwrap(), "contents, and more");
    })
    .await;
}

/// N140: however many files wait for one thread, each gets it.
pub async fn n140_all_files_that_wait_get_a_thread() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "contents").unwrap();
    let one = Arc::new(CapacityLimiter::new(1));
    with_limiter(one.clone(), async {
        let mut files = Vec::new();
        for _ in 0..COUNT {
            files.push(File::open(&path).await.unwrap());
        }
        let busy = one.clone().acquire_owned().await;
        let reads = files.into_iter().map(|mut file| async move {
            let mut text = String::new();
            file.read_to_string(&mut text).await.map(|_| text)
        });
        let release = async {
            while one.statistics().waiting < COUNT {
                yield_now().await;
            }
            drop(busy);
        };
        let (texts, ()) = foster::combine::join((gather(reads), release)).await;
        assert!(texts.unwrap().into_iter().all(|text| text == "contents"));
    })
    .await;
    assert_eq!(one.borrowed(), 0);
}

const COUNT: usize = 100;

/// N140: what is written faster than the host takes it makes the writer wait: memory is bounded, and all of it arrives
/// in order.
pub async fn n140_a_fast_writer_waits() {
    let (_directory, path) = place("file");
    let piece: Vec<u8> = (0..100_003u32).map(|at| at.to_le_bytes()[0]).collect();
    let mut file = File::create(&path).await.unwrap();
    for _ in 0..100 {
        file.write_all(&piece).await.unwrap();
    }
    file.close().await.unwrap();
    let all = std::fs::read(&path).unwrap();
    assert!(all.len() == 100 * piece.len() && all.chunks(piece.len()).all(|chunk| chunk == piece));
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! limits_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; limits {
            n140_a_limiter_counts_all_threads,
            n140_a_limiter_counts_for_the_tasks_inside,
            n140_a_busy_file_gives_way,
            n140_a_file_that_nobody_polls_takes_no_thread,
            n140_all_files_that_wait_get_a_thread,
            n140_a_fast_writer_waits,
        });
    };
}
