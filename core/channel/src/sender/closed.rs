//! The future by which a sender waits until its channel is closed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Sender;
use crate::listeners::ListenerKey;
use crate::operation::{Attempt, ChannelOperation};

/// Future of [`Sender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct ChannelClosed<'a, T> {
    pub(super) sender: &'a Sender<T>,
    pub(super) listener: ListenerKey,
    pub(super) operation: ChannelOperation,
}

impl<T> Future for ChannelClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ChannelClosed { sender, listener, operation } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| {
            sender.step(|state, _| {
                if !state.closed_listeners().may_check(listener, attempt_cx) {
                    return Attempt::Waiting;
                }
                match state.send_error(&sender.end) {
                    // Others are woken, too, when one end is closed.
                    Some(_) if sender.end.is_closed() && state.closed_listeners().was_woken(listener) => {
                        Attempt::Done(())
                    }
                    Some(_) => state.closed_listeners().end(listener, ()),
                    None => state.closed_listeners().listen(listener, attempt_cx, cx),
                }
            })
        })
    }
}

impl<T> Drop for ChannelClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_none() {
            self.sender.step(|state, deferred| state.closed_listeners().leave(&mut self.listener, deferred));
        }
    }
}

impl<T> fmt::Debug for ChannelClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelClosed").finish_non_exhaustive()
    }
}
