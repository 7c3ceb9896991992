//! The adapters that the attributes know by name.

use proc_macro::{Ident, TokenStream};

use crate::arguments::Argument;
use crate::template::{fill, one};

/// An adapter, or one flavor of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapter {
    Smol,
    Tokio,
    TokioCurrentThread,
    Sim,
}

impl Adapter {
    /// The name in `#[foster::test(…)]`, and of the test.
    pub(crate) const ALL: [(&str, Adapter); 4] = [
        ("smol", Adapter::Smol),
        ("tokio", Adapter::Tokio),
        ("tokio_current_thread", Adapter::TokioCurrentThread),
        ("sim", Adapter::Sim),
    ];

    fn crate_name(self) -> &'static str {
        match self {
            Adapter::Smol => "foster_smol",
            Adapter::Tokio | Adapter::TokioCurrentThread => "foster_tokio",
            Adapter::Sim => "foster_sim",
        }
    }

    /// The call that runs a future, which is the argument; on the simulator the arguments are a name, a number of seeds
    /// and a closure that makes the future.
    ///
    /// `written` is how the user named the adapter: if the crate is missing, the compiler says so there.
    pub(crate) fn call(self, written: &Ident, arguments: TokenStream) -> TokenStream {
        let template = match self {
            Adapter::Smol | Adapter::Tokio => "::$crate_name::run($arguments)",
            Adapter::TokioCurrentThread => "::$crate_name::Builder::new().current_thread().run($arguments)",
            Adapter::Sim => "::$crate_name::test($arguments)",
        };
        let crate_name = one(Ident::new(self.crate_name(), written.span()));
        fill(template, written.span(), &[("crate_name", crate_name), ("arguments", arguments)])
    }

    /// The option by which an adapter gets more threads, or fewer, and the method of its builder; none if it has one thread.
    pub(crate) fn threads(self) -> Option<&'static str> {
        match self {
            Adapter::Smol => Some("threads"),
            Adapter::Tokio => Some("worker_threads"),
            Adapter::TokioCurrentThread | Adapter::Sim => None,
        }
    }

    /// As [`call`](Adapter::call), with that option.
    pub(crate) fn call_on(self, written: &Ident, option: &Argument, arguments: TokenStream) -> TokenStream {
        let span = written.span();
        let holes = [
            ("crate_name", one(Ident::new(self.crate_name(), span))),
            ("option", one(Ident::new(&option.name.to_string(), span))),
            ("threads", option.value.clone().map_or_else(TokenStream::new, one)),
            ("arguments", arguments),
        ];
        fill("::$crate_name::Builder::new().$option($threads).run($arguments)", span, &holes)
    }
}
