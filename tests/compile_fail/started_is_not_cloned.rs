//! Nor can it be said by two.

use foster::Nursery;
use foster::error::JoinError;

pub async fn run(n: Nursery<JoinError>) -> Result<u8, JoinError> {
    n.start(async |status| {
        #[cfg(misuse)]
        drop(status.clone()); //~ E0599
        status.started(1);
    })
    .await
}
