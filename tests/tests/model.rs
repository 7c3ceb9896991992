//! The reference model of the semantics, replayed on the core; and random programs without expectations, which keep the
//! invariants (docs/src/invariants.md) under any schedule.
//!
//! `../model/README.md` says what is compared and where the files there come from. Read `program` (what a program is),
//! `interpret` (how it is run on foster), `world` (what is seen), `invariants`, then the tests here.
//!
//! `FOSTER_PROGRAMS=n` runs `n` programs in each of the tests; `FOSTER_PROGRAM=seed` only that one of a test on random
//! programs. `FOSTER_MODEL_PROGRAMS=n` makes `n` fresh programs with outcomes, from `FOSTER_SEED` on. `FOSTER_SHOW=n`
//! prints more failures. `FOSTER_MODEL_FILE=path`, with `of_a_file -- --ignored`, replays the programs of a file.
//! `FOSTER_HOSTED=all` replays all programs on smol and tokio, `FOSTER_HOSTED="plain 17"` one of them.

mod model {
    pub(crate) mod awaits;
    pub(crate) mod expect;
    pub(crate) mod finalizer;
    pub(crate) mod foreign;
    pub(crate) mod fresh;
    pub(crate) mod generate;
    pub(crate) mod hand;
    pub(crate) mod host;
    pub(crate) mod interpret;
    pub(crate) mod invariants;
    pub(crate) mod language;
    pub(crate) mod links;
    pub(crate) mod local;
    pub(crate) mod localize;
    pub(crate) mod metamorphic;
    pub(crate) mod program;
    pub(crate) mod python_random;
    pub(crate) mod replay;
    pub(crate) mod show;
    pub(crate) mod start;
    pub(crate) mod turns;
    pub(crate) mod watch;
    pub(crate) mod world;
}

use model::expect::{Expect, Source};
use model::fresh::Wanted;
use model::generate::{self, WEIGHTS};
use model::host::Host;
use model::language::Language;
use model::localize::{is_the_same_locally, localize, waits_in_shields};
use model::metamorphic;
use model::program::Program;
use model::python_random::Random;
use model::replay::{Setting, Summary, for_each, for_each_beside, in_turn, processors, run, run_on};
use model::show::show;
use serde_json::Value;
use std::time::Duration;

/// The programs with expected outcomes that `ref_model.py compact` printed, by language.
const VECTORS: [&str; 5] = [
    include_str!("../model/vectors.txt"),
    include_str!("../model/vectors_dep.txt"),
    include_str!("../model/vectors_sync.txt"),
    include_str!("../model/vectors_local.txt"),
    include_str!("../model/vectors_busy.txt"),
];

/// The things that random programs have to do now and then, lest a green run say nothing.
const COVERED: &[&str] = &[
    "adopted",
    "adopted: children",
    "adopted: half-run finalizer",
    "adopted: thread",
    "awaited",
    "cancelled forms",
    "cut",
    "daemons",
    "daemons: local",
    "double failures",
    "escalated",
    "finalizers",
    "finalizers: timeout",
    "holds",
    "leaks",
    "lost: foreign",
    "lost: leaked",
    "lost: local children",
    "lost: undriven",
    "lost: undriven shield",
    "moved",
    "nurseries",
    "nurseries: local",
    "orphans: finalizer",
    "orphans: later",
    "orphans: panicked",
    "orphans: reaped",
    "parked",
    "raii",
    "raii: exempt",
    "reaped finalizers",
    "scopes: light",
    "scopes: with a handle",
    "shield waits",
    "spawns refused",
    "starts: moved",
    "starts: moved, local",
    "starts: not heard",
    "tasks",
    "tasks: local",
    "tasks dropped unpolled",
];

/// Runs a program under a setting, and says what was wrong, also by the model if it has something to say.
fn wrong(
    program: &std::sync::Arc<Program>,
    setting: Setting,
    expect: Option<&Expect>,
    summary: &mut Summary,
) -> String {
    let run = run(program, setting);
    summary.add(&run);
    let mut text = run.world.broken.join("\n");
    if let Some(expect) = expect {
        text += &expect.differences(&run.world);
    }
    if text.is_empty() { text } else { format!("{setting:?}\n{text}") }
}

