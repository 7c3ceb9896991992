//! A child says once that it is ready: `notify` takes the token.

use foster::{Nursery, StartError};

pub async fn run(n: Nursery<StartError>) -> Result<u8, StartError> {
    n.start(async |ready| {
        ready.notify(1);
        #[cfg(misuse)]
        ready.notify(2); //~ E0382
    })
    .await
}
