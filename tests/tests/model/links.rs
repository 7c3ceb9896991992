//! Links that make tasks depend on each other: channels and events, foster's own and those of a runtime that is
//! ignorant of foster.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use foster::channel::{Receiver, Sender, bounded};
use foster::sync::Event;

use super::program::{Body, Id, Op};
use super::world::{lock, with};

/// The result of an operation on a channel, or of a `commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Commit {
    Ran,
    Sent,
    Closed,
    Item(Id),
}

/// An end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Tx,
    Rx,
}

/// A channel of a program. Its ends are closed by whoever owns them: see [`Own`] and [`Opened`].
pub(crate) enum Channel {
    Foster(Sender<Id>, Receiver<Id>),
    Foreign(Mutex<ForeignChannel>),
}

/// An event, for both kinds of waits.
#[derive(Default)]
pub(crate) struct BothEvents {
    foster: Event,
    foreign: Mutex<ForeignEvent>,
}

/// The links that a run has opened.
#[derive(Default)]
pub(crate) struct Links {
    channels: BTreeMap<Id, (Arc<Channel>, Vec<End>)>,
    events: BTreeMap<Id, Arc<BothEvents>>,
}

impl Links {
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.events.is_empty()
    }
}

fn channel(id: Id) -> Option<Arc<Channel>> {
    with(|world| world.links.channels.get(&id).map(|(channel, _)| channel.clone()))
}

pub(crate) fn event(id: Id) -> Arc<BothEvents> {
    with(|world| world.links.events.entry(id).or_default().clone())
}

/// Sends the item; `Closed` if nobody will receive it.
pub(crate) async fn send(id: Id, item: Id) -> Commit {
    let sent = match channel(id).as_deref() {
        None => {
            foster::checkpoint_if_cancelled().await;
            false
        }
        Some(Channel::Foster(tx, _)) => tx.send(item).await.is_ok(),
        Some(Channel::Foreign(channel)) => ForeignSend { channel, item, key: None }.await,
    };
    if sent { Commit::Sent } else { Commit::Closed }
}

/// Receives an item.
pub(crate) async fn recv(id: Id) -> Commit {
    let item = match channel(id).as_deref() {
        None => {
            foster::checkpoint_if_cancelled().await;
            None
        }
        Some(Channel::Foster(_, rx)) => rx.recv().await.ok(),
        Some(Channel::Foreign(channel)) => ForeignRecv { channel, key: None }.await,
    };
    item.map_or(Commit::Closed, Commit::Item)
}

pub(crate) async fn wait(id: Id, foreign: bool) {
    let event = event(id);
    if foreign { ForeignWait { event: &event.foreign, key: None }.await } else { event.foster.wait().await }
}

pub(crate) fn set(id: Id) {
    let event = event(id);
    event.foster.set();
    let wakers = lock(&event.foreign).set();
    wakers.into_iter().for_each(Waker::wake);
}

