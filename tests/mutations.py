#!/usr/bin/env python3
"""Mutation check: breaks the core in one place at a time, and prints which tests notice.

    tests/mutations.py [NAME ...]      all mutants, or those named; writes their rows of the table in MUTATIONS.md
    tests/mutations.py --check         only looks whether each of them still fits the core, and has its row in the table
    tests/mutations.py --switch        only makes the copy with all mutants in it

All mutants are in one build, and an environment variable, `FOSTER_MUTANT`, says which of them is active. For that the core is
rewritten in a copy of the repository. A mutant replaces one text, which occurs once, inside of one function; the copy has the body of
this function twice:

    fn f(..) { if crate::mutation::active(7) { the body with the edit } else { the body } }

A function with several mutants has one more body for each of them. Where the result has a type without a name, `-> impl ..`, two bodies
would have two types, so the edit has to be an expression, and is switched in its place.

The copy and its target directory are in a temporary directory, or in `MUTATION_DIR`, where the next run finds what is built. No mutant
is active when tests are run first, and they have to pass. Then each mutant is run, in stages, until one test notices:

0. only the tests that its row of the table names, which caught it the last time; one of them has to fail again
1. the quick tests, two mutants at a time
2. what takes its time from a real clock, one mutant at a time
3. the models of the races, with shuttle, which is a build of its own

What stage 0 does not catch, or has no row, goes through the others. The table is written after each stage. Of the
programs those are built that a stage runs.

A program of tests is ended when three of its tests have failed, or some seconds after the first. One that does not end is caught,
too: what had been running for more than a minute by the time limit is named, with "(hangs)".
"""
import concurrent.futures, json, os, pathlib, re, resource, subprocess, sys, tempfile, threading, time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from mutants import MUTANTS

# Target, arguments, settings. The order is that of the run: first what takes little time.
QUICK = [
    ("untested", [], {}), ("resting", [], {}), ("turns", [], {}), ("wakers", [], {}), ("forgotten", [], {}), ("seeing", [], {}),
    ("blame", [], {}), ("timers", [], {}), *[(f"foster_{crate}", [], {}) for crate in ["core", "cell", "channel"]], ("leaks", [], {}), ("sim", [], {"FOSTER_SEEDS": "20"}), ("late", [], {"FOSTER_SEEDS": "10"}),
    ("running", [], {}), ("two_runtimes", [], {}), ("model", ["--skip", "_says_on_"], {"FOSTER_PROGRAMS": "400", "FOSTER_MODEL_PROGRAMS": "0"}),
    ("installed", [], {"FOSTER_LIMIT": "10"}), ("scale", [], {}),
]
KIT = [("counted", [], {}), ("kit", [], {})]
REAL = [("smol", [], {}), ("tokio_current_thread", [], {}), ("tokio_multi_thread", [], {}), ("races", [], {}), ("real", [], {"FOSTER_SECONDS": "20", "FOSTER_SURVEY": "1"})]
MODELS = [("foster_core", ["races::"], {}), ("foster_channel", ["races::"], {})]
LIMIT = 150                 # seconds for a program of tests; more than the 60 after which a test that is running is named
MODELS_LIMIT = 400
KNOWN_LIMIT = 75            # for the tests that a row names
AFTER_A_FAILURE = 5         # seconds for other tests to fail, too
MEMORY = 6 << 30            # a mutant may have no end

SWITCH = """//! Which mutant is active: see tests/mutations.py.

/// Whether it is the one with this number.
#[inline]
pub(crate) fn active(number: usize) -> bool {
    static CHOSEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let chosen = || std::env::var("FOSTER_MUTANT").map_or(usize::MAX, |number| number.parse().expect("a number"));
    *CHOSEN.get_or_init(chosen) == number
}
"""


# ---- the core with all mutants ----

CRATES = {"core": "core/src", **{name: f"core/{name}/src" for name in ["cell", "channel", "kit"]}}


def place(file):
    """The file that a mutant names: `tree/node.rs` of the core itself, `channel/state.rs` of the crate below it."""
    crate, _, rest = file.partition("/")
    return f"{CRATES[crate]}/{rest}" if crate in CRATES else f"core/src/{file}"