/// The meaning of the laws, in hand-written programs.
#[test]
fn examples_come_out_as_the_model_says() {
    let examples: Vec<Value> = include_str!("../model/examples.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of examples is JSON"))
        .collect();
    in_turn(|| {
        for_each(0..examples.len() as u64, |number, summary| {
            let example = &examples[number as usize];
            let (program, expect) = (Program::read(&example["program"]), Expect::from_json(&example["expect"]));
            let wrong = (0..12).map(|number| wrong(&program, Setting::of(number), Some(&expect), summary));
            wrong.filter(|text| !text.is_empty()).map(|text| format!("{}: {text}", example["name"])).collect()
        })
        .verdict("examples", &[]);
    });
}

/// Runs a program that the model knows, under some settings, and says how to see again what was wrong.
fn against_the_model(
    source: Source,
    expect: &Expect,
    settings: impl IntoIterator<Item = u64>,
    summary: &mut Summary,
) -> String {
    let Source { language, seed } = source;
    let json = source.program();
    let program = Program::read(&json);
    let wrong: Vec<_> = settings
        .into_iter()
        .map(|number| wrong(&program, Setting::of(number), Some(expect), summary))
        .filter(|text| !text.is_empty())
        .collect();
    *summary.counts.entry("compared").or_default() += 1;
    if wrong.is_empty() {
        return String::new();
    }
    let again = format!(
        "again, under twelve settings: FOSTER_MODEL_PROGRAMS=1 FOSTER_SEED={seed} cargo test -p foster-conformance --test model fresh
what the model says: tests/model/ref_model.py explain {0} {seed}",
        language.name()
    );
    format!("{} {seed}\n{}{}\n{again}\n", language.name(), show(&json), wrong.join("\n"))
}

/// Random programs whose outcome does not depend on the schedule: twelve settings in turn.
fn replay(vectors: &[(Source, Expect)], name: &str, covered: &[&str]) {
    in_turn(|| {
        for_each(0..vectors.len() as u64, |number, summary| {
            let (source, expect) = &vectors[number as usize];
            against_the_model(*source, expect, [number % 12], summary)
        })
        .verdict(name, covered);
    });
}

/// The vectors of one language, or as many of them as the environment wants.
fn vectors(language: Language) -> Vec<(Source, Expect)> {
    let all = VECTORS[language as usize].lines();
    all.take(number("FOSTER_PROGRAMS").map_or(usize::MAX, |count| count as usize)).map(Expect::from_line).collect()
}

#[test]
fn programs_come_out_as_the_model_says() {
    replay(&vectors(Language::Plain), "vectors", &["compared"]);
}

/// Programs whose tasks depend on each other.
#[test]
fn linked_programs_come_out_as_the_model_says() {
    replay(&vectors(Language::Linked), "linked vectors", &["compared"]);
}

/// Programs with semaphores and conditions.
#[test]
fn programs_that_take_turns_come_out_as_the_model_says() {
    replay(&vectors(Language::Sync), "vectors of turns", &["compared"]);
}

/// The things that programs with local nurseries, and with children that fail before they are ready, have to do now and
/// then.
const LOCAL: &[&str] = &[
    "compared",
    "daemons: local",
    "lost: local children",
    "nurseries: local",
    "starts: an error came out",
    "starts: failed",
    "starts: moved, local",
    "starts: panicked",
    "tasks: local",
];

/// L41: programs with local nurseries; and with starts that fail.
#[test]
fn programs_with_local_nurseries_come_out_as_the_model_says() {
    replay(&vectors(Language::Local), "vectors of local nurseries", LOCAL);
}

/// L11: programs in which code computes while other things become due.
#[test]
fn programs_that_compute_come_out_as_the_model_says() {
    replay(&vectors(Language::Busy), "vectors of computing", &["compared", "computes"]);
}

/// Programs in which two things that the host ends come at the instant of a request, and code is polled between them that
/// leaves out some of what is inside. In the model all of an instant comes first, and then the polls; on a real host it is
/// as the host does it.
const TIES: &[(Language, u64)] = &[
    (Language::Plain, 826),
    (Language::Plain, 2223),
    (Language::Plain, 3374),
    (Language::Plain, 6246),
    (Language::Plain, 6529),
    (Language::Local, 1231),
];

/// So many programs run at once on hosts: on real clocks they wait most of the time.
const AT_ONCE: usize = 48;

/// The languages whose programs run on hosts. Not that in which code computes: what passes meanwhile is seen by who comes
/// first, the host's timer or other code, and neither the laws nor the host say who.
fn on_hosts() -> impl Iterator<Item = Language> {
    Language::ALL.into_iter().filter(|language| *language != Language::Busy)
}

