//! Makes a failing program smaller, as long as it still fails in the same way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hosts::Host;
use super::program::{Op, Ops, Program};
use super::watch::{REPEATS, Sort, run_all};

/// How many copies of a candidate run at once, and how often: only some schedules show the fault.
const COPIES: usize = 12;
const RUNS: usize = 6;

/// A change of one operation.
#[derive(Clone, Copy)]
enum Edit {
    Remove,
    /// Put the operations inside it in its place.
    Unwrap,
}

/// A smaller program with the same sort of fault; the same one if there is none, or the time is over.
#[expect(clippy::disallowed_methods, reason = "foster's clock is part of what is tested")]
pub(crate) fn shrink(host: Host, program: &Arc<Program>, sort: Sort, limit: Duration) -> Arc<Program> {
    let end = Instant::now() + limit;
    let mut smallest = program.clone();
    loop {
        let before = count(&smallest.ops);
        for edit in [Edit::Remove, Edit::Unwrap] {
            let mut at = 0;
            while at < count(&smallest.ops) {
                if Instant::now() > end {
                    return smallest;
                }
                let ops = edited(&smallest.ops, &mut at.clone(), edit);
                let candidate = Arc::new(Program { ops, ..(*smallest).clone() });
                if fails(host, &candidate, sort) {
                    // Another one is at this place now.
                    smallest = candidate;
                } else {
                    at += 1;
                }
            }
        }
        if count(&smallest.ops) == before {
            return smallest;
        }
    }
}

fn fails(host: Host, program: &Arc<Program>, sort: Sort) -> bool {
    let copies = vec![program.clone(); COPIES];
    let fails = |_| run_all(host, &copies).iter().any(|fault| fault.sort == sort);
    if sort.is_timed() { (0..=REPEATS).all(fails) } else { (0..RUNS).any(fails) }
}

/// How many operations there are, those inside others included.
pub(crate) fn count(ops: &Ops) -> usize {
    ops.iter().map(|op| 1 + op.parts.iter().map(count).sum::<usize>()).sum()
}

/// The same operations but for one: number `at`, counted down to 0 on the way.
fn edited(ops: &Ops, at: &mut usize, edit: Edit) -> Ops {
    let mut result = Vec::with_capacity(ops.len());
    for op in ops.iter() {
        if *at == 0 {
            *at = usize::MAX;
            if let Edit::Unwrap = edit {
                result.extend(op.parts.iter().flat_map(|part| part.iter().cloned()));
            }
            continue;
        }
        if *at != usize::MAX {
            *at -= 1;
        }
        let parts = op.parts.iter().map(|part| edited(part, at, edit)).collect();
        result.push(Op { kind: op.kind, parts });
    }
    Arc::new(result)
}
