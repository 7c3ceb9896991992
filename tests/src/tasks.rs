//! Behaviours: tasks.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! tasks_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; tasks {
        });
    };
}