/// Replays the programs on a real host: one of 32, or with `FOSTER_HOSTED=all` all of them.
fn replay_on(host: Host) {
    let all: Vec<_> = on_hosts().flat_map(vectors).filter(|(source, _)| !source.is_one_of(TIES)).collect();
    let seed = Wanted::from_environment(1).seed;
    let wanted = std::env::var("FOSTER_HOSTED").ok();
    let share = if wanted.is_some() { 1 } else { 32 };
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == "all" || wanted == name);
    let programs = (0_u64..)
        .zip(&all)
        .filter(|(number, (source, _))| number.wrapping_add(seed) % share == 0 && is_wanted(&source.to_string()));
    println!("every {share}th program on {host:?}; the same again with FOSTER_SEED={seed}");
    in_turn(|| {
        for_each_beside(AT_ONCE, programs, |number, (source, expect), summary| {
            on_host(host, number, *source, expect, summary)
        })
        .verdict(&format!("on {host:?}"), &["compared"]);
    });
}

/// Programs that nobody has run before, on a host. About one in two thousand is a tie as those above: so this is for a
/// release, and who makes it looks at what comes out otherwise.
fn fresh_programs_on(host: Host) {
    let wanted = Wanted::from_environment(80);
    println!("{} fresh programs on {host:?}; again with FOSTER_SEED={}", wanted.count, wanted.seed);
    in_turn(|| {
        let mut all = Summary::default();
        for language in on_hosts() {
            let replay =
                |seed, source, expect: &Expect, summary: &mut Summary| on_host(host, seed, source, expect, summary);
            match replay_fresh(language, wanted, AT_ONCE, replay) {
                Some(summary) => all.merge(summary),
                None => panic!("python3 is not installed, so there are no fresh programs"),
            }
        }
        all.verdict(&format!("fresh programs on {host:?}"), &["compared"]);
    });
}

#[test]
#[ignore = "some of the programs are ties: for a release"]
fn fresh_programs_come_out_as_the_model_says_on_smol() {
    fresh_programs_on(Host::Smol);
}

#[test]
#[ignore = "some of the programs are ties: for a release"]
fn fresh_programs_come_out_as_the_model_says_on_tokio() {
    fresh_programs_on(Host::Tokio);
}

/// Runs a program on a host until it comes out as the model says, with a clock that goes slower each time. Where it came out
/// otherwise before, that is printed; it is wrong if it never comes out so, in three runs or more.
fn on_host(host: Host, number: u64, source: Source, expect: &Expect, summary: &mut Summary) -> String {
    let program = Program::read(&source.program());
    let (mut other, mut times) = (String::new(), 0);
    for step in [5, 10, 20, 40, 80].map(Duration::from_millis) {
        let Some(run) = run_on(host, step, &program, number) else {
            *summary.counts.entry("late").or_default() += 1;
            continue;
        };
        summary.add(&run);
        let text = run.world.broken.join("\n") + &expect.differences(&run.world);
        if !text.is_empty() {
            *summary.counts.entry("otherwise").or_default() += 1;
            times += 1;
            other = format!("{source}\n{}{text}\n", show(&source.program()));
            continue;
        }
        *summary.counts.entry("compared").or_default() += 1;
        if !other.is_empty() {
            println!("on {host:?} it came out otherwise at first: {other}");
        }
        return text;
    }
    if times >= 3 {
        return other;
    }
    *summary.counts.entry("always late").or_default() += 1;
    String::new()
}

#[test]
fn programs_come_out_as_the_model_says_on_smol() {
    replay_on(Host::Smol);
}

#[test]
fn programs_come_out_as_the_model_says_on_tokio() {
    replay_on(Host::Tokio);
}

/// Programs that nobody has run before. `FOSTER_MODEL_PROGRAMS` is how many, `FOSTER_SEED` the first seed.
#[test]
fn fresh_programs_come_out_as_the_model_says() {
    let wanted = Wanted::from_environment(200);
    println!("{} fresh programs; again with FOSTER_SEED={}", wanted.count, wanted.seed);
    if wanted.count == 0 {
        return;
    }
    in_turn(|| {
        let mut all = Summary::default();
        for language in Language::ALL {
            match fresh_programs_of(language, wanted) {
                Some(summary) => all.merge(summary),
                None => return println!("python3 is not installed, so there are no fresh programs"),
            }
        }
        all.verdict("fresh programs", &[]);
        // Of few programs it may be that none is left out.
        let seen: &[_] = match wanted.count {
            ..200 => &["compared"],
            200..20_000 => &["compared", "computes", "left out"],
            _ => &["compared", "computes", "left out", "not decided by the laws"],
        };
        let local: &[_] = match wanted.count {
            ..200 => &[],
            200..2000 => &["nurseries: local", "starts: failed"],
            _ => LOCAL,
        };
        for what in seen.iter().chain(local) {
            assert!(all.counts.contains_key(what), "of the fresh programs none is `{what}`");
        }
    });
}

