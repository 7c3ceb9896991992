//! Properties of two runs, or of a program of a special kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use foster_sim::Policy;
use serde_json::{Value, json};

use super::finalizer::{FinalizerSeen, Status};
use super::generate::{generate, rename_root, without};
use super::localize::localize;
use super::program::{Program, Sort};
use super::python_random::Random;
use super::replay::{Setting, Summary, run};
use super::show::show;
use super::world::{BodyState, World};

/// The operations that have no equivalent in a drop: masks, those of foreign code on futures, and those that depend on
/// the order in which things end.
const NOT_IN_I17: &[&str] = &[
    "shield",
    "graceful",
    "thread",
    "select",
    "join",
    "lazy",
    "hold",
    "blink",
    "leak",
    "panic",
    "crowd",
    "pair",
    "await",
    "drop_after",
];

/// I17: a nursery is cut between two instants, by a deadline around it or by foreign code that drops it.
pub(crate) fn drop_is_cancel(seed: u64, summary: &mut Summary) -> String {
    let at = Random::new(seed).between(0, 6) as f64 + 0.5;
    let mut body = generate(seed, &without(NOT_IN_I17), 6, 50);
    rename_root(&mut body, "n0");
    localize(&mut body, seed);
    let nursery = json!({"op": "nursery", "id": "n0", "collect": false, "local": seed % 2 == 1, "body": body});
    let scope = |after: Value, body: &Value| {
        Program::read(&json!({"op": "scope", "id": "s00", "after": after, "grace": 0, "fail": null, "body": body}))
    };
    let cancelled = scope(json!(at), &nursery);
    let dropped = scope(Value::Null, &json!({"op": "drop_after", "ms": at, "body": nursery}));
    let setting = Setting { policy: Policy::Fifo, spurious: 0.0, ..Setting::of(0) };
    let [cancelled, dropped] = [cancelled, dropped].map(|program| {
        let run = run(&program, setting);
        summary.add(&run);
        run.world
    });
    // Cancelled, a scope whose body has returned gives its value when its finalizers have run, and the code around goes on
    // to its next checkpoint; dropped, it gives nothing.
    let gives_later = |finalizer: &FinalizerSeen| {
        let runs = (finalizer.begin as f64) < at && (finalizer.end as f64) > at;
        runs && cancelled.seen[finalizer.owner.index()].body == BodyState::Returned
    };
    if cancelled.finalizers.iter().any(gives_later) {
        *summary.counts.entry("left out").or_default() += 1;
        return cancelled.broken.join("\n");
    }
    let mut text: String = cancelled.broken.iter().chain(&dropped.broken).map(|broken| format!("{broken}\n")).collect();
    let (tasks, finalizers) = (started(&cancelled), early_finalizers(&cancelled, at));
    *summary.counts.entry("tasks compared").or_default() += tasks.len() as u64;
    *summary.counts.entry("finalizers compared").or_default() += finalizers.len() as u64;
    if tasks != started(&dropped) {
        let _ = writeln!(text, "I17: cut at {at}, cancelling starts {tasks:?}, dropping {:?}", started(&dropped));
    }
    if finalizers != early_finalizers(&dropped, at) {
        let dropped = early_finalizers(&dropped, at);
        let _ =
            writeln!(text, "I17: cut at {at}, the finalizers are {finalizers:?} if cancelled, {dropped:?} if dropped");
    }
    if text.is_empty() { text } else { format!("{}{text}", show(&nursery)) }
}

fn started(world: &World) -> BTreeSet<String> {
    let program = &world.program;
    let tasks = program.ids().filter(|id| program.info(*id).sort == Sort::Task);
    let started = tasks.filter(|id| world.seen[id.index()].polled);
    started.map(|id| program.name(id).to_owned()).collect()
}

/// The finalizers that there were at the cut, and what became of them.
fn early_finalizers(world: &World, cut: f64) -> BTreeMap<String, Status> {
    let early = world.finalizers.iter().filter(|finalizer| (finalizer.registered as f64) < cut);
    early.map(|finalizer| (world.program.name(finalizer.id).to_owned(), finalizer.status)).collect()
}

/// I14: the root is cancelled at some time. From the hard time on until its end there is always a finalizer that is
/// within its budget.
pub(crate) fn bounded_stop(seed: u64, summary: &mut Summary) -> String {
    let mut program = generate(seed, &without(&["shield", "thread", "pair", "crowd"]), 7, 70);
    localize(&mut program, seed);
    let program = Program::read(&program);
    let mut random = Random::new(seed);
    let (at, grace) = (random.between(0, 6), *random.choice(&[0, 0, 3]));
    let stop = Some((Duration::from_millis(at), Duration::from_millis(grace)));
    let run = run(&program, Setting { stop, ..Setting::of(seed % 12) });
    summary.add(&run);
    let world = &run.world;
    let mut text = world.broken.join("\n");
    let Some((_, end)) = world.root else { return text };
    if end >= at {
        *summary.counts.entry("stops").or_default() += 1;
    }
    let mut latest = at + grace;
    for finalizer in world.started.iter().map(|index| &world.finalizers[*index]) {
        if finalizer.begin <= latest {
            latest = latest.max(finalizer.begin + finalizer.budget.as_millis() as u64);
        }
    }
    if end == latest && end > at + grace {
        *summary.counts.entry("stops: bound met").or_default() += 1;
    }
    if end > latest {
        let _ = writeln!(text, "I14: stopped at {at} + {grace}, the root could end at {latest} and did at {end}");
    }
    text
}
