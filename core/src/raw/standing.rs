//! A body that stands in the block it belongs to: pinned there, and held by one at a time; and what it leaves there when it is over.
//!
//! In a box of its own it would be a second allocation; taken out of a lock for each poll, and put back, it would be two locks.
//!
//! Who has it says its [`Stage`].
//!
//! While there is a body it holds a reference to the block, which therefore cannot be moved, taken apart or given up: that is
//! what pins the body, and where its waker comes from. The circle ends with the body. Who ends it becomes the [`Giver`] of what it
//! leaves.

use std::cell::UnsafeCell;
use std::mem;
use std::pin::Pin;

use super::delivery::{Delivery, Giver, Taker};
use super::stage::{IsCut, Stage};
use super::thin::{Thin, Typed};

/// The place of a body `B` in the tail of a block, and of the `T` that it leaves.
pub(crate) struct Standing<H, D: ?Sized, B, T> {
    stage: Stage,
    /// The holder's alone, while there is one.
    inner: UnsafeCell<Inner<H, D, B>>,
    left: Delivery,
    /// For the ends of the delivery alone.
    room: UnsafeCell<Option<T>>,
}

struct Inner<H, D: ?Sized, B> {
    /// Once it stands. Invariant: while this is here, so is the body, or a place of one that was dropped where it stood.
    block: Option<Thin<H, D>>,
    body: Option<B>,
}

// SAFETY: what is inside is reached by the holder alone, from one thread after the other, and so is the room; the block is shared by
// many.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, B: Send, T: Send> Sync for Standing<H, D, B, T> {}

impl<H, D: ?Sized, B, T> Standing<H, D, B, T> {
    /// A body that is on its way.
    pub(crate) fn coming(body: B) -> Self {
        let inner = UnsafeCell::new(Inner { block: None, body: Some(body) });
        Standing { stage: Stage::coming(), inner, left: Delivery::coming(), room: UnsafeCell::new(None) }
    }

    /// The body stands from here on. `of` says where, in a block that nobody else has yet; gives it back twice, and the end that takes what
    /// the body leaves.
    pub(crate) fn stand<C>(
        mut block: Typed<H, D, C>,
        of: for<'a> fn(&'a C) -> &'a Self,
    ) -> ([Typed<H, D, C>; 2], Taker<H, D, T>) {
        assert!(block.is_alone(), "a body stands before anybody else has its block");
        let [own, taker, blocks @ ..] = block.split::<4>();
        let [block, ..] = &blocks;
        // The place cannot be moved, nor reached but by sharing, as long as there is a reference to the block.
        let place = of(block.tail());
        assert!(block.has(place), "a body stands in its own block");
        if !place.stage.is_coming() {
            unreachable!("a body comes once");
        }
        // SAFETY: reached by this thread alone, since nobody else had the block, nor has any of these yet.
        unsafe { (*place.inner.get()).block = Some(own.into_block()) };
        // SAFETY: both lie in the place, of which nothing is borrowed but shared; the room is for the ends alone, and nobody else has the block
        // yet.
        let taker = unsafe { place.left.taker(taker.into_block(), &place.room) };
        // Ordering: whoever finds it free finds the reference.
        place.stage.stand();
        (blocks, taker)
    }

    /// How far it is with what the body leaves.
    pub(crate) fn left(&self) -> &Delivery {
        &self.left
    }

    /// The body, to be polled; none if it is over, or about to be.
    #[inline]
    pub(crate) fn hold(&self) -> Option<Held<'_, H, D, B, T>> {
        self.stage.hold().then(|| Held { place: self })
    }

    /// The body, to be dropped. None if it is over, or held: whoever holds it will find that it is not to be put back.
    pub(crate) fn seize(&self) -> Option<Held<'_, H, D, B, T>> {
        self.stage.seize().then(|| Held { place: self })
    }
}

/// A body, by whoever holds it. Dropped, it drops the body where it stands.
pub(crate) struct Held<'a, H, D: ?Sized, B, T> {
    place: &'a Standing<H, D, B, T>,
}

impl<H, D: ?Sized, B, T> Held<'_, H, D, B, T> {
    /// The body, and the block it stands in.
    pub(crate) fn parts(&mut self) -> (Pin<&mut B>, &Thin<H, D>) {
        // SAFETY: the holder is the only one to reach it, and the place is borrowed for as long as there is a holder.
        let inner = unsafe { &mut *self.place.inner.get() };
        let (Some(body), Some(block)) = (&mut inner.body, &inner.block) else { unreachable!("it is held") };
        // SAFETY: the block is kept until the body was dropped where it stands: by this place, or in `end` by the giver; until then the place
        // cannot be moved (see `stand`), and nothing here moves the body.
        (unsafe { Pin::new_unchecked(body) }, block)
    }

    /// To be held again. It comes back if it is to be dropped instead.
    pub(crate) fn put_back(self) -> Result<(), Self> {
        match self.place.stage.put_back() {
            Ok(()) => {
                mem::forget(self);
                Ok(())
            }
            Err(IsCut) => Err(self),
        }
    }

    /// The body is over: gives the end that gives what it leaves. Says whether it was seized.
    pub(crate) fn end(self) -> (bool, Giver<Thin<H, D>, T>) {
        let seized = self.place.stage.end();
        // SAFETY: as in `parts`.
        let own = unsafe { (*self.place.inner.get()).block.take() };
        let Some(own) = own else { unreachable!("it is held") };
        // SAFETY: both lie in the place, as for the taker, which was made when the body came to stand. Once: the body's reference was there.
        let giver = unsafe { self.place.left.giver(own, &self.place.room) };
        drop(self);
        (seized, giver)
    }
}

