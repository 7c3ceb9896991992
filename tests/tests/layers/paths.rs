//! The paths that a source names.

use crate::sources::identifier;

/// The paths behind each `start`, with their groups spelt out.
pub(crate) fn paths(code: &str, start: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        // Not the end of `$crate::`, of `super::super::`, or of a longer word.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
            continue;
        }
        spell_out(&code[at + start.len()..], "", &mut found);
    }
    found
}

/// Adds the paths of the use tree at the beginning of `text`; says how much of it that was.
fn spell_out(text: &str, before: &str, found: &mut Vec<String>) -> usize {
    let mut at = 0;
    let mut path = before.to_owned();
    loop {
        let rest = &text[at..];
        if let Some(inside) = rest.strip_prefix('{') {
            at += 1;
            let mut inside = inside;
            loop {
                let blank = inside.len() - inside.trim_start().len();
                let length = blank + spell_out(inside.trim_start(), &path, found);
                at += length;
                inside = &inside[length..];
                let separator = inside.find([',', '}']).map_or(inside.len(), |index| index);
                let end = inside[separator..].starts_with('}');
                at += (separator + 1).min(inside.len());
                inside = &inside[(separator + 1).min(inside.len())..];
                if end || inside.is_empty() {
                    return at;
                }
            }
        }
        let name = identifier(rest);
        if name.is_empty() {
            return at;
        }
        path.push_str(name);
        at += name.len();
        match text[at..].strip_prefix("::") {
            Some(next) if next.starts_with('{') || !identifier(next).is_empty() => {
                path.push_str("::");
                at += 2;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
    }
}
