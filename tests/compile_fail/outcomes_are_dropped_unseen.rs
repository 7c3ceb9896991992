//! Nor is what comes of it dropped unseen.
#![deny(unused_must_use)]

use std::time::Duration;

use foster::sync::{ParkOutcome, WaitQueue};
use foster::{CancelScope, Nursery, fail_after, is_cancelled, nursery};

pub async fn run() {
    let second = Duration::from_secs(1);
    #[cfg(misuse)]
    {
        fail_after(second, async {}).await; //~ unused_must_use
        nursery(async |_: Nursery<u8>| {}).await; //~ unused_must_use
        CancelScope::new().run(async {}).await; //~ unused_must_use
        WaitQueue::new().park().await.expect("open"); //~ unused_must_use
        is_cancelled(); //~ unused_must_use
    }
    #[cfg(not(misuse))]
    {
        fail_after(second, async {}).await.expect("in time");
        nursery(async |_: Nursery<u8>| {}).await.expect("nothing fails");
        CancelScope::new().run(async {}).await.expect("not cancelled");
        assert_eq!(WaitQueue::new().park().await.expect("open"), ParkOutcome::Unparked);
        assert!(!is_cancelled());
    }
}
