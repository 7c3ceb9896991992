//! A future that is not awaited does nothing: the compiler says so.
#![deny(unused_must_use)]

use std::time::Duration;

use foster::{
    CancelScope, Nursery, NurseryOptions, bracket, checkpoint, fail_after, interval, move_on_after, nursery, shield,
    sleep, to_thread,
};
use foster::nursery::Started;

pub async fn run(n: Nursery, status: Started<u8>) {
    let second = Duration::from_secs(1);
    #[cfg(misuse)]
    {
        checkpoint(); //~ unused_must_use
        sleep(second); //~ unused_must_use
        interval(second); //~ unused_must_use
        move_on_after(second, async {}); //~ unused_must_use
        fail_after(second, async {}); //~ unused_must_use
        shield(async {}); //~ unused_must_use
        to_thread(|| {}); //~ unused_must_use
        bracket(async { 1 }, async |_| (), |_, _| async {}); //~ unused_must_use
        nursery(async |_: Nursery| {}); //~ unused_must_use
        CancelScope::new(); //~ unused_must_use
        CancelScope::new().run(async {}); //~ unused_must_use
        NurseryOptions::new(); //~ unused_must_use
        n.child(); //~ unused_must_use
        n.spawn_limited(async {}); //~ unused_must_use
    }
    #[cfg(not(misuse))]
    {
        checkpoint().await;
        sleep(second).await;
        interval(second).tick().await;
        move_on_after(second, async {}).await;
        let _ = fail_after(second, async {}).await;
        shield(async {}).await;
        to_thread(|| {}).await;
        bracket(async { 1 }, async |_| (), |_, _| async {}).await;
        let Ok(()) = nursery(async |_: Nursery| {}).await;
        let _ = CancelScope::new().run(async {}).await;
        let Ok(()) = NurseryOptions::new().run(async |_: Nursery| {}).await;
        n.child().spawn(async {});
        n.spawn_limited(async {}).await;
    }
    status.started(1);
}
