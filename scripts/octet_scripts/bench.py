"""Runs the main job's cases, one process each, and prints the table of what they recorded.

scripts/bench has checked the arguments, set up and built; this is its second half. Exit status: 0
all cases passed, 1 some did not, 130 interrupted.
"""

import argparse
import collections
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from octet_scripts import records, table

TAIL_LINES = 30
WATCHDOG_S = "3600"  # the longest case takes a CPU a quarter of that


@dataclass
class Outcome:
    test: str
    verdict: str  # PASSED, or what went wrong
    rerun: str


def tell(text):
    print(text, file=sys.stderr, flush=True)


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """In a child before it runs: it ends when this process is killed, and writes no records beside
    those of whoever goes on."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


def run_process(command, environment):
    """Returns (exit status, last lines of output). On a terminal the child's stderr is ours."""
    tail = collections.deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent,
    ) as process:
        try:
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
        except KeyboardInterrupt:
            process.terminate()
            raise
    return process.returncode, list(tail)


# tests/harness/ends.hpp: a case ended its process, and those behind it were not begun.
ENDS = {70: "the device was lost", 71: "ended by the watchdog"}


def describe_exit(status):
    if status >= 0:
        why = f" ({ENDS[status]})" if status in ENDS else ""
        return f"exit status {status}{why}"
    name = signal.Signals(-status).name
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def judge(status, case_records):
    """PASSED only where the process says so and a record does."""
    if not case_records:
        return f"no record was written, {describe_exit(status)}"
    record = case_records[-1]
    if record.get("status") != "PASSED":
        return f"{record.get('status')}: {record.get('reason') or describe_exit(status)}"
    return "PASSED" if status == 0 else f"recorded as PASSED, but {describe_exit(status)}"


def run_case(test, position, options, path):
    command = [options.binary, f"--gtest_filter={test}"]
    environment = dict(os.environ, OCTET_RECORDS=str(path), OCTET_REQUIRE=options.backend)
    for name, value in (("ITERATIONS", options.iterations), ("WARMUP", options.warmup)):
        if value is not None:
            environment[f"OCTET_{name}"] = str(value)
    if options.iterations is None:  # what is asked for may take as long as it likes
        environment.setdefault("OCTET_WATCHDOG", WATCHDOG_S)
    skip = count_lines(path)
    tell(f"[{position}] {test} ...")
    start = time.monotonic()
    status, tail = run_process(command, environment)
    seconds = time.monotonic() - start
    written = records.read(path, skip)[0] if path.exists() else []
    mine = [record for record in written if record.get("test") == test]
    verdict = judge(status, mine)
    tell(f"[{position}] {test}: {verdict} after {seconds:.1f} s")
    if verdict != "PASSED":
        for line in tail:
            tell(f"    {line}")
    rerun = (mine[-1].get("rerun") if mine else None) or " ".join(
        [f"OCTET_REQUIRE={options.backend}", *command]
    )
    return Outcome(test, verdict, rerun)


def count_lines(path):
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def end_last_line(path):
    """So that a line that an earlier run left truncated does not spoil the first of this run."""
    if path.exists():
        with open(path, "rb+") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0:
                if file.read(1) != b"\n":
                    file.write(b"\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="octet_scripts.bench", description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--sizes", required=True)
    parser.add_argument("--dtypes", required=True)
    parser.add_argument("--records", required=True, type=Path)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--warmup", type=int)
    options = parser.parse_args(arguments)

    path = options.records
    path.parent.mkdir(parents=True, exist_ok=True)
    end_last_line(path)
    skip = count_lines(path)
    tests = [
        f"{options.backend.capitalize()}/TrainingStep_{dtype}.Timing/{size}"
        for size in options.sizes.split(",")
        for dtype in options.dtypes.split(",")
    ]
    outcomes, interrupted = [], False
    for i, test in enumerate(tests, 1):
        try:
            outcomes.append(run_case(test, f"{i}/{len(tests)}", options, path))
        except KeyboardInterrupt:
            interrupted = True
            tell("interrupted")
            break

    recorded, problems = records.read(path, skip) if path.exists() else ([], [])
    for problem in problems:
        tell(f"scripts/bench: left out {problem}")
    text = table.render(recorded)
    if text:
        tell("")
        print(text, flush=True)
    failed = [outcome for outcome in outcomes if outcome.verdict != "PASSED"]
    for outcome in failed:
        tell(f"not passed: {outcome.test}: {outcome.verdict}\n  again: {outcome.rerun}")
    if recorded:
        tell(f"records: {path}")
    tell(f"scripts/bench: {len(outcomes) - len(failed)} of {len(tests)} cases passed")
    if interrupted:
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
