//! The futures of a group that were woken, and are to be polled next: so that a turn of the group costs what was woken,
//! not what is there.
//!
//! Combinators poll their branches this way, and a local nursery its children. Each member of a group has a waker of
//! its own, which puts its key into the queue, once, and wakes whoever polls the group.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::sys::PlainMutex;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::tree::waking;

/// The members of a group of futures that were woken, in the order of their wake-ups: what a turn of the group has to
/// poll.
///
/// A future that polls many others, as a combinator does, keeps one and a [`ReadyMember`] for each of them. So a turn
/// costs what was woken, not what is there. It is polled by one task at a time; members may be woken from any thread.
///
/// # Examples
///
/// ```
/// use foster::leaf::{ReadyMember, ReadyQueue};
/// use std::future::{Future, poll_fn};
/// use std::pin::Pin;
/// use std::task::Poll;
/// use std::time::Duration;
///
/// /// Polls all of them, and counts the polls.
/// async fn all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) -> usize {
///     let queue = ReadyQueue::new();
///     let members: Vec<_> = (0..futures.len()).map(|key| ReadyMember::new(key, &queue)).collect();
///     members.iter().for_each(|member| drop(member.enqueue()));
///     let (mut left, mut polls) = (futures.len(), 0);
///     poll_fn(|cx| {
///         // Members that are woken during this turn have to wait for the next.
///         for _ in 0..queue.register(cx.waker()) {
///             let Some(key) = queue.pop() else { break };
///             polls += 1;
///             left -= usize::from(members[key].poll(|cx| futures[key].as_mut().poll(cx)).is_ready());
///         }
///         if left == 0 { Poll::Ready(polls) } else { Poll::Pending }
///     })
///     .await
/// }
///
/// # foster_sim::run(1, async {
/// let sleeps = (1..=10).map(|n| Box::pin(foster::sleep(Duration::from_secs(n))) as _).collect();
/// assert_eq!(all(sleeps).await, 20); // each is polled twice, not ten times
/// # });
/// ```
pub struct ReadyQueue(PlainMutex<Woken>);

struct Woken {
    keys: VecDeque<usize>,
    /// Something else has come that the group looks for in each of its turns.
    news: bool,
    driver: Option<Waker>,
}

impl ReadyQueue {
    /// Makes a queue without members.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(ReadyQueue(PlainMutex::new(Woken { keys: VecDeque::new(), news: false, driver: None })))
    }

    /// Keeps the waker of the task that polls the group, and returns how many members are in the queue. Begins a turn.
    #[inline]
    pub fn register(&self, waker: &Waker) -> usize {
        let queue = self.0.lock();
        let len = queue.keys.len();
        if queue.driver.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return len;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        drop(queue);
        let new = waker.clone();
        let mut queue = self.0.lock();
        let (old, len) = (queue.driver.replace(new), queue.keys.len());
        drop(queue);
        drop(old);
        len
    }

    /// Takes the key of the member that was woken first.
    #[inline]
    pub fn pop(&self) -> Option<usize> {
        self.0.lock().keys.pop_front()
    }

    /// Returns how many members are in the queue.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.0.lock().keys.len()
    }

    /// Begins a turn, in which nobody needs to be woken: hands over the members that were woken. `take` is called under
    /// the lock.
    pub(crate) fn begin_poll(&self, take: impl FnMut(usize)) {
        let mut queue = self.0.lock();
        queue.keys.drain(..).for_each(take);
        let driver = queue.driver.take();
        drop(queue);
        drop(driver);
    }

    /// Ends a turn: keeps the driver's waker, or calls it if something has come meanwhile.
    pub(crate) fn end_poll(&self, driver: Waker, body: &ReadyMember) {
        let mut queue = self.0.lock();
        // Under the lock: what comes later finds the driver.
        if queue.news || !queue.keys.is_empty() || body.is_woken() {
            drop(queue);
            return waking::wake(|| driver.wake());
        }
        // It was taken out at the beginning of the turn, so none is dropped here.
        queue.driver = Some(driver);
    }

    /// Something has come that the group looks for.
    pub(crate) fn tell(&self) {
        let mut queue = self.0.lock();
        queue.news = true;
        let driver = queue.driver.take();
        drop(queue);
        if let Some(driver) = driver {
            waking::wake(|| driver.wake());
        }
    }

    /// Whether something has come since this was asked.
    pub(crate) fn take_news(&self) -> bool {
        std::mem::take(&mut self.0.lock().news)
    }

    /// Returns whether no member is in the queue.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes the task that polls the group: for a group that ends its turn while members are in the queue.
    pub fn wake_driver(&self) {
        let driver = self.0.lock().driver.take();
        if let Some(driver) = driver {
            waking::wake(|| driver.wake());
        }
    }

    /// Empties the queue and drops the waker of the task that polls the group, which is over: members that are woken
    /// later wake nobody.
    pub fn clear(&self) {
        let mut queue = self.0.lock();
        let driver = queue.driver.take();
        queue.keys.clear();
        drop(queue);
        drop(driver);
    }
}

