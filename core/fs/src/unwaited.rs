//! Reads that the end of a program does not wait for.
//!
//! ```text
//!   reader ──▶ bytes that are there? ── yes ──▶ takes them
//!                     │ no
//!                     └─▶ a thread reads once, puts what comes to the bytes, wakes all who wait, and ends
//! ```
//!
//! The thread is not in the tree, and not one of the runtime's: it may wait for ever, and a runtime would join its
//! threads.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use foster_core::leaf::{Gate, wake_all};
use futures_io::AsyncRead;

use crate::waker_slots::WakerSlots;

/// How much the thread reads at once: what a pipe of Linux holds, since each read costs a thread.
const PIECE: usize = 64 * 1024;

/// A source that may never have anything to read, such as a named pipe: neither a cancelled read nor the end of the
/// tree waits for it.
///
/// This is the exception to the rule that a scope waits for its threads (law L21). The read itself cannot be
/// interrupted. It has a thread of its own, which goes on without anybody: until something comes, or the process ends.
/// There is one at most for each source, only while a read is going on, and it does not keep the process from ending.
/// Bytes that come then are kept for the next reader; they are lost when the last handle has gone.
///
/// Clones are handles to the same source: bytes that one has read do not come to the others.
///
/// Not for the simulator, where nothing is there to wait for but its own tasks: a read that waits is reported as a
/// deadlock.
///
/// # Examples
///
/// ```
/// use foster_fs::UnwaitedReader;
/// use futures_lite::AsyncReadExt;
///
/// # foster_smol::run(async {
/// // Opened by the thread, too: to open a named pipe waits for its other end.
/// let mut source = UnwaitedReader::open(|| std::fs::File::open("Cargo.toml"));
/// assert_eq!(source.next_line().await?.as_deref(), Some("[package]"));
/// let mut rest = String::new();
/// source.read_to_string(&mut rest).await?;
/// assert!(rest.starts_with("name ="));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnwaitedReader {
    feed: Arc<Feed>,
    /// Its own among those who wait.
    slot: u64,
}

/// Reads from the source. It opens it first, if need be.
type Source = Box<dyn FnMut(&mut [u8]) -> io::Result<usize> + Send>;

struct Feed {
    name: &'static str,
    state: Mutex<FeedState>,
}

struct FeedState {
    /// None while the thread has it.
    source: Option<Source>,
    bytes: VecDeque<u8>,
    /// How often some of the bytes were taken out: then those that are left have moved.
    taken: u64,
    /// The outcome of the last read if it brought nothing: the end, or an error. One reader gets it, and then the
    /// source is asked again.
    last: Option<io::Result<()>>,
    waiting: WakerSlots,
}

impl FeedState {
    fn take(&mut self, count: usize) -> Vec<u8> {
        self.taken += 1;
        self.bytes.drain(..count).collect()
    }
}

impl UnwaitedReader {
    /// Makes a reader of what `open` opens, on the thread of the first read.
    ///
    /// An error of `open` is that of the first read; later reads try again.
    pub fn open<R, O>(mut open: O) -> Self
    where
        R: Read + Send + 'static,
        O: FnMut() -> io::Result<R> + Send + 'static,
    {
        let mut opened = None;
        Self::of("foster-unwaited-read", move |buf| {
            let source = match &mut opened {
                Some(source) => source,
                None => opened.insert(open()?),
            };
            source.read(buf)
        })
    }

    pub(crate) fn of(name: &'static str, read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static) -> Self {
        let mut waiting = WakerSlots::default();
        let slot = waiting.add();
        let state = FeedState { source: Some(Box::new(read)), bytes: VecDeque::new(), taken: 0, last: None, waiting };
        UnwaitedReader { feed: Arc::new(Feed { name, state: Mutex::new(state) }), slot }
    }

