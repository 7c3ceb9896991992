//! Programs as text that can be read: one operation a line.

use std::fmt::Write;

use serde_json::Value;

/// The keys with an operation inside, in the order in which they are shown.
const INSIDE: &[&str] = &["release", "body", "then", "do"];

/// A program, indented.
pub(crate) fn show(program: &Value) -> String {
    let mut text = String::new();
    write(program, "", 1, &mut text);
    text
}

fn write(json: &Value, label: &str, depth: usize, text: &mut String) {
    let Some(map) = json.as_object() else { return };
    let op = map.get("op").and_then(Value::as_str).unwrap_or_default();
    let _ = write!(text, "{:1$}{label}{op}", "", depth * 2);
    for (key, value) in map {
        let dull = value.is_null() && key != "ms" || *value == Value::Bool(false) || key == "need";
        if key != "op" && !INSIDE.contains(&key.as_str()) && !dull {
            let _ = match value {
                Value::String(name) => write!(text, " {key}={name}"),
                value => write!(text, " {key}={value}"),
            };
        }
    }
    text.push('\n');
    for key in INSIDE {
        match map.get(*key) {
            Some(Value::Array(steps)) => steps.iter().for_each(|step| write(step, "", depth + 1, text)),
            Some(inner) => {
                let label = if *key == "body" { String::new() } else { format!("{key}: ") };
                write(inner, &label, depth + 1, text);
            }
            None => {}
        }
    }
}
