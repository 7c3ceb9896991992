//! N10: files that are replaced as a whole.

use std::io::{self, ErrorKind};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use foster::combine::race;
use foster::error::JoinError;
use foster::{CancelScope, Nursery, nursery, to_thread, yield_now};
use foster_fs::{atomic_write, replace};
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::{can_be_repeated, place};

/// Large enough to be written in pieces by the host.
const LENGTH: usize = 300_000;

fn contents(letter: u8) -> Vec<u8> {
    vec![letter; LENGTH]
}

fn is_whole(contents: &[u8]) -> bool {
    contents.len() == LENGTH && contents.iter().all(|byte| *byte == contents[0])
}

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// N145: who reads sees the old contents or the new ones, as a whole, at any moment.
pub async fn n145_readers_see_all_or_nothing() {
    let (directory, path) = place("file");
    atomic_write(&path, contents(b'a')).await.unwrap();
    let writes = async {
        for letter in b'a'..=b'z' {
            if letter % 2 == 0 {
                atomic_write(&path, contents(letter)).await.unwrap();
            } else {
                let written = replace(&path, async |file| {
                    for _ in 0..3 {
                        file.write_all(&vec![letter; LENGTH / 3]).await?;
                    }
                    Ok(letter)
                });
                assert_eq!(written.await.unwrap(), letter);
            }
        }
    };
    let reads = async {
        loop {
            let path = path.clone();
            let seen = to_thread(move || std::fs::read(path)).await.unwrap();
            assert!(is_whole(&seen), "{} bytes", seen.len());
            yield_now().await;
        }
    };
    race((writes, reads)).await;
    assert!(std::fs::read(&path).unwrap() == contents(b'z'));
    assert_eq!(entries(directory.path()), ["file"]);
}

/// N145: cancelled at any point it leaves the old contents or the new ones, and no temporary file.
pub async fn n145_cancelled_at_any_point() {
    let (directory, path) = place("file");
    std::fs::write(&path, contents(b'a')).unwrap();
    let (mut cut, mut done) = (0, 0);
    let mut last = b'a';
    for round in 0..120usize {
        let letter = b'b' + u8::try_from(round % 20).unwrap();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let path = &path;
        let ended = nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                for _ in 0..round / 2 {
                    yield_now().await;
                }
                handle.cancel("now");
                Ok(())
            });
            let write = scope.run(async {
                if round % 2 == 0 {
                    return atomic_write(path, contents(letter)).await;
                }
                replace(path, async |file| {
                    for _ in 0..10 {
                        file.write_all(&vec![letter; LENGTH / 10]).await?;
                        yield_now().await;
                    }
                    file.flush().await
                })
                .await
            });
            Ok(write.await)
        });
        let ended = ended.await.unwrap();
        let seen = std::fs::read(path).unwrap();
        assert!(is_whole(&seen), "round {round}: {} bytes", seen.len());
        assert!([last, letter].contains(&seen[0]), "round {round}");
        match ended {
            Ok(written) => {
                written.unwrap();
                assert_eq!(seen[0], letter, "round {round}: it has returned");
                done += 1;
            }
            Err(_) => cut += 1,
        }
        last = seen[0];
        assert_eq!(entries(directory.path()), ["file"], "round {round}");
    }
    assert!((cut > 3 || !can_be_repeated()) && done + cut == 120, "{cut} were cancelled, {done} were done");
}

/// N145: an error, or a panic, of who writes leaves the old contents, and no temporary file.
pub async fn n145_failed() {
    let (directory, path) = place("file");
    std::fs::write(&path, "old").unwrap();
    let failed = replace(&path, async |file| {
        file.write_all(b"half of the ne").await?;
        Err::<(), _>(io::Error::other("no more"))
    });
    assert_eq!(failed.await.unwrap_err().to_string(), "no more");
    assert_eq!((std::fs::read(&path).unwrap(), entries(directory.path())), (b"old".to_vec(), vec!["file".to_owned()]));

    // In a task, which a panic ends.
    let panics = path.clone();
    let panicked = nursery(async |n: Nursery<JoinError>| {
        n.spawn(async move {
            let writes = replace(&panics, async |file| {
                file.write_all(b"half of the ne").await?;
                panic!("on purpose")
            });
            let _: io::Result<()> = writes.await;
            Ok(())
        });
        Ok(())
    });
    let panicked = std::pin::pin!(CancelScope::new().run(panicked));
    let caught = CatchUnwind(panicked).await;
    assert!(caught.is_err(), "the panic was swallowed");
    assert_eq!((std::fs::read(&path).unwrap(), entries(directory.path())), (b"old".to_vec(), vec!["file".to_owned()]));

    // Errors of the host, at each step.
    let below = path.join("below a file");
    assert_eq!(atomic_write(&below, "x").await.unwrap_err().kind(), ErrorKind::NotADirectory);
    let nowhere = directory.path().join("no directory").join("file");
    assert_eq!(atomic_write(&nowhere, "x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(replace(&nowhere, async |_| Ok(())).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(atomic_write("/", "x").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let full = directory.path().join("full");
    std::fs::create_dir_all(full.join("kept")).unwrap();
    assert!(atomic_write(&full, "x").await.is_err(), "a directory is not replaced");
    assert!(replace(&full, async |file| file.write_all(b"x").await).await.is_err());
    assert_eq!(entries(directory.path()), ["file", "full"]);
    assert_eq!(entries(&full), ["kept"]);
}

/// Catches the panic of a future.
struct CatchUnwind<F>(F);

impl<F: Future + Unpin> Future for CatchUnwind<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = panic::catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx)));
        polled.map_or_else(|payload| Poll::Ready(Err(payload)), |polled| polled.map(Ok))
    }
}

