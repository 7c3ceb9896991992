//! The proof that a behaviour leaves nothing behind.

use std::sync::Arc;

use foster_conformance::harness::comes_true;

use crate::left;
use crate::reports::Reports;

/// Runs one behaviour, and proves that it has left nothing: what [`foster_conformance::check`] counts, and no child, no
/// descriptor that its second run opens and leaves, and no report that it has not read.
pub fn prove<F: Future<Output = ()>>(
    name: &str,
    run: impl Fn(Arc<Reports>, Box<dyn FnOnce(Arc<Reports>) -> F>),
    behaviour: impl Fn(Arc<Reports>) -> F + Clone + 'static,
) {
    foster_conformance::check(name, || {
        let mut open = None::<Vec<String>>;
        // Descriptors that a runtime opens once, and keeps, are there after the first.
        for _ in 0..2 {
            let reports = Arc::<Reports>::default();
            run(reports.clone(), Box::new(behaviour.clone()));
            // At once: the tree has ended, and so have its processes.
            assert_eq!(left::children(), [] as [String; 0], "{name} has left children");
            assert_eq!(reports.take(), [] as [String; 0], "{name} has not read its reports");
            // The runtime may close its own a moment later.
            if let Some(before) = &open {
                let closed = comes_true(|| left::descriptors().len() <= before.len());
                assert!(closed, "{name} has left descriptors: {:?}, before it {before:?}", left::descriptors());
            }
            open = Some(left::descriptors());
        }
    });
}
