//! The waker of a local nursery's children while the code around the nursery is cancelled.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::tree::flags::PARENT_CANCELLED;
use crate::tree::node::NodeRef;

/// Marks the nursery as woken, wakes its driver, and then the scope around, which the nursery delays (L16.1). The wakers of
/// the children go to the nursery's future and not through its node, so they need it.
struct ForwardingWaker {
    nursery: NodeRef,
    /// The waker that the nursery's future was polled with.
    driver: Waker,
}

impl Wake for ForwardingWaker {
    fn wake(self: Arc<Self>) {
        self.nursery.wake_driver_by(|| self.driver.wake_by_ref());
    }
}

/// Returns the waker of whoever drives a local nursery, as its children have to have it: the driver's own is good enough
/// unless the code around is cancelled. No lock may be held.
pub(super) fn waker_for_children(nursery: &NodeRef, driver: &Waker) -> Waker {
    let driver = driver.clone();
    if nursery.flagged(PARENT_CANCELLED) {
        Waker::from(Arc::new(ForwardingWaker { nursery: nursery.clone(), driver }))
    } else {
        driver
    }
}
