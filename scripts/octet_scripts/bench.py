"""Runs the main job's cases, one process each, and prints the table of what they recorded. On a
terminal one line says what is running, how many cases are done and about how long the rest takes.

scripts/bench has checked the arguments, set up and built; this is its second half. Exit status: 0
all cases passed, 1 some did not, 130 interrupted.
"""

import argparse
import collections
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from octet_scripts import records, table

TAIL_LINES = 30
TICK_S = 0.5
# What a case writes before each of its parts: [ size part/parts ] what it does.
PART = re.compile(r"\[ +\S+(?: (\d+)/(\d+))? \] (.*)")
# Progress that is too little to tell from how long the rest takes.
LEAST_SHARE = 0.02
WATCHDOG_S = "3600"  # the longest case takes a CPU a quarter of that


@dataclass
class Outcome:
    test: str
    verdict: str  # PASSED, or what went wrong
    rerun: str


def duration(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """One line on a terminal, drawn again and again; elsewhere silent. Each case weighs as much as
    the operations of its size."""

    def __init__(self, weights, stream, clock=time.monotonic):
        self.weights, self.stream, self.clock = weights, stream, clock
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.lock = threading.RLock()
        self.start, self.done, self.test, self.part, self.share = clock(), 0, None, "", 0.0
        self.stopped = threading.Event()
        if self.live:
            threading.Thread(target=self.tick, daemon=True).start()

    def tick(self):
        while not self.stopped.wait(TICK_S):
            self.draw()

    def begin(self, test):
        with self.lock:
            self.test, self.part, self.share = test, "", 0.0
        self.draw()

    def read(self, line):
        """Whether a line of the case's output is about a part of it."""
        found = PART.match(line)
        if found is None:
            return False
        with self.lock:
            self.part = found[3]
            if found[2]:
                self.share = min(1.0, (int(found[1]) - 1) / max(1, int(found[2])))
        self.draw()
        return True

    def end(self):
        with self.lock:
            self.done, self.test = self.done + 1, None

    def left_s(self):
        """None where that cannot be said yet."""
        total = sum(self.weights)
        done = sum(self.weights[: self.done])
        if self.test is not None:
            done += self.weights[self.done] * self.share
        if done < LEAST_SHARE * total:
            return None
        return (self.clock() - self.start) * (total - done) / done

    def text(self):
        left = self.left_s()
        parts = [f"{self.done} of {len(self.weights)} done", duration(self.clock() - self.start)]
        if left is not None:
            parts.append(f"about {duration(left)} left")
        part = f": {self.part}" if self.part else ""
        return f"[{', '.join(parts)}] {self.test}{part}"

    def draw(self):
        with self.lock:
            if self.live and self.test is not None:
                width = shutil.get_terminal_size().columns - 1
                self.stream.write("\r\x1b[K" + self.text()[: max(width, 1)])
                self.stream.flush()

    def tell(self, text):
        with self.lock:
            self.stream.write(("\r\x1b[K" if self.live else "") + text + "\n")
            self.stream.flush()

    def stop(self):
        self.stopped.set()
        with self.lock:
            self.test = None
            if self.live:
                self.stream.write("\r\x1b[K")
                self.stream.flush()


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """In a child before it runs: it ends when this process is killed, and writes no records beside
    those of whoever goes on."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


def run_process(command, environment, progress):
    """Returns (exit status, last lines of output, those about its parts aside)."""
    tail = collections.deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent,
    ) as process:
        try:
            for line in process.stdout:
                if not progress.read(line):
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


def run_case(test, position, options, path, progress):
    command = [options.binary, f"--gtest_filter={test}"]
    environment = dict(os.environ, OCTET_RECORDS=str(path), OCTET_REQUIRE=options.backend)
    for name, value in (("ITERATIONS", options.iterations), ("WARMUP", options.warmup)):
        if value is not None:
            environment[f"OCTET_{name}"] = str(value)
    if options.iterations is None:  # what is asked for may take as long as it likes
        environment.setdefault("OCTET_WATCHDOG", WATCHDOG_S)
    skip = count_lines(path)
    start = time.monotonic()
    progress.begin(test)
    status, tail = run_process(command, environment, progress)
    progress.end()
    seconds = time.monotonic() - start
    written = records.read(path, skip)[0] if path.exists() else []
    mine = [record for record in written if record.get("test") == test]
    verdict = judge(status, mine)
    progress.tell(f"[{position}] {test}: {verdict} after {seconds:.1f} s")
    if verdict != "PASSED":
        for line in tail:
            progress.tell(f"    {line}")
    rerun = (mine[-1].get("rerun") if mine else None) or " ".join(
        [f"OCTET_REQUIRE={options.backend}", *command]
    )
    return Outcome(test, verdict, rerun)


@dataclass
class Size:
    test_name: str
    operations: int


def read_sizes(listed):
    """The sizes by name, as a test program's --sizes lists them."""
    sizes = {}
    for line in listed.splitlines():
        fields = line.split()
        if len(fields) == 7 and fields[0] in ("own", "benchmark"):
            batch, seq, model, hidden = map(int, fields[3:])
            sizes[fields[2]] = Size(fields[1], batch * seq * model * hidden)
    return sizes


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
    parser.add_argument("--listed", required=True, help="what the program's --sizes printed")
    parser.add_argument("--records", required=True, type=Path)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--warmup", type=int)
    options = parser.parse_args(arguments)

    path = options.records
    path.parent.mkdir(parents=True, exist_ok=True)
    end_last_line(path)
    skip = count_lines(path)
    sizes = read_sizes(options.listed)
    cases = [(sizes[size], dtype) for size in options.sizes.split(",")
             for dtype in options.dtypes.split(",")]  # fmt: skip
    tests = [f"{options.backend.capitalize()}/TrainingStep_{dtype}.Timing/{size.test_name}"
             for size, dtype in cases]  # fmt: skip
    progress = Progress([size.operations for size, _ in cases], sys.stderr)
    tell = progress.tell
    outcomes, interrupted = [], False
    for i, test in enumerate(tests, 1):
        try:
            outcomes.append(run_case(test, f"{i}/{len(tests)}", options, path, progress))
        except KeyboardInterrupt:
            interrupted = True
            tell("interrupted")
            break
    progress.stop()

    recorded, problems = records.read(path, skip) if path.exists() else ([], [])
    for problem in problems:
        tell(f"scripts/bench: left out {problem}")
    text = table.render(recorded)
    if text:
        tell("")
        print(table.painted(text) if table.takes_colour(sys.stdout) else text, flush=True)
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
