use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// A lock without a queue: a failed `try_` gives up, and the lock counts how often it was to notify its waiters.
struct TestLock<M, T: ?Sized> {
    notified: AtomicUsize,
    lock: LockedValue<M, T>,
}

impl<M, T> TestLock<M, T> {
    fn new(value: T) -> Self {
        TestLock { notified: AtomicUsize::new(0), lock: LockedValue::new(value) }
    }
}

impl<M, T: ?Sized> QueuedLock<T> for TestLock<M, T> {
    type Access = M;

    fn value(&self) -> &LockedValue<M, T> {
        &self.lock
    }

    fn notify_waiters(&self) {
        self.notified.fetch_add(1, Ordering::Relaxed);
        self.lock.raw().clear_contended();
    }
}

impl<M, T: ?Sized> TestLock<M, T> {
    fn raw(&self) -> &RawRwLock {
        self.lock.raw()
    }

    fn notified(&self) -> usize {
        self.notified.load(Ordering::Relaxed)
    }
}

fn try_write<K: LockRef<T, Target: QueuedLock<T, Access: Allows<WriteAccess>>>, T: ?Sized>(
    lock: K,
) -> Option<RawGuard<K, WriteAccess, T>> {
    RawGuard::try_lock(lock)
}

fn try_read<H: QueuedLock<T, Access = ReadAccess>, T>(lock: &H) -> Option<RawGuard<&H, ReadAccess, T>> {
    RawGuard::try_lock(lock)
}

fn reserved_write<H: QueuedLock<T, Access: Allows<WriteAccess>>, T>(lock: &H) -> RawGuard<&H, WriteAccess, T> {
    RawGuard::reserved(lock)
}

fn reserved_read<H: QueuedLock<T, Access = ReadAccess>, T>(lock: &H) -> RawGuard<&H, ReadAccess, T> {
    RawGuard::reserved(lock)
}

#[test]
fn one_writes_or_many_read() {
    let mut lock = TestLock::<ReadAccess, _>::new(Box::new(1));
    let (one, other) = (try_read(&lock).unwrap(), try_read(&lock).unwrap());
    assert_eq!((**one, **other, lock.raw().readers_and_writer()), (1, 1, (2, false)));
    assert!(try_write(&lock).is_none());
    drop(one);
    assert!(try_write(&lock).is_none());
    drop(other);
    let mut alone = try_write(&lock).unwrap();
    **alone += 1;
    assert!(try_write(&lock).is_none() && try_read(&lock).is_none());
    assert_eq!((**alone, lock.raw().readers_and_writer()), (2, (0, true)));
    drop(alone);
    assert!(!lock.raw().is_locked());
    **lock.lock.get_mut() += 1;
    assert_eq!(*lock.lock.into_inner(), 3);
}

#[test]
fn a_mark_keeps_out_who_comes_and_the_last_to_go_tells() {
    let lock = TestLock::<ReadAccess, _>::new(());
    let (one, other) = (try_read(&lock).unwrap(), try_read(&lock).unwrap());
    lock.raw().set_contended();
    assert!(try_read(&lock).is_none());
    assert!(!lock.raw().reserve_for_waiter(Mode::Write), "not past those who are in");
    drop(one);
    assert_eq!(lock.notified(), 0, "somebody is in");
    drop(other);
    assert_eq!(lock.notified(), 1);
    let alone = try_write(&lock).unwrap();
    lock.raw().set_contended();
    assert!(try_write(&lock).is_none());
    let reading = alone.downgrade();
    assert_eq!((lock.notified(), lock.raw().readers_and_writer()), (2, (1, false)));
    drop(reading);
    assert_eq!(lock.notified(), 2);
    drop(try_write(&lock).unwrap().downgrade());
    assert_eq!((lock.notified(), lock.raw().is_locked()), (2, false));
}

