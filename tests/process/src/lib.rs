//! The conformance suite of foster's processes, for adapters that have them.
//!
//! Every behaviour is a plain `pub async fn` in a module per section; its name begins with its number in the list of
//! behaviours, `N111` and so on. They start real programs: `sh`, and what POSIX has beside it. [`suite!`] makes one
//! `#[test]` of each, for one adapter; its argument is a function that runs a body on it, with an observer:
//!
//! ```ignore
//! fn on_my_runtime<T>(observer: Arc<dyn Observer>, body: impl Future<Output = T>) -> T {
//!     my_adapter::Builder::new().observer(observer).run(body)
//! }
//!
//! foster_process_conformance::suite!(on_my_runtime);
//! ```
//!
//! They look into `/proc` for what is left, and so are for Linux. Behaviours of every host are in
//! `tests/everywhere.rs`, and those that only virtual time can show in `tests/scripted.rs`, on the simulator.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "panicking is how a test reports")]

use std::time::Duration;

pub mod reports;

#[cfg(target_os = "linux")]
pub mod left;

#[cfg(target_os = "linux")]
mod prove;

#[cfg(target_os = "linux")]
pub mod ending;
#[cfg(target_os = "linux")]
pub mod running;
#[cfg(target_os = "linux")]
pub mod streams;

#[cfg(target_os = "linux")]
pub use prove::prove;

/// Runs a behaviour, and panics if it takes a minute: something that is broken waits for ever.
pub async fn in_time(behaviour: impl Future<Output = ()>) {
    // So that what a reactor opens for its process, in a thread of its own, is there when the behaviour ends.
    foster::sleep(Duration::from_millis(1)).await;
    let Ok(()) = foster::fail_after(LIMIT, behaviour).await else { panic!("it has not ended within {LIMIT:?}") };
}

const LIMIT: Duration = Duration::from_secs(60);

/// Makes one `#[test]` of every behaviour of processes.
#[macro_export]
macro_rules! suite {
    ($runner:ident) => {
        $crate::running_suite!($runner);
        $crate::streams_suite!($runner);
        $crate::ending_suite!($runner);
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
                    $crate::prove(
                        concat!("process::", stringify!($section), "::", stringify!($name)),
                        |reports, behaviour| {
                            let body = behaviour(reports.clone());
                            super::$runner(reports, ::foster_conformance::harness::watched($crate::in_time(body)));
                        },
                        $crate::$section::$name,
                    );
                }
            )*
        }
    };
}