fn close(id: Id, end: End) {
    if with(|world| world.is_over()) {
        return;
    }
    match (channel(id).as_deref(), end) {
        (None, _) => {}
        (Some(Channel::Foster(tx, _)), End::Tx) => drop(tx.close()),
        (Some(Channel::Foster(_, rx)), End::Rx) => drop(rx.close()),
        (Some(Channel::Foreign(channel)), end) => {
            let wakers = lock(channel).close(end);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Opens a channel. The ends that are not moved into a task are closed when this is dropped.
pub(crate) struct Opened(Id);

impl Opened {
    pub(crate) fn new(id: Id, capacity: usize, foreign: bool) -> Self {
        let channel = if foreign {
            Channel::Foreign(Mutex::new(ForeignChannel::new(capacity)))
        } else {
            let (tx, rx) = bounded(capacity);
            Channel::Foster(tx, rx)
        };
        with(|world| world.links.channels.insert(id, (Arc::new(channel), Vec::new())));
        Opened(id)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        for end in [End::Rx, End::Tx] {
            let moved = with(|world| world.links.channels.get(&self.0).is_none_or(|(_, moved)| moved.contains(&end)));
            if !moved {
                close(self.0, end);
            }
        }
    }
}

/// The ends of a channel that a body owns. They are closed when this is dropped.
pub(crate) struct Own {
    channel: Id,
    ends: Vec<End>,
}

impl Own {
    pub(crate) fn new(channel: Id, ends: &[End]) -> Self {
        Own { channel, ends: ends.to_vec() }
    }

    /// Moves ends into the body of a task: those of the `own` operations that it begins with. Gives the rest of the
    /// body.
    pub(crate) fn moved_into(body: &Body) -> (Vec<Own>, &Body) {
        let (mut owned, mut body) = (Vec::new(), body);
        while let Op::Own { channel, ends, body: inner } = &**body {
            with(|world| {
                if let Some((_, moved)) = world.links.channels.get_mut(channel) {
                    moved.extend(ends);
                }
            });
            owned.push(Own::new(*channel, ends));
            body = inner;
        }
        (owned, body)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for end in &self.ends {
            close(self.channel, *end);
        }
    }
}

/// A channel that wakes all whom a change may concern; they look for themselves.
pub(crate) struct ForeignChannel {
    capacity: usize,
    items: VecDeque<Id>,
    tx_open: bool,
    rx_open: bool,
    last_key: u64,
    receivers: BTreeMap<u64, Waker>,
    senders: BTreeMap<u64, WaitingSender>,
}

struct WaitingSender {
    waker: Waker,
    /// The item of a rendezvous, until somebody takes it.
    offer: Option<Id>,
    taken: bool,
}

impl ForeignChannel {
    fn new(capacity: usize) -> Self {
        ForeignChannel {
            capacity,
            items: VecDeque::new(),
            tx_open: true,
            rx_open: true,
            last_key: 0,
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
        }
    }

    fn receivers(&self) -> Vec<Waker> {
        self.receivers.values().cloned().collect()
    }

    fn senders(&self) -> Vec<Waker> {
        self.senders.values().map(|sender| sender.waker.clone()).collect()
    }

    fn new_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    fn close(&mut self, end: End) -> Vec<Waker> {
        let open = if end == End::Tx { &mut self.tx_open } else { &mut self.rx_open };
        if !std::mem::replace(open, false) {
            return Vec::new();
        }
        if end == End::Rx {
            self.items.clear();
        }
        [self.receivers(), self.senders()].concat()
    }
}

/// Of a lock that is held for as long as this is polled, what to do when it is released: nobody is woken or dropped
/// before.
type Step<T> = (Poll<T>, Vec<Waker>, Option<Waker>);

fn finish<T>((poll, wakers, old): Step<T>) -> Poll<T> {
    wakers.into_iter().for_each(Waker::wake);
    drop(old);
    poll
}

struct ForeignRecv<'a> {
    channel: &'a Mutex<ForeignChannel>,
    key: Option<u64>,
}

impl ForeignRecv<'_> {
    fn step(&mut self, waker: &Waker) -> Step<Option<Id>> {
        let channel = &mut *lock(self.channel);
        let mut woken = Vec::new();
        let result = if !channel.rx_open {
            None
        } else if let Some(item) = channel.items.pop_front() {
            woken = channel.senders();
            Some(item)
        } else if let Some((item, sender)) =
            channel.senders.values_mut().find_map(|sender| Some((sender.offer.take()?, sender)))
        {
            sender.taken = true;
            woken.push(sender.waker.clone());
            Some(item)
        } else if channel.tx_open {
            let key = *self.key.get_or_insert_with(|| channel.new_key());
            return (Poll::Pending, woken, channel.receivers.insert(key, waker.clone()));
        } else {
            None
        };
        let old = self.key.take().and_then(|key| channel.receivers.remove(&key));
        (Poll::Ready(result), woken, old)
    }
}

impl Future for ForeignRecv<'_> {
    type Output = Option<Id>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Id>> {
        finish(self.step(cx.waker()))
    }
}

impl Drop for ForeignRecv<'_> {
    fn drop(&mut self) {
        let old = self.key.and_then(|key| lock(self.channel).receivers.remove(&key));
        drop(old);
    }
}

struct ForeignSend<'a> {
    channel: &'a Mutex<ForeignChannel>,
    item: Id,
    key: Option<u64>,
}

impl ForeignSend<'_> {
    /// Ready with whether the item was sent.
    fn step(&mut self, waker: &Waker) -> Step<bool> {
        let channel = &mut *lock(self.channel);
        let mut woken = Vec::new();
        let taken = self.key.is_some_and(|key| channel.senders.get(&key).is_some_and(|sender| sender.taken));
        let sent = if taken {
            true
        } else if !channel.rx_open {
            false
        } else if channel.items.len() < channel.capacity {
            channel.items.push_back(self.item);
            woken = channel.receivers();
            true
        } else {
            let offer = (channel.capacity == 0).then_some(self.item);
            if offer.is_some() && self.key.is_none() {
                woken = channel.receivers();
            }
            let key = *self.key.get_or_insert_with(|| channel.new_key());
            let old = channel.senders.insert(key, WaitingSender { waker: waker.clone(), offer, taken: false });
            return (Poll::Pending, woken, old.map(|sender| sender.waker));
        };
        let old = self.key.take().and_then(|key| channel.senders.remove(&key));
        (Poll::Ready(sent), woken, old.map(|sender| sender.waker))
    }
}

impl Future for ForeignSend<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        finish(self.step(cx.waker()))
    }
}

impl Drop for ForeignSend<'_> {
    fn drop(&mut self) {
        let old = self.key.and_then(|key| lock(self.channel).senders.remove(&key));
        drop(old);
    }
}

#[derive(Default)]
struct ForeignEvent {
    set: bool,
    last_key: u64,
    waiters: BTreeMap<u64, Waker>,
}

impl ForeignEvent {
    fn set(&mut self) -> Vec<Waker> {
        self.set = true;
        std::mem::take(&mut self.waiters).into_values().collect()
    }
}

struct ForeignWait<'a> {
    event: &'a Mutex<ForeignEvent>,
    key: Option<u64>,
}

impl Future for ForeignWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut event = lock(this.event);
        if event.set {
            return Poll::Ready(());
        }
        event.last_key += 1;
        let next = event.last_key;
        let key = *this.key.get_or_insert(next);
        let old = event.waiters.insert(key, cx.waker().clone());
        drop(event);
        drop(old);
        Poll::Pending
    }
}

impl Drop for ForeignWait<'_> {
    fn drop(&mut self) {
        let old = self.key.and_then(|key| lock(self.event).waiters.remove(&key));
        drop(old);
    }
}
