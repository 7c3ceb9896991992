//! The outputs that bodies and children may have.

use std::convert::Infallible;

/// The output of a body or a child of a nursery: `()`, a `Result`, or a type without values. Nothing else, so that no
/// `Result` is ever dropped unseen.
///
/// `T` is the value of a success, `E` the error type of the nursery. The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "the body and the children of a nursery return `()` or a `Result` with the nursery's error type, not `{Self}`",
    label = "returns `{Self}`",
    note = "wrap a value as `Ok(value)`; turn an error of another type into the nursery's with `?` or `map_err`"
)]
pub trait Outcome<T, E>: sealed::Sealed {
    /// As a `Result`.
    ///
    /// # Errors
    ///
    /// The error, if it is one.
    fn into_result(self) -> Result<T, E>;
}

impl<E> Outcome<(), E> for () {
    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<T, E> Outcome<T, E> for Result<T, E> {
    fn into_result(self) -> Result<T, E> {
        self
    }
}

/// For code that runs until it is cancelled, such as `sleep_forever().await`.
#[diagnostic::do_not_recommend]
impl<E> Outcome<Infallible, E> for Infallible {
    fn into_result(self) -> Result<Infallible, E> {
        match self {}
    }
}

/// For loops that run until they are cancelled: `async { loop { … } }` has the type `!`.
#[diagnostic::do_not_recommend]
impl<E> Outcome<(), E> for Never {
    fn into_result(self) -> Result<(), E> {
        self
    }
}

/// The type `!`, which has no name on stable Rust: what a function that does not return returns.
type Never = <fn() -> ! as sealed::Returns>::Type;

mod sealed {
    #[expect(unnameable_types, reason = "seals the trait")]
    pub trait Sealed {}
    impl Sealed for () {}

    #[expect(unnameable_types, reason = "names the type `!`")]
    pub trait Returns {
        type Type;
    }

    impl<T> Returns for fn() -> T {
        type Type = T;
    }

    impl Sealed for std::convert::Infallible {}
    impl Sealed for super::Never {}
    impl<T, E> Sealed for Result<T, E> {}
}
