//! Behaviours: panics.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! panics_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; panics {
        });
    };
}
