//! What the handles of a local nursery share with its future.

use std::collections::VecDeque;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, PoisonError};

use super::children::Next;
use crate::nursery::policy::Home;
use crate::nursery::{NurseryCell, Seats};
use crate::raw::Inside;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::node::Typed;

pub(crate) struct Shared<E, B> {
    /// With who was woken since the last turn.
    pub(crate) node: Typed<Seats>,
    pub(crate) errors: NurseryCell<E>,
    /// Children that were spawned from inside the nursery's own poll, as most are, and that its future has not taken over yet.
    fresh: Inside<VecDeque<Next<B>>>,
    /// The same, from elsewhere.
    incoming: Mutex<Incoming<B>>,
}

// As with locks: what is in there is changed in one step.
impl<E, B> UnwindSafe for Shared<E, B> {}
impl<E, B> RefUnwindSafe for Shared<E, B> {}

pub(super) struct Incoming<B> {
    children: Vec<Next<B>>,
    /// The nursery's future is: it takes no children any more.
    gone: bool,
}

/// The way in, for one child.
pub(super) enum Door<'a, B> {
    Inside,
    /// Through the lock, which is held meanwhile.
    Outside(MutexGuard<'a, Incoming<B>>),
}

impl<E, B> Shared<E, B> {
    pub(crate) fn new(node: Typed<Seats>, errors: NurseryCell<E>) -> Self {
        let incoming = Mutex::new(Incoming { children: Vec::new(), gone: false });
        Shared { node, errors, fresh: Inside::new(VecDeque::new()), incoming }
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming<B>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f`, which polls the nursery.
    pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.node.cell().enter(|| self.fresh.enter(f))
    }

    /// The way in; none when the future is gone.
    #[inline]
    pub(super) fn door(&self) -> Option<Door<'_, B>> {
        if self.fresh.is_here() {
            return Some(Door::Inside);
        }
        let incoming = self.incoming();
        if incoming.gone { None } else { Some(Door::Outside(incoming)) }
    }

    /// A child goes in. The future has to be [told](Shared::tell), where no lock is held, if this says so.
    #[inline]
    #[must_use]
    pub(super) fn admit(&self, child: B, door: Door<'_, B>) -> bool {
        let child = Next::Fresh(child);
        match door {
            Door::Inside => {
                self.fresh.reach(|fresh| fresh.push_back(child));
                false
            }
            Door::Outside(mut incoming) => {
                incoming.children.push(child);
                true
            }
        }
    }

    /// There is a new child from elsewhere.
    pub(super) fn tell(&self) {
        self.node.cell().knock();
    }

    /// Takes over a child that has moved here. If the future is gone, so is the child.
    pub(super) fn take_over(&self, child: B) {
        let Some(door) = self.door() else { return drop(child) };
        if self.admit(child, door) {
            self.tell();
        }
    }

    /// Children that have come go behind the others: those from inside, and if somebody has `knocked` those from elsewhere.
    pub(super) fn take(&self, knocked: bool, turn: &mut VecDeque<Next<B>>) {
        self.fresh.reach(|fresh| {
            if turn.is_empty() {
                // Not copied: this one's memory is for those who come next.
                std::mem::swap(fresh, turn);
            } else {
                turn.append(fresh);
            }
        });
        if knocked {
            turn.extend(self.incoming().children.drain(..));
        }
    }

    /// The future is gone. What it has not taken over is to be dropped where no lock is held.
    pub(super) fn close(&self) -> Vec<Next<B>> {
        let mut incoming = self.incoming();
        incoming.gone = true;
        let mut coming = std::mem::take(&mut incoming.children);
        drop(incoming);
        self.fresh.enter(|| self.fresh.reach(|fresh| coming.extend(fresh.drain(..))));
        coming
    }
}

impl<E, B> Home<E> for Arc<Shared<E, B>> {
    fn errors(&self) -> &NurseryCell<E> {
        &self.errors
    }
}
