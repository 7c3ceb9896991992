//! `#[foster::test]`.

use proc_macro::{Ident, Literal, Span, TokenStream};

use crate::adapter::Adapter;
use crate::arguments::Argument;
use crate::duration;
use crate::error::Error;
use crate::function::Function;
use crate::template::{fill, literal, one};

/// The function as it is, and beside it a module of its name with the tests. The function stays outside of the module,
/// so that its body means what it says.
const TESTS: &str = "
    #[cfg(test)]
    $attributes $visibility async fn $name() $output $body

    #[cfg(test)]
    $conditions mod $name { $tests }
";

const TEST: &str = "
    #[::core::prelude::v1::test]
    $attributes fn $adapter() $output { $run }
";

/// Any output that a test may have; without naming the type, which may be nameless in the module.
const ANY_OUTPUT: &str = "-> impl ::std::process::Termination";

const LIMITED: &str = r#"
    ::foster::test_limit::run($test, ::core::time::Duration::from_nanos($nanos), $limit, super::$name())
"#;

/// How many seeds the simulator tries if the attribute does not say.
const SEEDS: u64 = 16;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(item.clone()) {
        Ok(function) => function,
        Err(error) => return error.into_tokens().into_iter().chain(item).collect(),
    };
    match Plan::parse(arguments) {
        Ok(plan) => plan.expand(&function),
        Err(error) => error.into_tokens(),
    }
}

/// The tests that the arguments ask for.
struct Plan {
    adapters: Vec<(Adapter, Ident)>,
    seeds: Option<u64>,
    limit: Option<Limit>,
}

struct Limit {
    text: String,
    nanos: u64,
}

impl Plan {
    fn parse(arguments: TokenStream) -> Result<Plan, Error> {
        let mut plan = Plan { adapters: Vec::new(), seeds: None, limit: None };
        let mut seeds_span = Span::call_site();
        for argument in Argument::parse(arguments)? {
            match argument.name.to_string().as_str() {
                "timeout" => plan.limit = Some(Limit::parse(&argument)?),
                "seeds" => {
                    plan.seeds = Some(argument.number()?);
                    seeds_span = argument.name.span();
                }
                name => plan.add(name, argument)?,
            }
        }
        if plan.adapters.is_empty() {
            let missing = "say on which adapters this is to pass, as in \
                           `#[foster::test(smol, tokio, tokio_current_thread, sim)]`";
            return Err(Error::new(Span::call_site(), missing));
        }
        if plan.seeds.is_some() && plan.adapters.iter().all(|(adapter, _)| *adapter != Adapter::Sim) {
            return Err(Error::new(seeds_span, "`seeds` is an option of `sim`, which is not listed"));
        }
        Ok(plan)
    }

    fn add(&mut self, name: &str, argument: Argument) -> Result<(), Error> {
        let known = Adapter::ALL.map(|(known, _)| known);
        let Some((_, adapter)) = Adapter::ALL.into_iter().find(|(known, _)| *known == name) else {
            let what = if argument.value.is_some() { "option" } else { "adapter" };
            let known: &[&str] = if argument.value.is_some() { &["timeout", "seeds"] } else { &known };
            return Err(Error::unknown(what, &argument.name, known));
        };
        if let Some(value) = argument.value {
            return Err(Error::new(value.span(), format!("`{name}` takes no value")));
        }
        self.adapters.push((adapter, argument.name));
        Ok(())
    }

    fn expand(&self, function: &Function) -> TokenStream {
        let of_a_test = |name: &str| matches!(name, "ignore" | "should_panic");
        let span = function.name.span();
        // The compiler wants to see that a test with `should_panic` returns nothing.
        let is_unit = matches!(function.output.to_string().as_str(), "" | "-> ()");
        let output = if is_unit { TokenStream::new() } else { fill(ANY_OUTPUT, span, &[]) };
        let tests = self.adapters.iter().map(|(adapter, written)| {
            let holes = [
                ("attributes", function.attributes(of_a_test)),
                ("adapter", one(written.clone())),
                ("output", output.clone()),
                ("run", self.run(*adapter, written, &function.name)),
            ];
            fill(TEST, span, &holes)
        });
        let holes = [
            ("attributes", function.attributes(|name| !of_a_test(name))),
            ("conditions", function.attributes(|name| name == "cfg")),
            ("visibility", function.visibility.clone()),
            ("name", one(function.name.clone())),
            ("output", function.output.clone()),
            ("body", one(function.body.clone())),
            ("tests", tests.collect()),
        ];
        fill(TESTS, span, &holes)
    }

    /// The body of one test.
    fn run(&self, adapter: Adapter, written: &Ident, name: &Ident) -> TokenStream {
        let span = written.span();
        let path = fill(
            r#"::core::concat!(::core::module_path!(), "::", $adapter)"#,
            span,
            &[("adapter", literal(&written.to_string()))],
        );
        let name = ("name", one(name.clone()));
        let future = match &self.limit {
            None => fill("super::$name()", span, &[name]),
            Some(Limit { text, nanos }) => {
                let nanos = one(Literal::u64_suffixed(*nanos));
                let holes = [name, ("nanos", nanos), ("test", path.clone()), ("limit", literal(text))];
                fill(LIMITED, span, &holes)
            }
        };
        if adapter != Adapter::Sim {
            return adapter.call(written, future);
        }
        let seeds = one(Literal::u64_suffixed(self.seeds.unwrap_or(SEEDS)));
        let holes = [("path", path), ("seeds", seeds), ("future", future)];
        adapter.call(written, fill("$path, $seeds, || $future", span, &holes))
    }
}

impl Limit {
    fn parse(argument: &Argument) -> Result<Limit, Error> {
        let (text, value) = argument.string()?;
        match duration::nanos(&text) {
            Some(nanos) => Ok(Limit { text, nanos }),
            None => Err(Error::new(value.span(), "expected a whole number and a unit, as in \"5s\" or \"250ms\"")),
        }
    }
}
