//! The invariants (docs/src/invariants.md) that are looked at for a whole scope or a whole run. The others are checked
//! where the thing happens: `watch`, `finalizer`, `local`, `awaits`.

use foster::nursery::TaskStatus;

use super::finalizer::Status;
use super::program::{Id, Sort};
use super::world::{Out, Target, World, lock};

impl World {
    /// I2: nothing that was started inside a scope is alive when it is Closed.
    pub(crate) fn check_closed(&mut self, outer: Id) {
        let program = self.program.clone();
        for id in program.ids() {
            if self.seen(id).entered && program.is_inside(id, outer) && self.is_closed(id) == Some(false) {
                self.broken(format!(
                    "I2: {} is closed, and {} inside it is not",
                    program.name(outer),
                    program.name(id)
                ));
            }
        }
    }

    /// Notes that several parts of a nursery have failed.
    pub(crate) fn count_failures(&mut self, nursery: Id) {
        let program = self.program.clone();
        let failed = |child: &Id| match &self.seen[child.index()].target {
            Target::Task(task) => matches!(lock(task).status(), TaskStatus::Failed | TaskStatus::Panicked),
            _ => false,
        };
        let body = &self.seen[nursery.index()];
        let of_body = usize::from(!body.returned.is_empty() || body.thrown.is_some());
        if of_body + program.children(nursery).filter(failed).count() > 1 {
            self.count("double failures");
        }
    }

    /// I25: a recorded failure has cancelled its nursery, and a panic any nursery.
    pub(crate) fn check_failures(&mut self) {
        let program = self.program.clone();
        for nursery in program.ids() {
            let seen = &self.seen[nursery.index()];
            let (closed, text) = match &seen.target {
                Target::Nursery(handle) => (handle.is_closed(), format!("{handle:?}")),
                Target::Local(handle) => (handle.is_closed(), format!("{handle:?}")),
                _ => continue,
            };
            let collecting = program.info(nursery).collecting;
            let failed = program.children(nursery).any(|child| match &self.seen[child.index()].target {
                Target::Task(task) => match lock(task).status() {
                    TaskStatus::Failed => !collecting,
                    TaskStatus::Panicked => true,
                    _ => false,
                },
                _ => false,
            });
            if failed && !closed && text.contains("request: None") {
                let name = program.name(nursery);
                self.broken(format!("I25: a child of {name} has failed, and {name} is not cancelled"));
            }
        }
    }

    /// Checks the invariants that have to hold when the run is over.
    pub(crate) fn check_run(&mut self) {
        if self.host.gone {
            return self.check_host_dropped();
        }
        if self.root.is_none() {
            return;
        }
        let program = self.program.clone();
        for finalizer in self.finalizers.clone() {
            let name = program.name(finalizer.id);
            match finalizer.status {
                Status::Ran | Status::Panicked => {}
                Status::Timeout if finalizer.need.is_none_or(|need| need >= finalizer.budget) => {}
                // Its time goes on while nobody polls it.
                Status::Timeout if self.was_held(finalizer.owner) => {}
                Status::Timeout => self.broken(format!("I12: finalizer {name} was cut within its budget")),
                Status::Armed => self.broken(format!("I12: finalizer {name} never ran")),
                Status::Running | Status::CutOff => self.broken(format!("I12: finalizer {name} never came to an end")),
            }
        }
        for (local, dropped) in self.locals.clone() {
            let leaked = program.info(local).leaks.iter().any(|leak| self.ever_stopped[*leak]);
            if dropped.is_none() && !leaked {
                self.broken(format!("I21: the local {} was never dropped", program.name(local)));
            }
        }
        self.check_errors();
        let thrown = match &self.root {
            Some((Out::Panic(id), _)) => id.is_some_and(|id| self.made_panics.contains(&id)),
            _ => self.made_panics.is_empty(),
        };
        if !thrown {
            let text =
                format!("I10: the root ended as {:?}, and there were {} panics", self.root, self.made_panics.len());
            self.broken(text);
        }
    }

    /// I10: each error has ended in exactly one place.
    fn check_errors(&mut self) {
        let program = self.program.clone();
        for (error, by) in self.dropped.clone() {
            // A scope that is no nursery does not know what an error is: when it is lost or panics, it drops its value.
            if !by.is_some_and(|by| self.has_plain_value(by)) {
                self.broken(format!("I10: the error {} was dropped", program.name(error)));
            }
        }
        let returned = match &self.root {
            Some((Out::Err(errors), _)) => errors.clone(),
            _ => Vec::new(),
        };
        let dropped = self.dropped.iter().map(|(error, _)| error);
        let places = returned.iter().chain(&self.hook).chain(&self.foreign).chain(dropped);
        let mut places: Vec<Id> = places.copied().collect();
        places.sort();
        let mut made = self.made_errors.clone();
        made.sort();
        if places != made {
            self.broken(format!("I10: the errors {made:?} were made, and {places:?} arrived somewhere"));
        }
    }

    /// Whether the scope's value is nothing to it.
    pub(crate) fn has_plain_value(&self, id: Id) -> bool {
        !matches!(self.program.info(id).sort, Sort::Nursery | Sort::Root | Sort::Task)
    }

    /// Whether foreign code has ever kept the scope, or one around it in the same task, from being polled.
    fn was_held(&self, id: Id) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            let info = self.program.info(id);
            if info.holds.iter().any(|hold| self.ever_stopped[*hold]) {
                return true;
            }
            // A task is polled by itself, but for a local one.
            next = info.parent.filter(|_| info.local || !matches!(info.sort, Sort::Task | Sort::Root));
        }
        false
    }

    /// The host goes: what is alive now?
    pub(crate) fn host_drops(&mut self) {
        let program = self.program.clone();
        let alive = |world: &World, id: Id| world.seen[id.index()].entered && world.is_closed(id) == Some(false);
        let tasks = program.ids().filter(|id| program.info(*id).sort == Sort::Task);
        self.host.tasks = tasks.filter(|id| alive(self, *id)).count();
        self.host.finalizers = self.finalizers.iter().filter(|finalizer| finalizer.is_pending()).count();
        self.host.finalizers += self.finalizers.iter().filter(|finalizer| finalizer.has_probe(self.probes)).count();
        self.host.rough = self.finalizers.iter().filter(|finalizer| finalizer.rough).count();
        self.host.gone = true;
        // Their bodies are over, and nobody will tell of the rest of their scopes.
        for finalizer in &mut self.finalizers {
            finalizer.rough |= finalizer.is_running() && finalizer.is_body_over();
        }
    }

    /// I24: no scope is left, and the report is right.
    fn check_host_dropped(&mut self) {
        let program = self.program.clone();
        for id in program.ids().filter(|id| self.seen[id.index()].entered).collect::<Vec<_>>() {
            if self.is_closed(id) == Some(false) && program.info(id).sort != Sort::Finalizer {
                self.broken(format!("I24: {} is open, though its host is gone", program.name(id)));
            }
        }
        let host = self.host;
        let Some(told) = host.told else {
            return self.broken("I24: nobody was told that the host is gone");
        };
        // One task more: the one that looks on.
        let tasks = told.tasks == host.tasks + 1;
        let finalizers = (host.finalizers..=host.finalizers + host.rough).contains(&told.finalizers);
        if !tasks || !finalizers {
            self.broken(format!("I24: the observer was told of {told:?}; seen were {host:?}"));
        }
        self.count("hosts dropped");
        *self.counts.entry("hosts dropped: tasks").or_default() += host.tasks as u64;
        *self.counts.entry("hosts dropped: finalizers").or_default() += host.finalizers as u64;
    }
}
