//! The neutral traits: `futures_io::AsyncRead`, `AsyncWrite` and `AsyncSeek`.
//!
//! One job at a time: a call that reads or seeks waits for what is being written, and one that writes for what is being
//! read.

use std::io::{self, IoSlice, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foster_core::leaf::Gate;
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::File;
use crate::job::Job;

/// A job that moves the position, and what for.
#[derive(Debug)]
pub(super) struct CursorJob {
    pub(super) job: Job,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Read,
    Seek(SeekFrom),
}

impl File {
    /// Waits until no job moves the position, whoever has started it.
    fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(cursor_job) = self.cursor_job.as_mut().filter(|cursor_job| cursor_job.job.has_started()) {
            // It has a thread, so this is no error.
            let _ = ready!(cursor_job.job.poll(cx));
        }
        self.cursor_job = None;
        Poll::Ready(())
    }
}

impl AsyncRead for File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Gate::poll_once("read", cx));
        ready!(this.detached.poll_none(cx));
        ready!(this.writer.poll_idle(cx));
        if this.cursor_job.as_ref().is_some_and(|cursor_job| cursor_job.purpose != Purpose::Read) {
            ready!(this.poll_still(cx));
        }
        this.cursor_job.take_if(|cursor_job| cursor_job.job.is_stale());
        // Whether the job that ends here was started in this scope.
        let mut is_own = false;
        loop {
            if let Some(cursor_job) = &mut this.cursor_job {
                is_own = cursor_job.job.is_own();
                let ended = ready!(cursor_job.job.poll(cx));
                this.cursor_job = None;
                ended?;
            }
            let count = this.shared.take_unread(buf);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            match this.shared.take_outcome() {
                Some(outcome) if is_own => return Poll::Ready(outcome.map(|()| 0)),
                // Of a read that somebody else began: the file may be longer by now.
                _ => {}
            }
            let (shared, length) = (this.shared.clone(), buf.len());
            let job = Job::new("read", move || shared.read(length));
            this.cursor_job = Some(CursorJob { job, purpose: Purpose::Read });
        }
    }
}

impl AsyncSeek for File {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        ready!(Gate::poll_once("seek", cx));
        ready!(this.detached.poll_none(cx));
        ready!(this.writer.poll_idle(cx));
        if this.cursor_job.as_ref().is_some_and(|cursor_job| cursor_job.purpose != Purpose::Seek(to)) {
            ready!(this.poll_still(cx));
        }
        this.cursor_job.take_if(|cursor_job| cursor_job.job.is_stale());
        loop {
            if let Some(cursor_job) = &mut this.cursor_job {
                let is_own = cursor_job.job.is_own();
                let ended = ready!(cursor_job.job.poll(cx));
                this.cursor_job = None;
                ended?;
                // One from the beginning or the end that somebody else began is done again: the end may be elsewhere by
                // now, or another handle have moved the position. Not so one that would go further than it should.
                let counts = is_own || matches!(to, SeekFrom::Current(_));
                if let Some(sought) = this.shared.take_sought().filter(|_| counts) {
                    return Poll::Ready(sought);
                }
            }
            drop(this.shared.take_sought());
            let shared = this.shared.clone();
            let job = Job::new("seek", move || shared.seek(to));
            this.cursor_job = Some(CursorJob { job, purpose: Purpose::Seek(to) });
        }
    }
}

impl AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.cursor_job.is_some() || !this.detached.is_empty() {
            ready!(Gate::poll_once("write", cx));
            ready!(this.detached.poll_none(cx));
            ready!(this.poll_still(cx));
        }
        this.writer.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match self.as_mut().poll_write(cx, buf) {
                Poll::Ready(Ok(count)) => {
                    taken += count;
                    if count < buf.len() {
                        break;
                    }
                }
                // The bytes that were taken in count; the next write returns the same error.
                Poll::Ready(Err(_)) if taken > 0 => {
                    self.writer.was_not_told();
                    break;
                }
                Poll::Pending if taken > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_flush(cx)
    }

    /// Flushes. The file is closed when it is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
