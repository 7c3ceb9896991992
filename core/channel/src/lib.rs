//! Channels: the primitives by which tasks of one program send each other values.
//!
//! | to | use |
//! |---|---|
//! | pass values on, each to one receiver, with back-pressure | [`bounded`] |
//! | meet: a value passes only when both sides are there | [`bounded`] with capacity 0 |
//! | pass values on whatever the receiver does | [`unbounded`] |
//! | answer once | [`oneshot`] |
//! | tell everybody the latest value | [`watch`] |
//! | tell everybody everything | [`broadcast`] |
//!
//! # Common guarantees
//!
//! * **Every await is a [checkpoint](foster_core::checkpoint()).** Code that is cancelled starts nothing (law L14). An
//!   operation that need not wait does not, until the budget of the task is used up.
//! * **Code that is cancelled is given nothing more**: no value, no room, and no news of the end. It goes to the next
//!   waiter whose code is not cancelled, or stays. Anything that was given before can still be taken; from a [`watch`],
//!   and from a [`broadcast`] that does not [wait](Lag::Wait), the value that is there by then.
//! * **First come, first served, both ways**: values keep their order, and room and values are *handed over* to the
//!   longest waiter in that instant. Nobody can jump the queue, `try_*` included. With several receivers there is one
//!   exception to the order: a value that was handed to a `recv` which is cut before it takes it goes to another receiver,
//!   which may have taken a later one meanwhile.
//! * **Nothing is lost or doubled**, in whatever order hand-over, cancellation and drop come. A value that was handed
//!   to a receiver that goes away goes to the next or back to its place; one that a sender does not know to be sent
//!   comes back to it.
//! * **Closing is seen by both sides**, and what could not be sent comes back in the error. Ends are counted; each can
//!   be closed by itself, even while others wait on it.
//! * **Threads can take part**: the `*_blocking` methods wait in the same queue. They refuse to run on a thread that is
//!   polling a task.
//! * Receivers are [`Stream`](futures_core::Stream)s.
//! * They are made outside of any runtime and work on all of them, even between two.
//!
//! Leaking a future that waits, with [`std::mem::forget`], leaves its place in the queue taken, and whatever is handed
//! to it there is lost with it.
//!
//! # Why not async-channel
//!
//! foster's channels were first meant to stand on async-channel and event-listener. They do not, because
//!
//! * event-listener calls wakers while it holds the lock of its list, which law L36 forbids;
//! * async-channel *notifies* a waiter that something could be had, and the first to come takes it: a `try_recv` in
//!   between takes a value from a receiver that has waited longer (B179), a `try_send` a slot from a sender (B180);
//! * it has no rendezvous (B167), no closing of one end (B172), no permits, and no count of waiters (B182);
//! * each wait allocates a listener.
//!
//! Here a channel is one lock around a queue of what was sent (`buffer.rs`) and a slab of the waiters, linked in the
//! order of their arrival (`linked_slab.rs`): one allocation for the channel, one for its queue when something is sent,
//! none later until more wait, or more is queued, than ever before.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
mod broadcast;
mod buffer;
mod deferred;
mod error;
mod linked_slab;
mod listeners;
mod oneshot;
mod operation;
mod permit;
#[cfg(all(test, foster_shuttle))]
mod races;
mod receiver;
mod sender;
mod state;
mod statistics;
#[cfg(test)]
mod suite;
mod watch;

pub use broadcast::{
    BroadcastReceiver, BroadcastRecvError, BroadcastSender, BroadcastStatistics, BroadcastTryRecvError, Lag, Lagged,
    broadcast,
};
pub use error::{CloneError, RecvError, SendError, TryRecvError, TrySendError};
pub use oneshot::{OneshotReceiver, OneshotSender, oneshot};
pub use permit::Permit;
pub use receiver::Receiver;
pub use sender::Sender;
pub use statistics::ChannelStatistics;
pub use watch::{WatchReceiver, WatchSender, WatchStatistics, watch};

/// The futures that the methods return, by name.
pub mod future {
    pub use crate::broadcast::{BroadcastClosed, BroadcastRecv, BroadcastSend};
    pub use crate::oneshot::OneshotClosed;
    pub use crate::permit::ChannelReserve;
    pub use crate::receiver::ChannelRecv;
    pub use crate::sender::{ChannelClosed, ChannelSend};
    pub use crate::watch::{WatchClosed, WatchRecv, WatchWaitFor};
}

