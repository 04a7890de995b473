#!/usr/bin/env python3
"""Tests of scripts/mutate: what is planted, that it is noticed or not, and what is left behind.

Nothing is built: faults are planted in a copy of a small stub of the tree, whose suites are Python.
Run: python3 tests/mutate_test.py
"""

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

from octet_scripts import mutate, mutate_faults, mutate_suites  # noqa: E402
from octet_scripts.mutate_build import run_bounded  # noqa: E402


def after(path, text, fault=None):
    """The mutated lines of a text, without indentation."""
    return {m.after.strip() for m in mutate_faults.sites(path, text)
            if fault is None or m.fault == fault}  # fmt: skip


class Faults(unittest.TestCase):
    def test_each_kind_rewrites_what_it_says(self):
        for fault, before, planted in (
            ("bound", "  for (int i = 0; i < n; ++i) {", "for (int i = 0; i <= n; ++i) {"),
            ("comparison", "  if (a == b) {", "if (a != b) {"),
            ("off_by_one", "  const int last = n - 1;", "const int last = n;"),
            ("tail", "  return (cols + 31) / 32;", "return (cols) / 32;"),
            ("tail", "  const int t = ceil_div(cols, kTile);", "const int t = ((cols) / (kTile));"),
            ("barrier", "  __syncthreads();", ";"),
            ("barrier", "  wait_for_phase(full[stage], parity);", ";"),
            ("rounding", "  return std::nearbyint(x);", "return truncf(x);"),
            ("rounding", "  y = __fmul_rn(a, b);", "y = __fmul_rz(a, b);"),
            ("swapped_scale", "  out = row_scale[i];", "out = col_scale[i];"),
            ("stride", "  const int ld = x.layout.ld;", "const int ld = x.cols;"),
            ("stale", "  q[i * ld + j] = quantized(x);", ";"),
            ("logic", "  if (a && b) return;", "if (a || b) return;"),
            ("constant", "  return x >> 13;", "return x >> 14;"),
            ("extremum", "  a = std::min(b, c);", "a = std::max(b, c);"),
            ("ignored", "  if (count > capacity) return;", "if (false) return;"),
            ("side", "  return interval.low;", "return interval.high;"),
        ):
            with self.subTest(before):
                self.assertIn(planted, after("kernels/cpu/x.cpp", before, fault))

    def test_an_index_loses_its_upper_half_where_memory_can_show_it(self):
        line = "  const std::int64_t at = static_cast<std::int64_t>(row) * ld;"
        self.assertTrue(after("kernels/cuda/x.cu", line, "index"))
        self.assertFalse(after("kernels/cpu/x.cpp", line, "index"))

    def test_the_gate_is_python(self):
        path = "scripts/octet_scripts/gate_x.py"
        self.assertIn("if False:", after(path, "    if share < floor:"))
        self.assertIn("return all(failed)", after(path, "    return any(failed)"))
        self.assertIn("if low > floor:", after(path, "    if high > floor:", "side"))
        self.assertFalse(after(path, '    """Lower than 1 < 2."""'))

    def test_text_is_left_alone(self):
        for line in ("  // i < n, a && b, n - 1", '  fail("a < b && c == 2 - 1");', "#if A && 2",
                     "template <class A, class B = C>", "using T = X<2>;"):  # fmt: skip
            self.assertFalse(after("kernels/cpu/x.cpp", line), line)

    def test_a_seed_is_an_order_and_every_file_has_its_turn(self):
        texts = {f"kernels/cpu/{n}.cpp": "if (a < b) c = d - 1;\n" * 9 for n in "abcde"}
        first, again = (list(mutate_faults.draw(texts, 3)) for _ in range(2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, list(mutate_faults.draw(texts, 4)))
        for turn in range(3):
            self.assertEqual({m.file for m in first[5 * turn : 5 * turn + 5]}, set(texts))
        self.assertEqual(len({m.number for m in first if m.file.endswith("a.cpp")}), 9)
        self.assertEqual(len(first), len(set(first)))


class TheTree(unittest.TestCase):
    def files(self, backend):
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True,
                                text=True, check=False)  # fmt: skip
        if listed.returncode != 0:
            self.skipTest("the tree is no git worktree")
        return [f for f in listed.stdout.splitlines() if mutate_suites.backend_of(f) == backend]

    def test_every_kind_of_source_is_among_the_files(self):
        for backend, file in (
            ("cpu", "kernels/cpu/quantize.hpp"),
            ("cpu", "kernels/preconditions/gemm.cpp"),
            ("cpu", "tests/harness/statistics.cpp"),
            ("cuda", "kernels/cuda/gemm_sm90_kernel.cuh"),
            ("scripts", "scripts/octet_scripts/gate_thresholds.py"),
        ):
            self.assertIn(file, self.files(backend))
        self.assertFalse([f for f in self.files("cpu") if "cuda" in f])

    def test_suites_of_every_file_exist(self):
        sources = {p.stem for p in (ROOT / "tests").glob("*_test.*")}
        for backend in mutate_suites.FILES:
            for file in self.files(backend):
                for suite in mutate_suites.suites(file) + mutate_suites.huge_suites(file):
                    self.assertIn(suite.program.removesuffix(".py"), sources, file)

    def test_kernels_are_sanitized_last(self):
        for file in self.files("cuda"):
            tools = [suite.tool for suite in mutate_suites.suites(file)]
            self.assertEqual(tools[-2:], list(mutate_suites.TOOLS), file)
            self.assertEqual(tools, sorted(tools, key=bool), file)

    def test_equivalent_mutants_say_why(self):
        for (file, line), reason in mutate.load_equivalent(ROOT).items():
            self.assertTrue((ROOT / file).is_file(), file)
            self.assertRegex(line, r"^[0-9a-f]{12}$")
            self.assertGreater(len(reason), 20)


