//! What bodies and children may return.

/// `()` or a `Result`: what the body and the children of a nursery may return. Nothing else, so that no `Result` is ever
/// dropped unseen.
///
/// `T` is the value of a success, `E` the error type of the nursery. The trait is sealed.
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

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}