/// Fresh programs on the simulator, in three settings that have nothing in common, or in all twelve.
fn fresh_programs_of(language: Language, wanted: Wanted) -> Option<Summary> {
    replay_fresh(language, wanted, processors(), |seed, source, expect, summary| {
        let settings = (0..12).filter(|number| wanted.count <= 3 || (number + seed) % 4 == 0);
        against_the_model(source, expect, settings, summary)
    })
}

/// Has the model make programs, and replays each of them on so many threads. `None` if there is no Python.
fn replay_fresh(
    language: Language,
    wanted: Wanted,
    threads: usize,
    replay: impl Fn(u64, Source, &Expect, &mut Summary) -> String + Sync,
) -> Option<Summary> {
    let mut fresh = wanted.make(language)?;
    let programs = fresh.by_ref().map(|(source, expect)| (source.seed, (source, expect)));
    let mut summary =
        for_each_beside(threads, programs, |seed, (source, expect), summary| replay(seed, source, &expect, summary));
    fresh.end();
    // The model has seen few schedules. Where the replay differs from those, the outcome may be one that the laws leave
    // open.
    let differ: Vec<_> = summary.failures.iter().map(|(seed, _)| *seed).collect();
    let decided = Wanted::settle(language, &differ);
    summary.failures.retain(|(seed, _)| decided.contains(seed));
    let open = (differ.len() - decided.len()) as u64;
    summary.counts.extend([(language.mismatches(), decided.len() as u64), ("not decided by the laws", open)]);
    *summary.counts.entry("compared").or_default() -= open;
    summary.counts.extend(fresh.left_out.map(|count| ("left out", count)));
    summary.counts.retain(|_, count| *count > 0);
    Some(summary)
}

/// L41: those of them in which nobody drops or holds a nursery come out the same with local nurseries.
#[test]
fn local_nurseries_come_out_as_the_model_says() {
    let vectors = [vectors(Language::Plain), vectors(Language::Linked)].concat();
    in_turn(|| {
        for_each(0..vectors.len() as u64, |number, summary| {
            let (source, expect) = &vectors[number as usize];
            let seed = source.seed;
            let mut json = source.program();
            if !is_the_same_locally(&json) {
                return String::new();
            }
            *summary.counts.entry("compared").or_default() += 1;
            localize(&mut json, seed);
            let text = wrong(&Program::read(&json), Setting::of(number % 12), Some(expect), summary);
            if text.is_empty() { text } else { format!("{source:?}\n{}{text}", show(&json)) }
        })
        .verdict("local vectors", &["compared", "nurseries: local", "tasks: local", "daemons: local", "nurseries"]);
    });
}

