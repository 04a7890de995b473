"""The tree in which faults are planted, its build, and the suites that must notice them."""

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from octet_scripts.gate_builds import git

NOTICED, SURVIVED, NOT_BUILT, TIMED_OUT = "noticed", "survived", "not built", "timed out"
TAIL_CHARACTERS = 2000
SANITIZER = "compute-sanitizer"
KEPT_VARIABLES = ("OCTET_PROPERTIES", "OCTET_CPU_THREADS", "OCTET_THRESHOLDS")


class MutateError(Exception):
    """One sentence for people; ends the run with status 2."""


def run_bounded(command, limit_s, **settings):
    """(exit status or None where the limit ended it, output). Ends everything it started."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, errors="replace", start_new_session=True, **settings,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit_s)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def suite_command(suite, programs, tests):
    """programs: the folder of the built ones; tests: the tree's tests/."""
    if suite.is_script:
        return ["python3", str(tests / suite.program), *shlex.split(suite.cases), "--failfast"]
    command = [str(programs / suite.program), f"--gtest_filter={suite.cases or '*'}",
               "--gtest_fail_fast", "--gtest_brief=1"]  # fmt: skip
    if suite.tool:
        return [SANITIZER, "--tool", suite.tool, "--error-exitcode", "1", *command]
    return command


def has_sanitizer():
    return shutil.which(SANITIZER) is not None


def environment(backend):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith("OCTET_") or k in KEPT_VARIABLES}
    if backend == "cuda":
        clean["OCTET_REQUIRE"] = "cuda"
    clean["PYTHONDONTWRITEBYTECODE"] = "1"
    return clean


def judge(limits, backend, programs, tests, folder):
    """(outcome, suite that noticed, what it said). Runs suites until one fails; limits: suite ->
    the seconds that it may take. Those under a tool that is not here are left out."""
    for suite, limit_s in limits.items():
        if suite.tool and not has_sanitizer():
            continue
        status, output = run_bounded(suite_command(suite, programs, tests), limit_s,
                                     cwd=folder, env=environment(backend))  # fmt: skip
        label = suite.label
        if status is None:
            return TIMED_OUT, label, output[-TAIL_CHARACTERS:]
        # A filter that matches nothing proves nothing: the programs say so with status 2.
        if status == 2 and "no test matches" in output:
            continue
        if status != 0:
            return NOTICED, label, output[-TAIL_CHARACTERS:]
    return SURVIVED, "", ""


class Tree:
    """A copy of the working tree (tracked and new files) and a build of it."""

    def __init__(self, root, folder, backend, jobs):
        self.root, self.folder, self.jobs = Path(root), Path(folder).resolve(), jobs
        self.source, self.backend = self.folder / "tree", backend
        self.preset = "cuda" if backend == "cuda" else "cpu"
        self.build = self.source / "build" / self.preset
        self.needs_build = backend != "scripts"

    def files(self):
        result = git(self.root, "ls-files", "-co", "--exclude-standard", "-z")
        if result.returncode != 0:
            raise MutateError(f"{self.root} is no git worktree: {result.stderr.strip()}")
        return sorted(f for f in result.stdout.split("\0") if f and (self.root / f).is_file())

    def refresh(self):
        """What is the same keeps its time, so that nothing is built for it."""
        wanted = set(self.files())
        if self.source.is_dir():
            for path in [p for p in self.source.rglob("*") if p.is_file()]:
                name = str(path.relative_to(self.source))
                if not name.startswith("build/") and name not in wanted:
                    path.unlink()
        for name in wanted:
            source, target = self.root / name, self.source / name
            if target.is_file() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def configure(self):
        status, output = run_bounded(
            ["cmake", "--preset", self.preset], 600, cwd=self.source,
        )  # fmt: skip
        if status != 0:
            raise MutateError(f"the tree could not be configured:\n{output[-TAIL_CHARACTERS:]}")

    def programs(self):
        """Names of the test programs that this build has."""
        listed = subprocess.run(["ninja", "-C", str(self.build), "-t", "targets", "all"],
                                capture_output=True, text=True, check=False)  # fmt: skip
        return {line.split(":")[0].removeprefix("tests/") for line in listed.stdout.splitlines()
                if line.startswith("tests/") and line.split(":")[0].endswith("_test")}  # fmt: skip

    def make(self, targets, limit_s):
        """Whether they were built, and what was said."""
        if not targets:
            return True, ""
        status, output = run_bounded(["cmake", "--build", str(self.build), "--parallel",
                                      str(self.jobs), "--target", *sorted(targets)],
                                     limit_s)  # fmt: skip
        return status == 0, output[-TAIL_CHARACTERS:]

    def read(self, name):
        return (self.source / name).read_text()

    def plant(self, mutant):
        path = self.planted = self.source / mutant.file
        self.original = path.read_text()
        lines = self.original.splitlines(keepends=True)
        end = "\n" if lines[mutant.number - 1].endswith("\n") else ""
        lines[mutant.number - 1] = mutant.after + end
        path.write_text("".join(lines))

    def restore(self):
        self.planted.write_text(self.original)

    def judge(self, suite, limit_s):
        folder = self.build if self.needs_build else self.source
        return judge({suite: limit_s}, self.backend, self.build / "tests", self.source / "tests",
                     folder)  # fmt: skip
