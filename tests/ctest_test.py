#!/usr/bin/env python3
"""What ctest is told of each case: labels, scheduling, resources. Run by ctest itself, in its build
folder, or as tests/ctest_test.py BUILD_FOLDER."""

import json
import os
import re
import subprocess
import sys
import unittest

BUILD = sys.argv.pop() if len(sys.argv) > 1 and os.path.isdir(sys.argv[-1]) else os.getcwd()


def read_tests():
    listed = subprocess.run(
        ["ctest", "--test-dir", BUILD, "--show-only=json-v1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tests = {}
    for test in json.loads(listed.stdout)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        tests[test["name"]] = properties
    return tests


class CtestProperties(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tests = read_tests()

    def labels(self, name):
        return set(self.tests[name].get("LABELS", []))

    def cases(self, pattern):
        found = [name for name in self.tests if re.search(pattern, name)]
        self.assertTrue(found, f"no test matches {pattern}")
        return found

    def test_every_case_is_correctness_or_timing(self):
        for name in self.tests:
            self.assertEqual(len(self.labels(name) & {"correctness", "timing"}), 1, name)

    def test_timing_cases_run_alone(self):
        for name in self.cases(r"\.Timing/(4k|5k|12k)"):
            self.assertIn("timing", self.labels(name))
            self.assertTrue(self.tests[name].get("RUN_SERIAL"), name)

    def test_nothing_else_runs_alone(self):
        # But matrices of tens of gigabytes.
        for name in self.tests:
            if "timing" not in self.labels(name) and not name.startswith("Cuda/Huge"):
                self.assertFalse(self.tests[name].get("RUN_SERIAL"), name)

    def test_cuda_cases_ask_for_a_gpu_and_cpu_cases_do_not(self):
        for name in self.tests:
            groups = self.tests[name].get("RESOURCE_GROUPS")
            if not name.startswith("Cuda/"):
                self.assertFalse(groups, name)
                continue
            self.assertEqual(
                [[r[".type"] for r in group["requirements"]] for group in groups], [["gpus"]], name
            )

    def test_long_cpu_cases_are_large(self):
        for pattern in (r"^Cpu/.*/12k", r"^Cpu/TrainingStep_f16\.Timing/4k$",
                        r"^Cpu/TrainingStepOptions_f16\..*/4k_threshold6$"):  # fmt: skip
            for name in self.cases(pattern):
                self.assertIn("large", self.labels(name))
        for name in self.cases(r"^Cpu/Gemm_s8\.MatchesReference/4k"):
            self.assertNotIn("large", self.labels(name))

    def test_smoke_covers_every_operator(self):
        suites = {name.split(".")[0] for name in self.cases(r"^Cpu/.*\.MatchesReference/")}
        covered = {name.split(".")[0] for name in self.tests if "smoke" in self.labels(name)}
        self.assertEqual({s for s in suites if s not in covered}, set())

    def test_a_skip_shows_as_a_skip(self):
        for name in self.cases(r"MatchesReference"):
            self.assertTrue(self.tests[name].get("SKIP_REGULAR_EXPRESSION"), name)


if __name__ == "__main__":
    unittest.main()
