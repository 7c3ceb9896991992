//! The children, descriptors and threads that are left in this process.

use std::fs::{read_dir, read_link, read_to_string};
use std::time::Duration;

use foster::sleep;

/// Returns the children of this process, zombies included, each as its entry in `/proc`. None where there is no such
/// thing.
#[must_use]
pub fn children() -> Vec<String> {
    let me = std::process::id();
    processes().filter(|(_, stat)| field(stat, 1).parse() == Ok(me)).map(|(_, stat)| stat).collect()
}

/// Returns whether a process is alive: there, and no zombie.
#[must_use]
pub fn is_alive(id: u32) -> bool {
    read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| field(&stat, 0) != "Z")
}

/// Waits until a process is not alive any more; panics if it is after ten seconds.
pub async fn gone(id: u32) {
    for _ in 0..1000 {
        if !is_alive(id) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("process {id} is alive: {:?}", read_to_string(format!("/proc/{id}/stat")));
}

/// Returns what the descriptors of this process refer to.
#[must_use]
pub fn descriptors() -> Vec<String> {
    let entries = read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|entry| read_link(entry.path()).ok()).map(|to| to.to_string_lossy().into_owned()).collect()
}

/// Returns how many threads this process has.
#[must_use]
pub fn threads() -> usize {
    read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// All processes, with what `/proc` says of them.
fn processes() -> impl Iterator<Item = (u32, String)> {
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| Some((id, read_to_string(format!("/proc/{id}/stat")).ok()?)))
}

/// A field of an entry, counted behind the name: the state, the parent, the group, …
fn field(stat: &str, index: usize) -> &str {
    stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(index)).unwrap_or_default()
}
