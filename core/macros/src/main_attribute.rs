//! `#[foster::main]`.

use proc_macro::{Ident, Span, TokenStream};

use crate::adapter::Adapter;
use crate::arguments::Argument;
use crate::error::{Error, list};
use crate::function::Function;
use crate::template::{fill, one};

/// A synchronous function of the same name, with the `async` one inside.
const MAIN: &str = "
    $attributes $visibility fn $name() $output {
        async fn $name() $output $body
        $run
    }
";

/// What stands there instead if the arguments are wrong, so that the error is the only one.
const REFUSED: &str = "
    $attributes $visibility fn $name() $output { $error }
";

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(item.clone()) {
        Ok(function) => function,
        Err(error) => return error.into_tokens().into_iter().chain(item).collect(),
    };
    let span = function.name.span();
    let name = one(function.name.clone());
    let mut holes = vec![
        ("attributes", function.attributes(|_| true)),
        ("visibility", function.visibility),
        ("output", function.output),
        ("body", one(function.body)),
        ("name", name.clone()),
    ];
    match choose(arguments) {
        Ok((adapter, written)) => {
            let call = fill("$name()", span, &[("name", name)]);
            holes.push(("run", adapter.call(&written, call)));
            fill(MAIN, span, &holes)
        }
        Err(error) => {
            holes.push(("error", error.into_tokens()));
            fill(REFUSED, span, &holes)
        }
    }
}

const KNOWN: [&str; 2] = ["smol", "tokio"];

/// The adapter that the arguments name, and how they name it.
fn choose(arguments: TokenStream) -> Result<(Adapter, Ident), Error> {
    let mut arguments = Argument::parse(arguments)?.into_iter();
    let Some(first) = arguments.next().filter(|first| first.value.is_none()) else {
        let missing = "say which adapter runs this: `#[foster::main(smol)]`, `#[foster::main(tokio)]` or \
                       `#[foster::main(tokio, flavor = \"current_thread\")]`";
        return Err(Error::new(Span::call_site(), missing));
    };
    let mut adapter = match first.name.to_string().as_str() {
        "smol" => Adapter::Smol,
        "tokio" => Adapter::Tokio,
        "sim" => return Err(Error::new(first.name.span(), "`sim` is for tests: `#[foster::test(sim)]`")),
        _ => return Err(Error::unknown("adapter", &first.name, &KNOWN)),
    };
    for option in arguments {
        if adapter == Adapter::Smol || option.name.to_string() != "flavor" {
            let options =
                if adapter == Adapter::Smol { "`smol` has no options" } else { "the option of `tokio` is `flavor`" };
            return Err(Error::new(option.name.span(), options));
        }
        let (flavor, value) = option.string()?;
        adapter = match flavor.as_str() {
            "current_thread" => Adapter::TokioCurrentThread,
            "multi_thread" => Adapter::Tokio,
            _ => {
                let flavors = list(&["current_thread", "multi_thread"]);
                return Err(Error::new(value.span(), format!("unknown flavor; known are {flavors}")));
            }
        };
    }
    Ok((adapter, first.name))
}