/// N145: the file may be read and moved in while it is written.
pub async fn n145_the_new_file_is_a_file() {
    let (_directory, path) = place("file");
    replace(&path, async |file| {
        file.write_all(b"0123456789").await?;
        file.seek(io::SeekFrom::Start(4)).await?;
        let mut some = [0; 2];
        file.read_exact(&mut some).await?;
        assert_eq!(&some, b"45");
        file.write_all(b"--").await
    })
    .await
    .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"012345--89");
}

/// N145: the permissions are those of the old file; a new one has the usual ones. A link is replaced, another name
/// keeps the old contents.
#[cfg(unix)]
pub async fn n145_permissions_and_links() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = place("file");
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let usual = directory.path().join("usual");
    std::fs::write(&usual, "").unwrap();
    atomic_write(&path, "1").await.unwrap();
    assert_eq!(mode(&path), mode(&usual));
    for wanted in [0o600, 0o640, 0o755, 0o444] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(wanted)).unwrap();
        atomic_write(&path, "2").await.unwrap();
        assert_eq!(mode(&path), wanted, "{wanted:o}");
        replace(&path, async |file| file.write_all(b"3").await).await.unwrap();
        assert_eq!(mode(&path), wanted, "{wanted:o}");
    }
    let (hard, symbolic) = (directory.path().join("hard"), directory.path().join("symbolic"));
    std::fs::hard_link(&path, &hard).unwrap();
    std::os::unix::fs::symlink("file", &symbolic).unwrap();
    atomic_write(&path, "4").await.unwrap();
    assert_eq!(std::fs::read(&hard).unwrap(), b"3");
    atomic_write(&symbolic, "5").await.unwrap();
    assert!(!std::fs::symlink_metadata(&symbolic).unwrap().is_symlink());
    assert_eq!((std::fs::read(&path).unwrap(), std::fs::read(&symbolic).unwrap()), (b"4".to_vec(), b"5".to_vec()));
}

/// N145: a file whose name is as long as the host allows is replaced as any other.
#[cfg(unix)]
pub async fn n145_a_long_name() {
    let (directory, _) = place("");
    let path = directory.path().join("n".repeat(255));
    atomic_write(&path, "1").await.unwrap();
    replace(&path, async |file| file.write_all(b"2").await).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"2");
    assert_eq!(entries(directory.path()).len(), 1);
}

/// N145: at no moment can others open the temporary file of a secret one.
#[cfg(unix)]
pub async fn n145_what_is_secret_stays_so() {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (directory, path) = place("file");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let (within, done) = (directory.path().to_owned(), Arc::new(AtomicBool::new(false)));
    let is_done = done.clone();
    let watch = std::thread::spawn(move || {
        let mut open = None;
        while !is_done.load(Ordering::SeqCst) && open.is_none() {
            let metadata = std::fs::read_dir(&within).unwrap().flatten().filter_map(|entry| entry.metadata().ok());
            open = metadata.map(|metadata| metadata.permissions().mode()).find(|mode| mode & 0o077 != 0);
        }
        open
    });
    for _ in 0..300 {
        atomic_write(&path, "new").await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let open = to_thread(move || watch.join().unwrap()).await;
    assert_eq!(open, None, "the mode of a file that was there");
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! replacing_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; replacing {
            n145_readers_see_all_or_nothing,
            n145_cancelled_at_any_point,
            n145_failed,
            n145_the_new_file_is_a_file,
            #[cfg(unix)]
            n145_permissions_and_links,
            #[cfg(unix)]
            n145_a_long_name,
            #[cfg(unix)]
            n145_what_is_secret_stays_so,
        });
    };
}
