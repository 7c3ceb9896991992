//! The list of all behaviours: each section lists its own, this puts them together.

/// Makes one `#[test]` of every behaviour in the suite.
///
/// The argument is the name of a function `fn(name: &str, body: impl Fn() -> impl Future<Output = ()>)`, in scope where
/// the macro is called, that runs `body` once or more on the adapter under test, each run through
/// [`check`](crate::check).
#[macro_export]
macro_rules! suite {
    ($runner:ident) => {
        $crate::running_suite!($runner);
        $crate::scopes_suite!($runner);
        $crate::deadlines_suite!($runner);
        $crate::shields_suite!($runner);
        $crate::checkpoints_suite!($runner);
        $crate::operations_suite!($runner);
        $crate::closing_suite!($runner);
        $crate::groups_suite!($runner);
        $crate::tasks_suite!($runner);
        $crate::starting_suite!($runner);
        $crate::panics_suite!($runner);
        $crate::placing_suite!($runner);
        $crate::threads_suite!($runner);
        $crate::values_suite!($runner);
        $crate::derived_suite!($runner);
        $crate::seen_suite!($runner);
    };
}

/// Expands to one test per listed behaviour, in a module named after the section.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ($runner:ident; $section:ident { $($name:ident,)* }) => {
        mod $section {
            $(
                #[test]
                fn $name() {
                    super::$runner(
                        concat!(stringify!($section), "::", stringify!($name)),
                        || ::foster_conformance::harness::watched(::foster_conformance::$section::$name()),
                    );
                }
            )*
        }
    };
}
