#[foster::test]
async fn without_an_adapter() {}

#[foster::test(timeout = "5s")]
async fn without_an_adapter_but_a_limit() {}

#[foster::test(smol, async_std)]
async fn on_an_unknown_adapter() {}

#[foster::test(smol, tokio, smol)]
async fn on_an_adapter_twice() {}

#[foster::test(smol, timeout = "1s", timeout = "2s")]
async fn with_two_limits() {}

#[foster::test(smol = "yes")]
async fn on_an_adapter_with_a_value() {}

#[foster::test(smol, retries = 3)]
async fn with_an_unknown_option() {}

#[foster::test(smol, seeds = 3)]
async fn with_seeds_for_nobody() {}

#[foster::test(sim, seeds = 0)]
async fn without_seeds() {}

#[foster::test(smol, timeout = "5")]
async fn with_a_limit_without_a_unit() {}

#[foster::test(smol, timeout = 5)]
async fn with_a_limit_that_is_a_number() {}

#[foster::test(smol)]
fn not_async() {}

#[foster::test(smol)]
async fn with_arguments(_: u32) {}

fn main() {}
