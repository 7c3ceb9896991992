//! The behaviours of the network on all runtimes that have one.

/// The executor on the calling thread.
mod smol {
    fn smol<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_smol::run(body()));
    }

    foster_net_conformance::suite!(smol);
    foster_net_conformance::host_suite!(smol);
}

/// Behaviour that only several threads show.
mod smol_two_threads {
    fn smol<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_smol::Builder::new().threads(2).run(body()));
    }

    foster_net_conformance::suite!(smol);
    foster_net_conformance::host_suite!(smol);
}

mod tokio_current_thread {
    fn tokio<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_tokio::Builder::new().current_thread().run(body()));
    }

    foster_net_conformance::suite!(tokio);
    foster_net_conformance::host_suite!(tokio);
}

mod tokio_multi_thread {
    fn tokio<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_tokio::run(body()));
    }

    foster_net_conformance::suite!(tokio);
    foster_net_conformance::host_suite!(tokio);
}
