//! N10: what waits for something outside: pipes.
#![cfg(unix)]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foster::{Instant, move_on_after, sleep};
use foster_conformance::harness::ms;
use foster_fs::{File, UnwaitedReader};
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::place;

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("there is a mkfifo");
    assert!(made.success());
}

/// N139, L21: the owner of a cancelled write returns when the host's call has ended, and not before.
pub async fn n139_a_blocked_write_is_waited_for() {
    let (_directory, path) = place("pipe");
    make_pipe(&path);
    // For both directions, so that opening it waits for nobody.
    let mut other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut file = File::options().write(true).open(&path).await.unwrap();
    let drained = Arc::new(AtomicBool::new(false));
    let drains = drained.clone();
    let length = 500_000;
    let drain = std::thread::spawn(move || {
        std::thread::park_timeout(ms(300));
        drains.store(true, Ordering::SeqCst);
        let mut all = vec![0; length];
        other.read_exact(&mut all).unwrap();
    });
    let cut = move_on_after(ms(20), async {
        file.write_all(&vec![b'x'; length]).await.unwrap();
        file.flush().await.unwrap();
    });
    assert!(cut.await.is_none());
    assert!(drained.load(Ordering::SeqCst), "it has returned while the write was going on");
    file.flush().await.unwrap();
    foster::to_thread(move || drain.join().unwrap()).await;
}

/// N147: a named pipe that nobody opens at the other end holds up neither a limit nor the end of the tree; what comes
/// later is there for the next reader.
pub async fn n147_a_silent_pipe_is_not_waited_for() {
    let (_directory, path) = place("pipe");
    make_pipe(&path);
    let opened = path.clone();
    let mut source = UnwaitedReader::open(move || std::fs::File::open(&opened));
    let start = Instant::now();
    // Opening it waits.
    assert!(move_on_after(ms(20), source.next_line()).await.is_none());
    let mut other = foster::to_thread(move || std::fs::File::options().write(true).open(&path)).await.unwrap();
    // Reading it waits.
    assert!(move_on_after(ms(20), source.clone().next_line()).await.is_none());
    assert!(start.elapsed() < ms(20_000), "{:?}", start.elapsed());
    other.write_all(b"first li").unwrap();
    sleep(ms(20)).await;
    assert!(move_on_after(ms(20), source.next_line()).await.is_none(), "half a line");
    other.write_all(b"ne\r\nsecond\n\xFF\nthi").unwrap();
    assert_eq!(source.clone().next_line().await.unwrap().as_deref(), Some("first line"));
    let mut some = [0; 3];
    source.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"sec");
    assert_eq!(source.next_line().await.unwrap().as_deref(), Some("ond"));
    assert_eq!(source.next_line().await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    drop(other);
    assert_eq!(source.next_line().await.unwrap().as_deref(), Some("thi"), "the last line need not have an end");
    assert_eq!(source.next_line().await.unwrap(), None);
    assert_eq!(source.read(&mut some).await.unwrap(), 0);
}

/// N147: two who wait for the same source are both woken, and each gets what the other did not.
pub async fn n147_two_readers_share_a_source() {
    let (_directory, path) = place("pipe");
    make_pipe(&path);
    let mut other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut one = UnwaitedReader::open(move || std::fs::File::open(&path));
    let mut two = one.clone();
    let writes = async {
        sleep(ms(30)).await;
        other.write_all(b"a\nb\n").unwrap();
        sleep(ms(5_000)).await;
        drop(other);
    };
    let lines = async {
        let (one, two) = foster::combine::join((one.next_line(), two.next_line())).await;
        let mut lines = [one.unwrap().unwrap(), two.unwrap().unwrap()];
        lines.sort();
        assert_eq!(lines, ["a", "b"]);
    };
    foster::combine::race((lines, writes)).await;
}

/// A source whose pieces the test sends.
struct Pieces {
    pieces: std::sync::mpsc::Receiver<&'static str>,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let Ok(piece) = self.pieces.recv() else { return Ok(0) };
        buf[..piece.len()].copy_from_slice(piece.as_bytes());
        Ok(piece.len())
    }
}

