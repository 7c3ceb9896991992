//! Files of foster-fs, beside those of the runtime that they are on: one that is written and read back in pieces, and a
//! small one that is opened and read.
//!
//! The same code for all three: `$file` is that of foster-fs, smol or tokio. The files are in a temporary directory, so
//! where that is on a disk, it is the host's cache that they are in. All three do the calls on other threads, one after
//! the other. callgrind counts all threads, and what it counts here repeats within 15 % only: it depends on who parks when,
//! and how much of what is written goes into one call. A byte copied is an instruction to it.

use std::path::Path;

use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::{Bar, Rows};

/// Bytes of a piece.
const PIECE: usize = 64 * 1024;
/// Bytes of a small file.
const SMALL: usize = 1024;

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

macro_rules! files {
    ($module:ident, $file:path $(, $traits:path)*) => {
        mod $module {
            use super::*;
            $(use $traits as _;)*

            pub(super) async fn pieces(n: u64, path: &Path) -> u64 {
                let mut file = <$file>::create(path).await.unwrap();
                let mut piece = vec![0; PIECE];
                for i in 0..n {
                    piece[..8].copy_from_slice(&i.to_le_bytes());
                    file.write_all(&piece).await.unwrap();
                }
                file.flush().await.unwrap();
                drop(file);
                let mut file = <$file>::open(path).await.unwrap();
                let mut sum = 0;
                for _ in 0..n {
                    file.read_exact(&mut piece).await.unwrap();
                    sum += number(&piece);
                }
                sum
            }

            /// All three close the file where it is dropped.
            pub(super) async fn small(n: u64, path: &Path) -> u64 {
                std::fs::write(path, [0; SMALL]).unwrap();
                let mut sum = 0;
                for i in 0..n {
                    let mut content = [0xff; SMALL];
                    let mut file = <$file>::open(path).await.unwrap();
                    file.read_exact(&mut content).await.unwrap();
                    sum += i + number(&content);
                }
                sum
            }
        }
    };
}

files!(on_foster, foster_fs::File, futures_lite::AsyncReadExt, futures_lite::AsyncWriteExt);
files!(on_smol, smol::fs::File, futures_lite::AsyncReadExt, futures_lite::AsyncWriteExt);
files!(on_tokio, tokio::fs::File, tokio::io::AsyncReadExt, tokio::io::AsyncWriteExt);

/// In a directory that is made before, and removed after.
async fn in_directory(n: u64, work: impl AsyncFn(u64, &Path) -> u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    meter::begin();
    let sum = work(n, &directory.path().join("file")).await;
    meter::end();
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    macro_rules! file {
        ($host:ident, $work:ident, $key:literal, $what:literal, $n:literal, $bar:expr) => {
            let row = rows.on($host, $key, $what, $n).bars(&[Bar::Ratio($bar)]);
            row.foster(move |n| $host.foster(measure(n, |n| in_directory(n, on_foster::$work))));
            match $host {
                Host::Smol1 => row.peer("smol", move |n| {
                    $host.smol(|_| measure(n, |n| in_directory(n, on_smol::$work)));
                }),
                _ => row.peer("tokio", move |n| $host.tokio(measure(n, |n| in_directory(n, on_tokio::$work)))),
            };
        };
    }
    for (host, most) in [(Host::Smol1, 3.0), (Host::TokioCt, 2.0)] {
        file!(host, pieces, "file-pieces", "file: 64 KiB written, and read back", 500, 1.1);
        // As for any call on another thread, of which this is two.
        file!(host, small, "file-small", "file: opened, 1 KiB read, closed", 1_000, most);
    }
}
