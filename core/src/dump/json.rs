//! A dump as JSON, written by hand: the core has no serializer below it.
//!
//! The scopes of a dump are in the order in which they are to be written, with their depths; so one pass is enough,
//! and a stack of the depths of the objects that are open.

use std::fmt::Write;
use std::time::Duration;

use super::{Dump, DumpedScope, ScopeState};

impl Dump {
    /// The dump as a JSON document: the outermost scope as an object, `null` if the tree has ended.
    ///
    /// An object has these members; those with a question mark only where they apply. Times are whole milliseconds.
    ///
    /// | member | it is |
    /// |---|---|
    /// | `kind`, `name`, `file`, `line` | what it is, its name, where it was made |
    /// | `now_ms`? | when the dump was taken, on the runtime's clock; the outermost object has it |
    /// | `state` | `open`, `cancelled`, `draining`, `finalizing` or `closed` |
    /// | `daemon`?, `abandoned`? | `true` |
    /// | `deadline_ms`? | its deadline, on the runtime's clock |
    /// | `request`? | an object with `cause`, `age_ms` and `grace_left_ms` |
    /// | `finalizers`? | how many wait or run |
    /// | `waits_for`? | a list of operations |
    /// | `inside`? | a list of such objects |
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let json = foster::dump().to_json();
    /// assert!(json.starts_with(r#"{"kind":"root","name":"root","file":"#));
    /// # });
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut open: Vec<usize> = Vec::new();
        for scope in self.scopes() {
            let mut closed = false;
            // All objects that this scope is not inside of end here; those but the first had a list `inside`, which
            // ends with its object.
            while open.last().is_some_and(|depth| *depth >= scope.depth) {
                open.pop();
                out.push_str(if closed { "]}" } else { "}" });
                closed = true;
            }
            if closed {
                out.push(',');
            } else if !open.is_empty() {
                out.push_str(",\"inside\":[");
            }
            write_scope(&mut out, scope);
            open.push(scope.depth);
        }
        if open.is_empty() {
            return "null".to_owned();
        }
        out.push('}');
        out.push_str(&"]}".repeat(open.len() - 1));
        out
    }
}

/// Writes an object that is not closed yet: its members, but for `inside`.
fn write_scope(out: &mut String, scope: &DumpedScope) {
    let location = scope.origin.location();
    out.push_str("{\"kind\":");
    write_text(out, scope.kind);
    out.push_str(",\"name\":");
    write_text(out, scope.origin.name());
    out.push_str(",\"file\":");
    write_text(out, location.file());
    number(out, "line", u128::from(location.line()));
    if scope.parent.is_none() {
        number(out, "now_ms", u128::from(scope.seen_at.as_nanos() / 1_000_000));
    }
    out.push_str(",\"state\":");
    write_text(
        out,
        match scope.state {
            ScopeState::Open => "open",
            ScopeState::Cancelled => "cancelled",
            ScopeState::Draining => "draining",
            ScopeState::Finalizing => "finalizing",
            ScopeState::Closed => "closed",
        },
    );
    if scope.daemon {
        out.push_str(",\"daemon\":true");
    }
    if scope.abandoned {
        out.push_str(",\"abandoned\":true");
    }
    if let Some(deadline) = scope.deadline {
        number(out, "deadline_ms", u128::from(deadline.as_nanos() / 1_000_000));
    }
    if let Some(request) = &scope.request {
        out.push_str(",\"request\":{\"cause\":");
        write_text(out, &request.reason.to_string());
        number(out, "age_ms", request.age.as_millis());
        // A grace without end is as good as that of the longest duration.
        number(out, "grace_left_ms", request.grace_left.min(Duration::from_nanos(u64::MAX)).as_millis());
        out.push('}');
    }
    if scope.finalizers > 0 {
        number(out, "finalizers", scope.finalizers as u128);
    }
    if !scope.waits_for.is_empty() {
        out.push_str(",\"waits_for\":[");
        for (index, what) in scope.waits_for.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_text(out, what);
        }
        out.push(']');
    }
}

/// Writes a member whose value is a number.
fn number(out: &mut String, name: &str, value: u128) {
    // A String takes everything that is written to it.
    let _written = write!(out, ",\"{name}\":{value}");
}

/// Writes a JSON text: quotes, backslashes and control characters are escaped (RFC 8259, section 7).
///
/// Names come from users, and reasons have texts of errors in them: so everything that is not a number goes through
/// this.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _written = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
