//! The wait for the end of a channel, by one who sends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Sender;
use crate::channel::bell::Listener;
use crate::channel::turn::{Attempt, Turn};

/// Future of [`Sender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct ChannelClosed<'a, T> {
    pub(super) sender: &'a Sender<T>,
    pub(super) listener: Listener,
    pub(super) turn: Turn,
}

impl<T> Future for ChannelClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ChannelClosed { sender, listener, turn } = &mut *self;
        turn.poll(cx, |visit, cx| {
            sender.step(|state, _| {
                if !state.bell().may_look(listener, visit) {
                    return Attempt::Waits;
                }
                match state.refusal(&sender.end) {
                    Some(_) => Attempt::Done(()),
                    None => state.bell().listen(listener, visit, cx),
                }
            })
        })
    }
}

impl<T> Drop for ChannelClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_home() {
            self.sender.step(|state, after| state.bell().leave(&mut self.listener, after));
        }
    }
}

impl<T> fmt::Debug for ChannelClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelClosed").finish_non_exhaustive()
    }
}
