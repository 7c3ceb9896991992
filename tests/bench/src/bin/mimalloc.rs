//! mimalloc, uncounted: a win that is gone here was glibc's.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    foster_bench::main(foster_bench::meter::Heap::default)
}