/// A seed means the same program here and in the model.
#[test]
fn generated_programs_are_those_of_the_model() {
    // FNV-1a, over what `ref_model.py programs 2000` writes, and with the names of the other languages.
    let hashes = [
        0xaec6_a8d5_b5f2_acd3_u64,
        0xf46b_d221_e266_b8ae,
        0xbcf8_0353_d74f_a16f,
        0x3c70_8000_a77e_8096,
        0xb47d_4feb_647a_a0dd,
    ];
    for (language, expected) in Language::ALL.into_iter().zip(hashes) {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for seed in 0..2000 {
            for byte in language.program(seed).to_string().bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        assert_eq!(hash, expected, "another program in {}: {hash:#x}", language.name());
    }
}

/// A linked program that may be of any kind. Not one in which a shield waits for another task, perhaps for ever.
fn any_linked_program(seed: u64) -> Option<Value> {
    let mut json = generate::linked_of(seed, seed % 4 == 0, seed % 3 == 0, 60);
    if waits_in_shields(&json) {
        return None;
    }
    localize(&mut json, seed);
    Some(json)
}

/// Linked programs keep the invariants, too, on any schedule.
#[test]
fn random_linked_programs_keep_the_invariants() {
    in_turn(|| {
        for_each(seeds(5_000_000, 3000), |seed, summary| match any_linked_program(seed) {
            Some(json) => against_the_laws(&json, Setting::of(seed % 12), summary),
            None => String::new(),
        })
        .verdict("random linked programs", &["sent", "received", "closed", "commits", "run here", "parked", "adopted"]);
    });
}

/// The number in a variable of the environment.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seeds of random programs: `count` of them from `first` on, and a tenth as many that nobody has run before. In the
/// environment `FOSTER_PROGRAMS` is how many, `FOSTER_SEED` the first of those that are new, and `FOSTER_PROGRAM` the only one.
fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> + Send {
    let count = number("FOSTER_PROGRAMS").unwrap_or(count);
    let new = Wanted::from_environment(count / 10);
    let [known, new] = match number("FOSTER_PROGRAM") {
        Some(seed) => [seed..seed + 1, 0..0],
        None => [first..first + count, new.seed..new.seed + count / 10],
    };
    println!("{} programs that nobody has run; again with FOSTER_SEED={}", new.end - new.start, new.start);
    known.chain(new)
}

/// A program that may be of any kind; its outcome may depend on the schedule.
fn any_program(seed: u64) -> Value {
    let mut json = generate::generate(seed, &generate::wide(), 7, 70);
    localize(&mut json, seed);
    json
}

/// Runs a program that has no expected outcome.
fn against_the_laws(json: &Value, setting: Setting, summary: &mut Summary) -> String {
    let text = wrong(&Program::read(json), setting, None, summary);
    if text.is_empty() { text } else { format!("{}{text}\n", show(json)) }
}

/// I1, I2, I6, I9, I10, I12, I13, I16, I18, I21–I23, I25, and that every run comes to an end.
#[test]
fn random_programs_keep_the_invariants() {
    in_turn(|| {
        for_each(seeds(1_000_000, 6000), |seed, summary| {
            against_the_laws(&any_program(seed), Setting::of(seed % 12), summary)
        })
        .verdict("random programs", COVERED);
    });
}

/// The same when the root is cancelled at some time, with some grace; L9, L11, L20.
#[test]
fn programs_that_are_stopped_keep_the_invariants() {
    in_turn(|| {
        for_each(seeds(2_000_000, 2000), |seed, summary| {
            let mut random = Random::new(seed);
            let at = Duration::from_micros(random.between(0, 24) * 500);
            let stop = Some((at, Duration::from_millis(*random.choice(&[0, 0, 3]))));
            against_the_laws(&any_program(seed), Setting { stop, ..Setting::of(seed % 12) }, summary)
        })
        .verdict("stopped programs", &["parked", "finalizers", "shield waits", "tasks: local"]);
    });
}

/// I24, L30: the host is dropped after any number of steps; nothing is left, and the report counts what was cut off.
#[test]
fn programs_whose_host_is_dropped_leave_nothing() {
    in_turn(|| {
        for_each(seeds(3_000_000, 1500), |seed, summary| {
            // Without `start`: nobody can count a child whose caller has no handle to it yet.
            let mut json = generate::generate(seed, WEIGHTS, 7, 70);
            localize(&mut json, seed);
            let program = Program::read(&json);
            let setting = Setting::of(seed % 12);
            let whole = run(&program, setting);
            let steps = Random::new(seed).between(1, whole.steps.max(2) as u32 - 1);
            against_the_laws(&json, Setting { steps: Some(steps), ..setting }, summary)
        })
        .verdict(
            "dropped hosts",
            &["hosts dropped", "hosts dropped: tasks", "hosts dropped: finalizers", "tasks: local"],
        );
    });
}

/// I14, L9: without full shields, a cancelled root ends as soon as its finalizers let it.
#[test]
fn stopping_is_bounded() {
    in_turn(|| {
        for_each(seeds(4_000_000, 2000), metamorphic::bounded_stop)
            .verdict("bounded stops", &["stops", "stops: bound met", "tasks: local"]);
    });
}

/// I17: dropping a subtree and cancelling it at the same time start the same tasks, and the same becomes of the
/// finalizers that there were.
#[test]
fn dropping_is_cancelling() {
    in_turn(|| {
        for_each(seeds(0, 3000), metamorphic::drop_is_cancel)
            .verdict("drop is cancel", &["finalizers compared", "tasks compared", "tasks: local"]);
    });
}