def blank(text):
    """The code, with spaces in place of comments, strings and characters."""
    no_code = r'//[^\n]*|/\*.*?\*/|\bb?r(#*)".*?"\1|"(?:\\.|[^"\\])*"|' + r"'(?:\\[^']*|[^'\\])'"
    return re.sub(no_code, lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.S)


def bodies(text):
    """Where the bodies of the functions are, between their braces."""
    code = blank(text)
    for head in re.finditer(r"\bfn\s+\w+", code):
        at, depth = head.end(), 0
        while depth or code[at] not in "{;":
            depth += (code[at] in "([") - (code[at] in ")]")
            at += 1
        if code[at] == ";":
            continue
        begin, depth = at + 1, 1
        while depth:
            at += 1
            depth += (code[at] == "{") - (code[at] == "}")
        yield begin, at


def find(text, old):
    """Where the text of a mutant is, and the body of the innermost function around it; or what is wrong with it."""
    if text.count(old) != 1:
        return f"{text.count(old)} times"
    at = text.index(old)
    around = [(begin, end) for begin, end in bodies(text) if begin <= at and at + len(old) <= end]
    return (at, max(around)) if around else "not inside of one function"


def check(sources):
    """Each edit has its one place in the core as it is now."""
    found = {name: (file, find(sources[file], old)) for name, file, old, _ in MUTANTS}
    astray = [f"{name}: {what} in {file}" for name, (file, what) in found.items() if isinstance(what, str)]
    astray += ["two mutants have one name"] if len(found) < len(MUTANTS) else []
    if astray:
        return astray
    for name, (file, what) in found.items():
        nested = [other for other, (place, inner) in found.items() if place == file and what[1][0] < inner[1][0] < what[1][1]]
        astray += [f"{name}: {nested[0]} is in a function inside of that function"] if nested else []
    return astray


def switch(sources):
    """The files of the core in which mutants are, with all of them."""
    switched = {}
    for file, text in sources.items():
        here = {}
        for number, (_, place, old, new) in enumerate(MUTANTS):
            if place == file:
                at, body = find(text, old)
                here.setdefault(body, []).append((number, at, old, new))
        for (begin, end), mutants in sorted(here.items(), reverse=True):
            if "-> impl" in text[text.rindex("fn ", 0, begin):begin]:
                for number, at, old, new in sorted(mutants, key=lambda mutant: -mutant[1]):
                    either = f"(if crate::mutation::active({number}) {{ {new} }} else {{ {old} }})"
                    text = text[:at] + either + text[at + len(old):]
                continue
            chain = "".join(
                f"if crate::mutation::active({number}) {{{text[begin:at]}{new}{text[at + len(old):end]}}} else "
                for number, at, old, new in mutants
            )
            text = f"{text[:begin]} {chain}{{{text[begin:end]}}} {text[end:]}"
        switched[file] = text
    return switched


def copy(to, sources):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parent, check=True, capture_output=True).stdout
    files = {name: (HERE.parent / name).read_bytes() for name in filter(None, listed.decode().split("\0"))}
    files.update({place(file): text.encode() for file, text in switch(sources).items()})
    for crate in CRATES.values():
        files[f"{crate}/mutation.rs"] = SWITCH.encode()
        files[f"{crate}/lib.rs"] = b"#![allow(warnings)]\n" + files[f"{crate}/lib.rs"] + b"\nmod mutation;\n"
    for name, content in files.items():
        file = to / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_bytes() != content:       # else what was built of it is good
            file.write_bytes(content)
            file.chmod((HERE.parent / name).stat().st_mode if (HERE.parent / name).exists() else 0o644)


# ---- the table ----

TABLE = HERE / "MUTATIONS.md"
HEAD = "| mutant | edit | caught by |\n|---|---|---|\n"


def table():
    """The text before the rows, the rows by the names of their mutants, and the text behind them."""
    before, rest = TABLE.read_text().split(HEAD)
    rows, _, behind = rest.partition("\n\n")
    return before, {row[2:].partition("<br>")[0]: row for row in rows.splitlines()}, behind


def edit(number):
    """The row of a mutant up to the last column."""
    name, file, old, new = MUTANTS[number]
    line = lambda text: " ".join(text.split()).replace("|", "\\|")
    return f"| {name}<br>{file} | `{line(old)}` → `{line(new) or ' '}` | "


