use std::marker::PhantomPinned;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};
use std::thread;

use super::*;

/// Counts its wake-ups and its end.
#[derive(Default)]
struct Counted {
    wakes: Count,
    ended: Arc<Count>,
}

impl Head for Counted {
    type Body = dyn Run;

    fn wake(&self) {
        self.wakes.fetch_add(1, SeqCst);
    }

    fn waker_table() -> &'static WakerTable<Self> {
        static TABLE: WakerTable<Counted> = WakerTable::NEW;
        &TABLE
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ended.fetch_add(1, SeqCst);
    }
}

trait Run {
    fn run(self: Pin<&mut Self>) -> usize;
}

/// A body that refers to itself, as futures do, and counts its end.
struct Body {
    runs: usize,
    at: usize,
    ended: Arc<Count>,
    panics: bool,
    _pinned: PhantomPinned,
}

impl Run for Body {
    fn run(self: Pin<&mut Self>) -> usize {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let at = ptr::from_mut(this).addr();
        assert!(this.at == 0 || this.at == at, "it has not moved");
        this.at = at;
        this.runs += 1;
        this.runs
    }
}

impl Erase<dyn Run> for Body {
    fn erase(self: Pin<&mut Self>) -> Pin<&mut (dyn Run + 'static)> {
        self
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.ended.fetch_add(1, SeqCst);
        if self.panics {
            panic!("on purpose");
        }
    }
}

fn body(ended: &Arc<Count>) -> Body {
    Body { runs: 0, at: 0, ended: ended.clone(), panics: false, _pinned: PhantomPinned }
}

fn block() -> (BlockRef<Counted>, Arc<Count>, Arc<Count>) {
    let (head, tail) = (Arc::default(), Arc::default());
    let counted = Counted { wakes: Count::new(0), ended: Arc::clone(&head) };
    let block = BlockRef::with_body(counted, body(&tail));
    (block, head, tail)
}

#[test]
fn a_block_ends_with_its_last_reference() {
    let (block, head, tail) = block();
    let other = block.clone();
    assert!(block.is(&other) && block.address() == other.address());
    drop(block);
    assert_eq!((head.load(SeqCst), tail.load(SeqCst)), (0, 0));
    drop(other);
    assert_eq!((head.load(SeqCst), tail.load(SeqCst)), (1, 1));
}

#[test]
fn a_block_begins_with_several_references() {
    let (head, tail) = (Arc::default(), Arc::default());
    let counted = Counted { wakes: Count::new(0), ended: Arc::clone(&head) };
    let [mut first, second, third] = BlockRef::with_body(counted, body(&tail)).split();
    assert!(first.is(&second) && second.is(&third));
    drop(second);
    assert!(first.get_mut().is_none());
    drop(third);
    assert!(first.get_mut().is_some());
    assert_eq!((head.load(SeqCst), tail.load(SeqCst)), (0, 0));
    drop(first);
    assert_eq!((head.load(SeqCst), tail.load(SeqCst)), (1, 1));
}

#[test]
fn a_block_without_a_body_is_only_a_head() {
    let block = BlockRef::with_part(Counted::default(), ());
    assert!(block.try_use_body().is_none());
    assert!(block.discard_body().is_none());
    assert_eq!(block.part::<()>(), Some(&()));
}

#[test]
fn a_part_is_found_by_its_type() {
    let block = BlockRef::with_part(Counted::default(), String::from("part"));
    assert_eq!(block.part::<String>().map(String::as_str), Some("part"));
    assert_eq!(block.part::<&str>(), None);
    /// Further behind the head than a part would be otherwise.
    #[repr(align(64))]
    struct Wide(u8);
    let block = BlockRef::with_part(Counted::default(), Wide(7));
    assert_eq!(block.part::<Wide>().map(|wide| (wide.0, ptr::from_ref(wide).addr() % 64)), Some((7, 0)));
}

#[test]
fn a_head_is_lent_mutably_by_the_only_reference() {
    let (mut block, ..) = block();
    let other = block.clone();
    assert!(block.get_mut().is_none());
    drop(other);
    *block.get_mut().unwrap().wakes.get_mut() = 5;
    assert_eq!(block.wakes.load(SeqCst), 5);
}

#[test]
fn a_body_is_used_by_one_at_a_time_and_put_back() {
    let (block, _, tail) = block();
    let mut used = block.try_use_body().unwrap();
    assert_eq!(used.body().run(), 1);
    assert!(block.try_use_body().is_none());
    assert!(used.put_back().is_none());
    let mut used = block.try_use_body().unwrap();
    assert_eq!(used.body().run(), 2);
    assert_eq!(tail.load(SeqCst), 0);
    drop(used);
    assert_eq!(tail.load(SeqCst), 1, "dropped with its guard");
    assert!(block.try_use_body().is_none());
    drop(block);
    assert_eq!(tail.load(SeqCst), 1, "once");
}

#[test]
fn a_body_that_is_discarded_is_dropped_by_whoever_uses_it() {
    let (idle, _, tail) = block();
    assert_eq!(idle.discard_body().unwrap().body().run(), 1);
    assert_eq!(tail.load(SeqCst), 1);

    let (busy, _, tail) = block();
    let used = busy.try_use_body().unwrap();
    assert!(busy.discard_body().is_none());
    assert!(busy.discard_body().is_none());
    let mut back = used.put_back().expect("it is not wanted");
    assert_eq!(back.body().run(), 1);
    assert_eq!(tail.load(SeqCst), 0);
    drop(back);
    assert_eq!(tail.load(SeqCst), 1);
}

#[test]
fn a_body_that_panics_as_it_is_dropped_is_gone() {
    let tail = Arc::default();
    let mut panicking = body(&tail);
    panicking.panics = true;
    let block = BlockRef::with_body(Counted::default(), panicking);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(block.discard_body())));
    assert!(dropped.is_err());
    assert!(block.try_use_body().is_none());
    drop(block);
    assert_eq!(tail.load(SeqCst), 1);
}

#[test]
fn a_waker_counts_as_a_reference() {
    let (block, head, _) = block();
    let waker = block.with_waker(Waker::clone);
    assert!(block.with_waker(|own| own.will_wake(&waker)));
    waker.wake_by_ref();
    let twice = waker.clone();
    twice.wake();
    assert_eq!(block.wakes.load(SeqCst), 2);
    drop(block);
    assert_eq!(head.load(SeqCst), 0);
    waker.wake();
    assert_eq!(head.load(SeqCst), 1);
}

#[test]
fn threads_share_a_block_and_take_turns_with_its_body() {
    let (block, head, tail) = block();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let block = block.clone();
            thread::spawn(move || {
                for _ in 0..10 {
                    if let Some(mut used) = block.try_use_body() {
                        used.body().run();
                        drop(used.put_back());
                    }
                    block.with_waker(Waker::clone).wake();
                }
            })
        })
        .collect();
    drop(block.discard_body());
    for thread in threads {
        thread.join().unwrap();
    }
    // It may have been put back at the very moment at which it was discarded.
    drop(block.discard_body());
    assert_eq!((block.wakes.load(SeqCst), tail.load(SeqCst)), (30, 1));
    drop(block);
    assert_eq!(head.load(SeqCst), 1);
}

#[test]
#[should_panic(expected = "a block is split that others refer to")]
fn a_block_that_others_refer_to_is_not_split() {
    let block = BlockRef::with_part(Counted::default(), ());
    let _other = block.clone();
    let [_first, _second] = block.split();
}
