//! N10: what is written is there; options.

use std::fs::FileTimes;
use std::io::{ErrorKind, Read};
use std::time::{Duration, SystemTime};

use foster_fs::{File, OpenOptions};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::place;

/// N136: after `write_all` and `flush` every byte is there for others.
pub async fn n136_flushed_bytes_are_there() {
    let (_directory, path) = place("file");
    let mut file = File::create(&path).await.unwrap();
    file.write_all(b"hello").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    let written = [std::io::IoSlice::new(b", "), std::io::IoSlice::new(b""), std::io::IoSlice::new(b"world")];
    assert_eq!(file.write_vectored(&written).await.unwrap(), 7);
    // Without a flush: metadata wait for what is being written.
    assert_eq!(file.metadata().await.unwrap().len(), 12);
    file.close().await.unwrap();
    assert_eq!(foster_fs::read_to_string(&path).await.unwrap(), "hello, world");
}

/// N136: what is larger than all buffers is written as a whole, and read.
pub async fn n136_large_contents() {
    let (_directory, path) = place("file");
    let contents: Vec<u8> = (0..5_000_011u32).map(|at| at.to_le_bytes()[(at % 4) as usize]).collect();
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(&contents).await.unwrap();
    file.sync_data().await.unwrap();
    assert!(std::fs::read(&path).unwrap() == contents);
    let mut all = Vec::new();
    File::open(&path).await.unwrap().read_to_end(&mut all).await.unwrap();
    assert!(all == contents);
}

/// N136: a clone shares the position, for reads and for writes.
pub async fn n136_a_clone_shares_the_position() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(b"first ").await.unwrap();
    // The clone waits for what the file has taken in.
    let mut clone = file.try_clone().await.unwrap();
    clone.write_all(b"second ").await.unwrap();
    clone.flush().await.unwrap();
    file.write_all(b"third").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"first second third");

    let mut file = File::open(&path).await.unwrap();
    let mut word = [0; 6];
    file.read_exact(&mut word).await.unwrap();
    let mut clone = file.try_clone().await.unwrap();
    let mut rest = String::new();
    clone.read_to_string(&mut rest).await.unwrap();
    assert_eq!((&word, &*rest), (b"first ", "second third"));
    assert_eq!(file.read(&mut word).await.unwrap(), 0, "the clone has read to the end");
}

/// N136: a file of the standard library that is made of one has all bytes, and stands where the caller stood.
pub async fn n136_into_std_loses_nothing() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(&[b'x'; 100_000]).await.unwrap();
    let std = file.into_std().await.unwrap();
    assert_eq!(std.metadata().unwrap().len(), 100_000);
    drop(std);

    std::fs::write(&path, "0123456789").unwrap();
    let mut file = File::from_std(std::fs::File::open(&path).unwrap());
    let mut some = [0; 4];
    file.read_exact(&mut some).await.unwrap();
    // Bytes that were read and not taken are given back.
    drop(futures_lite::future::poll_once(file.read(&mut some)).await);
    let mut std = file.into_std().await.unwrap();
    let mut rest = String::new();
    std.read_to_string(&mut rest).unwrap();
    assert!(rest == "456789" || rest == "89", "{rest}");
    let taken = &some[..] == b"4567";
    assert_eq!(taken, rest == "89", "{rest}");
}

/// N137: options mean what they mean for std.
pub async fn n137_options() {
    let (_directory, path) = place("file");
    let kind = |opened: std::io::Result<File>| opened.map(drop).unwrap_err().kind();
    assert_eq!(kind(File::open(&path).await), ErrorKind::NotFound);
    assert_eq!(kind(OpenOptions::new().write(true).open(&path).await), ErrorKind::NotFound);
    assert_eq!(kind(OpenOptions::new().open(&path).await), ErrorKind::InvalidInput);
    drop(File::create_new(&path).await.unwrap());
    assert_eq!(kind(File::create_new(&path).await), ErrorKind::AlreadyExists);

    std::fs::write(&path, "old").unwrap();
    let mut append = File::options().append(true).read(true).open(&path).await.unwrap();
    futures_lite::AsyncSeekExt::seek(&mut append, std::io::SeekFrom::Start(0)).await.unwrap();
    append.write_all(b" and new").await.unwrap();
    append.flush().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old and new", "appended, wherever the position was");
    std::fs::write(&path, "longer than before").unwrap();
    append.write_all(b"!").await.unwrap();
    append.flush().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"longer than before!");

    drop(OpenOptions::new().write(true).truncate(true).open(&path).await.unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "emptied");
    assert_eq!(foster_fs::read(&path).await.unwrap(), b"");
}