#[test]
fn what_is_handed_is_taken_later() {
    let lock = TestLock::<ReadAccess, _>::new(7);
    assert!(lock.raw().reserve_for_waiter(Mode::Write));
    assert!(try_read(&lock).is_none() && !lock.raw().reserve_for_waiter(Mode::Read));
    assert_eq!(*reserved_write(&lock), 7);
    lock.raw().set_contended();
    assert!(
        lock.raw().reserve_for_waiter(Mode::Read) && lock.raw().reserve_for_waiter(Mode::Read),
        "past the set_contended"
    );
    assert!(!lock.raw().reserve_for_waiter(Mode::Write));
    let (one, other) = (reserved_read(&lock), reserved_read(&lock));
    assert_eq!(*one, *other);
    drop((one, other));
    assert_eq!((lock.notified(), lock.raw().is_locked()), (1, false));
}

#[test]
#[should_panic(expected = "made from a reservation")]
fn what_was_not_handed_is_not_taken() {
    let lock = TestLock::<ReadAccess, _>::new(7);
    assert!(lock.raw().reserve_for_waiter(Mode::Read) && lock.raw().reserve_for_waiter(Mode::Read));
    let _taken = reserved_read(&lock);
    drop(reserved_write(&lock));
}

#[test]
#[should_panic(expected = "made from a reservation")]
fn nothing_is_taken_twice() {
    let lock = TestLock::<WriteAccess, _>::new(7);
    assert!(lock.raw().reserve_for_waiter(Mode::Write));
    let _taken = reserved_write(&lock);
    drop(reserved_write(&lock));
}

#[test]
fn an_arc_keeps_the_lock_of_a_leaked_guard() {
    let lock = Arc::new(TestLock::<WriteAccess, _>::new(Box::new(7)));
    let kept = Arc::downgrade(&lock);
    let guard = try_write(lock.clone()).unwrap();
    drop(lock);
    assert_eq!((**guard, RawGuard::lock_ref(&guard).notified()), (7, 0));
    drop(guard);
    assert!(kept.upgrade().is_none());
    let lock = TestLock::<WriteAccess, _>::new(7);
    std::mem::forget(try_write(&lock).unwrap());
    assert!(try_write(&lock).is_none());
}

#[test]
fn values_may_have_no_size() {
    let lock: Arc<TestLock<WriteAccess, [u8]>> = Arc::new(TestLock::<WriteAccess, _>::new([1, 2, 3]));
    try_write(lock.clone()).unwrap()[1] = 7;
    assert_eq!(&*try_write(&*lock).unwrap(), [1, 7, 3]);
}

const TURNS: usize = if cfg!(miri) { 20 } else { 20_000 };

/// The next holder sees what the last one wrote, however the lock came to it. (Of interest under Miri.)
#[test]
fn racing_threads_see_what_was_written() {
    let lock = TestLock::<ReadAccess, _>::new([0; 2]);
    let written = AtomicUsize::new(0);
    thread::scope(|threads| {
        for number in 0..3 {
            let (lock, written) = (&lock, &written);
            threads.spawn(move || {
                for turn in 0..TURNS {
                    match (turn + number) % 4 {
                        0 => {
                            let Some(guard) = try_read(lock) else { continue };
                            assert_eq!(guard[0], guard[1]);
                        }
                        1 if lock.raw().reserve_for_waiter(Mode::Read) => {
                            let guard = reserved_read(lock);
                            assert_eq!(guard[0], guard[1]);
                        }
                        2 => {
                            lock.raw().set_contended();
                            if !lock.raw().reserve_for_waiter(Mode::Write) {
                                continue;
                            }
                            let mut guard = reserved_write(lock);
                            guard[0] += 1;
                            guard[1] += 1;
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {
                            let Some(mut guard) = try_write(lock) else { continue };
                            guard[0] += 1;
                            guard[1] += 1;
                            written.fetch_add(1, Ordering::Relaxed);
                            let guard = guard.downgrade();
                            assert_eq!(guard[0], guard[1]);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(lock.lock.into_inner(), [written.into_inner(); 2]);
}
