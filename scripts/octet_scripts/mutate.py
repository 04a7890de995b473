"""scripts/mutate: plants faults, one at a time, and tells which of them no suite noticed."""

import argparse
import fcntl
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

from octet_scripts import mutate_build, mutate_faults, mutate_suites
from octet_scripts.mutate_build import NOT_BUILT, NOTICED, SURVIVED, TIMED_OUT, MutateError, Tree
from octet_scripts.mutate_suites import Suite

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = "tests/equivalent_mutants.json"
PASSED, SURVIVORS, USAGE = 0, 1, 2
JUDGED = (NOTICED, TIMED_OUT, SURVIVED)
BUILT = "built"
SLOWER = 4.0  # than without a fault: a suite hangs
LONG = 5.0  # times the limit, for suites of tens of GiB or under a sanitizer
HOPELESS_S = 1800.0  # of one suite without a fault


def tell(text):
    print(f"mutate: {text}", file=sys.stderr, flush=True)


# ---- what is planted ----


def load_equivalent(root):
    """{(file, hash of the line before and after): reason}"""
    entries = json.loads((root / EQUIVALENT).read_text())
    return {(e["file"], e["line"]): e["reason"] for e in entries}


def chosen_files(tree, options):
    files = [f for f in tree.files() if mutate_suites.backend_of(f) == options.backend]
    if options.files:
        files = [f for f in files if any(fnmatch.fnmatch(f, p) for p in options.files)]
    if not files:
        raise MutateError(f"no file of the backend {options.backend} matches {options.files}")
    return files


def suites_of(mutant):
    found = mutate_suites.suites(mutant.file)
    return mutate_suites.huge_suites(mutant.file) + found if mutant.fault == "index" else found


def built_suites(mutant, programs):
    return [s for s in suites_of(mutant) if set(s.programs) <= programs]


# ---- the state of a run ----


class Results:
    """A line of JSON for each mutant, so that an interrupted run goes on where it was."""

    def __init__(self, path):
        self.path, self.lines = path, {}
        if path.is_file():
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                self.lines[entry["name"]] = entry

    def add(self, mutant, outcome, suite="", said="", **more):
        entry = {"name": mutant.name, "file": mutant.file, "line": mutant.number,
                 "fault": mutant.fault, "hash": mutant.line_hash, "before": mutant.before.strip(),
                 "after": mutant.after.strip(), "outcome": outcome, "suite": suite, "said": said,
                 **more}  # fmt: skip
        self.lines[mutant.name] = entry
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        return entry


def entry_text(entry):
    return f"{entry['file']}:{entry['line']} ({entry['fault']}, {entry['hash']})\n" + (
        f"    - {entry['before']}\n    + {entry['after']}"
    )


def report(entries, target, out=None):
    """Prints what was found; the exit status."""
    out = out or sys.stdout
    judged = [e for e in entries if e["outcome"] in JUDGED]
    survived = [e for e in judged if e["outcome"] == SURVIVED]
    not_built = sum(e["outcome"] == NOT_BUILT for e in entries)
    by_file = {}
    for e in judged:
        noticed, count = by_file.get(e["file"], (0, 0))
        by_file[e["file"]] = (noticed + (e["outcome"] != SURVIVED), count + 1)
    for file, (noticed, count) in sorted(by_file.items()):
        print(f"{noticed:4d} of {count:<4d} {file}", file=out)
    for e in survived:
        print(f"SURVIVED {entry_text(e)}", file=out)
    share = (len(judged) - len(survived)) / len(judged) if judged else 0.0
    print(
        f"{len(judged) - len(survived)} of {len(judged)} planted faults were noticed ({share:.1%}, "
        f"target {target:.0%}); {not_built} that do not build were drawn again",
        file=out,
    )
    return PASSED if judged and share >= target else SURVIVORS


# ---- running ----


def stage_of_huge(suite):
    return suite.program == "huge_test"


def plant_all(options, keep=None):
    """keep(tree, mutant, suites) is called instead of judging where given."""
    state = options.state or ROOT / "build" / "mutate"
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MutateError(f"another scripts/mutate works in {state}") from None
        return plant_in(state, options, keep)


