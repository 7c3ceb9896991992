//! What the handles of a local nursery share with its future.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bells::Bells;
use crate::nursery::NurseryCell;
use crate::nursery::policy::Home;
use crate::tree::node::NodeRef;

pub(crate) struct Shared<E, B> {
    pub(crate) node: NodeRef,
    pub(crate) errors: NurseryCell<E>,
    /// Children that the future has not taken over yet; none once the future is gone.
    pub(crate) incoming: Mutex<Option<Vec<B>>>,
    /// What is to be polled next in the task of the nursery.
    pub(crate) ready: Arc<Bells>,
}

impl<E, B> Shared<E, B> {
    pub(crate) fn incoming(&self) -> MutexGuard<'_, Option<Vec<B>>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a child that has moved here. If the future is gone, so is the child.
    pub(crate) fn take_over(&self, child: B) {
        let mut incoming = self.incoming();
        let late = match &mut *incoming {
            Some(incoming) => {
                incoming.push(child);
                None
            }
            None => Some(child),
        };
        drop(incoming);
        drop(late);
        self.ready.wake_driver();
    }

    /// The children that were spawned since the last time.
    pub(crate) fn take_incoming(&self) -> Vec<B> {
        match &mut *self.incoming() {
            Some(incoming) => std::mem::take(incoming),
            None => Vec::new(),
        }
    }
}

impl<E, B> Home<E> for Shared<E, B> {
    fn errors(&self) -> &NurseryCell<E> {
        &self.errors
    }
}

/// The seat of the body; the others are those of the children's slab.
pub(crate) const BODY: usize = usize::MAX;
