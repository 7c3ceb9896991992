//! The conformance suite of foster.
//!
//! Every behaviour is a plain `pub async fn` in a module per section, or a block in the macro `both!`, which makes two
//! functions of it, for both kinds of nursery. Its doc comment carries the IDs of the behaviours
//! (`B…`), laws (`L…`) and invariants (`I…`) that it checks. Laws and invariants are pages of the book. A behaviour is
//! stated by the comments of its tests; `NOT_APPLICABLE.md` has those without a test. [`suite!`] makes one `#[test]` of
//! each, for one adapter:
//!
//! ```ignore
//! fn on_my_runtime<F, Fut>(name: &str, body: F)
//! where
//!     F: Fn() -> Fut,
//!     Fut: Future<Output = ()>,
//! {
//!     foster_conformance::check(name, || my_adapter::run(body()));
//! }
//!
//! foster_conformance::suite!(on_my_runtime);
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "panicking is how a test reports")]
#![expect(clippy::async_yields_async, reason = "a task is handed out of the scope on purpose")]

pub mod contract;
pub mod harness;
pub mod list;

pub mod checkpoints;
pub mod closing;
pub mod deadlines;
pub mod derived;
pub mod groups;
pub mod operations;
pub mod panics;
pub mod placing;
pub mod running;
pub mod scopes;
pub mod seen;
pub mod shields;
pub mod starting;
pub mod tasks;
pub mod threads;
pub mod values;

pub use groups::probe::timers_are_late;
pub use harness::{check, check_beside};
pub use running::witness::computing_passes_time_by;
