//! The conformance suite of foster's network, for adapters that have one.
//!
//! Every behaviour is a plain `pub async fn` in a module per section; its name begins with its number in the list of
//! behaviours, `N001` and so on. They use sockets on loopback. [`suite!`] makes one `#[test]` of each, for one adapter;
//! its argument is that of [`foster_conformance::suite!`]:
//!
//! ```ignore
//! fn on_my_runtime<F, Fut>(name: &str, body: F)
//! where
//!     F: Fn() -> Fut,
//!     Fut: Future<Output = ()>,
//! {
//!     foster_conformance::check(name, || my_adapter::run(body()));
//! }
//!
//! foster_net_conformance::suite!(on_my_runtime);
//! foster_net_conformance::host_suite!(on_my_runtime);
//! ```
//!
//! `tests/real.rs` has them on smol and tokio, `tests/simulated.rs` on the simulator. Behaviour that only virtual time
//! can show is in `tests/scripted.rs`, with a network that follows a script, and in `tests/hosts.rs`, with hosts and
//! links of the simulator.
#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "panicking is how a test reports")]

use std::time::Duration;

pub mod kinds;

pub mod names;
pub mod serving;
pub mod streams;
pub mod tcp;
pub mod udp;
#[cfg(unix)]
pub mod unix;

/// Runs a behaviour, and panics if it takes a minute: something that is broken waits for ever.
pub async fn in_time(behaviour: impl Future<Output = ()>) {
    let Ok(()) = foster::fail_after(LIMIT, behaviour).await else { panic!("it has not ended within {LIMIT:?}") };
}

const LIMIT: Duration = Duration::from_secs(60);

/// Makes one `#[test]` of every behaviour of the network but those of [`host_suite!`].
#[macro_export]
macro_rules! suite {
    ($runner:ident) => {
        $crate::streams_suite!($runner; tcp_streams, Tcp);
        #[cfg(unix)]
        $crate::streams_suite!($runner; unix_streams, Unix);
        $crate::tcp_suite!($runner);
        $crate::serving_suite!($runner);
        $crate::udp_suite!($runner);
        #[cfg(unix)]
        $crate::unix_suite!($runner);
        $crate::names_suite!($runner);
    };
}

/// Makes one `#[test]` of every behaviour that needs the sockets or the files of a host, which a simulated network does
/// not have.
#[macro_export]
macro_rules! host_suite {
    ($runner:ident) => {
        $crate::tcp_host_suite!($runner);
        $crate::udp_host_suite!($runner);
        #[cfg(unix)]
        $crate::unix_host_suite!($runner);
    };
}

/// Expands to one test per listed behaviour, in a module named after the section.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ($runner:ident; $module:ident, $section:ident $kinds:tt { $($name:ident,)* }) => {
        mod $module {
            $(
                $crate::behaviour!($runner; $module, $section $kinds $name);
            )*
        }
    };
}

/// Expands to one test; the behaviour may be one for several sorts of streams.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviour {
    ($runner:ident; $module:ident, $section:ident [$($kind:ident)?] $name:ident) => {
        #[test]
        fn $name() {
            super::$runner(concat!("net::", stringify!($module), "::", stringify!($name)), || {
                let behaviour = $crate::$section::$name $(::<$crate::kinds::$kind>)? ();
                ::foster_conformance::harness::watched($crate::in_time(behaviour))
            });
        }
    };
}