/// Makes a channel with room for `capacity` values; senders wait while it is full.
///
/// With capacity 0 it is a rendezvous: a value passes only from a sender to a receiver that are both there.
///
/// # Examples
///
/// ```
/// use foster::channel::bounded;
///
/// # foster_sim::run(1, async {
/// let (tx, rx) = bounded(2);
/// let sum = foster::nursery(async |n: foster::Nursery<foster::channel::SendError<u32>>| {
///     n.spawn(async move {
///         for item in 1..=10 {
///             tx.send(item).await?;
///         }
///         Ok(())
///     });
///     let mut sum = 0;
///     while let Ok(item) = rx.recv().await {
///         sum += item;
///     }
///     Ok(sum)
/// })
/// .await
/// .unwrap();
/// assert_eq!(sum, 55);
/// # });
/// ```
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let chan = state::Chan::new(capacity);
    (Sender::new(chan.clone()), Receiver::new(chan))
}

/// Makes a channel with room for any number of values: sending never waits, but it is a checkpoint.
/// [`Sender::try_send`] sends from where nothing can be awaited.
///
/// Nothing holds a fast producer back: its values pile up. Where that could happen, use [`bounded`].
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let (tx, rx) = foster::channel::unbounded();
/// for item in 0..1000 {
///     tx.try_send(item).unwrap();
/// }
/// assert_eq!(rx.recv().await, Ok(0));
/// # });
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::marker::PhantomPinned;

    use super::future::*;
    use super::*;

    fn shared<T: Send + Sync + 'static>() {}
    fn send<T: Send>() {}
    fn unpin<T: Unpin>() {}

    /// The types that can go to another thread. `Cell` is `Send` and not `Sync`.
    #[test]
    fn auto_traits() {
        shared::<(Sender<Cell<u8>>, Receiver<Cell<u8>>, OneshotSender<Cell<u8>>, OneshotReceiver<Cell<u8>>)>();
        shared::<(WatchSender<u8>, WatchReceiver<u8>, BroadcastSender<u8>, BroadcastReceiver<u8>)>();
        send::<(ChannelSend<'_, Cell<u8>>, ChannelReserve<'_, Cell<u8>>, Permit<'_, Cell<u8>>)>();
        send::<(ChannelRecv<'_, Cell<u8>>, ChannelClosed<'_, Cell<u8>>, OneshotClosed<'_, Cell<u8>>)>();
        send::<(WatchRecv<'_, u8>, WatchWaitFor<'_, u8, fn(&u8) -> bool>, WatchClosed<'_, u8>)>();
        send::<(BroadcastSend<'_, u8>, BroadcastRecv<'_, u8>, BroadcastClosed<'_, u8>)>();
        shared::<(SendError<u8>, TrySendError<u8>, RecvError, TryRecvError, CloneError, Lagged)>();
    }

    #[test]
    fn nothing_needs_pinning() {
        type Pinned = PhantomPinned;
        unpin::<(Sender<Pinned>, Receiver<Pinned>, ChannelSend<'_, Pinned>, ChannelRecv<'_, Pinned>)>();
        unpin::<(ChannelReserve<'_, Pinned>, Permit<'_, Pinned>, ChannelClosed<'_, Pinned>)>();
        unpin::<(OneshotSender<Pinned>, OneshotReceiver<Pinned>, OneshotClosed<'_, Pinned>)>();
        unpin::<(WatchReceiver<Pinned>, WatchRecv<'_, Pinned>, WatchWaitFor<'_, Pinned, Pinned>)>();
        unpin::<(BroadcastReceiver<Pinned>, BroadcastSend<'_, Pinned>, BroadcastRecv<'_, Pinned>)>();
    }

    #[test]
    fn absurd_capacities_cost_nothing_before_they_are_used() {
        let (tx, rx) = bounded(usize::MAX - 1);
        tx.try_send([0u8; 4096]).unwrap();
        assert_eq!(rx.statistics().capacity, Some(usize::MAX - 1));
        assert!(rx.try_recv().is_ok());
    }

    /// L35 in small: what an error carries can be had, and errors say what happened.
    #[test]
    fn errors_carry_the_value_and_read_as_one_line() {
        assert_eq!((SendError::Closed(1).into_inner(), TrySendError::Full(2).into_inner()), (1, 2));
        assert_eq!(TrySendError::from(SendError::Disconnected(3)), TrySendError::Disconnected(3));
        assert_eq!(TryRecvError::from(RecvError::Closed), TryRecvError::Closed);
        assert_eq!(
            format!("{:?} {0}", SendError::Disconnected(Cell::new(1))),
            "Disconnected(..) the channel has no receiver"
        );
        assert_eq!(BroadcastRecvError::Lagged(2).to_string(), "the receiver was slow and missed 2 values");
    }
}
