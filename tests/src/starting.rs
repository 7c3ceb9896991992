//! Behaviours: starting.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! starting_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; starting {
        });
    };
}
