//! hyper in foster, on all runtimes: `N176` to `N184` of the behaviours of the network.
//!
//! Each body runs on smol with one thread and with four, on both runtimes of tokio, and on the simulator with several
//! seeds. Tests that need hosts and links, or virtual time, are in `simulated.rs`, and those
//! that need a real clock in `cut.rs`.

mod asking;
mod clients;
mod cut;
mod ends;
mod exchanges;
mod simulated;
mod stopping;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use foster::observer::{HostDropped, Observer, Orphan};

/// Errors without a caller are part of what is tested: nobody prints them.
struct Silent;

impl Observer for Silent {
    fn orphan(&self, _: &Orphan<'_>) {}
    fn host_dropped(&self, _: &HostDropped) {}
}

/// Something that is broken waits for ever.
async fn in_time(body: impl Future<Output = ()>) {
    let Ok(()) = foster::fail_after(LIMIT, body).await else { panic!("it has not ended within {LIMIT:?}") };
}

const LIMIT: Duration = Duration::from_secs(60);

const SEEDS: u64 = 5;

/// Runs a body on a runtime, and holds that it leaves nothing.
fn smol<F: Future<Output = ()>>(threads: usize, name: &str, body: impl Fn() -> F) {
    foster_conformance::check(name, || {
        foster_smol::Builder::new().threads(threads).observer(Arc::new(Silent)).run(in_time(body()));
    });
}

fn tokio<F: Future<Output = ()>>(builder: foster_tokio::Builder, name: &str, body: impl Fn() -> F) {
    foster_conformance::check(name, || builder.observer(Arc::new(Silent)).run(in_time(body())));
}

/// The last seed with polls that nobody asked for. A run with a socket open at its end fails.
fn sim<F: Future<Output = ()>>(name: &str, body: impl Fn() -> F) {
    for seed in 0..SEEDS {
        let spurious = if seed + 1 == SEEDS { 0.1 } else { 0.0 };
        let simulation = foster_sim::Builder::new(seed).spurious_polls(spurious).observer(Arc::new(Silent));
        foster_conformance::check(name, || simulation.run(in_time(body())));
    }
}

macro_rules! everywhere {
    ($($module:ident::$body:ident;)*) => {
        everywhere!(@runtime smol_one_thread |name, body| crate::smol(1, name, body); $($module::$body;)*);
        everywhere!(@runtime smol_four_threads |name, body| crate::smol(4, name, body); $($module::$body;)*);
        everywhere!(@runtime tokio_current_thread |name, body| {
            crate::tokio(foster_tokio::Builder::new().current_thread(), name, body)
        }; $($module::$body;)*);
        everywhere!(@runtime tokio_multi_thread |name, body| {
            crate::tokio(foster_tokio::Builder::new(), name, body)
        }; $($module::$body;)*);
        everywhere!(@runtime simulator |name, body| crate::sim(name, body); $($module::$body;)*);
    };
    (@runtime $runtime:ident |$name:ident, $run:ident| $how:expr; $($module:ident::$body:ident;)*) => {
        mod $runtime {
            $(
                #[test]
                fn $body() {
                    let ($name, $run) = (concat!(stringify!($runtime), "::", stringify!($body)), crate::$module::$body);
                    $how;
                }
            )*
        }
    };
}

everywhere! {
    exchanges::n176_http1_in_both_directions_over_keep_alive;
    exchanges::n176_http2_in_both_directions_at_once;
    exchanges::n177_tasks_end_with_their_scope;
    exchanges::n177_panics_are_reported;
    stopping::n179_idle_connections_are_closed;
    stopping::n179_what_has_come_is_answered;
    stopping::n179_half_requests_are_completed;
    stopping::n179_half_prefaces_are_completed;
    stopping::n179_answers_are_completed;
    stopping::n179_answers_may_wait_for_the_stop;
    stopping::n179_http2_answers_are_completed;
    stopping::n180_silent_connections_are_closed;
    stopping::n181_upgraded_connections_stop;
    stopping::n181_upgrades_are_completed;
    stopping::n181_http2_tunnels_stop;
    stopping::n181_the_grace_ends_upgraded_connections;
    ends::n182_requests_end_with_their_client;
    ends::n182_http2_requests_end_with_their_client;
    ends::n182_half_closed_requests_are_completed;
    ends::each_request_is_a_scope;
    clients::n183_a_pool_reuses_connections;
    clients::n183_a_dropped_response_closes_its_connection;
    clients::n183_a_dropped_body_closes_its_connection;
    clients::n183_dropped_http2_bodies_end_at_the_server;
    clients::n183_a_pool_ends_with_its_scope;
    ends::n184_only_what_is_cut_is_an_error;
}
