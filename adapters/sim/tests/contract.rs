//! The runtime contract on the simulator, asked from foreign threads; the tests of the laws are in `tests/tests/sim.rs`.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use foster::runtime::current;
use foster::sync::Event;
use foster_conformance::contract::Host;
use foster_sim::Builder;

/// A simulation on a thread of its own, which other threads wake and stop.
fn simulation() -> Host {
    let stop = Arc::new(Event::new());
    let stopped = stop.clone();
    let (started, runtime) = mpsc::channel();
    let driver = thread::spawn(move || {
        Builder::new(0).real_threads(Duration::from_secs(600)).run(async move {
            started.send(current().expect("a tree has a runtime")).expect("the test waits for it");
            stopped.wait().await;
        });
    });
    Host::new(runtime.recv().expect("the simulation starts"), move || {
        stop.set();
        driver.join().expect("no job panics");
    })
}

foster_conformance::contract!(simulation());