/// N137: a file that was opened to be read refuses what is written, and one that was opened to be written has nothing
/// to read.
pub async fn n137_the_wrong_direction_is_refused() {
    let (_directory, path) = place("file");
    std::fs::write(&path, "contents").unwrap();
    let mut file = File::open(&path).await.unwrap();
    let std = std::io::Write::write(&mut std::fs::File::open(&path).unwrap(), b"x").unwrap_err();
    let written = file.write_all(b"x").await;
    let refused = written.and(file.flush().await).unwrap_err();
    assert_eq!((refused.kind(), refused.raw_os_error()), (std.kind(), std.raw_os_error()));
    let mut all = String::new();
    file.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "contents", "it can still be read");

    let mut file = OpenOptions::new().write(true).open(&path).await.unwrap();
    assert!(file.read(&mut [0; 8]).await.is_err());
    file.write_all(b"C").await.unwrap();
    file.close().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"Contents");
}

/// N136: at a given position, and the file's own stays.
#[cfg(unix)]
pub async fn n136_positioned() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(b"0123456789").await.unwrap();
    let mut some = [0; 4];
    file.read_exact_at(&mut some, 3).await.unwrap();
    assert_eq!(&some, b"3456");
    assert_eq!(file.read_at(&mut some, 8).await.unwrap(), 2);
    assert_eq!(file.read_exact_at(&mut some, 8).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    file.write_all_at(b"ab", 9).await.unwrap();
    assert_eq!(file.write_at(b"-", 0).await.unwrap(), 1);
    file.write_all(b"+").await.unwrap();
    file.flush().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"-12345678a+");
}

/// N136: length and permissions of an open file.
pub async fn n136_length_and_permissions() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(b"0123456789").await.unwrap();
    file.set_len(4).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0123", "cut off after it was written");
    let mut permissions = file.metadata().await.unwrap().permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions.clone()).await.unwrap();
    assert!(foster_fs::metadata(&path).await.unwrap().permissions().readonly());
    #[expect(clippy::permissions_set_readonly_false, reason = "so that Windows can remove it")]
    permissions.set_readonly(false);
    foster_fs::set_permissions(&path, permissions).await.unwrap();
    file.write_all(b"x").await.unwrap();
    file.sync_all().await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 11, "the position has stayed");
}

/// N136: times are those that were set, though bytes were written before which the host did not have yet.
pub async fn n136_times() {
    let (_directory, path) = place("file");
    let mut file = File::create_new(&path).await.unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for _ in 0..20 {
        file.write_all(b"0123456789").await.unwrap();
        file.set_modified(then).await.unwrap();
        assert_eq!(foster_fs::metadata(&path).await.unwrap().modified().unwrap(), then);
    }
    let later = then + Duration::from_secs(5);
    file.set_times(FileTimes::new().set_accessed(later)).await.unwrap();
    let metadata = file.metadata().await.unwrap();
    assert_eq!((metadata.accessed().unwrap(), metadata.modified().unwrap()), (later, then));
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! files_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; files {
            n136_flushed_bytes_are_there,
            n136_large_contents,
            n136_times,
            n136_a_clone_shares_the_position,
            n136_into_std_loses_nothing,
            #[cfg(unix)]
            n136_positioned,
            n136_length_and_permissions,
            n137_options,
            n137_the_wrong_direction_is_refused,
        });
    };
}
