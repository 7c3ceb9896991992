//! What the example programs share: the choice of the adapter, and ctrl-C.

mod adapter;

mod ctrl_c;

pub use adapter::{Adapter, UnknownAdapter, run};
pub use ctrl_c::CtrlC;
