//! L23: no reference to the resource leaves the body: the release comes after it.

use foster::bracket;
use foster::cleanup::ResourceGuard;

pub async fn run() {
    let text = bracket(
        async { String::new() },
        async |lent: ResourceGuard<String>| {
            #[cfg(misuse)]
            let text = lent.as_str();
            #[cfg(not(misuse))]
            let text = lent.clone();
            text //~ E0515
        },
        |_, _| async {},
    )
    .await;
    drop(text.to_owned());
}
