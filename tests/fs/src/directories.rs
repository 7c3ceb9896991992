//! N10: what is in a directory.

use std::collections::BTreeSet;
use std::sync::Arc;

use foster::sync::CapacityLimiter;
use foster::{CancelScope, fail_after, move_on_after};
use foster_conformance::harness::ms;
use foster_fs::{read_dir, with_limiter};
use futures_lite::StreamExt;
use futures_lite::future::poll_once;

use crate::{can_be_repeated, place};

const ENTRIES: usize = 1000;

fn full() -> (tempfile::TempDir, BTreeSet<String>) {
    let (directory, _) = place("");
    let names: BTreeSet<_> = (0..ENTRIES).map(|number| format!("entry {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let path = directory.path().join(name);
        match number % 10 {
            0 => std::fs::create_dir(path).unwrap(),
            _ => std::fs::write(path, vec![0; number]).unwrap(),
        }
    }
    (directory, names)
}

/// N141: every entry comes once, with the metadata of std.
pub async fn n141_every_entry_once() {
    let (directory, names) = full();
    let mut found = BTreeSet::new();
    let mut entries = read_dir(directory.path()).await.unwrap();
    while let Some(entry) = entries.next().await {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if found.len() % 20 == 0 {
            let std = std::fs::symlink_metadata(entry.path()).unwrap();
            let metadata = entry.metadata().await.unwrap();
            assert_eq!((metadata.len(), metadata.is_dir()), (std.len(), std.is_dir()));
            assert_eq!(entry.file_type().await.unwrap(), std.file_type());
        }
        assert!(found.insert(name), "twice");
    }
    assert!(found == names);
    assert!(entries.next().await.is_none(), "the end comes again");
    // As a stream.
    assert_eq!(StreamExt::count(read_dir(directory.path()).await.unwrap()).await, ENTRIES);
}

/// N141: what an entry is was listed with its name. That takes no thread, and the rest does.
pub async fn n141_the_type_of_an_entry_takes_no_thread() {
    let (directory, path) = place("file");
    std::fs::write(&path, "contents").unwrap();
    let entry = read_dir(directory.path()).await.unwrap().next().await.unwrap().unwrap();
    with_limiter(Arc::new(CapacityLimiter::new(0)), async {
        assert!(move_on_after(ms(20), entry.metadata()).await.is_none());
        assert!(fail_after(ms(100_000), entry.file_type()).await.expect("it waits for a thread").unwrap().is_file());
    })
    .await;
}

/// N141: dropped or cancelled half-way it leaves nothing, and no entry is left out for who goes on.
pub async fn n141_cut_half_way() {
    let (directory, names) = full();
    for taken in [0, 1, 31, 32, 33, 500] {
        let mut entries = read_dir(directory.path()).await.unwrap();
        for _ in 0..taken {
            entries.next().await.unwrap().unwrap();
        }
        drop(poll_once(entries.next()).await);
    }
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cut = scope.run(async {
        let mut entries = read_dir(directory.path()).await.unwrap();
        for number in 0.. {
            if number == 300 {
                handle.cancel("enough");
            }
            entries.next().await.unwrap().unwrap();
        }
    });
    assert!(cut.await.is_err());

    let (mut found, mut entries, mut lost) = (BTreeSet::new(), read_dir(directory.path()).await.unwrap(), 0);
    loop {
        let next = match poll_once(entries.next()).await {
            Some(next) => next,
            None => {
                lost += 1;
                entries.next().await
            }
        };
        match next {
            Some(entry) => assert!(found.insert(entry.unwrap().file_name().into_string().unwrap())),
            None => break,
        }
    }
    assert!(found == names && (lost > 0 || !can_be_repeated()), "{} entries, {lost} lost", found.len());
}

/// N141: what is no directory is refused as std does.
pub async fn n141_no_directory() {
    let (_directory, path) = place("file");
    for _ in 0..2 {
        let one = read_dir(&path).await.map(drop).unwrap_err();
        assert_eq!(one.kind(), std::fs::read_dir(&path).map(drop).unwrap_err().kind());
        std::fs::write(&path, "").unwrap();
    }
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! directories_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; directories {
            n141_every_entry_once,
            n141_the_type_of_an_entry_takes_no_thread,
            n141_cut_half_way,
            n141_no_directory,
        });
    };
}
