//! Values with a destructor, held around some code: a permit, a guard, a temporary directory.

use super::program::{Id, Sort};
use super::world::{World, now, with};

pub(crate) struct Local {
    id: Id,
}

impl Local {
    pub(crate) fn new(id: Id) -> Self {
        with(|world| world.locals.insert(id, None));
        Local { id }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        with(|world| {
            if world.over {
                return;
            }
            if world.locals.insert(self.id, Some(now())) != Some(None) {
                let text = format!("I21: the local {} was dropped twice", world.program.name(self.id));
                world.broken(text);
            }
            if world.delivering.last().copied().flatten().is_some() {
                world.check_raii(self.id);
            }
        });
    }
}

impl World {
    /// I21: when a delivery drops a local, everything opened after it inside that body has ended, except what was
    /// undriven, leaked, or adopted further out.
    fn check_raii(&mut self, local: Id) {
        let program = self.program.clone();
        self.count("raii");
        let inside = |id: Id| program.info(id).locals.contains(&local);
        for id in program.ids().filter(|id| inside(*id) && program.info(*id).sort != Sort::Finalizer) {
            if !self.seen(id).entered || self.is_closed(id) != Some(false) {
                continue;
            }
            if self.is_exempt(id, local) {
                self.count("raii: exempt");
            } else {
                self.broken(format!("I21: {} was dropped before {} had ended", program.name(local), program.name(id)));
            }
        }
        for finalizer in self.finalizers.clone().iter().filter(|f| f.is_pending() && inside(f.owner)) {
            if !self.is_exempt(finalizer.owner, local) {
                let (local, finalizer) = (program.name(local), program.name(finalizer.id));
                self.broken(format!("I21: {local} was dropped before the finalizer {finalizer} had ended"));
            }
        }
    }

    fn is_exempt(&self, id: Id, local: Id) -> bool {
        let outside = |id: Id| !self.program.info(id).locals.contains(&local);
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| !outside(*id)) {
            let seen = &self.seen[id.index()];
            if self.is_held(id) || seen.lost.is_some() && seen.parent.is_none_or(outside) {
                return true;
            }
            next = self.program.info(id).parent;
        }
        false
    }
}