def plant_in(state, options, keep):
    tree = Tree(ROOT, state, options.backend, options.jobs)
    tree.refresh()
    files = chosen_files(tree, options)
    equivalent = load_equivalent(tree.source)
    programs = set()
    if tree.needs_build:
        tree.configure()
        programs = tree.programs()
    results = Results(state / f"results-{options.backend}{'-built' if keep else ''}.jsonl")
    entries, seen_equivalent, deadline = [], 0, time.monotonic() + options.minutes * 60
    without_a_fault = WithoutAFault(options, tree)

    texts = {f: tree.read(f) for f in files}
    for mutant in mutate_faults.draw(texts, options.seed):
        if sum(e["outcome"] in JUDGED or e["outcome"] == BUILT for e in entries) >= options.count:
            break
        if (mutant.file, mutant.line_hash) in equivalent:
            seen_equivalent += 1
            continue
        if mutant.name in results.lines and not (
            options.again and results.lines[mutant.name]["outcome"] == SURVIVED
        ):
            entries.append(results.lines[mutant.name])
            continue
        if time.monotonic() > deadline:
            tell(f"{options.minutes} minutes are over after {len(entries)} mutants")
            break
        suites = built_suites(mutant, programs)
        if keep:
            without_a_fault.build(programs_of(suites))
        began = time.monotonic()
        tree.plant(mutant)
        try:
            if keep:
                entry = build_and_keep(tree, mutant, suites, results, keep)
            else:
                entry = one(tree, mutant, suites, results, without_a_fault, began)
        finally:
            tree.restore()
        entries.append(entry)
        tell(f"{len(entries)}: {entry['outcome']} ({time.monotonic() - began:.0f} s) "
             f"{mutant.file}:{mutant.number} {mutant.fault} {entry['suite']}")  # fmt: skip
    if seen_equivalent:
        tell(f"{seen_equivalent} equivalent mutants of {EQUIVALENT} were passed over")
    return entries


def programs_of(suites):
    return {program for suite in suites for program in suite.programs}


class WithoutAFault:
    """What the tree does as it is, asked for once a suite has noticed something: a suite that fails
    anyway notices everything, and one that is slow anyway does not hang."""

    def __init__(self, options, tree):
        self.options, self.tree = options, tree
        self.seconds, self.programs = {}, set()

    def build(self, programs):
        if programs <= self.programs:
            return
        tell(f"building {' '.join(sorted(programs - self.programs))} without a fault")
        built, output = self.tree.make(programs, HOPELESS_S)
        if not built:
            raise MutateError(f"the tree does not build without a fault:\n{output}")
        self.programs |= programs

    def limit(self, suite):
        return max(self.options.timeout, SLOWER * self.seconds.get(suite, 0))

    def require(self, suite, mutant):
        if suite in self.seconds:
            return
        if mutant is not None:
            self.tree.restore()
        self.build(programs_of([suite]))
        built, output = self.tree.make(suite.programs, HOPELESS_S)
        began = time.monotonic()
        outcome, label, said = self.tree.judge(suite, HOPELESS_S)
        if not built or outcome != SURVIVED:
            raise MutateError(f"{label or suite.program} fails without a fault:\n{said or output}")
        self.seconds[suite] = time.monotonic() - began
        if mutant is not None:
            self.tree.plant(mutant)


def not_compiled(tree, mutant, suites):
    """Why a mutant cannot be run; None where it can. Of programs the first suite's are built."""
    if tree.needs_build:
        built, output = tree.make(suites[0].programs, HOPELESS_S)
        return None if built else output
    try:
        compile(tree.read(mutant.file), mutant.file, "exec")
    except SyntaxError as error:
        return str(error)
    return None


def build_and_keep(tree, mutant, suites, results, keep):
    built, output = tree.make(programs_of(suites), HOPELESS_S)
    if not built:
        return results.add(mutant, NOT_BUILT, said=output)
    return results.add(mutant, BUILT, **keep(tree, mutant, suites))


def one(tree, mutant, suites, results, without_a_fault, began):
    """Suite by suite, each built when its turn comes, until one notices."""
    said = not_compiled(tree, mutant, suites)
    if said is not None:
        return results.add(mutant, NOT_BUILT, said=said)
    outcome = SURVIVED
    for suite in suites:
        tree.make(suite.programs, HOPELESS_S)
        outcome, label, said = tree.judge(suite, without_a_fault.limit(suite))
        if outcome == SURVIVED:
            continue
        known = suite in without_a_fault.seconds
        without_a_fault.require(suite, mutant)
        if outcome == TIMED_OUT and not known:
            tree.make(suite.programs, HOPELESS_S)
            outcome, label, said = tree.judge(suite, without_a_fault.limit(suite))
            if outcome == SURVIVED:
                continue
        break
    return results.add(mutant, outcome, label, said, seconds=round(time.monotonic() - began, 1))


# ---- built here, judged elsewhere ----


