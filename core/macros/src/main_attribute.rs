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

/// The expansion if the arguments are wrong, so that their error is the only one.
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
        Ok(Choice { adapter, written, threads }) => {
            let call = fill("$name()", span, &[("name", name)]);
            let run = match threads {
                Some(threads) => adapter.call_on(&written, &threads, call),
                None => adapter.call(&written, call),
            };
            holes.push(("run", run));
            fill(MAIN, span, &holes)
        }
        Err(error) => {
            holes.push(("error", error.into_tokens()));
            fill(REFUSED, span, &holes)
        }
    }
}

const KNOWN: [&str; 2] = ["smol", "tokio"];

/// The choice that the arguments make: the adapter, how they name it, and the option of how many threads it has.
struct Choice {
    adapter: Adapter,
    written: Ident,
    threads: Option<Argument>,
}

fn choose(arguments: TokenStream) -> Result<Choice, Error> {
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
    let mut threads = None;
    for option in arguments {
        let name = option.name.to_string();
        if adapter.threads().is_some_and(|threads| threads == name) {
            option.number()?;
            threads = Some(option);
            continue;
        }
        let refused = match adapter {
            Adapter::Smol => Some("the option of `smol` is `threads`"),
            Adapter::TokioCurrentThread if name == "worker_threads" => Some(ONE_THREAD),
            _ if name != "flavor" => Some("the options of `tokio` are `flavor` and `worker_threads`"),
            _ => None,
        };
        if let Some(refused) = refused {
            return Err(Error::new(option.name.span(), refused));
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
    match &threads {
        Some(threads) if adapter.threads().is_none() => Err(Error::new(threads.name.span(), ONE_THREAD)),
        _ => Ok(Choice { adapter, written: first.name, threads }),
    }
}

const ONE_THREAD: &str = "the current-thread runtime has no worker threads";
