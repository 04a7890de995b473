"""scripts/gate merge and scripts/gate aa: base against head, in alternating processes.

gate_statistics says how it is judged, gate_state what is kept of it.
"""

import os
import platform
import sys
from pathlib import Path

from octet_scripts import gate_builds as builds
from octet_scripts import gate_merge_report as reporting
from octet_scripts.gate_evidence import Evidence
from octet_scripts.gate_machine import foreign_gpu_processes, lock, tell
from octet_scripts.gate_pairs import BAD, run_pair, run_side
from octet_scripts.gate_state import State
from octet_scripts.gate_statistics import Plan, conduct
from octet_scripts.gate_verdict import EXIT_STATUS, GateError

HOME = Path(__file__).resolve().parents[2]
# Whose commits and builds are judged: the tree that this is part of; of an installed octet, the
# project in the current folder.
ROOT = HOME if (HOME / "scripts" / "install").exists() else Path.cwd()
# What an environment can change about the cases; a pair measured under another is refused.
VARIABLES = ("OCTET_SEED", "OCTET_ITERATIONS", "OCTET_WARMUP", "OCTET_DISTRIBUTION",
             "OCTET_POLICY", "OCTET_LAYOUT", "OCTET_OUTLIER_THRESHOLD", "OCTET_OUTLIER_MODE",
             "OCTET_OUTLIER_SHARE", "OCTET_BIAS", "OCTET_SIZES", "OCTET_TENSORS", "OCTET_CACHE",
             "OCTET_PLANS", "CUDA_VISIBLE_DEVICES")  # fmt: skip


class HeadIsBroken(Exception):
    """The evidence holds problems of the head; no time needs to be judged."""


def make_side(name, revision, build):
    side = builds.Side(name)
    if revision is not None:
        side.revision = builds.resolve(ROOT, revision, name)
    if build is not None:
        side.build = Path(build).resolve()
        builds.find_programs(side)
    return side


def identity(side):
    """What names a side in the state: the commit, or the hashes of a build that was given."""
    if side.build is None:
        return side.revision
    return {"commit": side.revision, "programs": builds.fingerprint(side)}


def short_name(side):
    if side.revision:
        return side.revision[:12]
    digest = builds.hashlib.sha256(repr(builds.fingerprint(side)).encode())
    return "build-" + digest.hexdigest()[:12]


def asked(options, base, head):
    return {
        "command": options.command, "base": identity(base), "head": identity(head),
        "cases": options.cases, "backend": options.backend or "any", "margin": options.margin,
        "alpha": options.alpha, "looks": options.looks, "host": platform.node(),
        "preset": os.environ.get("OCTET_PRESET", "cpu"),
        "environment": {v: os.environ[v] for v in VARIABLES if v in os.environ},
    }  # fmt: skip


def prepare(side, state, options):
    if side.build is None:
        preset = os.environ.get("OCTET_PRESET", "cpu")
        builds.set_up(HOME, install=not options.no_install)
        source = state.folder.resolve() / side.name
        builds.check_out(ROOT, side, source)
        side.build = builds.build(side, source, preset, state.folder / f"{side.name}-build.log")
        builds.find_programs(side)
    state.pin(f"{side.name}_programs", builds.fingerprint(side))


def choose_backend(options, base, head):
    """The backend, on both sides."""
    have = {side.name: builds.available_backends(side) for side in (base, head)}
    backend = options.backend or ("cuda" if "cuda" in have["base"] else "cpu")
    for side in (base, head):
        if backend not in have[side.name]:
            raise GateError(f"the backend {backend} is not available to {side.name}: "
                            "it was not built or no device answers")  # fmt: skip
    return backend


class Measurement:
    """Measures what the state does not hold yet and gathers it as evidence."""

    def __init__(self, options, state, base, head, backend):
        self.options, self.state, self.backend = options, state, backend
        self.base, self.head = base, head
        base_cases, head_cases = base.all_cases(), head.all_cases()
        self.common = [case for case in base_cases if case in head_cases]
        self.vanished = [case for case in base_cases if case not in head_cases]
        self.new = [case for case in head_cases if case not in base_cases]
        self.groups = {}
        for case in self.common:
            programs = base_cases[case], head_cases[case]
            self.groups.setdefault(programs, []).append(case)
        self.head_cases = head_cases
        self.evidence = Evidence(self.common, head_cases)
        self.stored = state.pairs()
        self.device = state.content.get("device")
        self.measured = 0

    def check_new_cases(self):
        """Cases that base lacks have no time to be held against, but must pass."""
        if not self.new:
            return []
        if "new_cases" not in self.state.content:
            tell(f"{len(self.new)} cases that base lacks")
            by_program = {}
            for case in self.new:
                by_program.setdefault(self.head_cases[case], []).append(case)
            found, _ = run_side(self.head, by_program, self.state.records / "new-head.jsonl",
                                self.options.timeout)  # fmt: skip
            self.state.pin("new_cases", {c: [e["status"], e["reason"]] for c, e in found.items()})
        found = self.state.content["new_cases"]
        problems = [f"{c}: new, left no record" for c in self.new if c not in found]
        return problems + [f"{case}: new, {status}: {why}"
                           for case, (status, why) in found.items() if status in BAD]  # fmt: skip

    def measure(self, pairs):
        """Goes on until there are so many pairs; {series: values}."""
        while self.evidence.pairs < pairs:
            number = self.evidence.pairs
            pair = self.stored[number] if number < len(self.stored) else self._run(number, pairs)
            self._check_device(pair)
            self.evidence.add(pair)
            if self.evidence.problems:
                raise HeadIsBroken
            if not self.evidence.values:
                why = sorted(set(self.evidence.left_out.values()))
                raise GateError(f"no case can be compared: {'; '.join(why)}")
        return self.evidence.values

    def _run(self, number, pairs):
        busy = self._busy(number)
        pair = run_pair(number, self.base, self.head, list(self.groups.items()),
                        self.state.records, self.options.timeout)  # fmt: skip
        pair["busy"] = busy
        self._check_device(pair)
        self.state.append(pair)
        self.measured += 1
        until = max(pairs, self.options.looks[0])
        tell(f"pair {number + 1} of {until} ({' '.join(pair['order'])})")
        return pair

    def _busy(self, number):
        if self.backend != "cuda":
            return []
        busy = foreign_gpu_processes((self.device or {}).get("uuid"))
        if busy:
            who = f"process{'es' if len(busy) > 1 else ''} {', '.join(map(str, busy))}"
            if self.measured == 0 and not self.options.allow_busy:
                raise GateError(f"the GPU is busy with {who}; --allow-busy measures nonetheless")
            tell(f"pair {number + 1}: the GPU is busy with {who}; the pair is marked")
        return busy

    def _check_device(self, pair):
        """One device for all pairs: never across machines."""
        for device in pair.get("devices", []):
            self.state.pin("device", device)
            self.device = device


