//! The resources that the storm rages on, and how calm is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foster::channel::{
    BroadcastReceiver, BroadcastRecvError, BroadcastSender, Lag, OneshotSender, Receiver, Sender, WatchSender, bounded,
    broadcast, unbounded, watch,
};
use foster::combine::join;
use foster::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex as AsyncMutex, OnceCell, PoisonMutex, Promise, RwLock, Semaphore,
    WaitQueue,
};
use foster::yield_now;

use super::Dice;
use super::book::{Book, Item};

/// A channel, and what is known of its items.
pub(crate) struct Pipe {
    pub(crate) sender: Sender<Item>,
    pub(crate) receiver: Receiver<Item>,
    pub(crate) book: Book,
}

impl Pipe {
    fn new((sender, receiver): (Sender<Item>, Receiver<Item>)) -> Self {
        Pipe { sender, receiver, book: Book::default() }
    }

    fn is_calm(&self, name: &str) {
        let statistics = self.sender.statistics();
        assert_eq!((statistics.waiting_senders, statistics.waiting_receivers), (0, 0), "{name}: somebody waits");
        assert_eq!((statistics.senders, statistics.receivers), (1, 1), "{name}: a handle is left");
        assert_eq!(statistics.permits, 0, "{name}: a place is reserved");
        while let Ok(item) = self.receiver.try_recv() {
            self.book.received(item);
        }
        assert_eq!(self.sender.statistics().used, 0);
        self.book.balances(name);
    }
}

/// One of which a new one takes the place when it is used up.
pub(crate) struct Current<T>(Mutex<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn get(&self) -> Arc<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn renew(&self, new: T) -> Arc<T> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Arc::new(new))
    }
}

pub(crate) struct World {
    pub(crate) mutex: Arc<AsyncMutex<u64>>,
    pub(crate) poison: PoisonMutex<(u64, u64)>,
    pub(crate) rw: RwLock<u64>,
    pub(crate) semaphore: Arc<Semaphore>,
    pub(crate) limiter: Arc<CapacityLimiter>,
    pub(crate) condition: Condition,
    pub(crate) barrier: Barrier,
    pub(crate) cell: OnceCell<u64>,
    pub(crate) event: Current<Event>,
    pub(crate) promise: Current<Promise<u64>>,
    pub(crate) queues: [WaitQueue; 2],
    pub(crate) pipes: [Pipe; 3],
    pub(crate) asks: (Sender<OneshotSender<Item>>, Receiver<OneshotSender<Item>>),
    pub(crate) answers: Book,
    pub(crate) watched: WatchSender<u64>,
    pub(crate) casts: [BroadcastSender<u64>; 2],
    /// How many values each broadcast was told that it has sent.
    pub(crate) cast: [AtomicU64; 2],
    recorders: Mutex<Vec<BroadcastReceiver<u64>>>,
    recorded: Arc<Mutex<[Recorded; 2]>>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Recorded {
    seen: u64,
    missed: u64,
}

const PERMITS: usize = 3;

impl World {
    pub(crate) fn new() -> Self {
        let (wait, waits) = broadcast(4, Lag::Wait);
        let (skip, skips) = broadcast(4, Lag::Skip);
        World {
            mutex: Arc::default(),
            poison: PoisonMutex::default(),
            rw: RwLock::default(),
            semaphore: Arc::new(Semaphore::new(PERMITS)),
            limiter: Arc::new(CapacityLimiter::new(2)),
            condition: Condition::new(),
            barrier: Barrier::new(3),
            cell: OnceCell::new(),
            event: Current(Mutex::default()),
            promise: Current(Mutex::default()),
            queues: [WaitQueue::new(), WaitQueue::new()],
            pipes: [Pipe::new(bounded(0)), Pipe::new(bounded(3)), Pipe::new(unbounded())],
            asks: unbounded(),
            answers: Book::default(),
            watched: watch(0).0,
            casts: [wait, skip],
            cast: Default::default(),
            recorders: Mutex::new(vec![waits, skips]),
            recorded: Arc::default(),
        }
    }

