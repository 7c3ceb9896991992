//! A scoped value in the tree: a scope has at most one, and a lookup goes upwards (L1).
//!
//! A value is set by opening a scope for it (`value.rs`), before which it is put into the node; it never changes, and
//! is dropped when the scope closes. So a value is found by walking from the innermost scope to the root, with one
//! lock at a time. In a process without values no tree is walked.

use std::any::Any;
use std::sync::Arc;

/// A key with its value, on the scope that was opened for it. Cloned under the node's lock, which counts a reference;
/// no user code is cloned.
#[derive(Clone)]
pub(crate) struct Binding {
    /// The address of the key, a `static`: unique for the life of the process.
    pub(crate) key: usize,
    /// Whether tasks that are spawned into nurseries further in see it.
    pub(crate) inherited: bool,
    /// The value. Shared, so that code that has got it may go on using it when the scope has ended.
    pub(crate) value: Arc<dyn Any + Send + Sync>,
}
