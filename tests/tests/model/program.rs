//! Programs of the reference model: the same operations, read from its JSON.
//!
//! `../../model/ref_model.py` documents the format. Every operation runs at most once, so a name stands for one scope,
//! task, finalizer, local or error of a run, and what surrounds it is known beforehand: [`Info`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::links::End;

/// A name, as an index into [`Program::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub u32);

impl Id {
    pub(crate) const ROOT: Id = Id(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A shared operation.
pub(crate) type Body = Arc<Op>;

#[derive(Debug)]
pub(crate) enum Op {
    /// `None` is for ever.
    Sleep(Option<Duration>),
    Io(Duration),
    /// Takes its time without giving way.
    Compute(Duration),
    Seq(Vec<Body>),
    Scope {
        id: Id,
        after: Option<Duration>,
        grace: Duration,
        fail: Option<Id>,
        body: Body,
    },
    Nursery {
        id: Id,
        collect: bool,
        local: bool,
        body: Body,
    },
    Shield {
        id: Id,
        after: Option<Duration>,
        graceful: bool,
        body: Body,
    },
    Thread {
        id: Id,
        takes: Duration,
    },
    Bracket {
        id: Id,
        release: Finalizer,
        body: Body,
    },
    Spawn {
        task: Id,
        nursery: Id,
        daemon: bool,
        body: Body,
    },
    Start {
        task: Id,
        nursery: Id,
        ready: Duration,
        /// Its operations at that time, before it says that it is ready; they may fail.
        before: Option<Body>,
        /// It ends then, and never says that it is ready.
        silent: bool,
        body: Body,
    },
    Await {
        id: Id,
        task: Id,
    },
    Cancel {
        target: Id,
        grace: Duration,
    },
    Move {
        target: Id,
        after: Option<Duration>,
    },
    Defer(Finalizer),
    Local {
        id: Id,
        body: Body,
    },
    Err(Id),
    Panic(Id),
    Join {
        lazy: bool,
        members: [Body; 2],
    },
    Select([Body; 2]),
    DropAfter {
        after: Duration,
        body: Body,
    },
    Hold {
        hold: usize,
        after: Duration,
        mute: bool,
        body: Body,
        then: Body,
    },
    Blink {
        hold: usize,
        after: Duration,
        length: Duration,
        mute: bool,
        body: Body,
    },
    Leak {
        hold: usize,
        after: Duration,
        body: Body,
    },
    Channel {
        id: Id,
        capacity: usize,
        foreign: bool,
        body: Body,
    },
    Own {
        channel: Id,
        ends: Vec<End>,
        body: Body,
    },
    Send {
        id: Id,
        channel: Id,
        fail: Option<Id>,
    },
    Recv {
        id: Id,
        channel: Id,
        fail: Option<Id>,
        /// Until the channel is closed.
        drain: bool,
    },
    Set(Id),
    Wait {
        event: Id,
        foreign: bool,
    },
    Commit(Id),
    Semaphore {
        id: Id,
        permits: usize,
        body: Body,
    },
    /// Permits that are held around `body`.
    Permit {
        id: Id,
        semaphore: Id,
        need: usize,
        body: Body,
    },
    Condition {
        id: Id,
        body: Body,
    },
    /// The mutex of a condition, held around `body`.
    Lock {
        id: Id,
        condition: Id,
        body: Body,
    },
    /// Locks the mutex, and waits to be notified.
    WaitNotified {
        id: Id,
        condition: Id,
    },
    /// Locks the mutex, and notifies so many, or all.
    Notify {
        condition: Id,
        count: Option<usize>,
    },
    /// A scope that has its place, and is held unpolled while `then` runs.
    Here {
        id: Id,
        hold: usize,
        after: Option<Duration>,
        body: Body,
        then: Body,
        enter: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Finalizer {
    pub id: Id,
    pub budget: Duration,
    /// How long the body takes, where that is known.
    pub need: Option<Duration>,
    pub body: Body,
}

/// The kind of thing that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Sort {
    /// Errors, panics, awaits, and names that only occur as targets.
    #[default]
    Other,
    Root,
    Scope,
    Nursery,
    Shield,
    Thread,
    Bracket,
    Task,
    Finalizer,
    Local,
}

/// The surroundings of a name in the text of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Info {
    pub sort: Sort,
    /// The scope around it; of a task its nursery, of a finalizer its owner.
    pub parent: Option<Id>,
    /// The locals around it, further out than a task boundary those around its nursery.
    pub locals: Vec<Id>,
    /// The `hold`, `blink` and `leak` operations between it and its parent.
    pub holds: Vec<usize>,
    /// The `leak` operations around it, up to the task.
    pub leaks: Vec<usize>,
    /// Some operation cancels it or moves its deadline.
    pub targeted: bool,
    pub collecting: bool,
    /// Of a shield: nothing cancels it from outside.
    pub full: bool,
    /// Of a nursery: its children live in its own future. Of a task: its nursery is such a one.
    pub local: bool,
    pub daemon: bool,
}

/// A program, and what can be known about it without running it.
#[derive(Debug)]
pub(crate) struct Program {
    pub root: Body,
    pub names: Vec<String>,
    pub info: Vec<Info>,
    /// How many `hold`, `blink` and `leak` operations there are.
    pub holds: usize,
    /// Which of them are `leak`.
    pub leaks: Vec<bool>,
    /// Time passes in polls.
    pub computes: bool,
    /// Awaits per task.
    pub awaited: HashMap<Id, usize>,
    /// Tasks per nursery.
    children: HashMap<Id, Vec<Id>>,
}

impl Program {
    pub(crate) fn read(json: &Value) -> Arc<Program> {
        let mut reader = Reader::default();
        let root = reader.name("root");
        reader.info[root.index()].sort = Sort::Root;
        let around = Around { parent: root, ..Around::default() };
        let root = reader.op(json, &around);
        let Reader { names, info, holds, leaks, computes, awaited, children, .. } = reader;
        Arc::new(Program { root, names, info, holds, leaks, computes, awaited, children })
    }

    pub(crate) fn name(&self, id: Id) -> &str {
        &self.names[id.index()]
    }

    pub(crate) fn info(&self, id: Id) -> &Info {
        &self.info[id.index()]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.names.len() as u32).map(Id)
    }

    /// The tasks that are spawned into a nursery.
    pub(crate) fn children(&self, nursery: Id) -> impl Iterator<Item = Id> {
        self.children.get(&nursery).into_iter().flatten().copied()
    }

    /// Whether `inner` stands inside `outer`: in the text, and for tasks through their nursery.
    pub(crate) fn is_inside(&self, inner: Id, outer: Id) -> bool {
        let mut next = self.info(inner).parent;
        while let Some(id) = next {
            if id == outer {
                return true;
            }
            next = self.info(id).parent;
        }
        false
    }
}

#[derive(Clone)]
struct Around {
    parent: Id,
    locals: Vec<Id>,
    holds: Vec<usize>,
    leaks: Vec<usize>,
}

impl Default for Around {
    fn default() -> Self {
        Around { parent: Id::ROOT, locals: Vec::new(), holds: Vec::new(), leaks: Vec::new() }
    }
}

#[derive(Default)]
struct Reader {
    names: Vec<String>,
    by_name: HashMap<String, Id>,
    info: Vec<Info>,
    holds: usize,
    leaks: Vec<bool>,
    computes: bool,
    awaited: HashMap<Id, usize>,
    children: HashMap<Id, Vec<Id>>,
}

impl Reader {
    fn name(&mut self, name: &str) -> Id {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = Id(self.names.len() as u32);
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        self.info.push(Info::default());
        id
    }

