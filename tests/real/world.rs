//! The state that all tasks of a program share: the resources, and the books that tell whether anything was lost.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use foster::ScopeHandle;
use foster::channel::{self, BroadcastReceiver, BroadcastSender, Lag, Receiver, Sender, WatchReceiver, WatchSender};
use foster::sync::{self, Condition, Event, RwLock, Semaphore};

use super::late::Wait;
use super::program::{LOCKS, SLOTS};
use super::watch::Sort;

/// Permits of each semaphore.
const PERMITS: usize = 2;

/// The moment of an event, as a number that grows: of two events of which one happened before the other, that one's is
/// less.
pub(crate) fn stamp() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(1);
    CLOCK.fetch_add(1, Ordering::SeqCst)
}

/// When a scope was cancelled by its handle; 0 if it was not.
pub(crate) type Request = Arc<AtomicU64>;

/// A scope that operations can cancel.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) handle: ScopeHandle,
    pub(crate) request: Request,
}

impl Target {
    pub(crate) fn cancel(&self, by: &'static str) {
        if self.handle.cancel(by) {
            let _ = self.request.compare_exchange(0, stamp(), Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// The same from a thread that is none of foster's.
    pub(crate) fn cancel_from_thread(self) {
        static THREAD: OnceLock<mpsc::Sender<Target>> = OnceLock::new();
        let sender = THREAD.get_or_init(|| {
            let (sender, targets) = mpsc::channel::<Target>();
            let cancels = move || targets.into_iter().for_each(|target| target.cancel("by a thread"));
            thread::Builder::new().name("cancels".to_owned()).spawn(cancels).expect("the host has threads");
            sender
        });
        sender.send(self).expect("the thread lives as long as the process");
    }
}

/// A message. It notes what becomes of it.
pub(crate) struct Item {
    pub(crate) id: usize,
    /// When its sender began to send it.
    pub(crate) sent: u64,
}

const SENT: usize = 1;
const RECEIVED: usize = 2;
const BACK: usize = 4;
const LEFT: usize = 8;

/// A registered finalizer, with how often it has begun.
type Begun = Arc<AtomicUsize>;

pub(crate) struct World {
    pub(crate) channels: Vec<(Sender<Item>, Receiver<Item>)>,
    /// When each was closed by an operation.
    pub(crate) closed: Vec<AtomicU64>,
    pub(crate) semaphores: Vec<Arc<Semaphore>>,
    pub(crate) mutexes: Vec<sync::Mutex<()>>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) rwlocks: Vec<RwLock<()>>,
    pub(crate) events: Vec<Event>,
    pub(crate) watch: (WatchSender<u64>, WatchReceiver<u64>),
    pub(crate) broadcast: (BroadcastSender<u64>, BroadcastReceiver<u64>),
    /// When each send of a watched value has begun, and when it has ended.
    watch_sends: Mutex<Vec<(u64, u64)>>,
    slots: Vec<Mutex<Option<Target>>>,
    items: Mutex<Vec<usize>>,
    finalizers: Mutex<Vec<Begun>>,
    faults: Mutex<Vec<(Sort, String)>>,
    /// What was late.
    late: Mutex<Vec<Wait>>,
    /// Scopes that end when they are told to.
    until_told: Mutex<Vec<ScopeHandle>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let channels = vec![channel::bounded(0), channel::bounded(1), channel::bounded(4), channel::unbounded()];
        Arc::new(World {
            closed: channels.iter().map(|_| AtomicU64::new(0)).collect(),
            channels,
            semaphores: (0..LOCKS).map(|_| Arc::new(Semaphore::new(PERMITS))).collect(),
            mutexes: (0..LOCKS).map(|_| sync::Mutex::new(())).collect(),
            conditions: (0..LOCKS).map(|_| Condition::new()).collect(),
            rwlocks: (0..LOCKS).map(|_| RwLock::new(())).collect(),
            events: (0..LOCKS).map(|_| Event::new()).collect(),
            watch: channel::watch(0),
            broadcast: channel::broadcast(4, Lag::Skip),
            watch_sends: Mutex::default(),
            slots: (0..SLOTS).map(|_| Mutex::new(None)).collect(),
            items: Mutex::default(),
            finalizers: Mutex::default(),
            faults: Mutex::default(),
            late: Mutex::default(),
            until_told: Mutex::default(),
        })
    }

    pub(crate) fn fault(&self, sort: Sort, text: impl Into<String>) {
        lock(&self.faults).push((sort, text.into()));
    }

    pub(crate) fn take_faults(&self) -> Vec<(Sort, String)> {
        std::mem::take(&mut *lock(&self.faults))
    }

    /// Notes what was waited for, if it was late.
    pub(crate) fn waited(&self, wait: Wait) {
        if wait.is_late() {
            lock(&self.late).push(wait);
        }
    }

    pub(crate) fn take_late(&self) -> Vec<Wait> {
        std::mem::take(&mut *lock(&self.late))
    }

    pub(crate) fn ends_when_told(&self, scope: ScopeHandle) {
        lock(&self.until_told).push(scope);
    }

    /// Ends the scopes that wait for being told. Others may come after that.
    pub(crate) fn tell(&self) {
        let scopes = std::mem::take(&mut *lock(&self.until_told));
        for scope in scopes {
            scope.cancel("it has waited");
        }
    }

    pub(crate) fn set_target(&self, slot: u8, target: Target) {
        let before = lock(&self.slots[slot as usize]).replace(target);
        drop(before);
    }

    pub(crate) fn target(&self, slot: u8) -> Option<Target> {
        lock(&self.slots[slot as usize]).clone()
    }

    /// Sends a value to watch, which says when that was.
    pub(crate) fn watch_send(&self) {
        let begun = stamp();
        let number = {
            let mut sends = lock(&self.watch_sends);
            sends.push((begun, u64::MAX));
            sends.len() - 1
        };
        let _ = self.watch.0.send(begun);
        lock(&self.watch_sends)[number].1 = stamp();
    }

    /// Whether a value to watch may have been sent between these two moments.
    pub(crate) fn watch_was_sent(&self, from: u64, to: u64) -> bool {
        lock(&self.watch_sends).iter().any(|(begun, ended)| *begun < to && *ended > from)
    }

    pub(crate) fn item(&self) -> Item {
        let mut items = lock(&self.items);
        items.push(0);
        Item { id: items.len() - 1, sent: stamp() }
    }

    fn note(&self, id: usize, what: usize) {
        let before = {
            let mut items = lock(&self.items);
            let before = items[id];
            items[id] |= what;
            before
        };
        let ends = RECEIVED | BACK | LEFT;
        if what & ends != 0 && before & ends != 0 {
            self.fault(Sort::Doubled, format!("item {id} has come twice ({before:#b}, then {what:#b})"));
        }
    }

    pub(crate) fn sent(&self, id: usize) {
        self.note(id, SENT);
    }

    pub(crate) fn received(&self, item: &Item) {
        self.note(item.id, RECEIVED);
    }

    pub(crate) fn came_back(&self, item: &Item) {
        self.note(item.id, BACK);
    }

    /// Registers a finalizer, which has to count when it begins.
    pub(crate) fn finalizer(&self) -> Begun {
        let begun = Begun::default();
        lock(&self.finalizers).push(begun.clone());
        begun
    }

    /// Looks at everything once the program has ended: permits, locks, items, finalizers.
    pub(crate) fn check(&self) {
        for (n, (_, receiver)) in self.channels.iter().enumerate() {
            while let Ok(item) = receiver.try_recv() {
                self.note(item.id, LEFT);
            }
            let left = receiver.statistics();
            if left.waiting_senders + left.waiting_receivers + left.permits > 0 {
                self.fault(Sort::Held, format!("channel {n} has waiters that are gone: {left:?}"));
            }
        }
        let lost: Vec<usize> =
            lock(&self.items).iter().enumerate().filter(|(_, seen)| **seen == SENT).map(|(id, _)| id).collect();
        if !lost.is_empty() {
            self.fault(Sort::Lost, format!("sent, never received, and in no buffer: items {lost:?}"));
        }
        for (n, semaphore) in self.semaphores.iter().enumerate() {
            let (free, waiting) = (semaphore.available(), semaphore.statistics().waiting);
            if (free, waiting) != (PERMITS, 0) {
                self.fault(Sort::Held, format!("semaphore {n} has {free} permits of {PERMITS}, {waiting} wait"));
            }
        }
        for (n, mutex) in self.mutexes.iter().enumerate() {
            let left = mutex.statistics();
            if left.held || left.waiting > 0 || self.conditions[n].waiting() > 0 {
                self.fault(
                    Sort::Held,
                    format!("mutex {n} is not free: {left:?}; {} wait", self.conditions[n].waiting()),
                );
            }
        }
        for (n, rwlock) in self.rwlocks.iter().enumerate() {
            let left = rwlock.statistics();
            if left.writer || left.readers + left.waiting > 0 {
                self.fault(Sort::Held, format!("rwlock {n} is not free: {left:?}"));
            }
        }
        let wrong: Vec<usize> = lock(&self.finalizers)
            .iter()
            .map(|begun| begun.load(Ordering::SeqCst))
            .filter(|begun| *begun != 1)
            .collect();
        if !wrong.is_empty() {
            self.fault(Sort::Finalizer, format!("finalizers that did not run once, but so often: {wrong:?}"));
        }
        self.slots.iter().for_each(|slot| drop(lock(slot).take()));
        drop(std::mem::take(&mut *lock(&self.until_told)));
    }
}
