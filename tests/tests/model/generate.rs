//! Random programs: the generator of the model, choice by choice, so that a seed means the same program here and there.
//!
//! There are five languages: plain programs; linked ones, whose tasks depend on each other (`dep` in the model); those
//! whose tasks take turns, and wait to be told (`sync`); those with local nurseries (`local`); and those in which code
//! computes (`busy`).

use serde_json::{Value, json};

use super::python_random::Random;

/// Operations and how often they are chosen.
pub(crate) type Weights = [(&'static str, f64)];

pub(crate) const WEIGHTS: &Weights = &[
    ("sleep", 4.0),
    ("io", 3.0),
    ("seq", 8.0),
    ("scope", 5.0),
    ("nursery", 8.0),
    ("shield", 1.5),
    ("graceful", 1.5),
    ("thread", 1.0),
    ("spawn", 9.0),
    ("cancel", 3.0),
    ("move", 1.5),
    ("defer", 3.0),
    ("err", 0.8),
    ("panic", 0.25),
    ("join", 3.0),
    ("lazy", 2.0),
    ("select", 2.0),
    ("drop_after", 1.5),
    ("bracket", 3.0),
    ("local", 5.0),
    ("hold", 2.0),
    ("blink", 1.0),
    ("leak", 1.0),
    ("crowd", 4.0),
    ("pair", 0.7),
    ("await", 2.0),
];

/// The operations that linked programs have in addition.
const LINKED: &Weights = &[("commit", 5.0), ("here", 2.0), ("pipe", 12.0), ("workers", 4.0), ("ev", 4.0)];

/// The operations that programs with semaphores, conditions and `start` have in addition.
const SYNC: &Weights = &[("commit", 4.0), ("start", 6.0), ("sems", 12.0), ("conds", 9.0)];

/// The operations that programs with local nurseries, and with children that fail before they are ready, have in
/// addition.
const LOCAL: &Weights =
    &[("commit", 4.0), ("begin", 6.0), ("pipe", 3.0), ("workers", 1.0), ("ev", 1.0), ("sems", 2.0), ("conds", 1.0)];

/// The operation that programs have in addition in which code computes.
const BUSY: &Weights = &[("rush", 8.0)];

/// The operations that make most linked programs depend on the schedule.
const RACY: &[&str] = &["select", "hold", "blink", "leak", "lazy", "move", "drop_after"];

/// `WEIGHTS` with more failures, and with operations that the model does not know.
pub(crate) fn wide() -> Vec<(&'static str, f64)> {
    [&without(&["err", "panic"]), &[("err", 2.5), ("panic", 0.4), ("start", 2.0), ("begin", 1.5)][..]].concat()
}

/// `WEIGHTS` without some operations.
pub(crate) fn without(operations: &[&str]) -> Vec<(&'static str, f64)> {
    let weight = |(op, weight): &(&'static str, f64)| (*op, if operations.contains(op) { 0.0 } else { *weight });
    WEIGHTS.iter().map(weight).collect()
}

/// The program that `ref_model.py` calls `generate(seed, weights, depth, size)`.
pub(crate) fn generate(seed: u64, weights: &Weights, depth: i32, size: i32) -> Value {
    let weights = weights.to_vec();
    let mut generator = Generator { random: Random::new(seed), weights, left: size, ids: 0, tasks: Vec::new() };
    let steps: Vec<_> = (0..3).map(|_| generator.program(depth, &[], &[])).collect();
    json!({"op": "seq", "do": steps})
}

/// The plain program of a vector.
pub(crate) fn plain(seed: u64) -> Value {
    let size = *Random::new(seed).choice(&[12, 25, 40]);
    generate(seed, WEIGHTS, 6, size)
}

/// The linked program of a vector. Half of them have timers that seldom meet, and half are without what mostly races.
pub(crate) fn linked(seed: u64) -> Value {
    let mut random = Random::new(seed);
    let size = *random.choice(&[12, 25, 40]);
    let (sparse, tame) = (random.random() < 0.5, random.random() < 0.5);
    linked_of(seed, tame, sparse, size)
}

/// The program of a vector with semaphores and conditions. Half of them have no foreign code that holds or drops
/// futures.
pub(crate) fn sync(seed: u64) -> Value {
    let mut random = Random::new(seed);
    let size = *random.choice(&[12, 25, 40]);
    let (sparse, tame) = (random.random() < 0.6, random.random() < 0.5);
    let dropped: &[_] = if tame { &["hold", "drop_after"] } else { &[] };
    let weights = without(&[&["select", "blink", "leak", "lazy", "move"], dropped].concat());
    limited(seed, &[&weights, SYNC].concat(), sparse, size)
}

/// The program of a vector in which half of the nurseries are local, or all, and in which children that are started may
/// fail before they are ready.
pub(crate) fn local(seed: u64) -> Value {
    let mut random = Random::new(seed);
    let size = *random.choice(&[12, 25, 40]);
    let (sparse, tame) = (random.random() < 0.5, random.random() < 0.5);
    let share = random.between(1, 2);
    let left_out: &[_] = if tame { &["select", "lazy", "move", "blink"] } else { &[] };
    let mut weights = without(left_out);
    weights.iter_mut().filter(|(op, _)| *op == "err").for_each(|(_, weight)| *weight = 1.5);
    let mut program = limited(seed, &[&weights, LOCAL].concat(), sparse, size);
    make_local(&mut program, &mut Random::new(seed), share);
    program
}

/// The program of a vector in which some code computes where it would sleep: plain ones and linked ones.
pub(crate) fn busy(seed: u64) -> Value {
    let mut random = Random::new(seed);
    let size = *random.choice(&[12, 25, 40]);
    let (sparse, tame, links) = (random.random() < 0.5, random.random() < 0.5, random.random() < 0.5);
    let left_out: &[_] = if tame { &["select", "hold", "blink", "leak", "lazy", "drop_after"] } else { &[] };
    let linked = if links { LINKED } else { &[] };
    let mut program = limited(seed, &[&without(left_out), linked, BUSY].concat(), sparse, size);
    make_busy(&mut program, &mut Random::new(seed));
    program
}

/// Makes some code compute where it would sleep, a third of it. No finalizer is sure of its time then.
fn make_busy(json: &mut Value, random: &mut Random) {
    match json {
        Value::Object(map) => {
            let sleeps = map.get("op").is_some_and(|op| op == "sleep");
            let time = map.get("ms").and_then(Value::as_u64).filter(|time| sleeps && *time > 0);
            if let Some(time) = time.filter(|_| random.between(0, 2) == 0) {
                map.insert("op".to_owned(), json!("compute"));
                map.insert("ms".to_owned(), json!(time * random.between(1, 3)));
            }
            for (key, value) in map {
                if key == "need" { *value = Value::Null } else { make_busy(value, random) }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|json| make_busy(json, random)),
        _ => {}
    }
}

/// Makes nurseries local: half of them if `share` is 1, all if it is 2.
fn make_local(json: &mut Value, random: &mut Random, share: u64) {
    match json {
        Value::Object(map) => {
            if map.get("op").is_some_and(|op| op == "nursery") && random.between(0, 1) < share {
                map.insert("local".to_owned(), json!(true));
            }
            map.values_mut().for_each(|json| make_local(json, random, share));
        }
        Value::Array(list) => list.iter_mut().for_each(|json| make_local(json, random, share)),
        _ => {}
    }
}

/// Any linked program.
pub(crate) fn linked_of(seed: u64, tame: bool, sparse: bool, size: i32) -> Value {
    let weights = if tame { without(RACY) } else { WEIGHTS.to_vec() };
    limited(seed, &[&weights, LINKED].concat(), sparse, size)
}

/// A program in a nursery below a deadline; the same one as the model's `generate_dep`.
fn limited(seed: u64, weights: &Weights, sparse: bool, size: i32) -> Value {
    let mut body = generate(seed, weights, 6, size);
    rename_root(&mut body, "nx");
    let nursery = json!({"op": "nursery", "id": "nx", "collect": false, "body": body});
    let mut program = json!({"op": "scope", "id": "sx", "after": 40, "grace": 3, "fail": null, "body": nursery});
    if sparse {
        spread(&mut program, &mut Random::new(seed));
    }
    program
}

/// Spawns into another nursery what was to be spawned into the root.
pub(crate) fn rename_root(json: &mut Value, nursery: &str) {
    match json {
        Value::Object(map) => {
            if map.get("in").is_some_and(|target| target == "root") {
                map.insert("in".to_owned(), json!(nursery));
            }
            map.values_mut().for_each(|json| rename_root(json, nursery));
        }
        Value::Array(list) => list.iter_mut().for_each(|json| rename_root(json, nursery)),
        _ => {}
    }
}

/// Stretches all times, each a little differently.
fn spread(json: &mut Value, random: &mut Random) {
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                let time = value.as_u64().filter(|time| *time > 0);
                match (key.as_str(), time) {
                    ("ms" | "after" | "for" | "budget" | "grace", Some(time)) => {
                        *value = json!(time * 20 + random.between(0, 18) - 9);
                    }
                    ("need", _) => *value = Value::Null,
                    _ => spread(value, random),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|json| spread(json, random)),
        _ => {}
    }
}

struct Generator {
    random: Random,
    weights: Vec<(&'static str, f64)>,
    left: i32,
    ids: u32,
    tasks: Vec<(String, bool)>,
}

fn sleep(ms: u64) -> Value {
    json!({"op": "sleep", "ms": ms})
}

fn seq(steps: &[Value]) -> Value {
    json!({"op": "seq", "do": steps})
}

fn with(names: &[String], more: &[&String]) -> Vec<String> {
    names.iter().chain(more.iter().copied()).cloned().collect()
}

impl Generator {
    fn new_id(&mut self, kind: char) -> String {
        self.ids += 1;
        format!("{kind}{}", self.ids)
    }

    /// `env` are the scopes and tasks around that can be named, `encl` the tasks.
    fn program(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        self.left -= 1;
        let kind = if depth > 0 && self.left > 0 {
            self.random.weighted(&self.weights)
        } else {
            self.random.choice(&["sleep", "io"])
        };
        match kind {
            "sleep" | "io" => json!({"op": kind, "ms": self.random.between(0, 5)}),
            "seq" => {
                let steps: Vec<_> =
                    (0..self.random.between(2, 4)).map(|_| self.program(depth - 1, env, encl)).collect();
                seq(&steps)
            }
            "scope" => {
                let id = self.new_id('s');
                let after = *self.random.choice(&[None, Some(0), Some(1), Some(2), Some(3), Some(5)]);
                let grace = *self.random.choice(&[0, 0, 3]);
                let fail = (self.random.random() < 0.2).then(|| self.new_id('e'));
                let body = self.program(depth - 1, &with(env, &[&id]), encl);
                json!({"op": kind, "id": id, "after": after, "grace": grace, "fail": fail, "body": body})
            }
            "nursery" => {
                let id = self.new_id('n');
                let collect = self.random.random() < 0.2;
                let body = self.program(depth - 1, &with(env, &[&id]), encl);
                json!({"op": kind, "id": id, "collect": collect, "body": body})
            }
            "shield" | "graceful" => {
                let id = self.new_id('h');
                let after = *self.random.choice(&[None, Some(4)]);
                let body = self.program(depth - 1, &with(env, &[&id]), encl);
                json!({"op": kind, "id": id, "after": after, "body": body})
            }
            "thread" => json!({"op": kind, "id": self.new_id('h'), "ms": self.random.between(1, 6)}),
            "bracket" => {
                let release = self.finalizer(depth - 1, encl);
                let id = self.new_id('b');
                json!({"op": kind, "id": id, "release": release, "body": self.program(depth - 1, env, encl)})
            }
            "local" => json!({"op": kind, "id": self.new_id('l'), "body": self.program(depth - 1, env, encl)}),
            "spawn" => self.spawn(depth, env, encl),
            "start" | "begin" => {
                let mut child = self.spawn(depth, env, encl);
                if child["daemon"] == false {
                    child["op"] = json!("start");
                    child["ready"] = json!(self.random.between(0, 3));
                    child["silent"] = json!(self.random.random() < 0.15);
                    if kind == "begin" {
                        let task = child["task"].as_str().unwrap_or_default().to_owned();
                        child["before"] = self.before(depth - 1, env, &with(encl, &[&task]));
                    }
                }
                child
            }
            "cancel" => {
                let recent = self.tasks.len().saturating_sub(2);
                let tasks: Vec<_> = self.tasks[recent..].iter().map(|(task, _)| task).collect();
                let mut targets = with(env, &tasks);
                if self.random.random() < 0.15 {
                    targets.push("root".to_owned());
                }
                let target = self.one_of(targets, "s0");
                json!({"op": kind, "target": target, "grace": self.random.choice(&[0, 0, 3])})
            }
            "move" => {
                let targets = env.iter().filter(|id| id.starts_with(['s', 'h'])).cloned().collect();
                let target = self.one_of(targets, "s0");
                let after = self.random.choice(&[None, Some(0), Some(1), Some(2), Some(4)]);
                json!({"op": kind, "target": target, "after": after})
            }
            "await" => {
                let id = self.new_id('a');
                let tasks = self.tasks.iter().filter(|(task, daemon)| !daemon && !encl.contains(task));
                let tasks = tasks.map(|(task, _)| task.clone()).collect();
                json!({"op": kind, "id": id, "task": self.one_of(tasks, "t0")})
            }
            "defer" => {
                let mut finalizer = self.finalizer(depth - 1, encl);
                finalizer["op"] = json!(kind);
                finalizer
            }
            "err" | "panic" => {
                let wait = sleep(self.random.between(0, 2));
                let id = self.new_id('e');
                seq(&[wait, json!({"op": kind, "id": id})])
            }
            "drop_after" => {
                let ms = self.random.between(0, 5);
                json!({"op": kind, "ms": ms, "body": self.program(depth - 1, env, encl)})
            }
            "hold" => {
                let (ms, mute) = (self.random.between(0, 3), self.random.random() < 0.5);
                let body = self.program(depth - 1, env, encl);
                json!({"op": kind, "ms": ms, "mute": mute, "body": body, "then": self.program(depth - 1, env, encl)})
            }
            "blink" => {
                let (ms, mute) = (self.random.between(0, 3), self.random.random() < 0.5);
                let length = self.random.between(1, 4);
                json!({"op": kind, "ms": ms, "mute": mute, "for": length, "body": self.program(depth - 1, env, encl)})
            }
            "leak" => {
                let ms = self.random.between(0, 3);
                json!({"op": kind, "ms": ms, "body": self.program(depth - 1, env, encl)})
            }
            "commit" => self.commit(),
            "here" => {
                let id = self.new_id('s');
                let after = *self.random.choice(&[None, Some(0), Some(2)]);
                let enter = self.random.random() < 0.4;
                let body = self.program(depth - 1, &with(env, &[&id]), encl);
                let then = self.program(depth - 1, env, encl);
                json!({"op": kind, "id": id, "after": after, "enter": enter, "body": body, "then": then})
            }
            "pipe" | "workers" | "ev" => self.links(kind, depth, env, encl),
            "sems" | "conds" => self.turns(kind, depth, env, encl),
            "rush" => self.rush(depth, env, encl),
            "pair" => self.pair(depth, env, encl),
            "crowd" => self.crowd(depth, env, encl),
            _ => {
                let first = self.program(depth - 1, env, encl);
                json!({"op": kind, "do": [first, self.program(depth - 1, env, encl)]})
            }
        }
    }

    /// Returns the part of a started child before it is ready.
    fn before(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        let draw = self.random.random();
        let err = |this: &mut Self| json!({"op": "err", "id": this.new_id('e')});
        if draw < 0.3 {
            return err(self);
        }
        if draw < 0.4 {
            let mut defer = self.finalizer(depth - 1, encl);
            defer["op"] = json!("defer");
            return seq(&[defer, err(self)]);
        }
        if draw < 0.5 {
            return seq(&[self.program(depth - 1, env, encl), err(self)]);
        }
        if draw < 0.55 && self.weights.iter().any(|(op, weight)| *op == "panic" && *weight > 0.0) {
            return json!({"op": "panic", "id": self.new_id('e')});
        }
        if draw < 0.65 {
            let id = self.new_id('h');
            let body = seq(&[sleep(self.random.between(1, 5)), err(self)]);
            return json!({"op": "shield", "id": id, "after": null, "body": body});
        }
        self.program(depth - 1, env, encl)
    }

    fn one_of(&mut self, names: Vec<String>, otherwise: &str) -> String {
        let names = if names.is_empty() { vec![otherwise.to_owned()] } else { names };
        self.random.choice(&names).clone()
    }

    fn spawn(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        let task = self.new_id('t');
        let nurseries: Vec<_> = env.iter().filter(|id| id.starts_with('n')).cloned().collect();
        let nearest = nurseries[nurseries.len().saturating_sub(2)..].to_vec();
        let nursery = self.one_of(nearest, "root");
        let daemon = self.random.random() < 0.15;
        let mut body = self.program(depth - 1, &with(env, &[&task]), &with(encl, &[&task]));
        if daemon {
            body = seq(&[body, json!({"op": "sleep", "ms": null})]);
        }
        self.tasks.push((task.clone(), daemon));
        json!({"op": "spawn", "task": task, "in": nursery, "daemon": daemon, "body": body})
    }

    fn finalizer(&mut self, depth: i32, encl: &[String]) -> Value {
        let (body, need);
        if self.random.random() < 0.12 && depth > 0 {
            body = self.program(depth.min(2), &[], encl);
            need = None;
        } else {
            let panics = self.weights.iter().any(|(op, weight)| *op == "panic" && *weight > 0.0);
            let last = if panics && self.random.random() < 0.5 { "panic" } else { "err" };
            let short = seq(&[sleep(0), sleep(1)]);
            (body, need) = match self.random.below(7) {
                0 | 1 => (sleep(1), Some(1)),
                2 => (sleep(9), Some(9)),
                3 => (short, Some(1)),
                4 => (json!({"op": "io", "ms": 1}), Some(1)),
                draw => {
                    let id = self.new_id('e');
                    let body = if draw == 5 || last == "err" {
                        seq(&[sleep(1), json!({"op": "err", "id": id})])
                    } else {
                        json!({"op": "panic", "id": id})
                    };
                    (body, Some(if draw == 5 { 1 } else { 0 }))
                }
            };
        }
        let id = self.new_id('c');
        json!({"id": id, "body": body, "budget": self.random.choice(&[2, 2, 5]), "need": need})
    }

    /// A shielded operation of three steps.
    fn shielded(&mut self) -> Value {
        let id = self.new_id('h');
        let steps: Vec<_> = (0..3).map(|_| json!({"op": "io", "ms": self.random.between(1, 3)})).collect();
        json!({"op": "shield", "id": id, "after": null, "body": seq(&steps)})
    }

    /// Code that computes beside code that has a deadline.
    fn rush(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        let id = self.new_id('s');
        let (after, grace) = (self.random.between(1, 4), *self.random.choice(&[0, 0, 3]));
        let first = sleep(self.random.between(1, 5));
        let last =
            if self.random.random() < 0.6 { self.commit() } else { self.program(depth - 1, &with(env, &[&id]), encl) };
        let body = seq(&[first, last]);
        let limited = json!({"op": "scope", "id": id, "after": after, "grace": grace, "fail": null, "body": body});
        let wait = sleep(self.random.between(0, 1));
        let compute = json!({"op": "compute", "ms": self.random.between(2, 8)});
        let busy = seq(&[wait, compute, self.program(depth - 1, env, encl)]);
        let members = if self.random.pair_is_swapped() { [busy, limited] } else { [limited, busy] };
        json!({"op": "join", "do": members})
    }

    /// Two shielded branches under a lazy driver, progressing in turn.
    fn pair(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        let id = self.new_id('s');
        let after = self.random.between(1, 3);
        let first = self.shielded();
        let second = if self.random.below(2) == 0 { self.shielded() } else { self.program(depth - 1, env, encl) };
        let body = json!({"op": "lazy", "do": [first, second]});
        json!({"op": "scope", "id": id, "after": after, "grace": 0, "fail": null, "body": body})
    }

    /// A deadline over a permit over a nursery with a busy child.
    fn crowd(&mut self, depth: i32, env: &[String], encl: &[String]) -> Value {
        let [scope, nursery, task, outer, inner] = ['s', 'n', 't', 'l', 'l'].map(|kind| self.new_id(kind));
        let env = with(env, &[&scope, &nursery]);
        self.tasks.push((task.clone(), false));
        let within = with(encl, &[&task]);
        let work = self.program(depth - 1, &with(&env, &[&task]), &within);
        let mut defer = self.finalizer(depth - 1, &within);
        defer["op"] = json!("defer");
        let child = json!({"op": "local", "id": inner, "body": seq(&[defer, work, sleep(15)])});
        let child = json!({"op": "spawn", "task": task, "daemon": false, "body": child, "in": nursery});
        let body = seq(&[child, self.program(depth - 1, &env, encl), sleep(15)]);
        let wrap = *self.random.choice(&[None, None, Some("hold"), Some("blink"), Some("drop_after"), Some("leak")]);
        let collect = self.random.random() < 0.1;
        let mut body = json!({"op": "nursery", "id": nursery, "collect": collect, "body": body});
        if wrap == Some("hold") && self.random.random() < 0.3 {
            body = json!({"op": "shield", "id": self.new_id('h'), "after": null, "body": body});
        }
        if let Some(wrap) = wrap {
            let (ms, mute) = (self.random.between(0, 5), self.random.random() < 0.5);
            body = json!({"op": wrap, "ms": ms, "mute": mute, "body": body});
            match wrap {
                "hold" => body["then"] = sleep(*self.random.choice(&[2, 15])),
                "blink" => body["for"] = json!(self.random.between(1, 9)),
                _ => {}
            }
        }
        let body = json!({"op": "local", "id": outer, "body": body});
        let (after, grace) = (self.random.between(1, 7), *self.random.choice(&[0, 0, 4]));
        json!({"op": "scope", "id": scope, "after": after, "grace": grace, "fail": null, "body": body})
    }

    fn commit(&mut self) -> Value {
        json!({"op": "commit", "id": self.new_id('k')})
    }

    /// Tasks that depend on each other, in a nursery of their own.
    fn links(&mut self, kind: &str, depth: i32, env: &[String], encl: &[String]) -> Value {
        let (id, nursery) = (self.new_id('q'), self.new_id('n'));
        let foreign = self.random.random() < 0.5;
        let link = Link { id: &id, nursery: &nursery, foreign, depth, env, encl };
        let steps = match kind {
            "pipe" => self.pipe(&link),
            "workers" => self.workers(&link),
            _ => self.waiters(&link),
        };
        let collect = self.random.random() < 0.1;
        let mut body = json!({"op": "nursery", "id": nursery, "collect": collect, "body": seq(&steps)});
        body = if kind == "ev" {
            json!({"op": "event", "id": id, "body": body})
        } else {
            let capacity = *self.random.choice(&[0, 1, 1]);
            json!({"op": "chan", "id": id, "cap": capacity, "foreign": foreign, "body": body})
        };
        if self.random.random() < 0.3 {
            body = json!({"op": "local", "id": self.new_id('l'), "body": body});
        }
        let body = seq(&[body, self.commit()]);
        self.maybe_limited(body, 0.6)
    }

    /// One producer and one consumer.
    fn pipe(&mut self, link: &Link<'_>) -> Vec<Value> {
        let draw = self.random.random();
        let own = |end: &str, body: Value| json!({"op": "own", "chan": link.id, "ends": [end], "body": body});
        if draw < 0.4 {
            let mut steps =
                vec![self.task(link, Some("tx"), Self::producer), self.task(link, Some("rx"), Self::consumer)];
            if self.random.random() < 0.3 {
                steps.push(sleep(self.random.between(0, 3)));
            }
            steps
        } else if draw < 0.7 {
            vec![self.task(link, Some("tx"), Self::producer), own("rx", self.consumer(link, link.encl))]
        } else {
            vec![self.task(link, Some("rx"), Self::consumer), own("tx", self.producer(link, link.encl))]
        }
    }

    fn producer(&mut self, link: &Link<'_>, encl: &[String]) -> Value {
        let mut steps = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            if self.random.random() < 0.7 {
                steps.push(sleep(self.random.between(0, 4)));
            } else if self.random.random() < 0.4 {
                steps.push(self.program(link.depth - 2, link.env, encl));
            }
            let send = self.send(link, true);
            steps.push(self.maybe_shielded(send));
        }
        steps.push(self.commit());
        self.limited_beside(link, encl, &steps, 0.3)
    }

    fn consumer(&mut self, link: &Link<'_>, encl: &[String]) -> Value {
        let mut steps = Vec::new();
        if self.random.random() < 0.6 {
            steps.push(self.recv("drain", link, false));
        } else {
            let recv = self.recv("recv", link, true);
            steps.push(self.maybe_shielded(recv));
            steps.push(self.commit());
            let recv = self.recv("recv", link, true);
            steps.push(self.maybe_shielded(recv));
        }
        steps.push(self.commit());
        if self.random.random() < 0.3 {
            steps.push(self.program(link.depth - 2, link.env, encl));
        }
        self.limited_beside(link, encl, &steps, 0.3)
    }

    /// Two consumers of some items that the body sends.
    fn workers(&mut self, link: &Link<'_>) -> Vec<Value> {
        let worker = |this: &mut Self, link: &Link<'_>, encl: &[String]| {
            let steps = [this.recv("recv", link, false), this.commit()];
            this.limited_beside(link, encl, &steps, 0.7)
        };
        let mut steps = vec![self.task(link, None, worker), self.task(link, None, worker)];
        for _ in 0..self.random.between(1, 3) {
            steps.push(sleep(self.random.between(0, 4)));
            steps.push(self.send(link, false));
        }
        steps.push(self.commit());
        steps
    }

    /// Two tasks that wait for an event.
    fn waiters(&mut self, link: &Link<'_>) -> Vec<Value> {
        let waiter = |this: &mut Self, link: &Link<'_>, encl: &[String]| {
            let wait = json!({"op": "wait", "id": this.new_id('r'), "event": link.id, "foreign": link.foreign});
            let steps = [this.maybe_shielded(wait), this.commit()];
            this.limited_beside(link, encl, &steps, 0.6)
        };
        let mut steps = vec![self.task(link, None, waiter), self.task(link, None, waiter)];
        steps.push(sleep(self.random.between(0, 4)));
        steps.push(json!({"op": "set", "event": link.id}));
        if self.random.random() < 0.3 {
            steps.push(self.cancel_last());
        }
        steps.push(sleep(self.random.between(0, 2)));
        steps
    }

    /// Tasks that share a semaphore or a condition, in a nursery of their own.
    fn turns(&mut self, kind: &str, depth: i32, env: &[String], encl: &[String]) -> Value {
        let (id, nursery) = (self.new_id('q'), self.new_id('n'));
        let link = Link { id: &id, nursery: &nursery, foreign: false, depth, env, encl };
        let (opened, steps) = if kind == "sems" {
            let permits = *self.random.choice(&[1, 1, 2]);
            (json!({"op": "sem", "id": id, "permits": permits}), self.holders(&link, permits))
        } else {
            (json!({"op": "cond", "id": id}), self.told(&link))
        };
        let collect = self.random.random() < 0.1;
        let mut body = opened;
        body["body"] = json!({"op": "nursery", "id": nursery, "collect": collect, "body": seq(&steps)});
        let body = seq(&[body, self.commit()]);
        self.maybe_limited(body, 0.6)
    }

    /// Tasks that hold permits of a semaphore for a while.
    fn holders(&mut self, link: &Link<'_>, permits: u32) -> Vec<Value> {
        let mut steps = Vec::new();
        for _ in 0..self.random.between(2, 4) {
            steps.push(self.task(link, None, |this, link, encl| {
                let steps = [sleep(this.random.between(0, 2)), this.take(link, permits, encl), this.commit()];
                this.maybe_limited(seq(&steps), 0.5)
            }));
        }
        if self.random.random() < 0.5 {
            steps.push(sleep(self.random.between(0, 3)));
            steps.push(self.take(link, permits, link.encl));
            steps.push(self.commit());
        }
        if self.random.random() < 0.3 {
            steps.push(sleep(self.random.between(0, 3)));
            steps.push(self.cancel_last());
        }
        steps
    }

    fn take(&mut self, link: &Link<'_>, permits: u32, encl: &[String]) -> Value {
        let id = self.new_id('r');
        let need = self.random.between(1, permits);
        let body = self.held(link, encl);
        let take = json!({"op": "permit", "id": id, "sem": link.id, "n": need, "body": body});
        let take = self.maybe_dropped(take);
        self.maybe_shielded(take)
    }

    /// Returns the code that runs with a permit, or with a mutex.
    fn held(&mut self, link: &Link<'_>, encl: &[String]) -> Value {
        if self.random.random() < 0.8 {
            sleep(self.random.between(0, 4))
        } else {
            self.program(link.depth - 2, link.env, encl)
        }
    }

    /// Tasks that wait for a condition.
    fn told(&mut self, link: &Link<'_>) -> Vec<Value> {
        let mut steps = Vec::new();
        for _ in 0..self.random.between(2, 3) {
            steps.push(self.task(link, None, |this, link, _| {
                let first = sleep(this.random.between(0, 2));
                let wait = json!({"op": "cwait", "id": this.new_id('r'), "cond": link.id});
                let wait = this.maybe_dropped(wait);
                let steps = [first, this.maybe_shielded(wait), this.commit()];
                this.maybe_limited(seq(&steps), 0.5)
            }));
        }
        if self.random.random() < 0.4 {
            steps.push(self.task(link, None, |this, link, encl| {
                let first = sleep(this.random.between(0, 4));
                let id = this.new_id('r');
                let lock = json!({"op": "lock", "id": id, "cond": link.id, "body": this.held(link, encl)});
                let steps = [first, lock, this.commit()];
                this.maybe_limited(seq(&steps), 0.5)
            }));
        }
        for _ in 0..self.random.between(1, 2) {
            steps.push(sleep(self.random.between(1, 4)));
            steps.push(json!({"op": "notify", "cond": link.id, "n": self.random.choice(&[1, 1, 2])}));
            if self.random.random() < 0.3 {
                steps.push(self.cancel_last());
            }
        }
        steps.push(sleep(self.random.between(1, 4)));
        steps.push(json!({"op": "notify", "cond": link.id, "n": null}));
        steps.push(self.commit());
        steps
    }

    fn cancel_last(&self) -> Value {
        let last = self.tasks.last().map(|(task, _)| task);
        json!({"op": "cancel", "target": last, "grace": 0})
    }

    /// Now and then dropped by foreign code, or kept without being polled.
    fn maybe_dropped(&mut self, body: Value) -> Value {
        let draw = self.random.random();
        if !self.weights.iter().any(|(op, weight)| *op == "hold" && *weight > 0.0) {
            return body;
        }
        if draw < 0.1 {
            let (ms, mute) = (self.random.between(0, 3), self.random.random() < 0.5);
            return json!({"op": "hold", "ms": ms, "mute": mute, "body": body, "then": sleep(self.random.between(1, 5))});
        }
        if draw < 0.2 {
            return json!({"op": "drop_after", "ms": self.random.between(0, 5), "body": body});
        }
        body
    }

    /// A task of the nursery of a link, with an end of its channel.
    fn task(
        &mut self,
        link: &Link<'_>,
        end: Option<&str>,
        body: impl FnOnce(&mut Self, &Link<'_>, &[String]) -> Value,
    ) -> Value {
        let task = self.new_id('t');
        let mut body = body(self, link, &with(link.encl, &[&task]));
        if let Some(end) = end {
            body = json!({"op": "own", "chan": link.id, "ends": [end], "body": body});
        }
        self.tasks.push((task.clone(), false));
        json!({"op": "spawn", "task": task, "daemon": false, "body": body, "in": link.nursery})
    }

    fn send(&mut self, link: &Link<'_>, may_fail: bool) -> Value {
        let id = self.new_id('i');
        let fail = (may_fail && self.random.random() < 0.15).then(|| self.new_id('e'));
        json!({"op": "send", "id": id, "chan": link.id, "foreign": link.foreign, "fail": fail})
    }

    fn recv(&mut self, op: &str, link: &Link<'_>, may_fail: bool) -> Value {
        let id = self.new_id('r');
        let fail = (may_fail && self.random.random() < 0.15).then(|| self.new_id('e'));
        json!({"op": op, "id": id, "chan": link.id, "foreign": link.foreign, "fail": fail})
    }

    /// The steps, now and then under a deadline, now and then beside something else.
    fn limited_beside(&mut self, link: &Link<'_>, encl: &[String], steps: &[Value], share: f64) -> Value {
        let body = self.maybe_limited(seq(steps), share);
        if self.random.random() > 0.2 {
            return body;
        }
        let other = self.program(link.depth - 1, link.env, encl);
        let both = if self.random.pair_is_swapped() { [other, body] } else { [body, other] };
        json!({"op": "join", "do": both})
    }

    fn maybe_limited(&mut self, body: Value, share: f64) -> Value {
        if self.random.random() > share {
            return body;
        }
        let id = self.new_id('s');
        let after = *self.random.choice(&[1, 2, 3, 4]);
        let grace = *self.random.choice(&[0, 0, 3]);
        json!({"op": "scope", "id": id, "after": after, "grace": grace, "fail": null, "body": body})
    }

    fn maybe_shielded(&mut self, body: Value) -> Value {
        if self.random.random() > 0.1 {
            return body;
        }
        let op = *self.random.choice(&["shield", "graceful"]);
        let id = self.new_id('h');
        let after = *self.random.choice(&[None, Some(4)]);
        json!({"op": op, "id": id, "after": after, "body": body})
    }
}

/// A link between tasks, and its place: a channel, an event, a semaphore, a condition.
struct Link<'a> {
    id: &'a str,
    nursery: &'a str,
    foreign: bool,
    depth: i32,
    env: &'a [String],
    encl: &'a [String],
}
