//! Where values sit until all have seen them.
//!
//! A value that one receiver has still to see is *alone*: it is moved. One that several will see is cloned under no lock (L36), so it
//! lies in an `Arc`, its *seat*, which a receiver that clones it has a share of. When the last one is through, the value leaves, and
//! its seat is kept for another: a value costs an allocation only if it comes while more are queued, or being cloned, than ever before.

use std::sync::Arc;

type Seat<T> = Arc<Option<T>>;

/// A value that is queued.
#[derive(Debug)]
pub(super) enum Seated<T> {
    Alone(T),
    Shared(Seat<T>),
}

/// The seats that are free: empty, and nobody else's.
#[derive(Debug)]
pub(super) struct Seats<T>(Vec<Seat<T>>);

/// What leaves the queue, or is looked at there: to be cloned or dropped with the lock released.
#[derive(Debug)]
pub(super) enum Leaving<T> {
    Value(T),
    /// Others look at it, too.
    Look(Seat<T>),
}

impl<T> Seats<T> {
    pub(super) const fn new() -> Self {
        Seats(Vec::new())
    }

    fn seat(&mut self, value: T) -> Seat<T> {
        match self.0.pop() {
            Some(mut seat) => {
                let Some(place) = Arc::get_mut(&mut seat) else { unreachable!("a free seat is shared with nobody") };
                *place = Some(value);
                seat
            }
            None => Arc::new(Some(value)),
        }
    }

    /// For so many to see.
    #[inline]
    pub(super) fn take(&mut self, value: T, viewers: usize) -> Seated<T> {
        if viewers == 1 { Seated::Alone(value) } else { Seated::Shared(self.seat(value)) }
    }

    /// Somebody else will see it, too.
    pub(super) fn share(&mut self, seated: Seated<T>) -> Seated<T> {
        match seated {
            Seated::Alone(value) => Seated::Shared(self.seat(value)),
            shared @ Seated::Shared(_) => shared,
        }
    }

    /// The value leaves; and its seat is free, if nobody looks at it.
    #[inline]
    pub(super) fn clear(&mut self, seated: Seated<T>) -> Leaving<T> {
        match seated {
            Seated::Alone(value) => Leaving::Value(value),
            Seated::Shared(seat) => self.vacate(seat),
        }
    }

    fn vacate(&mut self, mut seat: Seat<T>) -> Leaving<T> {
        match Arc::get_mut(&mut seat).and_then(Option::take) {
            Some(value) => {
                self.0.push(seat);
                Leaving::Value(value)
            }
            None => Leaving::Look(seat),
        }
    }
}

impl<T> Seated<T> {
    /// To see who sits there, who stays.
    pub(super) fn look(&self) -> Leaving<T> {
        match self {
            Seated::Shared(seat) => Leaving::Look(seat.clone()),
            Seated::Alone(_) => unreachable!("one who sees it alone takes it"),
        }
    }
}

impl<T: Clone> Leaving<T> {
    /// The value itself, if nobody else looks at it; or a clone.
    #[inline]
    pub(super) fn into_value(self) -> T {
        match self {
            Leaving::Value(value) => value,
            Leaving::Look(seat) => match Arc::unwrap_or_clone(seat) {
                Some(value) => value,
                None => unreachable!("nobody leaves while somebody looks"),
            },
        }
    }
}
