//! The expectation of the model for a program, and how a run differs from it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value;

use super::finalizer::Status;
use super::language::Language;
use super::links::Commit;
use super::program::{Id, Program, Sort};
use super::world::{Out, Target, World};

/// Where the program of a vector comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub language: Language,
    pub seed: u64,
}

impl Source {
    pub(crate) fn program(self) -> Value {
        self.language.program(self.seed)
    }

    pub(crate) fn is_one_of(self, some: &[(Language, u64)]) -> bool {
        some.contains(&(self.language, self.seed))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.language.name(), self.seed)
    }
}

/// The outcome of a program by the model, as text: `scopes` has `"value at 3"`, `finalizers` what ran in a scope, in
/// order.
#[derive(Clone, Default)]
pub(crate) struct Expect {
    pub root: String,
    pub scopes: BTreeMap<String, String>,
    pub awaits: BTreeMap<String, String>,
    pub finalizers: BTreeMap<String, Vec<(String, String, String)>>,
    pub locals: BTreeMap<String, String>,
    pub hook: Vec<String>,
    /// `"r7 i3 at 4"`, sorted.
    pub commits: Vec<String>,
}

impl Expect {
    /// Reads the model's `EXPECT`.
    pub(crate) fn from_json(json: &Value) -> Self {
        let text = |json: &Value| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        let map = |key: &str| json[key].as_object().into_iter().flatten();
        let end = |json: &Value| format!("{} at {}", text(&json[0]), json[1]);
        let finalizer = |json: &Value| (text(&json[0]), text(&json[1]), format!("{}-{}", json[2], json[3]));
        Expect {
            root: format!("{} at {}", text(&json["root"]), json["end"]),
            scopes: map("scopes").map(|(id, json)| (id.clone(), end(json))).collect(),
            awaits: map("awaits").map(|(id, json)| (id.clone(), text(json))).collect(),
            finalizers: map("cleanups")
                .map(|(id, json)| (id.clone(), json.as_array().into_iter().flatten().map(finalizer).collect()))
                .collect(),
            locals: map("locals").map(|(id, json)| (id.clone(), json.to_string())).collect(),
            hook: json["hook_errors"].as_array().into_iter().flatten().map(text).collect(),
            commits: sorted(
                json["commits"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|json| format!("{} {} at {}", text(&json[0]), text(&json[1]), json[2])),
            ),
        }
    }

    /// Reads a line of `ref_model.py compact`: the seed of the program, behind the prefix of its language, and its
    /// `EXPECT` in few letters.
    pub(crate) fn from_line(line: &str) -> (Source, Self) {
        let mut parts = line.split('|').map(|part| part.split(' ').filter(|word| !word.is_empty()));
        let mut next = || parts.next().unwrap_or_else(|| panic!("a part is missing in the vector {line}"));
        let mut head = next();
        let (Some(seed), Some(root)) = (head.next(), head.next()) else { panic!("no seed and root in {line}") };
        let digits = seed.find(|c: char| c.is_ascii_digit()).unwrap_or(seed.len());
        let (prefix, number) = seed.split_at(digits);
        let language = Language::ALL.into_iter().find(|language| language.prefix() == prefix);
        let (Some(language), Ok(seed)) = (language, number.parse()) else { panic!("{seed} is no seed") };
        let source = Source { language, seed };
        let expect = Expect {
            root: out_at(root),
            scopes: next().map(split_name).map(|(id, out)| (id, out_at(&out))).collect(),
            awaits: next().map(split_name).map(|(id, out)| (id, handle(&out))).collect(),
            finalizers: next()
                .filter_map(|word| word.split_once(':'))
                .map(|(owner, list)| (owner.to_owned(), list.split(',').map(finalizer).collect()))
                .collect(),
            locals: next()
                .filter_map(|word| word.split_once(':'))
                .map(|(id, at)| (id.to_owned(), dropped(at)))
                .collect(),
            hook: next().map(str::to_owned).collect(),
            commits: if language == Language::Plain { Vec::new() } else { sorted(next().map(commit)) },
        };
        (source, expect)
    }