    fn id(&mut self, json: &Value, key: &str) -> Id {
        self.name(json[key].as_str().unwrap_or_else(|| panic!("`{key}` is a name in {json}")))
    }

    fn place(&mut self, id: Id, sort: Sort, around: &Around) {
        let Around { parent, locals, holds, leaks } = around.clone();
        let info = &mut self.info[id.index()];
        *info = Info { sort, parent: Some(parent), locals, holds, leaks, ..info.clone() };
    }

    /// A scope and what stands in it.
    fn scope(&mut self, json: &Value, sort: Sort, around: &Around) -> (Id, Around) {
        let id = self.id(json, "id");
        self.place(id, sort, around);
        (id, Around { parent: id, holds: Vec::new(), ..around.clone() })
    }

    /// The `hold` operations that keep what stands here from being polled.
    fn held_in(&self, around: &Around) -> Vec<usize> {
        let mut holds = around.holds.clone();
        let mut next = Some(around.parent);
        while let Some(id) = next {
            let info = &self.info[id.index()];
            holds.extend(&info.holds);
            next = info.parent.filter(|_| info.local || !matches!(info.sort, Sort::Task | Sort::Root));
        }
        holds
    }

    fn fail(&mut self, json: &Value) -> Option<Id> {
        json["fail"].as_str().map(|fail| self.name(fail))
    }

