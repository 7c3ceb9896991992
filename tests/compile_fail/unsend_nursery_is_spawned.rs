//! The future of an unsend nursery stays on its thread.

use foster::{LocalNursery, Nursery, NurseryOptions, local_nursery};
use foster::nursery::UnsendNursery;

pub fn run(n: &Nursery) {
    #[cfg(misuse)]
    n.spawn(async { NurseryOptions::new().run_local_unsend(async |_: UnsendNursery<'_>| {}).await }); //~ future cannot be sent between threads safely
    #[cfg(not(misuse))]
    n.spawn(async { local_nursery(async |_: LocalNursery<'_>| {}).await });
    drop(NurseryOptions::new().run_local_unsend(async |_: UnsendNursery<'_>| {}));
    drop(local_nursery(async |_: LocalNursery<'_>| {}));
}
