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

    /// A call that runs `future` to its end. `written` is how the user named the adapter: if the crate is missing, the
    /// compiler says so there.
    pub(crate) fn run(self, written: &Ident, future: TokenStream) -> TokenStream {
        let template = match self {
            Adapter::Smol | Adapter::Tokio => "::$adapter::run($future)",
            Adapter::TokioCurrentThread => "::$adapter::Builder::new().current_thread().run($future)",
            // A simulation is run by `foster_sim::test`, which takes more than a future.
            Adapter::Sim => "::$adapter::test($future)",
        };
        let adapter = one(Ident::new(self.crate_name(), written.span()));
        fill(template, written.span(), &[("adapter", adapter), ("future", future)])
    }
}