    /// Receivers that are never cancelled: they note what the broadcasts bring until these end.
    pub(crate) fn recorders(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut receivers = std::mem::take(&mut *self.recorders.lock().unwrap());
        let (skips, waits) = (receivers.pop().unwrap(), receivers.pop().unwrap());
        let record = |which: usize, mut receiver: BroadcastReceiver<u64>| {
            let recorded = self.recorded.clone();
            async move {
                loop {
                    let got = receiver.recv().await;
                    let mut recorded = recorded.lock().unwrap();
                    match got {
                        Ok(_) => recorded[which].seen += 1,
                        Err(BroadcastRecvError::Lagged(lagged)) => recorded[which].missed += lagged,
                        Err(_) => break,
                    }
                }
            }
        };
        let (waits, skips) = (record(0, waits), record(1, skips));
        async move {
            let ((), ()) = join((waits, skips)).await;
        }
    }

    /// Answers those who ask.
    pub(crate) async fn serve(self: Arc<Self>) {
        while let Ok(asker) = self.asks.1.recv().await {
            let (id, item) = self.answers.item();
            if asker.send(item).is_ok() {
                self.answers.sent(id);
            }
            yield_now().await;
        }
    }

    /// The limiter and the semaphore change under those who use them.
    pub(crate) fn resize(&self, dice: &mut Dice) {
        self.limiter.set_total(dice.below(4) as usize);
        let forgotten = self.semaphore.forget_permits(dice.below(3) as usize);
        self.semaphore.add_permits(forgotten);
    }

    pub(crate) fn close(&self) {
        for cast in &self.casts {
            cast.close();
        }
    }

    /// All permits are home, all items accounted for, nobody waits.
    pub(crate) fn is_calm(&self) {
        let mutex = self.mutex.statistics();
        assert_eq!((mutex.held, mutex.waiting), (false, 0));
        let poison = self.poison.statistics();
        assert_eq!((poison.held, poison.waiting), (false, 0));
        let rw = self.rw.statistics();
        assert_eq!((rw.readers, rw.writer, rw.waiting), (0, false, 0));
        let semaphore = self.semaphore.statistics();
        assert_eq!((semaphore.available, semaphore.waiting), (PERMITS, 0));
        let limiter = self.limiter.statistics();
        assert_eq!((limiter.borrowed, limiter.waiting, limiter.holders.len()), (0, 0, 0));
        assert_eq!((self.condition.waiting(), self.cell.waiting()), (0, 0));
        assert_eq!((self.event.get().statistics().waiting, self.promise.get().waiting()), (0, 0));
        assert_eq!(self.barrier.statistics().waiting, 0);
        assert_eq!((self.queues[0].waiting(), self.queues[1].waiting()), (0, 0));
        for (pipe, name) in self.pipes.iter().zip(["rendezvous", "bounded", "unbounded"]) {
            pipe.is_calm(name);
        }
        // Whoever asked, and was not served, is gone.
        while self.asks.1.try_recv().is_ok() {}
        assert_eq!(self.asks.1.statistics().waiting_receivers, 0);
        self.answers.leaks_nothing("oneshot");
        assert_eq!(self.watched.statistics().waiting_receivers, 0);
        let recorded = *self.recorded.lock().unwrap();
        for (which, recorded) in recorded.iter().enumerate() {
            let sent = self.cast[which].load(Ordering::SeqCst);
            assert!(sent > 0);
            assert!(recorded.seen + recorded.missed >= sent, "{which}: {sent} were sent, and recorded {recorded:?}");
        }
        assert_eq!(recorded[0].missed, 0, "with `Lag::Wait` nobody misses anything");
        let waiting = self.casts.each_ref().map(|cast| {
            let statistics = cast.statistics();
            statistics.waiting_senders + statistics.waiting_receivers + statistics.receivers + statistics.used
        });
        assert_eq!(waiting, [0, 0]);
    }
}
