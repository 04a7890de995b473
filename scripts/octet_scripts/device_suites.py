"""Runs what needs a GPU, many cases in a process: under ctest each case makes a context of its own,
which takes longer than most cases.

The cases that are not the CPU's run first, in shards side by side; then, one program after another,
the cases that have floors, each judged by its own. A timing case verifies what it times, so that
the case that verifies the same problem alone is left out. scripts/test --device has set up and
built; this is its second half. Exit status: 0 all passed, 1 some did not, 2 usage or environment, 130
interrupted.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from octet_scripts.bench import describe_exit, die_with_parent
from octet_scripts.gate_builds import cases_in
from octet_scripts.gate_pairs import chunks
from octet_scripts.gate_thresholds import read_folder
from octet_scripts.gate_verdict import GateError

CASES_PER_PROCESS = 150
# Of the programs whose cases take longer than others' by so much.
WEIGHT = {"huge_test": 9, "training_step_test": 4, "e4m3_test": 2, "spmm_test": 2}
TIMEOUT_S = 900
TIMED = re.compile(r"\.Timing/[0-9]+k(_|$)")
PASSED = r"^\[  PASSED  \] (\d+) tests?\."
SKIPPED = r"^\[  SKIPPED \] (\d+) tests?[.,]"
TAIL_LINES = 40
# Of glibc: freed memory stays with the process, as small pages that are touched first by case after
# case cost a tenth of the checks, and what is large lies in huge ones.
MALLOC = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"


@dataclass(frozen=True)
class Job:
    program: Path
    cases: tuple
    label: str

    def run(self, environment):
        """(whether all passed, a sentence, the output)."""
        start, output, wrong = time.monotonic(), "", []
        for chunk in chunks(self.cases):
            command = [str(self.program), "--gtest_brief=1", "--gtest_filter=" + ":".join(chunk)]
            try:
                result = subprocess.run(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, timeout=TIMEOUT_S, preexec_fn=die_with_parent,
                    check=False,
                )  # fmt: skip
                output += result.stdout.decode("utf-8", "replace")
                if result.returncode:
                    wrong.append(describe_exit(result.returncode))
            except subprocess.TimeoutExpired as error:
                output += (error.stdout or b"").decode("utf-8", "replace")
                wrong.append(f"no end after {TIMEOUT_S} s")
        passed, skipped = (sum(map(int, re.findall(pattern, output, re.M)))
                           for pattern in (PASSED, SKIPPED))  # fmt: skip
        if not wrong and passed + skipped != len(self.cases):
            wrong.append(f"{passed} passed and {skipped} were skipped")
        said = f"{passed} passed" + (f", {skipped} skipped" if skipped else "")
        if wrong:
            said = f"FAILED, {'; '.join(wrong)}, of {len(self.cases)} cases"
        return not wrong, f"{self.label}: {said}, {time.monotonic() - start:.0f} s", output


def listed(program):
    """The names of a program's cases, those of the CPU aside."""
    result = subprocess.run([str(program), "--gtest_list_tests", "--gtest_filter=-Cpu/*"],
                            capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # fmt: skip
    if result.returncode:
        raise GateError(f"{program} --gtest_list_tests: {describe_exit(result.returncode)}")
    return cases_in(result.stdout)


def plan(programs, with_floors, every_timing):
    """(jobs that run side by side, the longest first; jobs that run alone)."""
    together, alone = [], []
    for program in programs:
        names = listed(program)
        timed = [name for name in names
                 if TIMED.search(name) and (every_timing or name in with_floors)]  # fmt: skip
        verified = {name.replace(".Timing/", ".MatchesReference/") for name in timed}
        others = [name for name in names if not TIMED.search(name) and name not in verified]
        shards = -(-len(others) * WEIGHT.get(program.name, 1) // CASES_PER_PROCESS)
        for shard in range(shards):
            # In turn, so that each shard has its share of the models' sizes.
            label = program.name + (f" {shard + 1} of {shards}" if shards > 1 else "")
            together.append(Job(program, tuple(others[shard::shards]), label))
        if timed:
            alone.append(Job(program, tuple(timed), f"{program.name}, timing"))
    together.sort(key=lambda job: (-WEIGHT.get(job.program.name, 1), -len(job.cases)))
    return together, alone


def main():
    parser = argparse.ArgumentParser(prog="scripts/test --device", description=__doc__)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--thresholds", type=Path, required=True)
    parser.add_argument("--all", action="store_true", help="every timing case, floor or not")
    options = parser.parse_args()
    programs = sorted(p for p in options.programs.glob("*_test") if os.access(p, os.X_OK))
    if not programs:
        print(f"scripts/test: {options.programs} holds no test programs", file=sys.stderr)
        return 2
    try:
        with_floors = {floor.test for floor in read_folder(options.thresholds)}
        together, alone = plan(programs, with_floors, options.all)
    except GateError as error:
        print(f"scripts/test: {error}", file=sys.stderr)
        return 2

    cores = os.cpu_count() or 1
    # Three quarters of the cores took as long on a machine with 16.
    side_by_side = max(1, cores // 2)
    threads = str(max(2, 2 * cores // side_by_side))
    environment = {"OCTET_WATCHDOG": str(TIMEOUT_S - 60), "GLIBC_TUNABLES": MALLOC, **os.environ,
                   "OCTET_REQUIRE": "cuda", "OCTET_STEADY": "0",
                   "OCTET_THRESHOLDS": str(options.thresholds.resolve())}  # fmt: skip
    shared = {"OPENBLAS_NUM_THREADS": threads, "OCTET_CPU_THREADS": threads, **environment}
    verdicts, start = [], time.monotonic()

    def report(passed, sentence, output):
        verdicts.append(passed)
        print(f"[{len(verdicts)}/{len(together) + len(alone)}] {sentence}", flush=True)
        if not passed:
            print("\n".join(output.splitlines()[-TAIL_LINES:]), flush=True)

    with ThreadPoolExecutor(side_by_side) as pool:
        for future in as_completed([pool.submit(job.run, shared) for job in together]):
            report(*future.result())
    checked = time.monotonic() - start
    for job in alone:
        report(*job.run(environment))
    timed = time.monotonic() - start - checked
    cases, failed = sum(len(job.cases) for job in together + alone), verdicts.count(False)
    print(f"scripts/test: {cases} cases in {len(verdicts)} processes or more, {checked:.0f} s of "
          f"checks, {timed:.0f} s of timing, {failed or 'none'} failed")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
