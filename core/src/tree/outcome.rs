//! How a task has ended, as its handle finds it: one byte in the node.

use crate::events::TaskStatus;
use crate::sys::atomic::{AtomicU8, Ordering};

/// How a task has ended; set once, under the node's lock, and read without it. Not a `OnceLock`, which takes a hundred
/// instructions to be set, a fortieth of all that a child takes.
#[derive(Default)]
pub(crate) struct TaskOutcome(AtomicU8);

/// The statuses by their numbers.
const STATUSES: [TaskStatus; 6] = [
    TaskStatus::Running,
    TaskStatus::Cancelling,
    TaskStatus::Finished,
    TaskStatus::Cancelled,
    TaskStatus::Failed,
    TaskStatus::Panicked,
];

impl TaskOutcome {
    /// Returns how the task has ended; none as long as it has not.
    #[inline]
    pub(crate) fn get(&self) -> Option<TaskStatus> {
        // Ordering: pairs with the Release in `set`: what the task has left (its value, `ended_after`) is seen by
        // whoever sees that it has ended.
        STATUSES
            .get(usize::from(self.0.load(Ordering::Acquire)))
            .copied()
            .filter(|status| *status != TaskStatus::Running)
    }

    /// Sets it: to a status that is an end.
    pub(super) fn set(&self, status: TaskStatus) {
        self.0.store(status as u8, Ordering::Release);
    }
}
