//! A picture of a live tree.

use std::fmt;

use super::links::Role;
use super::node::{Life, NodeRef};

/// What lived in a tree at one moment: scopes with their names, sites and states. `Display` prints it as an indented tree.
///
/// It is taken node by node, so scopes that come or go meanwhile may or may not be in it.
#[derive(Clone, Debug)]
pub struct Dump {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    depth: usize,
    text: String,
}

impl Dump {
    pub(crate) fn of(root: Option<&NodeRef>) -> Dump {
        let mut lines = Vec::new();
        let mut open: Vec<(usize, Role, NodeRef)> =
            root.map(|root| (0, Role::Inner, root.clone())).into_iter().collect();
        while let Some((depth, role, node)) = open.pop() {
            let state = node.lock();
            let mut text = format!("{} {}", node.kind.name(), node.origin);
            match role {
                Role::Daemon => text.push_str(", daemon"),
                Role::Residue => text.push_str(", abandoned"),
                Role::Child | Role::Inner => {}
            }
            text.push_str(match state.life {
                Life::Open if node.flagged(super::node::CANCELLED) => ", cancelled",
                Life::Open => "",
                Life::Draining => ", waits for its children",
                Life::Finalizing => ", runs finalizers",
                Life::Closed => ", closed",
            });
            if let Some(request) = state.request() {
                text.push_str(&format!(", asked to stop: {}", request.reason));
            }
            let waits_for = state.waits_for();
            if state.life == Life::Open && !waits_for.is_empty() {
                text.push_str(&format!(", waits for {}", waits_for.join(" and ")));
            }
            let below: Vec<_> = state.links.iter().map(|(role, node)| (depth + 1, role, node.clone())).collect();
            drop(state);
            lines.push(Line { depth, text });
            open.extend(below.into_iter().rev());
        }
        Dump { lines }
    }

    /// How many scopes are in it, tasks included.
    #[must_use]
    pub fn scopes(&self) -> usize {
        self.lines.len()
    }

    /// Whether the tree has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{:indent$}{}", "", line.text, indent = 2 * line.depth)?;
        }
        Ok(())
    }
}
