//! The crate's tests that need the simulator, in one program.

mod app;
mod portal;
mod rate;
mod retry;
mod supervise;
