//! B052, L23: what was given back to its bracket is not ours any more.

use foster::bracket;

pub async fn run() {
    bracket(
        async { String::new() },
        async |lent| {
            assert_eq!(*lent, "");
            drop(lent);
            #[cfg(misuse)]
            assert_eq!(*lent, ""); //~ E0382
        },
        |_, _| async {},
    )
    .await;
}
