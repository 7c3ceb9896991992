//! Attempts that begin one after the other, the first of which to succeed wins (RFC 8305, section 5).
//!
//! ```text
//!   A  ├──────────────────────────╳ closed
//!   B  ├─ stagger ─┼── refused
//!   C                         └┼────── connected: all others are closed before this is returned
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foster_core::future::Sleep;
use foster_core::sleep;

use super::error::ConnectError;
use crate::contract::{NetFuture, StreamSocket};

/// Connects to the first address that answers, and says which one that was.
pub(super) fn attempts<C>(addresses: Vec<SocketAddr>, stagger: Duration, connect: C) -> Attempts<C>
where
    C: FnMut(SocketAddr) -> NetFuture<'static, Box<dyn StreamSocket>> + Unpin,
{
    let attempts = addresses.into_iter().map(|address| Attempt { address, state: State::Waiting }).collect();
    Attempts { attempts, stagger, due: None, connect }
}

/// Future of [`attempts`].
pub(super) struct Attempts<C> {
    attempts: Vec<Attempt>,
    stagger: Duration,
    /// When the next one begins; none if it begins now.
    due: Option<Pin<Box<Sleep>>>,
    connect: C,
}

struct Attempt {
    address: SocketAddr,
    state: State,
}

enum State {
    Waiting,
    Connecting(NetFuture<'static, Box<dyn StreamSocket>>),
    Failed(io::Error),
}

impl<C> Future for Attempts<C>
where
    C: FnMut(SocketAddr) -> NetFuture<'static, Box<dyn StreamSocket>> + Unpin,
{
    type Output = io::Result<(Box<dyn StreamSocket>, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let newest = this.attempts.iter().rposition(|attempt| !matches!(attempt.state, State::Waiting));
            for (number, attempt) in this.attempts.iter_mut().enumerate() {
                let State::Connecting(connecting) = &mut attempt.state else { continue };
                match connecting.as_mut().poll(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(socket)) => {
                        let peer = attempt.address;
                        // The others are closed with their futures (C5).
                        this.attempts.clear();
                        return Poll::Ready(Ok((socket, peer)));
                    }
                    Poll::Ready(Err(error)) => {
                        attempt.state = State::Failed(error);
                        if newest == Some(number) {
                            // The next one need not wait for its time.
                            this.due = None;
                        }
                    }
                }
            }
            let Some(next) = this.attempts.iter_mut().find(|attempt| matches!(attempt.state, State::Waiting)) else {
                break;
            };
            if let Some(due) = &mut this.due {
                if due.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            next.state = State::Connecting((this.connect)(next.address));
            let is_last = this.attempts.last().is_some_and(|last| !matches!(last.state, State::Waiting));
            this.due = (!is_last).then(|| Box::pin(sleep(this.stagger)));
        }
        if this.attempts.iter().any(|attempt| matches!(attempt.state, State::Connecting(_))) {
            return Poll::Pending;
        }
        let failed = this.attempts.drain(..).filter_map(|attempt| match attempt.state {
            State::Failed(error) => Some((attempt.address, error)),
            State::Waiting | State::Connecting(_) => None,
        });
        Poll::Ready(Err(ConnectError { attempts: failed.collect() }.into()))
    }
}
