//! Helpers that the example programs share: the choice of the adapter or of the version, and ctrl-C.
#![forbid(unsafe_code)]

mod adapter;

mod ctrl_c;

mod version;

pub use adapter::{Adapter, UnknownAdapter, run, run_with};
pub use ctrl_c::CtrlC;
pub use version::Version;
