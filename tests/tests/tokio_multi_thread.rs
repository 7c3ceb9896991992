//! The suite on tokio, multi-thread.

fn tokio<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::check(name, || foster_tokio::run(body()));
}

foster_conformance::suite!(tokio);
