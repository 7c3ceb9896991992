//! The children of a local nursery, where its future polls them.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use slab::Slab;

use super::child::AnyBox;
use super::shared::LocalShared;
use crate::leaf;
use crate::leaf::ready_queue::ReadyMember;

/// The children that have begun and not ended, and those that are polled in this turn.
pub(super) struct LocalChildren<B> {
    all: Slab<(B, ReadyMember)>,
    due: VecDeque<Next<B>>,
    /// The member of a child that has ended in its first poll, for the next one: most that do not wait come in a row.
    spare: Option<ReadyMember>,
}

/// A child that is to be polled.
pub(super) enum Next<B> {
    /// For the first time.
    Fresh(B),
    Woken(usize),
}

impl<B> LocalChildren<B> {
    pub(super) fn new() -> Self {
        LocalChildren { all: Slab::new(), due: VecDeque::new(), spare: None }
    }

    /// How many have begun and not ended.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Begins a turn of the children that were woken, and then of those that have come.
    pub(super) fn begin_poll<E>(&mut self, nursery: &LocalShared<E, B>) {
        nursery.ready.begin_poll(|key| self.due.push_back(Next::Woken(key)));
        nursery.take(&mut self.due);
    }

    /// Whether some were not polled whose turn it was.
    pub(super) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Children that have moved while nobody polled them are where they were: they go to their new nursery now. One may
    /// have moved before its first poll: then it is among those that are `coming`, or that are due.
    pub(super) fn hand_over<E>(
        &mut self,
        coming: &mut VecDeque<Next<B>>,
        to: &LocalShared<E, B>,
        has_moved: fn(&B) -> bool,
    ) {
        let moved: Vec<usize> =
            self.all.iter().filter(|(_, (child, _))| has_moved(child)).map(|(key, _)| key).collect();
        for key in moved {
            to.take_over(self.all.remove(key).0);
        }
        for queue in [coming, &mut self.due] {
            for next in std::mem::take(queue) {
                match next {
                    Next::Fresh(child) if has_moved(&child) => to.take_over(child),
                    stays => queue.push_back(stays),
                }
            }
        }
    }
}

impl<B: AnyBox> LocalChildren<B> {
    /// Polls those whose turn it is, and those that come meanwhile. Ends early, and says so, when the runtime wants the
    /// task back.
    pub(super) fn poll_woken(
        &mut self,
        nursery: &LocalShared<B::Error, B>,
        moves_to: Option<&LocalShared<B::Error, B>>,
    ) -> bool {
        // A turn that begins without any of the task's budget polls all that are due by then: else the first of them
        // would go to the end of the queue with nothing, and it might be the same one every time. One child is polled
        // in any case.
        let mut sure = if leaf::has_to_yield() { self.due.len().max(1) } else { 1 };
        loop {
            if self.due.is_empty() {
                nursery.take(&mut self.due);
                if self.due.is_empty() {
                    return false;
                }
            }
            // Not here: after the body, or before the end. A turn brings everybody in a chain of nurseries forward.
            // Each poll of a child takes a unit of the task's budget, as an operation does.
            let mut cx = Context::from_waker(Waker::noop());
            if sure == 0 && nursery.node.tree().is_some_and(|tree| tree.runtime.poll_budget(&mut cx).is_pending()) {
                return true;
            }
            sure = sure.saturating_sub(1);
            self.poll_next(nursery, moves_to);
        }
    }

    fn poll_next(&mut self, nursery: &LocalShared<B::Error, B>, moves_to: Option<&LocalShared<B::Error, B>>) {
        let key = match self.due.pop_front() {
            None => return,
            Some(Next::Fresh(mut child)) => {
                let key = self.all.vacant_key();
                let spare = self.spare.take().filter(|spare| spare.has_key(key));
                let member = spare.unwrap_or_else(|| ReadyMember::new(key, &nursery.ready));
                if member.poll(|cx| child.run(&nursery.errors, cx)).is_ready() {
                    self.spare = Some(member);
                    return;
                }
                self.all.insert((child, member))
            }
            Some(Next::Woken(key)) => {
                let Some((child, member)) = self.all.get_mut(key) else { return };
                if member.poll(|cx| child.run(&nursery.errors, cx)).is_ready() {
                    drop(self.all.remove(key));
                    return;
                }
                key
            }
        };
        if let Some(to) = moves_to.filter(|_| self.all[key].0.has_moved()) {
            to.take_over(self.all.remove(key).0);
        }
    }
}
