//! A group that is fed from an iterator, never more than so many branches at a time.

use std::future::Future;
use std::task::{Context, Poll};

use super::group::Group;
use super::kept_outcome::{Keeping, KeptOutcome};

/// How many inputs are taken in one turn at most, so that futures that are ready at once do not keep the task for ever.
const TURN: usize = 64;

pub(super) struct Feed<I, M, F, T> {
    /// None once it is exhausted.
    inputs: Option<I>,
    map: M,
    taken: usize,
    limit: usize,
    pub(super) group: Group<Keeping<F, T>, KeptOutcome<T>>,
    /// How many inputs may still be taken in this turn.
    turn: usize,
}

impl<I, M, F, T> Feed<I, M, F, T>
where
    I: Iterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = T>,
{
    #[track_caller]
    pub(super) fn new(name: &'static str, limit: usize, inputs: I, map: M) -> Self {
        assert!(limit > 0, "`{name}` with a limit of zero would never begin; for no limit say `usize::MAX`");
        Feed { inputs: Some(inputs), map, taken: 0, limit, group: Group::new(), turn: 0 }
    }

    pub(super) fn begin_poll(&mut self, cx: &mut Context<'_>) {
        self.group.begin_poll(cx);
        self.turn = TURN;
    }

    /// The next value, with the index of its input; `None` when no branch is left and none will come. `lost` is called with
    /// what a branch has left and nobody takes.
    pub(super) fn poll_next(&mut self, lost: fn(T)) -> Poll<Option<(usize, T)>> {
        self.fill(lost);
        match self.group.poll_next_kept() {
            // Cancelled code takes no inputs; it is stopped here.
            Poll::Ready(None) if self.has_room() => {}
            Poll::Pending => {}
            ready => return ready,
        }
        if self.turn == 0 && self.has_room() {
            self.group.wake();
        }
        Poll::Pending
    }

    fn fill(&mut self, lost: fn(T)) {
        while self.turn > 0 && self.has_room() && !self.group.fate().is_held_off() {
            self.turn -= 1;
            let Some(inputs) = self.inputs.as_mut() else { return };
            let map = &mut self.map;
            match self.group.guard(|| inputs.next().map(map)) {
                Some(Some(future)) => {
                    self.group.push_keeping(self.taken, future, lost);
                    self.taken += 1;
                }
                Some(None) => {
                    let inputs = self.inputs.take();
                    self.group.guard(|| drop(inputs));
                }
                None => return,
            }
        }
    }

    fn has_room(&mut self) -> bool {
        self.inputs.is_some() && self.group.len() < self.limit && !self.group.fate().is_closing()
    }
}
