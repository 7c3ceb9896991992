//! Misuse of an attribute, reported at the token that is to blame.

use proc_macro::{Ident, Span, TokenStream};

use crate::template::{fill, literal};

/// A message for the user, and where the compiler shows it.
pub(crate) struct Error {
    span: Span,
    message: String,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Error { span, message: message.into() }
    }

    /// Something that is not in `known`, a list that the message repeats.
    pub(crate) fn unknown(what: &str, name: &Ident, known: &[&str]) -> Self {
        Error::new(name.span(), format!("unknown {what} `{name}`; known are {}", list(known)))
    }

    /// The compile error, as an expression or as an item.
    pub(crate) fn into_tokens(self) -> TokenStream {
        fill("::core::compile_error! { $message }", self.span, &[("message", literal(&self.message))])
    }
}

/// `a`, `b` and `c`, each in backquotes.
pub(crate) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!("`{}` and `{last}`", first.join("`, `")),
    }
}
