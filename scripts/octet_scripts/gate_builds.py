"""The two builds that a merge gate compares: revisions, worktrees, programs and their cases."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from octet_scripts.gate_machine import tell
from octet_scripts.gate_verdict import GateError, HeadError

TAIL_LINES = 30


@dataclass
class Side:
    """base or head."""

    name: str
    revision: str = None  # full commit; None where a build folder was given
    build: Path = None
    programs: dict = field(default_factory=dict)  # name -> path
    cases: dict = field(default_factory=dict)  # program -> Timing cases in their order

    @property
    def error(self):
        return HeadError if self.name == "head" else GateError

    @property
    def label(self):
        return self.revision[:12] if self.revision else str(self.build)

    def all_cases(self):
        return {case: program for program, cases in self.cases.items() for case in cases}


def clean_environment():
    """Without what a git hook sets: it would lead git, here and in the builds, to another tree."""
    return {k: v for k, v in os.environ.items()
            if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")}  # fmt: skip


def git(root, *arguments):
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, errors="replace", env=clean_environment(),
    )  # fmt: skip


def resolve(root, revision, name):
    """The full commit that a revision names."""
    if revision.startswith("-") or not revision.strip():
        raise GateError(f"--{name} is '{revision}', which is no revision")
    result = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options",
                 f"{revision}^{{commit}}")  # fmt: skip
    if result.returncode != 0:
        raise GateError(f"--{name} '{revision}' does not name a commit of {root}")
    return result.stdout.strip()


def check_out(root, side, folder):
    """A worktree of the side's commit; one that is there already is kept."""
    if (folder / ".git").exists():
        found = git(folder, "rev-parse", "HEAD").stdout.strip()
        if found != side.revision or git(folder, "status", "--porcelain").stdout.strip():
            raise GateError(f"the worktree {folder} is not a clean {side.label}; "
                            "name another folder with --state")  # fmt: skip
        return
    # --force: git may still list a worktree here that was removed by hand.
    result = git(root, "worktree", "add", "--force", "--detach", str(folder), side.revision)
    if result.returncode != 0:
        raise GateError(f"git worktree add {folder} failed: {result.stderr.strip()[-300:]}")


def set_up(root, install):
    """What building needs, as scripts/set_up.sh finds and installs it."""
    script = 'source "$1/scripts/set_up.sh"; set_up "${@:2}"'
    more = [] if install else ["--no-install"]
    result = subprocess.run(
        ["bash", "-c", script, "set_up", str(root), *more], stdin=subprocess.DEVNULL,
        stdout=sys.stderr, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise GateError("what building needs is missing")


def build(side, source, preset, log):
    """Configures and builds a preset in a worktree. What cmake says goes to a log."""
    jobs = str(len(os.sched_getaffinity(0)))
    tell(f"building {side.name} {side.label} with the preset {preset}; log: {log}")
    with open(log, "ab") as output:
        for command in (
            ["cmake", "--preset", preset],
            ["cmake", "--build", "--preset", preset, "--parallel", jobs],
        ):
            try:
                status = subprocess.run(
                    command, cwd=source, stdout=output, stderr=subprocess.STDOUT, check=False,
                    stdin=subprocess.DEVNULL, env=clean_environment(),
                ).returncode  # fmt: skip
            except OSError as error:
                raise GateError(f"cannot run {command[0]}: {error.strerror}") from None
            if status != 0:
                for line in Path(log).read_text(errors="replace").splitlines()[-TAIL_LINES:]:
                    tell(f"    {line}")
                raise side.error(f"{side.name} {side.label} does not build; log: {log}")
    return source / "build" / preset


def find_programs(side):
    """The test programs of a build folder, in its tests/ or in itself."""
    for folder in (side.build, side.build / "tests"):
        programs = {
            path.name: path.resolve()
            for path in sorted(folder.glob("*_test"))
            if path.is_file() and os.access(path, os.X_OK)
        }
        side.programs = programs or side.programs
    if not side.programs:
        raise side.error(f"no test program in {folder}: is {side.name} built?")


def fingerprint(side):
    """{program: hash}: what resuming must find unchanged."""
    found = {}
    for name, path in side.programs.items():
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found[name] = digest.hexdigest()
    return found


def _ask(side, program, argument):
    try:
        return subprocess.run(
            [str(side.programs[program]), argument], capture_output=True, text=True, timeout=120,
            check=False, stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise side.error(f"{side.name}: {program} {argument} failed: {error}") from None


def cases_in(listing):
    """The full names in what --gtest_list_tests prints."""
    suite, cases = "", []
    for line in listing.splitlines():
        text = line.split("#")[0].rstrip()
        if text.startswith(" "):
            cases.append(suite + text.strip())
        else:
            suite = text
    return cases


def list_cases(side, backend, pattern):
    """Sets the side's Timing cases of a backend whose names match."""
    wanted, prefix = re.compile(pattern), f"{backend.capitalize()}/"
    for program in side.programs:
        result = _ask(side, program, "--gtest_list_tests")
        if result.returncode != 0:
            raise side.error(f"{side.name}: {program} --gtest_list_tests ends with exit status "
                             f"{result.returncode}")  # fmt: skip
        cases = [case for case in cases_in(result.stdout)
                 if case.startswith(prefix) and ".Timing/" in case and wanted.search(case)]  # fmt: skip
        if cases:
            side.cases[program] = cases


def available_backends(side):
    """Backends that answer, as the first program that can be asked says."""
    for program in side.programs:
        result = _ask(side, program, "--available")
        if result.returncode == 0:
            return result.stdout.split()
    raise side.error(f"{side.name}: no test program answers --available")
