#!/usr/bin/env python3
"""Mutation check: breaks the core in one place at a time, and prints which tests notice.

    tests/mutations.py [NAME ...]      all mutants, or those named; MUTATIONS.md has the result of a whole run
    tests/mutations.py --check         only looks whether each of them still fits the core

Works on a copy of the repository in a temporary directory, with a target directory of its own (`MUTATION_TARGET` keeps it
for the next run). Each mutant replaces one text, which must occur exactly once, and runs the quick tests: the suite on the
simulator with few seeds, the model with few programs. A mutant that only hangs is caught by the time limit
(`MUTATION_LIMIT`, in seconds); what had been running for more than a minute by then is named, with "(hangs)".
"""
import json, os, pathlib, re, shutil, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from mutants import MUTANTS

QUICK = [
    ("untested", {}), ("resting", {}), ("sim", {"FOSTER_SEEDS": "20"}),
    ("model", {"FOSTER_PROGRAMS": "400", "FOSTER_MODEL_PROGRAMS": "0"}), ("real", {"FOSTER_SECONDS": "20"}),
]
LIMIT = int(os.environ.get("MUTATION_LIMIT", "150"))    # seconds for a run


def copy(to):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parent, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE.parent / name, target)          # with new times: the target directory may hold a mutant


def failing(copy, target, test, settings):
    """The tests that fail, or the word for why there are none."""
    env = {**os.environ, **settings, "CARGO_TARGET_DIR": str(target), "RUST_BACKTRACE": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
    build = ["cargo", "test", "-q", "-p", "foster-conformance", "--test", test, "--no-run", "--message-format=json"]
    built = subprocess.run(build, cwd=copy, env=env, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"this does not compile:\n{built.stdout[-4000:]}")
    # Not run through cargo: what hangs has to be ended itself.
    binary = [name for line in built.stdout.splitlines() if (name := json.loads(line).get("executable"))][-1]
    try:
        run = subprocess.run([binary], cwd=copy / "tests", env=env, capture_output=True, timeout=LIMIT)
        output, ended = run.stdout.decode(), run.returncode == 0
    except subprocess.TimeoutExpired as stopped:
        output, ended = (stopped.stdout or b"").decode(), False
        hanging = re.findall(r"^test (\S+) has been running for over", output, re.M)
        hanging = [name for name in hanging if not re.search(rf"^test {re.escape(name)} \.\.\. ", output, re.M)]
        return re.findall(r"^test (\S+) .*FAILED$", output, re.M) + ([f"{name} (hangs)" for name in hanging] or ["(time limit)"])
    if ended:
        return []
    return re.findall(r"^test (\S+) .*FAILED$", output, re.M) or ["(abort)"]


def check():
    """Each edit has its one place in the core as it is now."""
    sources = {file: (HERE.parent / "core/src" / file).read_text() for _, file, _, _ in MUTANTS}
    astray = [f"{name}: {sources[file].count(old)} times in {file}" for name, file, old, _ in MUTANTS if sources[file].count(old) != 1]
    sys.exit("\n".join(astray) if astray else print(f"{len(MUTANTS)} mutants fit"))


def main(only):
    if only == ["--check"]:
        check()
    target = pathlib.Path(os.environ.get("MUTATION_TARGET") or tempfile.mkdtemp(prefix="mutation-target-"))
    with tempfile.TemporaryDirectory(prefix="mutation-") as where:
        where = pathlib.Path(where)
        copy(where)
        broken = [name for test, settings in QUICK for name in failing(where, target, test, settings)]
        assert not broken, f"these fail without any mutation: {broken}"
        print("| mutant | edit | caught by |\n|---|---|---|", flush=True)
        survivors = []
        for name, file, old, new in MUTANTS:
            if only and name not in only:
                continue
            path = where / "core/src" / file
            text = path.read_text()
            assert text.count(old) == 1, f"{name}: {file} has {text.count(old)} times {old!r}"
            path.write_text(text.replace(old, new))
            begin, caught = time.time(), []
            for test, settings in QUICK:
                names = failing(where, target, test, settings)
                rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
                caught += [f"{test}: " + ", ".join(f"`{name}`" for name in names[:3]) + rest] if names else []
            path.write_text(text)
            survivors += [] if caught else [name]
            line = lambda text: " ".join(text.split()).replace("|", "\\|")
            edit = f"`{line(old)}` → `{line(new) or ' '}`"
            print(f"| {name}<br>{file} | {edit} | {'; '.join(caught) or '**survives**'} |", flush=True)
            print(f"{name}: {time.time() - begin:.0f} s", file=sys.stderr)
        print(f"\nSurvivors: {', '.join(survivors) or 'none'}.")


main(sys.argv[1:])
