//! Behaviours: running.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! running_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; running {
        });
    };
}
