//! The function that an attribute stands on, taken apart.

use std::iter::Peekable;

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::error::Error;

/// An `async fn` without arguments.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    /// `pub(…)` or nothing.
    pub(crate) visibility: TokenStream,
    pub(crate) name: Ident,
    /// `-> …` or nothing.
    pub(crate) output: TokenStream,
    pub(crate) body: Group,
}

/// `#[…]`.
pub(crate) struct Attribute {
    pub(crate) tokens: TokenStream,
    /// The first word in the brackets.
    pub(crate) name: String,
}

impl Function {
    /// # Errors
    ///
    /// The item is no `async fn`, or one that takes something from its caller.
    pub(crate) fn parse(item: TokenStream) -> Result<Function, Error> {
        let mut tokens = flatten(item).into_iter().peekable();
        let attributes = attributes(&mut tokens);
        let visibility = visibility(&mut tokens);
        let keyword = signature_start(&mut tokens)?;
        let Some(TokenTree::Ident(name)) = tokens.next() else { return Err(no_function(keyword)) };
        match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                if !group.stream().is_empty() {
                    return Err(Error::new(
                        group.span(),
                        format!("`{name}` must take no arguments: nobody passes any"),
                    ));
                }
            }
            token => {
                let span = token.map_or(name.span(), |token| token.span());
                return Err(Error::new(span, format!("`{name}` must not be generic: nobody says for which types")));
            }
        }
        let mut output: Vec<TokenTree> = tokens.collect();
        let body = match output.pop() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => group,
            _ => return Err(Error::new(name.span(), format!("`{name}` must have a body"))),
        };
        if let Some(clause) = output.iter().find(|token| is_word(token, "where")) {
            return Err(Error::new(clause.span(), format!("`{name}` must not be generic, so it needs no `where`")));
        }
        Ok(Function { attributes, visibility, name, output: output.into_iter().collect(), body })
    }

    /// The tokens of the attributes that `select` picks by their name.
    pub(crate) fn attributes(&self, select: impl Fn(&str) -> bool) -> TokenStream {
        let selected = self.attributes.iter().filter(|attribute| select(&attribute.name));
        selected.map(|attribute| attribute.tokens.clone()).collect()
    }
}

type Tokens = Peekable<std::vec::IntoIter<TokenTree>>;

fn attributes(tokens: &mut Tokens) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    while let Some(hash) = tokens.next_if(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#')) {
        let Some(brackets) = tokens.next() else { break };
        let name = match &brackets {
            TokenTree::Group(group) => group.stream().into_iter().next().map_or(String::new(), |word| word.to_string()),
            _ => String::new(),
        };
        attributes.push(Attribute { tokens: [hash, brackets].into_iter().collect(), name });
    }
    attributes
}

fn visibility(tokens: &mut Tokens) -> TokenStream {
    let mut visibility = TokenStream::new();
    if let Some(word) = tokens.next_if(|token| is_word(token, "pub")) {
        visibility.extend([word]);
        visibility.extend(tokens.next_if(|token| matches!(token, TokenTree::Group(_))));
    }
    visibility
}

/// Takes `async fn`, and says where the `fn` stands.
fn signature_start(tokens: &mut Tokens) -> Result<Span, Error> {
    let first = tokens.peek().map_or_else(Span::call_site, TokenTree::span);
    let mut is_async = false;
    for token in tokens.by_ref() {
        if is_word(&token, "fn") {
            let missing = Error::new(token.span(), "write `async fn`: the function is the body of a tree of tasks");
            return if is_async { Ok(token.span()) } else { Err(missing) };
        }
        if is_word(&token, "async") {
            is_async = true;
        } else if let Some(word) = ["const", "unsafe", "extern"].into_iter().find(|word| is_word(&token, word)) {
            return Err(Error::new(token.span(), format!("the function must not be `{word}`")));
        } else {
            break;
        }
    }
    Err(no_function(first))
}

fn no_function(span: Span) -> Error {
    Error::new(span, "this attribute stands on an `async fn`")
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

/// Opens the invisible groups that a `macro_rules!` puts around what it was given.
fn flatten(tokens: TokenStream) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => flat.extend(flatten(group.stream())),
            token => flat.push(token),
        }
    }
    flat
}
