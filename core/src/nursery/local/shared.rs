//! The part of a local nursery that its handles share with its future.

use std::collections::VecDeque;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use super::children::Next;
use crate::leaf::ready_queue::ReadyQueue;
use crate::nursery::errors::NurseryErrors;
use crate::sys::{MutexGuard, PlainMutex};
use crate::tree::node::NodeRef;

pub(crate) struct LocalShared<E, B> {
    pub(crate) node: NodeRef,
    pub(crate) errors: NurseryErrors<E>,
    /// The children that were woken since the last turn.
    pub(super) ready: Arc<ReadyQueue>,
    incoming: PlainMutex<Incoming<B>>,
}

// As with locks: what is in there is changed in one step.
impl<E, B> UnwindSafe for LocalShared<E, B> {}
impl<E, B> RefUnwindSafe for LocalShared<E, B> {}

/// Children that the nursery's future has not taken over yet.
pub(super) struct Incoming<B> {
    /// All of them fresh: as the turn has them, which takes the whole queue.
    children: VecDeque<Next<B>>,
    /// The nursery's future is gone: it takes no children any more.
    closed: bool,
}

impl<E, B> LocalShared<E, B> {
    pub(crate) fn new(node: NodeRef, errors: NurseryErrors<E>) -> Self {
        let incoming = PlainMutex::new(Incoming { children: VecDeque::new(), closed: false });
        LocalShared { node, errors, ready: ReadyQueue::new(), incoming }
    }

    /// The children that come, locked, so that one can be added; none when the future is gone.
    pub(super) fn open(&self) -> Option<MutexGuard<'_, Incoming<B>>> {
        let incoming = self.incoming.lock();
        if incoming.closed { None } else { Some(incoming) }
    }

    /// Adds a child, and tells the future, unless it was told of another one that it has not taken over: it takes all.
    pub(super) fn admit(&self, child: B, mut incoming: MutexGuard<'_, Incoming<B>>) {
        let is_news = incoming.children.is_empty();
        incoming.children.push_back(Next::Fresh(child));
        drop(incoming);
        if is_news {
            self.ready.tell();
        }
    }

    /// Takes over a child that has moved here. If the future is gone, so is the child.
    pub(super) fn take_over(&self, child: B) {
        match self.open() {
            Some(incoming) => self.admit(child, incoming),
            None => drop(child),
        }
    }

    /// The children that have come go behind the others.
    pub(super) fn take(&self, turn: &mut VecDeque<Next<B>>) {
        if !self.ready.take_news() {
            return;
        }
        let mut incoming = self.incoming.lock();
        if turn.is_empty() {
            std::mem::swap(turn, &mut incoming.children);
        } else {
            turn.append(&mut incoming.children);
        }
    }

    /// The future is gone. The children that it has not taken over are to be dropped where no lock is held.
    pub(super) fn close(&self) -> VecDeque<Next<B>> {
        let mut incoming = self.incoming.lock();
        incoming.closed = true;
        std::mem::take(&mut incoming.children)
    }
}
