//! The arguments of an attribute, in its parentheses: names, and options with a value.

use proc_macro::{Ident, Literal, TokenStream, TokenTree};

use crate::error::Error;

/// `name` or `name = value`.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Option<Literal>,
}

impl Argument {
    /// # Errors
    ///
    /// The list is malformed, or names something twice.
    pub(crate) fn parse(arguments: TokenStream) -> Result<Vec<Argument>, Error> {
        let mut parsed: Vec<Argument> = Vec::new();
        let mut tokens = arguments.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let TokenTree::Ident(name) = token else {
                return Err(Error::new(token.span(), "expected the name of an adapter or of an option"));
            };
            if parsed.iter().any(|listed| listed.name.to_string() == name.to_string()) {
                return Err(Error::new(name.span(), format!("`{name}` is listed already")));
            }
            let mut value = None;
            if tokens.next_if(|token| is_punct(token, '=')).is_some() {
                value = match tokens.next() {
                    Some(TokenTree::Literal(literal)) => Some(literal),
                    other => {
                        let span = other.map_or(name.span(), |token| token.span());
                        return Err(Error::new(span, format!("expected a literal as the value of `{name}`")));
                    }
                };
            }
            parsed.push(Argument { name, value });
            match tokens.next() {
                None => break,
                Some(token) if is_punct(&token, ',') => {}
                Some(token) => return Err(Error::new(token.span(), "expected a comma")),
            }
        }
        Ok(parsed)
    }

    /// The value of an option that takes a string.
    ///
    /// # Errors
    ///
    /// There is no value, or it is not a plain string.
    pub(crate) fn string(&self) -> Result<(String, &Literal), Error> {
        let expected = || format!("expected `{} = \"…\"`", self.name);
        let value = self.value.as_ref().ok_or_else(|| Error::new(self.name.span(), expected()))?;
        let text = value.to_string();
        match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => Ok((text.to_owned(), value)),
            None => Err(Error::new(value.span(), expected())),
        }
    }

    /// The value of an option that takes a positive number.
    ///
    /// # Errors
    ///
    /// There is no value, or it is not a positive number.
    pub(crate) fn number(&self) -> Result<u64, Error> {
        let span = self.value.as_ref().map_or(self.name.span(), Literal::span);
        let number = self.value.as_ref().and_then(|value| value.to_string().replace('_', "").parse().ok());
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| Error::new(span, format!("expected a positive number, as in `{} = 100`", self.name)))
    }
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}