    /// Returns the differences of a run, one a line; empty if there is none.
    pub(crate) fn differences(&self, world: &World) -> String {
        let program = &world.program;
        let mut diff = Diff { text: String::new(), several_panics: world.made_panics.len() > 1 };
        let root =
            world.root.as_ref().map_or("nothing".to_owned(), |(out, at)| format!("{} at {at}", text(out, program)));
        diff.check("the root", &root, &self.root);
        for id in program.ids() {
            self.check_scope(id, world, &mut diff);
        }
        let awaits = world.awaits.iter().map(|(id, out)| (program.name(*id).to_owned(), (*out).to_owned())).collect();
        diff.check_all("await", &awaits, &self.awaits);
        let at = |at: Option<u64>| at.map_or("null".to_owned(), |at| at.to_string());
        let locals = world.locals.iter().map(|(id, dropped)| (program.name(*id).to_owned(), at(*dropped))).collect();
        diff.check_all("drop of", &locals, &self.locals);
        self.check_finalizers(world, &mut diff);
        // In the model every scope knows what an error is; in foster, one that is no nursery drops it with its value.
        let plain = world.dropped.iter().filter(|(_, by)| by.is_some_and(|by| world.has_plain_value(by)));
        let mut hook: Vec<_> =
            world.hook.iter().chain(plain.map(|(error, _)| error)).map(|id| program.name(*id)).collect();
        hook.sort_unstable();
        diff.check("the hook", &hook.join(" "), &self.hook.join(" "));
        let commits = world.commits.iter().map(|(id, what, at)| {
            let what = match what {
                Commit::Ran => "run",
                Commit::Sent => "sent",
                Commit::Closed => "closed",
                Commit::Item(item) => program.name(*item),
            };
            format!("{} {what} at {at}", program.name(*id))
        });
        diff.check("commits", &sorted(commits).join(", "), &self.commits.join(", "));
        diff.text
    }

    fn check_scope(&self, id: Id, world: &World, diff: &mut Diff) {
        let (program, seen) = (&world.program, &world.seen[id.index()]);
        let sort = program.info(id).sort;
        if matches!(sort, Sort::Root | Sort::Finalizer | Sort::Local | Sort::Other) {
            return;
        }
        let want = self.scopes.get(program.name(id)).map_or("not opened", String::as_str);
        let got = match &seen.out {
            _ if !seen.entered => "not opened".to_owned(),
            // Nobody can say when a scope ends that has neither handle nor caller, or a bracket whose release goes on.
            None if sort != Sort::Bracket && matches!(seen.target, Target::Blind) => return,
            None if world.finalizers.iter().any(|finalizer| finalizer.owner == id && finalizer.rough) => return,
            None => "open".to_owned(),
            // The panic of a lost scope goes straight to the adopter.
            Some((Out::Abandoned | Out::Panic(None), at)) if want.starts_with("panic:") => {
                format!("{} at {at}", want.split(' ').next().unwrap_or_default())
            }
            Some((Out::Parked, at)) if seen.lost.is_some() && want.starts_with("panic:") => {
                format!("{} at {at}", want.split(' ').next().unwrap_or_default())
            }
            Some((out, at)) => format!("{} at {at}", text(out, program)),
        };
        diff.check(program.name(id), &got, want);
    }

    fn check_finalizers(&self, world: &World, diff: &mut Diff) {
        let program = &world.program;
        let mut owners: Vec<_> = world.finalizers.iter().map(|f| program.name(f.owner)).collect();
        owners.extend(self.finalizers.keys().map(String::as_str));
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            let ran = world.started.iter().map(|index| &world.finalizers[*index]);
            let ran: Vec<_> = ran.filter(|finalizer| program.name(finalizer.owner) == owner).collect();
            let (mut got, mut want) = (String::new(), String::new());
            for (index, (id, status, times)) in self.finalizers.get(owner).into_iter().flatten().enumerate() {
                let rough = ran.get(index).is_some_and(|finalizer| finalizer.rough);
                let begin = times.split('-').next().unwrap_or_default();
                let _ = if rough { write!(want, "{id} {begin}; ") } else { write!(want, "{id} {status} {times}; ") };
            }
            for finalizer in ran {
                let (id, begin, end) = (program.name(finalizer.id), finalizer.begin, finalizer.end);
                let status = match finalizer.status {
                    Status::Ran => "ran",
                    Status::Timeout => "timeout",
                    Status::Panicked => "panicked",
                    Status::Armed | Status::Running | Status::CutOff => "open",
                };
                let _ = if finalizer.rough {
                    write!(got, "{id} {begin}; ")
                } else {
                    write!(got, "{id} {status} {begin}-{end}; ")
                };
            }
            diff.check(&format!("finalizers of {owner}"), &got, &want);
        }
    }
}

