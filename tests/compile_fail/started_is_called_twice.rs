//! A child says once that it is ready: `notify` takes the token.

use foster::Nursery;
use foster::error::JoinError;

pub async fn run(n: Nursery<JoinError>) -> Result<u8, JoinError> {
    n.start(async |status| {
        status.started(1);
        #[cfg(misuse)]
        status.started(2); //~ E0382
    })
    .await
}
