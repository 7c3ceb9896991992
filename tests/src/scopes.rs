//! Behaviours: scopes.

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! scopes_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; scopes {
        });
    };
}
