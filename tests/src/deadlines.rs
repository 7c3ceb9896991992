//! Behaviours: deadlines.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! deadlines_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; deadlines {
        });
    };
}
