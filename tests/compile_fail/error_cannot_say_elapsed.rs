//! `flatten` needs an error that can say that the time was over.

use std::time::Duration;

use foster::fail_after;

#[derive(Debug)]
pub struct MyError;

#[cfg(not(misuse))]
impl From<foster::Elapsed> for MyError {
    fn from(_: foster::Elapsed) -> Self {
        MyError
    }
}

pub async fn run() -> Result<u32, MyError> {
    let fetch = async { Ok::<u32, MyError>(7) };
    fail_after(Duration::from_secs(1), fetch).flatten().await //~ E0599
}
