//! One body, two tests: for the parallel nursery and for the local one.

/// Writes each behaviour once and makes two functions of it.
///
/// In the body `open` and `open_collecting` open a nursery of the sort under test, `Handle<E>` is its handle, and `LOCAL` says
/// which sort it is.
macro_rules! both {
    ($($(#[$attribute:meta])* $parallel:ident, $local:ident: $body:block)*) => {$(
        $(#[$attribute])*
        pub async fn $parallel() {
            #[allow(unused_imports, reason = "not every test opens both sorts, or names the handle")]
            use foster::{Nursery as Handle, collecting_nursery as open_collecting, nursery as open};
            #[allow(dead_code, reason = "few tests tell the two apart")]
            const LOCAL: bool = false;
            $body
        }

        /// In a local nursery (L41):
        $(#[$attribute])*
        pub async fn $local() {
            #[allow(unused_imports, reason = "not every test opens both sorts")]
            use foster::{collecting_local_nursery as open_collecting, local_nursery as open};
            #[allow(dead_code, reason = "not every test names the handle")]
            type Handle<E = std::convert::Infallible> = foster::LocalNursery<'static, E>;
            #[allow(dead_code, reason = "few tests tell the two apart")]
            const LOCAL: bool = true;
            $body
        }
    )*};
}

pub(crate) use both;
