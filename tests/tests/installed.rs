//! A runtime installed for a whole process, and so in a process of its own.

use foster::runtime::current;
use foster::{Nursery, nursery};

/// The adapter that the code runs on, as foster sees it.
fn here() -> &'static str {
    current().expect("installed").name()
}

/// The runtime for scopes outside of any tree is one for the process, and a tree's own comes first.
#[test]
fn an_installed_runtime_does_not_reach_into_trees() {
    assert!(current().is_none());
    foster_smol::install().expect("the first");
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        assert!(foster_tokio::install().is_err(), "there is one already");
        let Ok(outside) = nursery(async |n: Nursery| Ok(n.spawn(async { Ok(here()) }).await)).await;
        assert_eq!(outside, Ok("smol"));
        assert_eq!(foster_tokio::attach(async { here() }).await, "tokio");
        assert_eq!(here(), "smol");
    });
    assert_eq!(foster_tokio::run(async { here() }), "tokio");
}
