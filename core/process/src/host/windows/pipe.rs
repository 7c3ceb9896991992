//! Our ends of the pipes of a process.
//!
//! A call for such a pipe blocks, and there is nothing else to wait for it with. So a thread makes the calls, one at a
//! time:
//!
//! ```text
//!            1 call            2 made            3 taken
//!   Idle ─────────▶ Running ─────────▶ Done ─────────▶ Idle
//! ```
//!
//! 1. `poll_read` asks for as much as it has room for. `poll_write` hands over a copy, and returns at once.
//! 2. The thread has read, or written, or has got an error. It wakes who waits.
//! 3. `poll_read` has taken all bytes; `poll_write` and `poll_flush` have looked whether there is an error.
//!
//! The thread owns a share of the pipe, and ends with the call that it makes when the pipe is dropped: what was written
//! before still goes to the process, and a pipe that is being read is closed when that call returns.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use foster_core::leaf::wake_all;

use super::STACK;
use crate::contract::{ReadPipe, WritePipe};

/// No call moves more than this.
const MOST: usize = 64 * 1024;

/// Our end of a pipe.
pub(super) struct Pipe {
    file: Arc<File>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    call: Call,
    waker: Option<Waker>,
    /// The buffers for the thread, to be filled or to be written. None before the first call.
    calls: Option<Sender<Vec<u8>>>,
}

#[derive(Default)]
enum Call {
    #[default]
    Idle,
    Running,
    /// The bytes that were read, and how many of them were taken; none after a write.
    Done(io::Result<(Vec<u8>, usize)>),
}

/// Reads into the buffer, or writes it, and returns what was read.
type Make = fn(&File, Vec<u8>) -> io::Result<Vec<u8>>;

impl Pipe {
    pub(super) fn new(file: File) -> Self {
        Pipe { file: Arc::new(file), state: Arc::default() }
    }

    /// Transition 1. The thread is started before the first call.
    fn call(&self, state: &mut State, make: Make, buffer: Vec<u8>) -> io::Result<()> {
        let calls = match &mut state.calls {
            Some(calls) => calls,
            none => {
                let (sender, receiver) = channel();
                let (file, state) = (self.file.clone(), self.state.clone());
                let makes = move || make_calls(receiver, &file, make, &state);
                thread::Builder::new().name("pipe of a process".into()).stack_size(STACK).spawn(makes)?;
                none.insert(sender)
            }
        };
        if calls.send(buffer).is_err() {
            unreachable!("the thread ends when the sender is dropped");
        }
        state.call = Call::Running;
        Ok(())
    }
}

/// Transition 2: the thread of a pipe.
fn make_calls(calls: Receiver<Vec<u8>>, file: &File, make: Make, state: &Mutex<State>) {
    for buffer in calls {
        let made = make(file, buffer);
        let mut state = lock(state);
        state.call = Call::Done(made.map(|read| (read, 0)));
        let waker = state.waker.take();
        drop(state);
        wake_all(waker);
    }
}

fn read(mut file: &File, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let read = file.read(&mut buffer)?;
    buffer.truncate(read);
    Ok(buffer)
}

fn write(mut file: &File, buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    file.write_all(&buffer)?;
    Ok(Vec::new())
}

/// Registers the waker, and returns `Pending`. A waker is cloned and dropped with the lock released.
fn wait<T>(mut state: MutexGuard<'_, State>, waker: Waker) -> Poll<T> {
    let before = state.waker.replace(waker);
    drop(state);
    drop(before);
    Poll::Pending
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReadPipe for Pipe {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        match mem::take(&mut state.call) {
            Call::Idle => {
                self.call(&mut state, read, vec![0; buf.len().min(MOST)])?;
                wait(state, waker)
            }
            Call::Running => {
                state.call = Call::Running;
                wait(state, waker)
            }
            Call::Done(Err(error)) => Poll::Ready(Err(error)),
            Call::Done(Ok((bytes, taken))) => {
                let rest = &bytes[taken..];
                let more = rest.len().min(buf.len());
                buf[..more].copy_from_slice(&rest[..more]);
                if more < rest.len() {
                    state.call = Call::Done(Ok((bytes, taken + more)));
                }
                Poll::Ready(Ok(more))
            }
        }
    }

    fn into_host(self: Box<Self>) -> io::Result<File> {
        if !matches!(lock(&self.state).call, Call::Idle) {
            let message = "some of the output of the child was read ahead, or is being read: it cannot be given on";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        // If it was read from before, its thread ends, and closes its share, soon.
        self.file.try_clone()
    }
}

impl WritePipe for Pipe {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let some = &buf[..buf.len().min(MOST)];
        self.call(&mut lock(&self.state), write, some.to_owned())?;
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        match mem::take(&mut state.call) {
            Call::Running => {
                state.call = Call::Running;
                wait(state, waker)
            }
            Call::Done(Err(error)) => Poll::Ready(Err(error)),
            Call::Idle | Call::Done(Ok(_)) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The thread ends.
        lock(&self.state).calls = None;
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.file).finish()
    }
}
