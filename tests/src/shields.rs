//! Behaviours: shields.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! shields_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; shields {
        });
    };
}