fn pieces() -> (std::sync::mpsc::Sender<&'static str>, UnwaitedReader) {
    let (sender, pieces) = std::sync::mpsc::channel();
    let mut source = Some(Pieces { pieces });
    (sender, UnwaitedReader::open(move || Ok(source.take().expect("it is opened once"))))
}

/// N147: what one reader takes out, while another has half a line, moves no line of the other.
pub async fn n147_a_reader_in_the_middle_of_a_line() {
    let (sender, mut one) = pieces();
    let mut two = one.clone();
    let mut some = [0; 2];
    let mut line = std::pin::pin!(one.next_line());
    sender.send("abc").unwrap();
    two.read_exact(&mut some[..1]).await.unwrap();
    sleep(ms(1)).await;
    assert!(poll_once(line.as_mut()).await.is_none(), "there is no line yet");
    two.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"bc");
    sender.send("dx\ny\n").unwrap();
    two.read_exact(&mut some[..1]).await.unwrap();
    assert_eq!(line.await.unwrap().as_deref(), Some("x"));
    assert_eq!(two.next_line().await.unwrap().as_deref(), Some("y"));
}

/// A waker that counts itself.
struct Counted;

impl std::task::Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// N147: readers that have gone leave nothing in a source that stays silent.
pub async fn n147_readers_that_gave_up_leave_nothing() {
    let (sender, mut source) = pieces();
    let mut all = Vec::new();
    for round in 0..50 {
        let mut other = source.clone();
        let reader = if round % 2 == 0 { &mut source } else { &mut other };
        let mut line = std::pin::pin!(reader.next_line());
        // As a combinator does that has a waker of its own for each poll.
        let counted = Arc::new(Counted);
        all.push(Arc::downgrade(&counted));
        let waker = std::task::Waker::from(counted);
        assert!(line.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    }
    let kept = all.iter().filter(|waker| waker.strong_count() > 0).count();
    assert_eq!(kept, 1, "wakers, of one reader that is left");
    sender.send("line\n").unwrap();
    assert_eq!(source.next_line().await.unwrap().as_deref(), Some("line"));
}

/// N139: calls that were dropped while they waited for a write leave nothing behind.
pub async fn n139_calls_that_gave_up_leave_nothing() {
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut file = File::from_std(std::os::fd::OwnedFd::from(writer).into());
    // More than the host takes.
    let length = 2_000_000;
    file.write_all(&vec![b'x'; length]).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..50 {
        let mut call = std::pin::pin!(file.metadata());
        let counted = Arc::new(Counted);
        all.push(Arc::downgrade(&counted));
        let waker = std::task::Waker::from(counted);
        assert!(call.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    }
    assert!(all.iter().all(|waker| waker.strong_count() == 0), "wakers of calls that are gone");
    let drain = std::thread::spawn(move || reader.read_exact(&mut vec![0; length]).unwrap());
    file.metadata().await.unwrap();
    file.close().await.unwrap();
    foster::to_thread(move || drain.join().unwrap()).await;
}

/// N147: a source that cannot be opened says so, each time.
pub async fn n147_a_source_that_is_not_there() {
    let (_directory, path) = place("nothing");
    let opened = path.clone();
    let mut source = UnwaitedReader::open(move || std::fs::File::open(&opened));
    for _ in 0..2 {
        assert_eq!(source.next_line().await.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
    std::fs::write(&path, "now it is").unwrap();
    assert_eq!(source.next_line().await.unwrap().as_deref(), Some("now it is"));
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! waiting_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; waiting {
            n139_a_blocked_write_is_waited_for,
            n139_calls_that_gave_up_leave_nothing,
            n147_a_silent_pipe_is_not_waited_for,
            n147_two_readers_share_a_source,
            n147_a_source_that_is_not_there,
            n147_a_reader_in_the_middle_of_a_line,
            n147_readers_that_gave_up_leave_nothing,
        });
    };
}
