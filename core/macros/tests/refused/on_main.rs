#[foster::main]
async fn without_an_adapter() {}

#[foster::main(flavor = "current_thread")]
async fn without_an_adapter_but_a_flavor() {}

#[foster::main(async_std)]
async fn on_an_unknown_adapter() {}

#[foster::main(sim)]
async fn on_the_simulator() {}

#[foster::main(smol, flavor = "current_thread")]
async fn with_an_option_of_tokio() {}

#[foster::main(tokio, threads = 4)]
async fn with_an_unknown_option() {}

#[foster::main(tokio, worker_threads = 0)]
async fn without_a_thread() {}

#[foster::main(tokio, flavor = "current_thread", worker_threads = 4)]
async fn with_workers_on_one_thread() {}

#[foster::main(tokio, worker_threads = 4, flavor = "current_thread")]
async fn on_one_thread_with_workers() {}

#[foster::main(tokio, flavor = "single")]
async fn with_an_unknown_flavor() {}

#[foster::main(tokio, flavor)]
async fn with_a_flavor_that_is_missing() {}

#[foster::main(tokio, flavor = current_thread)]
async fn with_a_flavor_that_is_no_literal() {}

#[foster::main(tokio; smol)]
async fn with_a_semicolon() {}

#[foster::main("smol")]
async fn with_a_string() {}

#[foster::main(smol)]
fn main() {}
