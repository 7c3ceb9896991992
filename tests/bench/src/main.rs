//! The system's allocator, uncounted: for instructions and for time.

use std::process::ExitCode;

fn main() -> ExitCode {
    foster_bench::main(foster_bench::meter::Heap::default)
}
