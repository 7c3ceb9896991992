//! The means by which tasks take turns, and wait to be told: semaphores, and conditions with their mutexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use foster::sync::{Condition, Mutex, MutexGuard, Semaphore};

use super::interpret::Res;
use super::program::Id;
use super::world::{World, with};

/// The semaphores and conditions that a run has opened.
#[derive(Default)]
pub(crate) struct Turns {
    /// With the number of permits at the beginning.
    semaphores: BTreeMap<Id, (Arc<Semaphore>, usize)>,
    conditions: BTreeMap<Id, Arc<Told>>,
}

impl Turns {
    pub(crate) fn is_empty(&self) -> bool {
        self.semaphores.is_empty() && self.conditions.is_empty()
    }
}

/// A condition and its mutex.
#[derive(Default)]
struct Told {
    mutex: Mutex<()>,
    condition: Condition,
}

pub(crate) fn open_semaphore(id: Id, permits: usize) {
    with(|world| world.turns.semaphores.insert(id, (Arc::new(Semaphore::new(permits)), permits)));
}

pub(crate) fn open_condition(id: Id) {
    with(|world| world.turns.conditions.insert(id, Arc::default()));
}

/// Holds permits around `body`. `acquired` is called in between.
pub(crate) async fn permit(
    semaphore: Id,
    need: usize,
    acquired: impl FnOnce(),
    body: impl Future<Output = Res>,
) -> Res {
    let semaphore = with(|world| world.turns.semaphores[&semaphore].0.clone());
    let permit = semaphore.acquire_many(need).await;
    acquired();
    let result = body.await;
    drop(permit);
    result
}

/// Holds the mutex of a condition around `body`.
pub(crate) async fn lock(condition: Id, acquired: impl FnOnce(), body: impl Future<Output = Res>) -> Res {
    let told = told(condition);
    let guard = told.mutex.lock().await;
    acquired();
    let result = body.await;
    drop(guard);
    result
}

/// Waits to be notified.
pub(crate) async fn wait(condition: Id, notified: impl FnOnce()) {
    let told = told(condition);
    let guard: MutexGuard<'_, ()> = told.condition.wait(told.mutex.lock().await).await;
    notified();
    drop(guard);
}

/// Notifies so many, or all.
pub(crate) async fn notify(condition: Id, count: Option<usize>) {
    let told = told(condition);
    let guard = told.mutex.lock().await;
    match count {
        Some(count) => told.condition.notify(&guard, count),
        None => told.condition.notify_all(&guard),
    };
    drop(guard);
}

fn told(id: Id) -> Arc<Told> {
    with(|world| world.turns.conditions[&id].clone())
}

impl World {
    /// I28: no permit is lost, and no mutex stays locked, unless what held it was forgotten.
    pub(crate) fn check_turns(&mut self) {
        if self.ever_stopped.iter().zip(&self.program.leaks).any(|(stopped, leaks)| *stopped && *leaks) {
            return;
        }
        let mut lost = Vec::new();
        for (id, (semaphore, permits)) in &self.turns.semaphores {
            if semaphore.available() != *permits {
                lost.push(format!(
                    "I28: of {permits} permits of {} {} are left",
                    self.program.name(*id),
                    semaphore.available()
                ));
            }
        }
        for (id, told) in &self.turns.conditions {
            if told.mutex.try_lock().is_err() || told.condition.waiting() > 0 {
                lost.push(format!("I28: somebody still has {}", self.program.name(*id)));
            }
        }
        lost.into_iter().for_each(|text| self.broken(text));
    }
}