    /// Returns the next line, without its end (`\n` or `\r\n`); none at the end. It keeps what has come of a line until
    /// all of it is there.
    ///
    /// # Cancellation
    ///
    /// *Strict*: what has come of the line is there for the next reader.
    ///
    /// # Errors
    ///
    /// * [`InvalidData`](io::ErrorKind::InvalidData): the line is not UTF-8. It is left out.
    /// * The errors of the source.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        // How much of what has come has no end of line in it, unless another reader has taken some since.
        let (mut searched, mut taken) = (0, 0);
        poll_fn(|cx| {
            self.feed.poll(self.slot, cx, |state| {
                if state.taken != taken {
                    (searched, taken) = (0, state.taken);
                }
                let newline = state.bytes.iter().skip(searched).position(|byte| *byte == b'\n');
                if let Some(at) = newline.map(|at| searched + at) {
                    let mut line = state.take(at + 1);
                    line.pop();
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Some(text(line).map(Some));
                }
                searched = state.bytes.len();
                match state.last.take()? {
                    Ok(()) if state.bytes.is_empty() => Some(Ok(None)),
                    Ok(()) => {
                        // The end comes once more, for the next one who asks.
                        state.last = Some(Ok(()));
                        let rest = state.bytes.len();
                        Some(text(state.take(rest)).map(Some))
                    }
                    Err(error) => Some(Err(error)),
                }
            })
        })
        .await
    }
}

fn text(line: Vec<u8>) -> io::Result<String> {
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl AsyncRead for UnwaitedReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.feed.poll(self.slot, cx, |state| {
            if state.bytes.is_empty() {
                return state.last.take().map(|last| last.map(|()| 0));
            }
            state.taken += 1;
            Some(state.bytes.read(buf))
        })
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there; if that is not enough, has more read.
    fn poll<T>(
        self: &Arc<Self>,
        slot: u64,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut FeedState) -> Option<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        ready!(Gate::poll_once("read", cx));
        // L36: cloned and dropped while no lock is held.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(taken) = take(&mut state) {
            let before = state.waiting.remove(slot);
            drop(state);
            drop(before);
            return Poll::Ready(taken);
        }
        let before = state.waiting.put(slot, waker);
        let source = state.source.take();
        drop(state);
        drop(before);
        let Some(source) = source else { return Poll::Pending };
        match self.read_on_a_thread(source) {
            Ok(()) => Poll::Pending,
            Err(refused) => Poll::Ready(Err(refused)),
        }
    }

    fn read_on_a_thread(self: &Arc<Self>, source: Source) -> io::Result<()> {
        let mut reading = Reading { feed: self.clone(), source: Some(source), read: None, buffer: Vec::new() };
        // If there is no thread, the closure is dropped, which gives the source back and wakes those who wait.
        thread::Builder::new().name(self.name.to_owned()).spawn(move || reading.read()).map(drop)
    }
}

impl Clone for UnwaitedReader {
    fn clone(&self) -> Self {
        let slot = self.feed.lock().waiting.add();
        UnwaitedReader { feed: self.feed.clone(), slot }
    }
}

impl Drop for UnwaitedReader {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        let waker = state.waiting.remove(self.slot);
        drop(state);
        drop(waker);
    }
}

impl fmt::Debug for UnwaitedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnwaitedReader").field("name", &self.feed.name).finish_non_exhaustive()
    }
}

/// One read on a thread. Gives the source back when it is dropped, whatever came of it.
struct Reading {
    feed: Arc<Feed>,
    source: Option<Source>,
    read: Option<io::Result<usize>>,
    buffer: Vec<u8>,
}

impl Reading {
    fn read(&mut self) {
        let Some(source) = &mut self.source else { return };
        self.buffer.resize(PIECE, 0);
        self.read = Some(loop {
            match source(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        });
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        match self.read.take() {
            Some(Ok(0)) => state.last = Some(Ok(())),
            Some(Ok(count)) => state.bytes.extend(&self.buffer[..count]),
            Some(Err(error)) => state.last = Some(Err(error)),
            None if thread::panicking() => {
                state.last = Some(Err(io::Error::other("the source that is read has panicked")));
            }
            // There was no thread.
            None => {}
        }
        state.source = self.source.take();
        let wakers = state.waiting.take();
        drop(state);
        wake_all(wakers);
    }
}