def write(caught):
    """Puts these mutants into the table, and takes those out that are no more."""
    before, rows, behind = table()
    rows.update({MUTANTS[number][0]: f"{edit(number)}{what} |" for number, what in caught.items()})
    TABLE.write_text(before + HEAD + "\n".join(rows[name] for name, *_ in MUTANTS if name in rows) + "\n\n" + behind)


def stale():
    """What is wrong with the table."""
    _, rows, _ = table()
    edits = {mutant[0]: edit(number) for number, mutant in enumerate(MUTANTS)}
    wrong = [f"{name}: MUTATIONS.md has no row with this edit: run it" for name in edits if not rows.get(name, "").startswith(edits[name])]
    return wrong + [f"{name}: MUTATIONS.md has a row, and there is no such mutant" for name in rows if name not in edits]


def killers():
    """For each mutant with a row, the program and the tests that caught it."""
    found = {name: row.rsplit(" | ", 1)[1].partition(": ") for name, row in table()[1].items()}
    return {name: (program, re.findall(r"`([\w:]+)", tests)) for name, (program, _, tests) in found.items()}


# ---- the tests ----

def build(copy, target, what, **env):
    """Builds tests, and returns where the programs are, by name."""
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0", **env}
    command = ["cargo", "test", *what, "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=copy, env=env, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit("this does not compile")
    said = [json.loads(line) for line in built.stdout.splitlines()]
    return {line["target"]["name"].replace("-", "_"): line["executable"] for line in said if line.get("executable")}


def failing(program, arguments, settings, number, cwd, limit):
    """The tests that fail, at most three, or the word for why there are none."""
    env = {**os.environ, **settings, "RUST_BACKTRACE": "0"}
    env.update({} if number is None else {"FOSTER_MUTANT": str(number)})
    bound = lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryFile("w+") as out:
        run = subprocess.Popen([program, *arguments], cwd=cwd, env=env, stdout=out, stderr=subprocess.DEVNULL, preexec_fn=bound)
        begin, first = time.monotonic(), None
        while True:
            time.sleep(0.1)
            ended, now = run.poll(), time.monotonic()
            output = os.pread(out.fileno(), 1 << 24, 0).decode(errors="replace")
            failed = re.findall(r"^test (\S+) .*FAILED$", output, re.M)
            first = first or (now if failed else None)
            if ended is not None:
                return failed[:3] or ([] if ended == 0 else ["(abort)"])
            if len(failed) >= 3 or first and now - first > AFTER_A_FAILURE or now - begin > limit:
                break
        run.kill()
        run.wait()
    hanging = re.findall(r"^test (\S+) has been running for over", output, re.M)
    hanging = [f"{name} (hangs)" for name in hanging if not re.search(rf"^test {re.escape(name)} \.\.\. ", output, re.M)]
    return (failed or hanging or ["(time limit)"])[:3]


def failing_surely(program, arguments, settings, number, cwd, limit):
    """As `failing`; but one test that fails alone has to fail again: a machine that is busy makes threads late."""
    names = failing(program, arguments, settings, number, cwd, limit)
    if len(names) == 1 and re.fullmatch(r"[\w:]+", names[0]):
        if not failing(program, ["--exact", names[0]], settings, number, cwd, limit):
            return failing(program, [*arguments, "--skip", names[0]], settings, number, cwd, limit)
    return names


class Run:
    """The mutants that are left, and what has caught the others."""

    def __init__(self, only, where):
        self.left = [number for number, mutant in enumerate(MUTANTS) if not only or mutant[0] in only]
        self.caught, self.before, self.cwd, self.lock = {}, killers(), where / "tests", threading.Lock()

    def known(self, tests, built, at_once):
        """Only the tests that the table names, without those that fail alone without any mutation."""
        settings = {name: settings for name, _, settings in tests}
        rows = {number: row for number in self.left if (row := self.before.get(MUTANTS[number][0])) and row[0] in settings}
        programs = built({program for program, _ in rows.values()}) if rows else {}
        passes = lambda test: not failing(programs[test[0]], ["--exact", test[1]], settings[test[0]], None, self.cwd, KNOWN_LIMIT)

        def again(number):
            program, names = rows[number]
            names = [name for name in names if (program, name) in good]
            if names:
                by_name = lambda *run: [name for name in failing_surely(*run) if name[0] != "("]
                self.one(number, [(program, ["--exact", *names], settings[program])], programs, by_name, KNOWN_LIMIT)

        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            each = sorted({(program, name) for program, names in rows.values() for name in names})
            good = {test for test, passed in zip(each, pool.map(passes, each)) if passed}
            print("fail alone:", [test for test in each if test not in good], file=sys.stderr, flush=True)
            list(pool.map(again, rows))
        self.left = [number for number in self.left if number not in self.caught]

    def stage(self, tests, built, at_once, failing, limit=LIMIT):
        programs = built([name for name, _, _ in tests]) if self.left else {}
        for name, arguments, settings in tests if self.left else []:
            begin = time.monotonic()
            broken = failing(programs[name], arguments, settings, None, self.cwd, limit)
            print(f"{name} without any mutation: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
            assert not broken, f"without any mutation these fail: {name}: {broken}"
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda number: self.one(number, tests, programs, failing, limit), self.left))
        self.left = [number for number in self.left if number not in self.caught]

    def one(self, number, tests, programs, failing, limit):
        begin = time.monotonic()
        for name, arguments, settings in tests:
            names = failing(programs[name], arguments, settings, number, self.cwd, limit)
            if names:
                self.caught[number] = f"{name}: " + ", ".join(f"`{test}`" for test in names)
                break
        with self.lock:
            print(f"{MUTANTS[number][0]}: {time.monotonic() - begin:.0f} s: {self.caught.get(number, '-')}", file=sys.stderr, flush=True)


