//! What a scoped value is in the tree: a scope has at most one, and who asks for it looks upwards.

use std::any::Any;
use std::sync::Arc;

use super::current;
use super::node::{Kind, NodeRef};

/// A key with its value, on the scope that was opened for it.
#[derive(Clone)]
pub(crate) struct Binding {
    /// The address of the key.
    pub(crate) key: usize,
    /// Whether tasks that are spawned into nurseries further in see it.
    pub(crate) inherited: bool,
    pub(crate) value: Arc<dyn Any + Send + Sync>,
}

/// The bindings that the code that calls this sees, the innermost first, until `take` has enough.
pub(crate) fn look_up(mut take: impl FnMut(&Binding) -> bool) {
    if !current::has_values() {
        return;
    }
    let mut next = current::innermost();
    let mut left_task = false;
    while let Some(node) = next {
        let mut state = node.lock();
        let binding = state.cold().and_then(|cold| cold.binding.clone());
        let parent: Option<NodeRef> = state.parent.clone();
        // Invariant: no user code below the lock; a binding that is let go of may be the last of its value.
        drop(state);
        if binding.is_some_and(|binding| (binding.inherited || !left_task) && take(&binding)) {
            return;
        }
        left_task |= node.kind == Kind::Task;
        next = parent;
    }
}
