//! The adapters that the attributes know by name.

use proc_macro::{Ident, TokenStream};

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
}
