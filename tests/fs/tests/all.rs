//! The behaviours of files on all runtimes.

/// The executor on the calling thread.
mod smol {
    fn smol<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_smol::run(body()));
    }

    foster_fs_conformance::suite!(smol);
    foster_fs_conformance::real_suite!(smol);
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

    foster_fs_conformance::suite!(smol);
    foster_fs_conformance::real_suite!(smol);
}

mod tokio_current_thread {
    fn tokio<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_tokio::Builder::new().current_thread().run(body()));
    }

    foster_fs_conformance::suite!(tokio);
    foster_fs_conformance::real_suite!(tokio);
}

mod tokio_multi_thread {
    fn tokio<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || foster_tokio::run(body()));
    }

    foster_fs_conformance::suite!(tokio);
    foster_fs_conformance::real_suite!(tokio);
}

/// On several schedules: each call of the host is a step of its own.
mod sim {
    const SEEDS: u64 = 3;

    fn sim<F, Fut>(name: &str, body: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        foster_conformance::check(name, || {
            for seed in 0..SEEDS {
                foster_sim::run(seed, body());
            }
        });
    }

    foster_fs_conformance::suite!(sim);
}
