//! The system's allocator, counted.

use foster_bench::meter::Heap;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    foster_bench::main(|| {
        let stats = ALLOCATOR.stats();
        let (made, freed) = (stats.bytes_allocated, stats.bytes_deallocated);
        Heap {
            allocations: (stats.allocations + stats.reallocations) as u64,
            bytes: made as u64,
            live: made.wrapping_sub(freed) as u64,
        }
    })
}
