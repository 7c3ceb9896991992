//! One body, two tests: for the parallel nursery and for the local one.

use std::fmt::Debug;
use std::future::Future;

use foster::error::ErrorGroup;
use foster::future::NurseryFuture;
use foster::nursery::{ChildError, Outcome};
use foster::{LocalNursery, Nursery, NurseryOptions};

/// Writes each behaviour once and makes two functions of it.
///
/// In the body `open` and `open_collecting` open a nursery of the sort under test, `Handle<E>` is its handle, and
/// `LOCAL` says which sort it is.
macro_rules! both {
    ($($(#[$attribute:meta])* $parallel:ident, $local:ident: $body:block)*) => {$(
        $(#[$attribute])*
        pub async fn $parallel() {
            #[allow(unused_imports, reason = "not every test opens both sorts, or names the handle")]
            use $crate::groups::both::collecting as open_collecting;
            #[allow(unused_imports, reason = "not every test opens both sorts, or names the handle")]
            use foster::{Nursery as Handle, nursery as open};
            #[allow(dead_code, reason = "few tests tell the two apart")]
            const LOCAL: bool = false;
            $body
        }

        /// In a local nursery (L41):
        $(#[$attribute])*
        pub async fn $local() {
            #[allow(unused_imports, reason = "not every test opens both sorts")]
            use $crate::groups::both::collecting_local as open_collecting;
            #[allow(unused_imports, reason = "not every test opens both sorts")]
            use foster::local_nursery as open;
            #[allow(dead_code, reason = "not every test names the handle")]
            type Handle<E = std::convert::Infallible> = foster::LocalNursery<'static, E>;
            #[allow(dead_code, reason = "few tests tell the two apart")]
            const LOCAL: bool = true;
            $body
        }
    )*};
}

pub(crate) use both;

/// Opens a nursery that collects errors.
#[track_caller]
pub(crate) fn collecting<T, E, F, Fut, R>(body: F) -> NurseryFuture<T, E, ErrorGroup<E>, F, Fut, R>
where
    E: ChildError,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().collect_errors().run(body)
}

/// Opens a local nursery that collects errors.
#[track_caller]
pub(crate) fn collecting_local<'env, T, E, F, Fut, R>(
    body: F,
) -> impl Future<Output = Result<T, ErrorGroup<E>>> + use<'env, T, E, F, Fut, R>
where
    E: Debug,
    F: FnOnce(LocalNursery<'env, E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().collect_errors().run_local(body)
}
