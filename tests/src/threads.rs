//! Behaviours: threads.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! threads_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; threads {
        });
    };
}