def run_all(only, where, target):
    run, begin = Run(only, where), time.monotonic()

    def past(what):
        print(f"{what}: {(time.monotonic() - begin) / 60:.0f} min, {len(run.left)} left", file=sys.stderr, flush=True)
        write(run.caught)

    def tests(names):
        kit, crates = [name for name, _, _ in KIT], ["-p", "foster-core", "-p", "foster-cell", "-p", "foster-channel"]
        targets = [part for name in names if name not in kit and not name.startswith("foster_") for part in ("--test", name)]
        programs = build(where, target, ["-p", "foster-conformance", *targets]) if targets else {}
        programs.update(build(where, target, ["--lib", *crates]) if any(name.startswith("foster_") for name in names) else {})
        programs.update(build(where, target, ["-p", "foster-kit", "--tests"]) if any(name in kit for name in names) else {})
        return programs

    def models(_):
        return build(where, target / "shuttle", ["-p", "foster-core", "-p", "foster-channel", "--lib"], RUSTFLAGS="--cfg foster_shuttle")

    run.known(QUICK + KIT, tests, 2)
    run.known(REAL, tests, 1)
    run.known(MODELS, models, 2)
    past("what caught them before")
    run.stage(QUICK + KIT, tests, 2, failing_surely)
    past("quick tests")
    run.stage(REAL, tests, 1, failing)
    past("with a real clock")
    run.stage(MODELS, models, 2, failing, MODELS_LIMIT)
    past("models of the races")
    write({number: "**survives**" for number in run.left})
    print(f"Survivors: {', '.join(MUTANTS[number][0] for number in run.left) or 'none'}.")


def main(arguments):
    sources = {file: (HERE.parent / place(file)).read_text() for _, file, _, _ in MUTANTS}
    astray = check(sources)
    if arguments == ["--check"]:
        astray += stale()
    elif arguments != ["--switch"]:
        astray += [f"{name}: no mutant" for name in arguments if name not in {mutant[0] for mutant in MUTANTS}]
    if astray or arguments == ["--check"]:
        sys.exit("\n".join(astray) if astray else print(f"{len(MUTANTS)} mutants fit"))
    with tempfile.TemporaryDirectory(prefix="mutation-") as where:
        where = pathlib.Path(os.environ.get("MUTATION_DIR") or where)
        copy(where / "copy", sources)
        if arguments != ["--switch"]:
            run_all(arguments, where / "copy", where / "target")


main(sys.argv[1:])
