//! The buffer: values that were accepted and not received yet, in order.
//!
//! It is a queue whose values have ascending numbers, so that a value can be found by its number: to return it to a
//! sender that leaves before it has acknowledged, and to put back a value that a receiver did not take.

use std::collections::VecDeque;

/// A number that no value has.
pub(super) const NO_NUMBER: u64 = 0;

#[derive(Debug)]
pub(super) struct Buffer<T> {
    queue: VecDeque<(u64, T)>,
    /// The number that was given last.
    last: u64,
    /// The capacity to reserve when the first value comes.
    pub(super) preallocate: usize,
}

impl<T> Buffer<T> {
    pub(super) const fn new() -> Self {
        Buffer { queue: VecDeque::new(), last: NO_NUMBER, preallocate: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives out the next number, for a value that is not stored here.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Adds a value at the end, and gives its number.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> u64 {
        if self.queue.capacity() == 0 {
            self.make_room();
        }
        let number = self.number();
        self.queue.push_back((number, value));
        number
    }

    #[cold]
    fn make_room(&mut self) {
        self.queue.reserve_exact(self.preallocate);
    }

    /// Takes the first value.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        self.queue.pop_front().map(|(_, value)| value)
    }

    /// Takes the value with this number, wherever it is; none if it is not here any more.
    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let key_out = self.queue.binary_search_by_key(&number, |&(other, _)| other).ok()?;
        self.queue.remove(key_out).map(|(_, value)| value)
    }

    /// Puts a value with a number that was given before back to its place.
    pub(super) fn put_back(&mut self, number: u64, value: T) {
        let key_out = self.queue.partition_point(|&(other, _)| other < number);
        self.queue.insert(key_out, (number, value));
    }

    /// Returns whether the numbers ascend.
    #[cfg(test)]
    pub(super) fn is_in_order(&self) -> bool {
        self.queue.iter().is_sorted_by(|(before, _), (deferred, _)| before < deferred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_numbers_and_come_back_to_their_places() {
        let mut buffer = Buffer::new();
        let numbers: Vec<u64> = ('a'..='e').map(|letter| buffer.push(letter)).collect();
        assert_eq!((buffer.take(numbers[2]), buffer.take(numbers[2]), buffer.take(NO_NUMBER)), (Some('c'), None, None));
        assert_eq!((buffer.pop(), buffer.pop()), (Some('a'), Some('b')));
        buffer.put_back(numbers[1], 'b');
        buffer.put_back(numbers[2], 'c');
        buffer.put_back(numbers[0], 'a');
        assert!(buffer.is_in_order());
        let all: Vec<char> = std::iter::from_fn(|| buffer.pop()).collect();
        assert_eq!(all, ['a', 'b', 'c', 'd', 'e']);
        assert!(buffer.is_empty());
    }
}