/// A member of a group: its key in the [`ReadyQueue`], and the waker that it is polled with.
///
/// Futures that come one after the other may use the same member.
pub struct ReadyMember {
    entry: Arc<MemberWaker>,
    waker: Waker,
}

struct MemberWaker {
    /// None: the member is not in the queue, but looked for in each turn.
    key: Option<usize>,
    /// It was woken, and not polled since.
    queued: AtomicBool,
    queue: Arc<ReadyQueue>,
}

impl ReadyMember {
    fn make(key: Option<usize>, queued: bool, queue: &Arc<ReadyQueue>) -> Self {
        let entry = Arc::new(MemberWaker { key, queued: AtomicBool::new(queued), queue: queue.clone() });
        ReadyMember { waker: Waker::from(entry.clone()), entry }
    }

    /// Makes a member that was not woken yet. The group chooses the key, by which it finds the future.
    #[must_use]
    #[inline]
    pub fn new(key: usize, queue: &Arc<ReadyQueue>) -> Self {
        ReadyMember::make(Some(key), false, queue)
    }

    /// The body of a local nursery, which is polled at once.
    pub(crate) fn body(queue: &Arc<ReadyQueue>) -> Self {
        ReadyMember::make(None, true, queue)
    }

    /// Puts the member into the queue, and wakes nobody, for a group that is being built or polled. Returns whether it
    /// was not there.
    #[inline]
    pub fn enqueue(&self) -> bool {
        let fresh = !self.entry.queued.swap(true, Ordering::AcqRel);
        if let (true, Some(key)) = (fresh, self.entry.key) {
            self.entry.queue.0.lock().keys.push_back(key);
        }
        fresh
    }

    /// Whether that is its key.
    pub(crate) fn has_key(&self, key: usize) -> bool {
        self.entry.key == Some(key)
    }

    /// Whether the member was woken, and not polled since.
    pub(crate) fn is_woken(&self) -> bool {
        self.entry.queued.load(Ordering::Acquire)
    }

    /// Calls `poll` with the waker of the member, which was taken out of the queue. From now on it can be woken again.
    pub fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        // Ordering: what came before a wake that finds it queued still is seen in the poll that follows.
        self.entry.queued.swap(false, Ordering::AcqRel);
        poll(&mut Context::from_waker(&self.waker))
    }
}

impl fmt::Debug for ReadyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyQueue").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReadyMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyMember").field("key", &self.entry.key).field("is_woken", &self.is_woken()).finish()
    }
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queue = self.queue.0.lock();
        queue.keys.extend(self.key);
        // Taken, not cloned: that would run below the lock (L36). The group leaves a new one whenever it is polled.
        let driver = queue.driver.take();
        drop(queue);
        let Some(driver) = driver else { return };
        waking::wake(|| driver.wake());
    }
}
