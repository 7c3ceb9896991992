//! Behaviours: groups.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! groups_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; groups {
        });
    };
}
