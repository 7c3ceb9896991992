//! The suite on smol: the executor on the calling thread.

fn smol<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::check(name, || foster_smol::run(body()));
}

foster_conformance::suite!(smol);