impl<H, D: ?Sized, B, T> Drop for Held<'_, H, D, B, T> {
    fn drop(&mut self) {
        self.place.stage.over();
        // SAFETY: as in `parts`. Nobody holds it after this one.
        let inner = unsafe { &mut *self.place.inner.get() };
        // After the body, also if its destructor panics. Subtle: not the last reference, as this one's place is borrowed.
        let block = inner.block.take();
        inner.body = None;
        drop(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::marker::PhantomPinned;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;
    use std::sync::{Arc, Mutex};

    type Events = Arc<Mutex<Vec<&'static str>>>;

    /// A body that points to itself once it was touched, as a future does that was polled.
    struct Body {
        itself: *const Body,
        events: Events,
        panics: bool,
        _pinned: PhantomPinned,
    }

    // SAFETY: the pointer is compared, and read by the one who holds the body.
    unsafe impl Send for Body {}

    impl Body {
        fn touch(self: Pin<&mut Self>) {
            let here: *const Body = &*self;
            if self.itself.is_null() {
                // SAFETY: nothing is moved.
                unsafe { self.get_unchecked_mut().itself = here };
                return;
            }
            assert!(ptr::eq(self.itself, here), "it was moved");
            // SAFETY: it is where it was, and borrowed by this alone.
            let events = unsafe { &(*self.itself).events };
            events.lock().unwrap().push("touched");
        }
    }

    impl Drop for Body {
        fn drop(&mut self) {
            assert!(self.itself.is_null() || ptr::eq(self.itself, self), "it was moved");
            self.events.lock().unwrap().push("dropped");
            assert!(!self.panics, "as asked");
        }
    }

    trait Keeps: Send + Sync {}

    struct Place(Standing<(), dyn Keeps, Body, u32>);

    impl Keeps for Place {}

    type Left = Taker<(), dyn Keeps, u32>;

    fn block(panics: bool) -> (Typed<(), dyn Keeps, Place>, Left, Events) {
        let events = Events::default();
        let body = Body { itself: ptr::null(), events: events.clone(), panics, _pinned: PhantomPinned };
        let block: Typed<(), dyn Keeps, Place> = Typed::new(|_| (), Place(Standing::coming(body)), |place| place);
        let ([block, _], left) = Standing::stand(block, |place| &place.0);
        (block, left, events)
    }

    fn seen(events: &Events) -> Vec<&'static str> {
        events.lock().unwrap().clone()
    }

    #[test]
    fn a_body_is_held_and_put_back_and_dropped_where_it_stands() {
        let (block, mut left, events) = block(false);
        for _ in 0..3 {
            let mut held = block.tail().0.hold().unwrap();
            let (body, own) = held.parts();
            body.touch();
            assert!(own.is(&block));
            assert!(held.put_back().is_ok());
        }
        assert_eq!(block.count(), 3, "the body holds its block");
        let (seized, end) = block.tail().0.hold().unwrap().end();
        assert_eq!((seized, seen(&events)), (false, vec!["touched", "touched", "dropped"]));
        assert_eq!((block.count(), left.take()), (3, None));
        drop(end.give(1, Some(7)));
        assert_eq!((block.count(), left.note(), left.take()), (2, Some(1), Some(7)));
        drop(left);
        assert_eq!(block.count(), 1, "it was let go with the body");
        assert!(block.tail().0.hold().is_none() && block.tail().0.seize().is_none());
    }

    #[test]
    fn a_body_that_never_stood_is_dropped_with_its_place() {
        let events = Events::default();
        let body = Body { itself: ptr::null(), events: events.clone(), panics: false, _pinned: PhantomPinned };
        let place: Standing<(), dyn Keeps, Body, ()> = Standing::coming(body);
        let moved = Box::new(place);
        assert!(moved.hold().is_none() && moved.seize().is_none());
        drop(moved);
        assert_eq!(seen(&events), ["dropped"]);
    }

    #[test]
    fn a_body_that_is_seized_while_it_is_held_does_not_go_back() {
        let (block, _left, events) = block(false);
        let mut held = block.tail().0.hold().unwrap();
        held.parts().0.touch();
        assert!(block.tail().0.seize().is_none() && block.tail().0.seize().is_none());
        let mut held = held.put_back().err().unwrap();
        held.parts().0.touch();
        assert!(held.end().0, "it was seized");
        assert_eq!(seen(&events), ["touched", "dropped"]);
        assert!(block.tail().0.hold().is_none());
    }

    #[test]
    fn a_holder_that_panics_drops_the_body_where_it_stands() {
        let (block, _left, events) = block(true);
        let result = catch_unwind(AssertUnwindSafe(|| drop(block.tail().0.hold())));
        assert!(result.is_err());
        assert_eq!((seen(&events), block.count()), (vec!["dropped"], 2));
        assert!(block.tail().0.hold().is_none());
    }

    /// Of those who poll it and the one who wants it over, one drops it.
    #[cfg(not(foster_shuttle))]
    #[test]
    fn threads_hold_a_body_one_after_the_other_until_it_is_seized() {
        let (block, _left, events) = block(false);
        let (polls, cuts) = (block.clone(), block.clone());
        let polls = std::thread::spawn(move || {
            while let Some(mut held) = polls.tail().0.hold() {
                held.parts().0.touch();
                if held.put_back().is_err() {
                    break;
                }
            }
        });
        let cuts = std::thread::spawn(move || drop(cuts.tail().0.seize()));
        polls.join().unwrap();
        cuts.join().unwrap();
        assert_eq!(seen(&events).iter().filter(|event| **event == "dropped").count(), 1);
        assert_eq!(block.count(), 2);
    }
}