struct Diff {
    text: String,
    /// Which of several panics comes first depends on whether a body is dropped while the panic unwinds through it or
    /// afterwards. That is for the body to choose, and not the same in Python.
    several_panics: bool,
}

impl Diff {
    fn check(&mut self, what: &str, got: &str, want: &str) {
        let unnamed =
            |text: &str| text.split_once("panic:").map(|(_, rest)| rest.trim_start_matches(|c| c != ' ').to_owned());
        let same_but_name = self.several_panics && unnamed(got).is_some() && unnamed(got) == unnamed(want);
        if got != want && !same_but_name {
            let _ = writeln!(self.text, "{what}: {want} by the model, got {got}");
        }
    }

    fn check_all(&mut self, what: &str, got: &BTreeMap<String, String>, want: &BTreeMap<String, String>) {
        let names: std::collections::BTreeSet<_> = got.keys().chain(want.keys()).collect();
        for name in names {
            let of = |map: &BTreeMap<String, String>| map.get(name).map_or("nothing".to_owned(), String::clone);
            self.check(&format!("{what} {name}"), &of(got), &of(want));
        }
    }
}

fn text(out: &Out, program: &Program) -> String {
    match out {
        Out::Value => "value".to_owned(),
        Out::Cancelled => "cancelled".to_owned(),
        Out::Parked => "parked".to_owned(),
        Out::Abandoned => "abandoned".to_owned(),
        Out::Err(ids) => format!("err:{}", ids.iter().map(|id| program.name(*id)).collect::<Vec<_>>().join(",")),
        Out::Panic(id) => format!("panic:{}", id.map_or("?", |id| program.name(id))),
    }
}

/// `t12v3` is the name `t12`, and `v3`. The outermost names of a linked program are `sx` and `nx`.
fn split_name(word: &str) -> (String, String) {
    let digits = word[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len() - 1);
    let end = if digits == 0 && word[1..].starts_with('x') { 2 } else { 1 + digits };
    (word[..end].to_owned(), word[end..].to_owned())
}

/// `v3` is `value at 3`; `x4+5@7` is `err:e4,e5 at 7`; `!4@7` is `panic:e4 at 7`.
fn out_at(code: &str) -> String {
    let rest = &code[1..];
    let (names, at) = rest.split_once('@').unwrap_or(("", rest));
    let names = || names.split('+').map(|name| format!("e{name}")).collect::<Vec<_>>().join(",");
    match &code[..1] {
        "v" => format!("value at {at}"),
        "c" => format!("cancelled at {at}"),
        "p" => format!("parked at {at}"),
        "a" => format!("abandoned at {at}"),
        "x" => format!("err:{} at {at}", names()),
        "!" => format!("panic:{} at {at}", names()),
        _ => panic!("`{code}` is no outcome"),
    }
}

fn handle(code: &str) -> String {
    let word = match code {
        "v" => "value",
        "c" => "cancelled",
        "f" => "failed",
        "p" => "panicked",
        _ => panic!("`{code}` is nothing that a handle says"),
    };
    word.to_owned()
}

/// `c8r4-5` is the finalizer `c8` that ran from 4 to 5.
fn finalizer(word: &str) -> (String, String, String) {
    let (id, rest) = split_name(word);
    let status = match &rest[..1] {
        "r" => "ran",
        "t" => "timeout",
        "p" => "panicked",
        _ => panic!("`{word}` is no finalizer"),
    };
    (id, status.to_owned(), rest[1..].to_owned())
}

/// `k5r3` is `k5 run at 3`, `r7=i3@4` is `r7 i3 at 4`.
fn commit(word: &str) -> String {
    let (id, rest) = split_name(word);
    let (what, at) = match (&rest[..1], rest[1..].split_once('@')) {
        ("r", _) => ("run", &rest[1..]),
        ("s", _) => ("sent", &rest[1..]),
        ("c", _) => ("closed", &rest[1..]),
        ("=", Some((item, at))) => (item, at),
        _ => panic!("`{word}` is no commit"),
    };
    format!("{id} {what} at {at}")
}

fn sorted(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words
}

fn dropped(at: &str) -> String {
    if at.is_empty() { "null".to_owned() } else { at.to_owned() }
}