STUB = """\
def worst(a, b):
    if a < b:
        return b
    return a


def never_asked(a):
    return a - 1
"""
STUB_TEST = """\
import sys  # whatever classes are asked for
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from octet_scripts.gate_stub import worst
sys.exit(worst(1, 2) != 2 or worst(2, 1) != 2)
"""


class Command(unittest.TestCase):
    """On a tree of one file, of which a suite asks one function."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name) / "tree"
        package = self.root / "scripts" / "octet_scripts"
        package.mkdir(parents=True)
        (self.root / "tests").mkdir()
        for path in (ROOT / "scripts" / "octet_scripts").glob("mutate*.py"):
            shutil.copy(path, package)
        for name in ("__init__.py", "gate_builds.py", "gate_machine.py", "gate_verdict.py"):
            shutil.copy(ROOT / "scripts" / "octet_scripts" / name, package)
        shutil.copy(ROOT / "scripts" / "mutate", self.root / "scripts")
        (package / "gate_stub.py").write_text(STUB)
        for name in ("gate_test.py", "scripts_test.py"):
            (self.root / "tests" / name).write_text(STUB_TEST)
        (self.root / "tests" / "equivalent_mutants.json").write_text("[]")
        (self.root / ".gitignore").write_text("/build/\n__pycache__/\n")
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)

    def mutate(self, *arguments):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OCTET_", "GIT_"))}
        return subprocess.run(
            [self.root / "scripts" / "mutate", "--backend", "scripts", "--files", "*gate_stub.py",
             *arguments], capture_output=True, text=True, check=False, env=clean, timeout=240,
        )  # fmt: skip

    def found(self, *arguments):
        path = self.root / "build" / "found.json"
        result = self.mutate("--count", "99", "--json", str(path), *arguments)
        return result, json.loads(path.read_text())

    def test_faults_are_noticed_or_reported(self):
        result, found = self.found("--target", "1")
        outcomes = {e["after"]: e["outcome"] for e in found}
        self.assertEqual(outcomes["if a > b:"], "noticed", result)
        self.assertEqual(outcomes["if False:"], "noticed")
        self.assertEqual(outcomes["if a <= b:"], "survived")  # the same answer: equivalent
        self.assertEqual(outcomes["return a + 1"], "survived")  # nobody asks
        self.assertEqual(result.returncode, mutate.SURVIVORS)
        self.assertIn("SURVIVED scripts/octet_scripts/gate_stub.py:8", result.stdout)
        self.assertIn("+ return a + 1", result.stdout)
        # The tree is as it was, and so is the copy.
        for tree in (self.root, self.root / "build" / "mutate" / "tree"):
            self.assertEqual((tree / "scripts/octet_scripts/gate_stub.py").read_text(), STUB)

        # With a lower target the same is enough; what was judged is not judged again.
        again = self.mutate("--count", "99", "--target", "0.5")
        self.assertEqual(again.returncode, mutate.PASSED, again)
        self.assertNotIn("noticed (", again.stderr)

        # What is equivalent is passed over.
        survivors = [{"file": e["file"], "line": e["hash"], "reason": "of this test's own making"}
                     for e in found if e["outcome"] == "survived"]  # fmt: skip
        (self.root / "tests" / "equivalent_mutants.json").write_text(json.dumps(survivors))
        result = self.mutate("--count", "99", "--target", "1")
        self.assertEqual(result.returncode, mutate.PASSED, result)

    def test_a_suite_that_fails_without_a_fault_proves_nothing(self):
        (self.root / "tests" / "gate_test.py").write_text("raise SystemExit(1)\n")
        result = self.mutate("--count", "1")
        self.assertEqual(result.returncode, mutate.USAGE, result)
        self.assertRegex(result.stderr, "gate_test.py .*fails without a fault")

    def test_one_at_a_time_works_in_a_state(self):
        state = self.root / "build" / "mutate"
        state.mkdir(parents=True)
        with (state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.mutate("--count", "1")
        self.assertEqual(result.returncode, mutate.USAGE, result)
        self.assertIn("another scripts/mutate works in", result.stderr)

    def test_usage(self):
        for arguments, sentence in (
            (("--count", "0"), "must be a whole number of at least 1"),
            (("--target", "2"), "must lie between 0 and 1"),
            (("--files", "nothing/*", "--files", "none"), "gate_stub"),
            (("--judge", str(self.root)), "holds no manifest.json"),
        ):
            result = self.mutate(*arguments, "--list") if "--files" in arguments else self.mutate(
                *arguments)  # fmt: skip
            if "--files" in arguments:
                self.assertEqual(result.returncode, mutate.PASSED)
                self.assertIn(sentence, result.stdout)
            else:
                self.assertEqual(result.returncode, mutate.USAGE, result)
                self.assertIn(sentence, result.stderr)

    def built(self, suites, **programs):
        """A folder of programs that end with these statuses, a mutant each but the first."""
        folder = self.root / "built"
        for name, status in programs.items():
            self.program(folder / name / "stub_test", f"exit {status}")
        mutants = [{"name": h, "file": "kernels/cuda/x.cu", "line": 1, "fault": "bound", "hash": h,
                    "folder": h, "before": "a", "after": "b", "suites": suites}
                   for h in list(programs)[1:]]  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps({"backend": "cuda", "mutants": mutants}))
        return str(folder)

    def program(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def test_built_programs_are_judged_where_they_lie(self):
        folder = self.built([["stub_test", "*", ""]], without_a_fault=0, aaaaaaaaaaaa=1,
                            bbbbbbbbbbbb=0)  # fmt: skip
        result = self.mutate("--judge", folder, "--target", "0.5")
        self.assertEqual(result.returncode, mutate.PASSED, result)
        self.assertIn("1 of 2 planted faults were noticed", result.stdout)
        self.assertIn("SURVIVED kernels/cuda/x.cu:1 (bound, bbbbbbbbbbbb)", result.stdout)

    def test_a_built_suite_that_fails_anyway_notices_nothing(self):
        folder = self.built([["stub_test", "*", ""]], without_a_fault=1, aaaaaaaaaaaa=1)
        result = self.mutate("--judge", folder)
        self.assertEqual(result.returncode, mutate.USAGE, result)
        self.assertIn("stub_test * fails without a fault", result.stderr)
        self.assertEqual(self.mutate("--judge", folder, "--no-base").returncode, mutate.PASSED)

    def test_what_no_suite_compares_is_left_to_the_sanitizer(self):
        folder = self.built([["stub_test", "*", ""], ["stub_test", "*", "racecheck"]],
                            without_a_fault=0, aaaaaaaaaaaa=0)  # fmt: skip
        bare = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep)
                               if not (Path(p) / "compute-sanitizer").exists())  # fmt: skip
        with unittest.mock.patch.dict(os.environ, PATH=bare):
            result = self.mutate("--judge", folder)
        self.assertEqual(result.returncode, mutate.SURVIVORS, result)
        self.assertIn("compute-sanitizer is not on the PATH", result.stderr)
        # It reports what is planted and nothing else.
        self.program(self.root / "bin" / "compute-sanitizer",
                     '[ "$*" = "--tool racecheck --error-exitcode 1 $5 --gtest_filter=* '
                     '--gtest_fail_fast --gtest_brief=1" ] || exit 3\n'
                     'case $5 in */aaaaaaaaaaaa/*) exit 1 ;; esac')  # fmt: skip
        path = f"{self.root / 'bin'}{os.pathsep}{bare}"
        with unittest.mock.patch.dict(os.environ, PATH=path):
            result = self.mutate("--judge", folder)
        self.assertEqual(result.returncode, mutate.PASSED, result)
        self.assertIn("racecheck stub_test *", result.stderr)

    def test_what_hangs_is_ended(self):
        status, output = run_bounded(["sh", "-c", "echo started; sleep 60"], 1)
        self.assertIsNone(status)
        self.assertIn("started", output)


if __name__ == "__main__":
    unittest.main()
