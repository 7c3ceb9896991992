//! Rust code with holes: what these attributes need of the `quote` crate.

use proc_macro::{Group, Literal, Span, TokenStream, TokenTree};

/// The code of `template`, with each `$name` replaced by the tokens of that name.
///
/// The template's own tokens get `span`; they resolve names where the attribute stands.
///
/// # Panics
///
/// If the template is not made of Rust tokens, or names a hole that is not among `holes`.
pub(crate) fn fill(template: &str, span: Span, holes: &[(&str, TokenStream)]) -> TokenStream {
    let tokens = template.parse().expect("a template is made of Rust tokens");
    fill_tokens(tokens, Span::call_site().located_at(span), holes)
}

fn fill_tokens(template: TokenStream, span: Span, holes: &[(&str, TokenStream)]) -> TokenStream {
    let mut filled = TokenStream::new();
    let mut tokens = template.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '$' => {
                let name = tokens.next().expect("a hole has a name").to_string();
                let hole = holes.iter().find(|(hole, _)| *hole == name);
                let (_, content) = hole.unwrap_or_else(|| panic!("nothing to put into the hole `${name}`"));
                filled.extend(content.clone());
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), fill_tokens(group.stream(), span, holes));
                inner.set_span(span);
                filled.extend([TokenTree::Group(inner)]);
            }
            mut token => {
                token.set_span(span);
                filled.extend([token]);
            }
        }
    }
    filled
}

/// One token as a stream.
pub(crate) fn one(token: impl Into<TokenTree>) -> TokenStream {
    TokenStream::from(token.into())
}

/// A string literal.
pub(crate) fn literal(text: &str) -> TokenStream {
    one(Literal::string(text))
}
