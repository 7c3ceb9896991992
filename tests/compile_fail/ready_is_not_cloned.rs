//! Nor can it be said by two.

use foster::{Nursery, StartError};

pub async fn run(n: Nursery<StartError>) -> Result<u8, StartError> {
    n.start(async |ready| {
        #[cfg(misuse)]
        drop(ready.clone()); //~ E0599
        ready.notify(1);
    })
    .await
}
