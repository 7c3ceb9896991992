//! N10: the position is that of the caller.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use foster::CancelScope;
use foster_fs::File;
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::{Numbers, place};

/// N138: reads, writes and seeks in any order do to a file what they do to one of std; operations that are dropped
/// half-way among them.
pub async fn n138_as_a_file_of_std() {
    for seed in 0..4 {
        let mut numbers = Numbers::new(seed);
        let (_directory, path) = place("file");
        let other = path.with_extension("std");
        let contents = numbers.bytes(3000);
        std::fs::write(&path, &contents).unwrap();
        std::fs::write(&other, &contents).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
        let mut std = std::fs::File::options().read(true).write(true).open(&other).unwrap();
        for step in 0..200 {
            match numbers.below(10) {
                0 | 1 => {
                    let length = numbers.below(500);
                    let (mut one, mut two) = (vec![0; length], vec![0; length]);
                    let count = file.read(&mut one).await.unwrap();
                    std.read_exact(&mut two[..count]).unwrap();
                    assert!(one == two, "{seed} {step}: read other bytes");
                }
                2 => {
                    let written = vec![step; numbers.below(200)];
                    file.write_all(&written).await.unwrap();
                    std.write_all(&written).unwrap();
                }
                // Dropped by code that is not cancelled: what it brings is there for the next read.
                3 | 4 => {
                    let mut some = vec![0; 1 + numbers.below(100)];
                    if let Some(read) = poll_once(file.read(&mut some)).await {
                        std.seek_relative(i64::try_from(read.unwrap()).unwrap()).unwrap();
                    }
                }
                5 => {
                    let to = SeekFrom::Current(i64::try_from(numbers.below(200)).unwrap() - 100);
                    match (file.seek(to).await, std.seek(to)) {
                        (Ok(one), Ok(two)) => assert_eq!(one, two, "{seed} {step}"),
                        (one, two) => assert_eq!(one.unwrap_err().kind(), two.unwrap_err().kind(), "{seed} {step}"),
                    }
                }
                6 => {
                    let to = SeekFrom::Start(u64::try_from(numbers.below(4000)).unwrap());
                    assert_eq!(file.seek(to).await.unwrap(), std.seek(to).unwrap());
                }
                7 => {
                    let length = u64::try_from(numbers.below(4000)).unwrap();
                    file.set_len(length).await.unwrap();
                    std.set_len(length).unwrap();
                }
                #[cfg(unix)]
                8 => {
                    use std::os::unix::fs::FileExt;
                    let (written, at) = (vec![step; numbers.below(200)], u64::try_from(numbers.below(4000)).unwrap());
                    file.write_all_at(&written, at).await.unwrap();
                    std.write_all_at(&written, at).unwrap();
                }
                _ => {
                    let to = SeekFrom::End(-i64::try_from(numbers.below(2000)).unwrap());
                    assert_eq!(
                        file.seek(to).await.map_err(|error| error.kind()),
                        std.seek(to).map_err(|error| error.kind())
                    );
                }
            }
            if numbers.below(3) == 0 {
                assert_eq!(file.stream_position().await.unwrap(), std.stream_position().unwrap(), "{seed} {step}");
            }
        }
        file.flush().await.unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap(), "{seed}: other contents");
    }
}

/// N138: a read that was dropped half-way has brought bytes that the file itself changes afterwards: the next read gets
/// those that are there.
pub async fn n138_what_was_read_and_not_taken_is_read_again() {
    let (_directory, path) = place("file");
    for round in 0..20 {
        std::fs::write(&path, "old contents").unwrap();
        let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
        // In a scope that has ended, and has waited for the job.
        let read = CancelScope::new().run(async { poll_once(file.read(&mut [0; 12])).await }).await.unwrap();
        if read.is_some() {
            file.seek(SeekFrom::Start(0)).await.unwrap();
        }
        file.set_len(0).await.unwrap();
        if round % 2 == 0 {
            std::fs::write(&path, "new").unwrap();
        }
        let mut contents = String::new();
        file.read_to_string(&mut contents).await.unwrap();
        assert_eq!(contents, if round % 2 == 0 { "new" } else { "" });
    }
}

/// N138: positions that do not exist are refused, and the position stays.
pub async fn n138_a_bad_seek_changes_nothing() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "0123456789").unwrap();
    let mut file = File::open(&path).await.unwrap();
    file.seek(SeekFrom::Start(3)).await.unwrap();
    for to in [SeekFrom::Current(-4), SeekFrom::End(-11)] {
        assert_eq!(file.seek(to).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(file.stream_position().await.unwrap(), 3);
    assert_eq!(file.seek(SeekFrom::End(5)).await.unwrap(), 15);
    assert_eq!(file.read(&mut [0; 4]).await.unwrap(), 0, "beyond the end");
}

/// N138: a seek that was dropped half-way, and is repeated, goes where it was to go.
pub async fn n138_a_repeated_seek_moves_once() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "0123456789").unwrap();
    let mut file = File::open(&path).await.unwrap();
    for round in 1..=5 {
        // By reference, as code does that goes on with the same future after a limit.
        if poll_once(file.seek(SeekFrom::Current(2))).await.is_none() {
            assert_eq!(file.seek(SeekFrom::Current(2)).await.unwrap(), 2 * round);
        }
    }
    assert_eq!(file.stream_position().await.unwrap(), 10);
}

/// N138: a seek from the end or the beginning that was dropped half-way, and is repeated after the end has moved or
/// another handle has moved the position, goes where it has to now.
pub async fn n138_a_repeated_seek_goes_where_it_has_to() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "0123456789").unwrap();
    let mut file = File::options().read(true).write(true).open(&path).await.unwrap();

    // In the same scope, and the file itself has changed it.
    drop(poll_once(file.seek(SeekFrom::End(0))).await);
    file.set_len(20).await.unwrap();
    assert_eq!(file.seek(SeekFrom::End(0)).await.unwrap(), 20);

    // In a scope that has ended, and has waited for the job.
    let dropped = CancelScope::new().run(async { drop(poll_once(file.seek(SeekFrom::End(0))).await) });
    dropped.await.unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(30).unwrap();
    assert_eq!(file.seek(SeekFrom::End(0)).await.unwrap(), 30);

    let mut other = file.try_clone().await.unwrap();
    let dropped = CancelScope::new().run(async { drop(poll_once(file.seek(SeekFrom::Start(3))).await) });
    dropped.await.unwrap();
    assert_eq!(other.seek(SeekFrom::Start(9)).await.unwrap(), 9);
    assert_eq!(file.seek(SeekFrom::Start(3)).await.unwrap(), 3);
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 27);
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! positions_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; positions {
            n138_as_a_file_of_std,
            n138_a_bad_seek_changes_nothing,
            n138_what_was_read_and_not_taken_is_read_again,
            n138_a_repeated_seek_moves_once,
            n138_a_repeated_seek_goes_where_it_has_to,
        });
    };
}
