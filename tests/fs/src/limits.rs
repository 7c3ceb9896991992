//! N10: threads, and turns of others.

use std::sync::Arc;

use foster::combine::{gather, race};
use foster::sync::CapacityLimiter;
use foster::{fail_after, move_on_after, yield_now};
use foster_conformance::harness::ms;
use foster_fs::{File, with_limiter};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

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
            n140_a_busy_file_gives_way,
            n140_a_fast_writer_waits,
        });
    };
}