def compare(options, state, base, head):
    """Returns (verdict, Report)."""
    prepare(base, state, options)
    prepare(head, state, options)
    backend = choose_backend(options, base, head)
    for side in (base, head):
        builds.list_cases(side, backend, options.cases)
    if not base.cases:
        raise GateError(f"base has no {backend} Timing case that matches '{options.cases}'")
    run = Measurement(options, state, base, head, backend)
    problems = [f"{case}: missing on head, present on base" for case in run.vanished]
    outcome, plan = None, None
    if not problems:
        # One set of choices for both sides, so that a tuner that flips is no change of the kernels:
        # base runs first and chooses, later processes find its choices in the file.
        plans = os.environ.get("OCTET_PLANS") or state.folder / "plans"
        os.environ["OCTET_PLANS"] = os.path.abspath(plans)
        tell(f"{len(run.common)} cases on {backend}: {base.label} against {head.label}, looks at "
             f"{', '.join(map(str, options.looks))} pairs; state: {state.folder}")  # fmt: skip
        try:
            series = len(run.measure(1))
            problems = run.check_new_cases()
            if problems:
                raise HeadIsBroken
            plan = Plan(max(series, len(run.common)), options.margin, options.alpha,
                        tuple(options.looks))  # fmt: skip
            outcome = conduct(plan, run.measure, reporting.tell_look(plan))
        except HeadIsBroken:
            problems = problems or run.evidence.problems
    return reporting.conclude(options, ROOT, base, head, run, plan, outcome, problems)


def check_options(options):
    looks = options.looks
    if any(b <= a for a, b in zip(looks, looks[1:])):
        raise GateError("--looks must name ascending numbers of pairs")
    if getattr(options, "history", None):
        reporting.read_history(options.history)  # refused now rather than after the measurement
    plan = Plan(1, options.margin, options.alpha, tuple(looks))
    if plan.pairs_to_fail(looks[-1]) is None:
        raise GateError(f"--looks ends at {looks[-1]} pairs, which can prove nothing "
                        f"at --alpha {options.alpha}")  # fmt: skip


def sides(options):
    """Base and head as asked; aa has one side, twice."""
    base_revision = options.base
    if options.command == "aa":
        if base_revision is None and options.base_build is None:
            base_revision = "HEAD"
        base = make_side("base", base_revision, options.base_build)
        head = make_side("head", base_revision, options.base_build)
        return base, head
    if base_revision is None and options.base_build is None:
        raise GateError("merge needs --base REV (or --base-build DIR)")
    head_revision = options.head
    if head_revision is None and options.head_build is None:
        head_revision = "HEAD"
    return (make_side("base", base_revision, options.base_build),
            make_side("head", head_revision, options.head_build))  # fmt: skip


def main(options):
    check_options(options)
    base, head = sides(options)
    name = f"{short_name(base)}-{short_name(head)}"
    if options.command == "aa":
        name = f"aa-{short_name(base)}"
    if head.build is None and options.command == "merge" and options.head is None:
        if builds.git(ROOT, "status", "--porcelain").stdout.strip():
            tell(f"head is the commit {head.label}; uncommitted changes are no part of it")
    with lock(wait=not options.no_wait):
        if tensors := os.environ.get("OCTET_TENSORS"):
            os.environ["OCTET_TENSORS"] = os.path.abspath(tensors)
        state = State(options.state or ROOT / "build" / "gate" / name, asked(options, base, head))
        if options.command == "aa" and head.build is None and not options.two_builds:
            prepare(base, state, options)
            head.build, head.programs = base.build, base.programs
        try:
            verdict, report = compare(options, state, base, head)
        except KeyboardInterrupt:
            tell(f"interrupted; the same command goes on where this stopped ({state.folder})")
            return 130
    report.print(sys.stdout)
    report.append_markdown(options.markdown)
    return EXIT_STATUS[verdict]

