//! Behaviours: checkpoints.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! checkpoints_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; checkpoints {
        });
    };
}
