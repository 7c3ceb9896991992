//! Random programs: the generator of the model, choice by choice, so that a seed means the same program here and there.

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

/// `WEIGHTS` with more failures, and with what the model does not know.
pub(crate) fn wide() -> Vec<(&'static str, f64)> {
    [&without(&["err", "panic"]), &[("err", 2.5), ("panic", 0.4), ("start", 3.0)][..]].concat()
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

/// The program of a conformance vector.
pub(crate) fn vector(seed: u64) -> Value {
    let size = *Random::new(seed).choice(&[12, 25, 40]);
    generate(seed, WEIGHTS, 6, size)
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
            "start" => {
                let mut child = self.spawn(depth, env, encl);
                if child["daemon"] == false {
                    child["op"] = json!(kind);
                    child["ready"] = json!(self.random.between(0, 3));
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
            "pair" => self.pair(depth, env, encl),
            "crowd" => self.crowd(depth, env, encl),
            _ => {
                let first = self.program(depth - 1, env, encl);
                json!({"op": kind, "do": [first, self.program(depth - 1, env, encl)]})
            }
        }
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
}
