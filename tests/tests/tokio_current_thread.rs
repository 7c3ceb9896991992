//! The suite on tokio, current-thread.

fn tokio<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::check(name, || foster_tokio::Builder::new().current_thread().run(body()));
}

foster_conformance::suite!(tokio);