    fn finalizer(&mut self, json: &Value, around: &Around) -> Finalizer {
        // It is owned by its scope: the locals around the place where it was registered are not around it, and nobody
        // can leak it or hold it by itself.
        let parent = around.parent;
        let around = Around { parent, locals: self.info[parent.index()].locals.clone(), ..Around::default() };
        let (id, inside) = self.scope(json, Sort::Finalizer, &around);
        Finalizer {
            id,
            budget: time(&json["budget"]),
            need: limit(&json["need"]),
            body: self.op(&json["body"], &inside),
        }
    }

    fn op(&mut self, json: &Value, around: &Around) -> Body {
        let hold = |this: &mut Self, leak: bool| {
            let hold = this.holds;
            this.holds += 1;
            this.leaks.push(leak);
            let mut inside = around.clone();
            inside.holds.push(hold);
            if leak {
                inside.leaks.push(hold);
            }
            (hold, inside)
        };
        let pair = |this: &mut Self| [this.op(&json["do"][0], around), this.op(&json["do"][1], around)];
        let body = &json["body"];
        let op = match json["op"].as_str().unwrap_or_default() {
            "sleep" => Op::Sleep(limit(&json["ms"])),
            "io" => Op::Io(time(&json["ms"])),
            "compute" => {
                self.computes = true;
                Op::Compute(time(&json["ms"]))
            }
            "seq" => {
                let steps = json["do"].as_array().into_iter().flatten();
                Op::Seq(steps.map(|step| self.op(step, around)).collect())
            }
            "scope" => {
                let (id, inside) = self.scope(json, Sort::Scope, around);
                let fail = self.fail(json);
                let body = self.op(body, &inside);
                Op::Scope { id, after: limit(&json["after"]), grace: time(&json["grace"]), fail, body }
            }
            "nursery" => {
                let (id, inside) = self.scope(json, Sort::Nursery, around);
                let collect = json["collect"].as_bool() == Some(true);
                let local = json["local"].as_bool() == Some(true);
                self.info[id.index()].collecting = collect;
                self.info[id.index()].local = local;
                Op::Nursery { id, collect, local, body: self.op(body, &inside) }
            }
            kind @ ("shield" | "graceful") => {
                let (id, inside) = self.scope(json, Sort::Shield, around);
                self.info[id.index()].full = kind == "shield";
                let body = self.op(body, &inside);
                Op::Shield { id, after: limit(&json["after"]), graceful: kind == "graceful", body }
            }
            "thread" => Op::Thread { id: self.scope(json, Sort::Thread, around).0, takes: time(&json["ms"]) },
            "bracket" => {
                let (id, inside) = self.scope(json, Sort::Bracket, around);
                let release = self.finalizer(&json["release"], &inside);
                Op::Bracket { id, release, body: self.op(body, &inside) }
            }
            kind @ ("spawn" | "start") => {
                let (task, nursery) = (self.id(json, "task"), self.id(json, "in"));
                let daemon = json["daemon"].as_bool() == Some(true);
                // Where a task stands is known when its nursery is: `in` names a scope further out.
                let outer = self.info[nursery.index()].locals.clone();
                // Forgetting a local nursery forgets its children, too.
                let local = self.info[nursery.index()].local;
                let leaks = if local { self.info[nursery.index()].leaks.clone() } else { Vec::new() };
                // Until it is ready, a local child lives in the future of its caller.
                let starting = if local && kind == "start" { self.held_in(around) } else { Vec::new() };
                let before_leaks = if local { around.leaks.clone() } else { Vec::new() };
                let around = Around { parent: nursery, locals: outer, leaks, holds: starting.clone() };
                self.place(task, Sort::Task, &around);
                self.info[task.index()].daemon = daemon;
                self.info[task.index()].local = self.info[nursery.index()].local;
                self.children.entry(nursery).or_default().push(task);
                let inside = Around { parent: task, holds: Vec::new(), ..around };
                if kind == "start" {
                    let around = Around { holds: starting, leaks: before_leaks, ..inside.clone() };
                    let before = json.get("before").map(|before| self.op(before, &around));
                    let silent = json["silent"].as_bool() == Some(true);
                    let body = self.op(body, &inside);
                    Op::Start { task, nursery, ready: time(&json["ready"]), before, silent, body }
                } else {
                    Op::Spawn { task, nursery, daemon, body: self.op(body, &inside) }
                }
            }
            "await" => {
                let (id, task) = (self.id(json, "id"), self.id(json, "task"));
                *self.awaited.entry(task).or_default() += 1;
                Op::Await { id, task }
            }
            "cancel" => {
                let target = self.id(json, "target");
                self.info[target.index()].targeted = true;
                Op::Cancel { target, grace: time(&json["grace"]) }
            }
            "move" => {
                let target = self.id(json, "target");
                self.info[target.index()].targeted = true;
                Op::Move { target, after: limit(&json["after"]) }
            }
            "defer" => Op::Defer(self.finalizer(json, around)),
            "local" => {
                let id = self.id(json, "id");
                self.place(id, Sort::Local, around);
                let mut inside = around.clone();
                inside.locals.push(id);
                Op::Local { id, body: self.op(body, &inside) }
            }
            "err" => Op::Err(self.id(json, "id")),
            "panic" => Op::Panic(self.id(json, "id")),
            kind @ ("join" | "lazy") => Op::Join { lazy: kind == "lazy", members: pair(self) },
            "select" => Op::Select(pair(self)),
            "drop_after" => Op::DropAfter { after: time(&json["ms"]), body: self.op(body, around) },
            "hold" => {
                let (hold, inside) = hold(self, false);
                let (after, mute) = (time(&json["ms"]), json["mute"].as_bool() == Some(true));
                Op::Hold { hold, after, mute, body: self.op(body, &inside), then: self.op(&json["then"], around) }
            }
            "blink" => {
                let (hold, inside) = hold(self, false);
                let (after, mute) = (time(&json["ms"]), json["mute"].as_bool() == Some(true));
                Op::Blink { hold, after, length: time(&json["for"]), mute, body: self.op(body, &inside) }
            }
            "leak" => {
                let (hold, inside) = hold(self, true);
                Op::Leak { hold, after: time(&json["ms"]), body: self.op(body, &inside) }
            }
            "chan" => {
                let (id, foreign) = (self.id(json, "id"), json["foreign"].as_bool() == Some(true));
                let capacity = json["cap"].as_u64().unwrap_or_default() as usize;
                Op::Channel { id, capacity, foreign, body: self.op(body, around) }
            }
            "own" => {
                let channel = self.id(json, "chan");
                let ends = json["ends"].as_array().into_iter().flatten();
                let ends = ends.map(|end| if end == "tx" { End::Tx } else { End::Rx }).collect();
                Op::Own { channel, ends, body: self.op(body, around) }
            }
            "send" => Op::Send { id: self.id(json, "id"), channel: self.id(json, "chan"), fail: self.fail(json) },
            kind @ ("recv" | "drain") => {
                let (id, channel, fail) = (self.id(json, "id"), self.id(json, "chan"), self.fail(json));
                Op::Recv { id, channel, fail, drain: kind == "drain" }
            }
            "event" => return self.op(body, around),
            "set" => Op::Set(self.id(json, "event")),
            "wait" => Op::Wait { event: self.id(json, "event"), foreign: json["foreign"].as_bool() == Some(true) },
            "commit" => Op::Commit(self.id(json, "id")),
            "sem" => {
                let (id, permits) = (self.id(json, "id"), count(&json["permits"]));
                Op::Semaphore { id, permits, body: self.op(body, around) }
            }
            "permit" => {
                let (id, semaphore, need) = (self.id(json, "id"), self.id(json, "sem"), count(&json["n"]));
                Op::Permit { id, semaphore, need, body: self.op(body, around) }
            }
            "cond" => Op::Condition { id: self.id(json, "id"), body: self.op(body, around) },
            "lock" => {
                let (id, condition) = (self.id(json, "id"), self.id(json, "cond"));
                Op::Lock { id, condition, body: self.op(body, around) }
            }
            "cwait" => Op::WaitNotified { id: self.id(json, "id"), condition: self.id(json, "cond") },
            "notify" => {
                let all = json["n"].is_null();
                Op::Notify { condition: self.id(json, "cond"), count: (!all).then(|| count(&json["n"])) }
            }
            "here" => {
                let (hold, held) = hold(self, false);
                let (id, inside) = self.scope(json, Sort::Scope, &held);
                let (after, enter) = (limit(&json["after"]), json["enter"].as_bool() == Some(true));
                Op::Here { id, hold, after, body: self.op(body, &inside), then: self.op(&json["then"], around), enter }
            }
            other => panic!("`{other}` is no operation"),
        };
        Arc::new(op)
    }
}

fn count(json: &Value) -> usize {
    json.as_u64().unwrap_or_else(|| panic!("{json} is a number")) as usize
}

fn limit(json: &Value) -> Option<Duration> {
    json.as_f64().map(|ms| Duration::from_micros((ms * 1000.0) as u64))
}

fn time(json: &Value) -> Duration {
    limit(json).unwrap_or_else(|| panic!("{json} is a time in ms"))
}
