//! Pipes between a scripted program and whoever has started it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foster::leaf::wake_all;
use foster_process::contract::{ReadPipe, WritePipe};

/// As much as a pipe of Linux holds.
const CAPACITY: usize = 64 * 1024;

/// Makes a pipe. Its end comes when all writers are dropped.
pub(super) fn pipe() -> (Reader, Writer) {
    let shared = Arc::new(Shared::default());
    (Reader(shared.clone()), Writer(Arc::new(Last(shared))))
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// No reader is left, or no writer.
    unread: bool,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Reader(Arc<Shared>);

impl ReadPipe for Reader {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // L36: wakers are cloned, called and dropped with the lock released.
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        let (polled, dropped, woken) = if state.bytes.is_empty() && !state.ended {
            (Poll::Pending, state.reader.replace(waker), None)
        } else {
            let length = buf.len().min(state.bytes.len());
            for (to, from) in buf.iter_mut().zip(state.bytes.drain(..length)) {
                *to = from;
            }
            (Poll::Ready(Ok(length)), Some(waker), state.writer.take())
        };
        drop(state);
        drop(dropped);
        wake_all(woken);
        polled
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.unread = true;
        let woken = [state.reader.take(), state.writer.take()];
        drop(state);
        wake_all(woken.into_iter().flatten());
    }
}

#[derive(Clone, Debug)]
pub(super) struct Writer(Arc<Last>);

/// Dropped with the last writer.
#[derive(Debug)]
struct Last(Arc<Shared>);

impl WritePipe for Writer {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let waker = cx.waker().clone();
        let mut state = self.0.0.lock();
        let room = CAPACITY - state.bytes.len();
        let (polled, dropped, woken) = if state.unread {
            (Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), Some(waker), None)
        } else if room == 0 {
            (Poll::Pending, state.writer.replace(waker), None)
        } else {
            let length = buf.len().min(room);
            state.bytes.extend(&buf[..length]);
            (Poll::Ready(Ok(length)), Some(waker), state.reader.take())
        };
        drop(state);
        drop(dropped);
        wake_all(woken);
        polled
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let woken = state.reader.take();
        drop(state);
        wake_all(woken);
    }
}
