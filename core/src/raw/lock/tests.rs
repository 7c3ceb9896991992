use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;

/// A house without a line: who finds it taken goes away, and it counts how often it was told to serve.
struct Plain<M, T: ?Sized> {
    served: AtomicUsize,
    lock: Lock<M, T>,
}

impl<M, T> Plain<M, T> {
    fn new(value: T) -> Self {
        Plain { served: AtomicUsize::new(0), lock: Lock::new(value) }
    }
}

impl<M, T: ?Sized> House<T> for Plain<M, T> {
    type Most = M;

    fn lock(&self) -> &Lock<M, T> {
        &self.lock
    }

    fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.lock.word().unmark();
    }
}

impl<M, T: ?Sized> Plain<M, T> {
    fn word(&self) -> &Word {
        self.lock.word()
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

#[test]
fn one_writes_or_many_read() {
    let mut house = Plain::<Reading, _>::new(Box::new(1));
    let (one, other) = (Hold::try_read(&house).unwrap(), Hold::try_read(&house).unwrap());
    assert_eq!((**one, **other, house.word().readers_and_writer()), (1, 1, (2, false)));
    assert!(Hold::try_write(&house).is_none());
    drop(one);
    assert!(Hold::try_write(&house).is_none());
    drop(other);
    let mut alone = Hold::try_write(&house).unwrap();
    **alone += 1;
    assert!(Hold::try_write(&house).is_none() && Hold::try_read(&house).is_none());
    assert_eq!((**alone, house.word().readers_and_writer()), (2, (0, true)));
    drop(alone);
    assert!(!house.word().is_held());
    **house.lock.get_mut() += 1;
    assert_eq!(*house.lock.into_inner(), 3);
}

#[test]
fn a_mark_keeps_out_who_comes_and_the_last_to_go_tells() {
    let house = Plain::<Reading, _>::new(());
    let (one, other) = (Hold::try_read(&house).unwrap(), Hold::try_read(&house).unwrap());
    house.word().mark();
    assert!(Hold::try_read(&house).is_none() && !house.word().reserve(Mode::Read));
    assert!(!house.word().admit(Mode::Write), "not past those who are in");
    drop(one);
    assert_eq!(house.served(), 0, "somebody is in");
    drop(other);
    assert_eq!(house.served(), 1);
    let alone = Hold::try_write(&house).unwrap();
    house.word().mark();
    assert!(Hold::try_write(&house).is_none());
    let reading = alone.downgrade();
    assert_eq!((house.served(), house.word().readers_and_writer()), (2, (1, false)));
    drop(reading);
    assert_eq!(house.served(), 2);
    drop(Hold::try_write(&house).unwrap().downgrade());
    assert_eq!((house.served(), house.word().is_held()), (2, false));
}

#[test]
fn what_is_handed_is_taken_later() {
    let house = Plain::<Reading, _>::new(7);
    assert!(house.word().reserve(Mode::Write));
    assert!(Hold::try_read(&house).is_none() && !house.word().reserve(Mode::Read));
    assert_eq!(*Hold::write(&house), 7);
    house.word().mark();
    assert!(house.word().admit(Mode::Read) && house.word().admit(Mode::Read), "past the mark");
    assert!(!house.word().admit(Mode::Write));
    let (one, other) = (Hold::read(&house), Hold::read(&house));
    assert_eq!(*one, *other);
    drop((one, other));
    assert_eq!((house.served(), house.word().is_held()), (1, false));
}

#[test]
#[should_panic(expected = "by whom it was handed")]
fn what_was_not_handed_is_not_taken() {
    let house = Plain::<Reading, _>::new(7);
    assert!(house.word().admit(Mode::Read) && house.word().admit(Mode::Read));
    let _taken = Hold::read(&house);
    drop(Hold::write(&house));
}

#[test]
#[should_panic(expected = "by whom it was handed")]
fn nothing_is_taken_twice() {
    let house = Plain::<Writing, _>::new(7);
    assert!(house.word().reserve(Mode::Write));
    let _taken = Hold::write(&house);
    drop(Hold::write(&house));
}

/// The counts must not run over, or a leak too many would let in a writer.
#[test]
fn there_is_an_end_to_the_readers() {
    let house = Plain::<Reading, _>::new(7);
    house.word().inside.store(usize::MAX & !(QUEUED | WRITER) & !READER, Ordering::Relaxed);
    assert!(Hold::try_read(&house).map(std::mem::forget).is_some());
    assert!(Hold::try_read(&house).is_none() && !house.word().admit(Mode::Read));
}

#[test]
fn an_arc_keeps_the_house_of_a_leaked_guard() {
    let house = Arc::new(Plain::<Writing, _>::new(Box::new(7)));
    let kept = Arc::downgrade(&house);
    let hold = Hold::try_write(house.clone()).unwrap();
    drop(house);
    assert_eq!((**hold, Hold::keeper(&hold).served()), (7, 0));
    drop(hold);
    assert!(kept.upgrade().is_none());
    let house = Plain::<Writing, _>::new(7);
    std::mem::forget(Hold::try_write(&house).unwrap());
    assert!(Hold::try_write(&house).is_none());
}

#[test]
fn values_may_have_no_size() {
    let house: Arc<Plain<Writing, [u8]>> = Arc::new(Plain::<Writing, _>::new([1, 2, 3]));
    Hold::try_write(house.clone()).unwrap()[1] = 7;
    assert_eq!(&*Hold::try_write(&*house).unwrap(), [1, 7, 3]);
}

const TURNS: usize = if cfg!(miri) { 20 } else { 20_000 };

/// What one wrote the next one sees, whatever the way from the one to the other. (Of interest under Miri.)
#[test]
fn racing_threads_see_what_was_written() {
    let house = Plain::<Reading, _>::new([0; 2]);
    let written = AtomicUsize::new(0);
    thread::scope(|threads| {
        for number in 0..3 {
            let (house, written) = (&house, &written);
            threads.spawn(move || {
                for turn in 0..TURNS {
                    match (turn + number) % 4 {
                        0 => {
                            let Some(hold) = Hold::try_read(house) else { continue };
                            assert_eq!(hold[0], hold[1]);
                        }
                        1 if house.word().reserve(Mode::Read) => {
                            let hold = Hold::read(house);
                            assert_eq!(hold[0], hold[1]);
                        }
                        2 => {
                            house.word().mark();
                            if !house.word().admit(Mode::Write) {
                                continue;
                            }
                            let mut hold = Hold::write(house);
                            hold[0] += 1;
                            hold[1] += 1;
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {
                            let Some(mut hold) = Hold::try_write(house) else { continue };
                            hold[0] += 1;
                            hold[1] += 1;
                            written.fetch_add(1, Ordering::Relaxed);
                            let hold = hold.downgrade();
                            assert_eq!(hold[0], hold[1]);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(house.lock.into_inner(), [written.into_inner(); 2]);
}
