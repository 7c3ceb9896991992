//! The suite on smol: the executor on the calling thread.

fn smol<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    foster_conformance::check(name, || foster_smol::run(body()));
}

foster_conformance::suite!(smol);

/// Behaviour that only several threads show.
mod two_threads {
    fn smol<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_smol::Builder::new().threads(2).run(body()));
    }

    foster_conformance::seen_suite!(smol);
}

/// As above, with more of them than most machines of a test have idle.
mod four_threads {
    fn smol<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_smol::Builder::new().threads(4).run(body()));
    }

    foster_conformance::seen_suite!(smol);
}