def stripped(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    subprocess.run(["strip", str(target)], check=False, stderr=subprocess.DEVNULL)


def build_only(options):
    folder = options.build_only.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    used = set()

    def keep(tree, mutant, suites):
        # Three programs tell what more would: the properties, the operator's suite, huge indices.
        kept = suites if mutant.fault == "index" else [s for s in suites if not stage_of_huge(s)]
        for program in programs_of(kept):
            stripped(tree.build / "tests" / program, folder / mutant.folder / program)
        used.update(kept)
        return {"folder": mutant.folder, "suites": [astuple(s) for s in kept]}

    entries = plant_all(options, keep)
    built = [e for e in entries if e["outcome"] == BUILT]
    # Without a fault, so that a suite that fails anyway is not taken for one that notices.
    tree = Tree(ROOT, options.state or ROOT / "build" / "mutate", options.backend, options.jobs)
    programs = {program for e in built for program, *_ in e["suites"]}
    made, output = tree.make(programs, 7200)
    if not made:
        raise MutateError(f"the tree does not build without a fault:\n{output}")
    for program in programs:
        stripped(tree.build / "tests" / program, folder / "without_a_fault" / program)
    shutil.copytree(tree.source / "tests" / "thresholds", folder / "thresholds",
                    dirs_exist_ok=True)  # fmt: skip
    manifest = {"backend": options.backend, "seed": options.seed, "mutants": built}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    tell(f"{len(built)} mutants lie in {folder}; there: scripts/mutate --judge {folder}")
    return PASSED if len(built) >= options.count else SURVIVORS


def judge_built(options):
    folder = options.judge.resolve()
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except OSError as error:
        raise MutateError(f"{folder} holds no manifest.json: {error.strerror}") from None
    backend = manifest["backend"]
    os.environ["PATH"] += os.pathsep + "/usr/sbin"

    if backend == "cuda" and not mutate_build.has_sanitizer():
        tell(f"{mutate_build.SANITIZER} is not on the PATH: the suites under it are left out")

    def run(programs, suites):
        limits = {s: options.timeout * (LONG if stage_of_huge(s) or s.tool else 1) for s in suites}
        return mutate_build.judge(limits, backend, programs, folder, folder)

    entries, noticed = [], {}
    for e in manifest["mutants"]:
        began = time.monotonic()
        suites = {s.label: s for s in (Suite(*entry) for entry in e["suites"])}
        outcome, label, said = run(folder / e["folder"], suites.values())
        seconds = round(time.monotonic() - began, 1)
        entries.append({**e, "outcome": outcome, "suite": label, "said": said, "seconds": seconds})
        tell(f"{outcome:9s} {seconds:5.1f} s {e['file']}:{e['line']} {e['fault']} {label}")
        if outcome != SURVIVED:
            noticed[label] = suites[label]
    if not options.no_base:
        # What fails anyway has noticed nothing.
        began = time.monotonic()
        outcome, label, said = run(folder / "without_a_fault", noticed.values())
        if outcome != SURVIVED:
            raise MutateError(f"{label} fails without a fault:\n{said}")
        tell(f"without a fault these suites pass ({time.monotonic() - began:.0f} s)")
    return entries


# ---- arguments ----


class Parser(argparse.ArgumentParser):
    """Errors are one sentence."""

    def error(self, message):
        self.exit(USAGE, f"{self.prog}: {message}; scripts/mutate --help explains\n")


def positive(text):
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"'{text}' must be a positive number")
    return value


def whole(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least 1")
    return value


def share(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' must lie between 0 and 1")
    return value


positive.__name__, whole.__name__, share.__name__ = "number", "whole number", "share"


def parser():
    p = Parser(prog="scripts/mutate", allow_abbrev=False)
    p.add_argument("--backend", choices=tuple(mutate_suites.FILES), default="cpu")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=whole, default=60)
    p.add_argument("--files", metavar="GLOB", action="append", default=[])
    p.add_argument("--target", type=share, default=0.97)
    p.add_argument("--jobs", type=whole, default=os.cpu_count() or 1)
    p.add_argument("--minutes", type=positive, default=600.0)
    p.add_argument("--timeout", metavar="SECONDS", type=positive, default=60.0)
    p.add_argument("--state", metavar="DIR", type=Path)
    p.add_argument("--again", action="store_true")
    p.add_argument("--json", metavar="FILE", type=Path)
    p.add_argument("--list", action="store_true")
    p.add_argument("--build-only", metavar="DIR", type=Path)
    p.add_argument("--judge", metavar="DIR", type=Path)
    p.add_argument("--no-base", action="store_true")
    return p


def list_mutants(options):
    tree = Tree(ROOT, options.state or ROOT / "build" / "mutate", options.backend, 1)
    texts = {f: (ROOT / f).read_text() for f in chosen_files(tree, options)}
    known = load_equivalent(ROOT)
    count = 0
    for mutant in mutate_faults.draw(texts, options.seed):
        if (mutant.file, mutant.line_hash) in known:
            continue
        print(f"{mutant.line_hash} {mutant.diff}")
        count += 1
        if count == options.count:
            break
    return PASSED


def main(arguments=None):
    options = parser().parse_args(arguments)
    # Also where a shell that ran this in the background has SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.list:
            return list_mutants(options)
        if options.build_only:
            return build_only(options)
        entries = judge_built(options) if options.judge else plant_all(options)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(entries, indent=1) + "\n")
        return report(entries, options.target)
    except MutateError as error:
        tell(str(error))
        return USAGE
    except KeyboardInterrupt:
        tell("interrupted; the same command goes on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
