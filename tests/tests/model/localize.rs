//! Programs with local nurseries: the same programs, in which some nurseries keep their children in their own future
//! (L41).
//!
//! As long as nobody drops, holds or forgets one, a program comes out as if they were ordinary ones; and the invariants
//! hold in any case. (The model has programs with local nurseries of its own: `ref_model.py`, the language `local`.)

use serde_json::{Value, json};

use super::python_random::Random;

/// The operations of foreign code on a future: there it matters in which one a child lives.
const FOREIGN: &[&str] = &["select", "drop_after", "hold", "blink", "leak"];

/// Makes nurseries of a program local: none, half of them, or all, as the seed says.
///
/// Not those that somebody holds, or has forgotten, while awaiting a task: if that is a child of what is held, it waits
/// for the holder, too. That is a deadlock in the program.
pub(crate) fn localize(program: &mut Value, seed: u64) {
    let mut random = Random::new(seed);
    let share = random.below(3);
    let mut keeps = Vec::new();
    if find(program, &mut |json| json["op"] == "hold" && has_op(&json["then"], &["await"])) {
        keeps.push("hold");
    }
    if has_op(program, &["await"]) {
        keeps.push("leak");
    }
    walk(program, &mut || random.below(2) < share, &keeps, false);
}

/// `keeps` are the operations whose nurseries are not to be local.
fn walk(json: &mut Value, draw: &mut impl FnMut() -> bool, keeps: &[&str], kept: bool) {
    match json {
        Value::Object(map) => {
            let op = map.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
            if op == "nursery" && draw() && !kept {
                map.insert("local".to_owned(), json!(true));
            }
            for (key, value) in map {
                walk(value, draw, keeps, kept || keeps.contains(&&*op) && key == "body");
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|json| walk(json, draw, keeps, kept)),
        _ => {}
    }
}

/// Whether a program does nothing in which a local nursery differs from another one.
pub(crate) fn is_the_same_locally(program: &Value) -> bool {
    has_op(program, &["nursery"]) && !has_op(program, FOREIGN) && !cancels_children(program)
}

/// Whether an operation cancels a task, or the children of a nursery.
///
/// If that comes in the instant in which the task was spawned, a child of a local nursery may have been polled by then,
/// or have spawned others, and a child of another nursery has not been if the executor has one thread. The laws do not
/// say which.
fn cancels_children(program: &Value) -> bool {
    find(program, &mut |json| {
        json["op"] == "cancel" && json["target"].as_str().is_some_and(|target| target.starts_with(['t', 'n']))
    })
}

/// Whether a shield waits for another task.
pub(crate) fn waits_in_shields(program: &Value) -> bool {
    let links = &["send", "recv", "drain", "wait", "await"];
    find(program, &mut |json| {
        (json["op"] == "shield" || json["op"] == "graceful") && json["after"].is_null() && has_op(&json["body"], links)
    })
}

fn has_op(json: &Value, ops: &[&str]) -> bool {
    find(json, &mut |json| json["op"].as_str().is_some_and(|op| ops.contains(&op)))
}

fn find(json: &Value, test: &mut impl FnMut(&Value) -> bool) -> bool {
    test(json)
        || match json {
            Value::Object(map) => map.values().any(|json| find(json, test)),
            Value::Array(list) => list.iter().any(|json| find(json, test)),
            _ => false,
        }
}
