#!/usr/bin/env python3
"""The test programs as their users call them: records, options, bad input, a missing device. Run by
ctest in its build folder, or as tests/programs_test.py BUILD_FOLDER."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop() if len(sys.argv) > 1 and os.path.isdir(sys.argv[-1]) else os.getcwd())
ROOT = Path(__file__).resolve().parent.parent


def run(program, *arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OCTET_")}
    return subprocess.run(
        [BUILD / "tests" / program, *arguments],
        env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


class Programs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.records = Path(folder.name) / "records.jsonl"

    def expect_refusal(self, result, sentence):
        self.assertEqual(result.returncode, 2, result)
        self.assertIn(sentence, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_records_follow_their_schema(self):
        for program, case in (
            ("quantize_test", "Cpu/*/64x64"),
            ("gemm_test", "Cpu/*/128x128x64*"),
            ("training_step_test", "Cpu/TrainingStep_f16.*/2x64x128x256"),
            ("training_step_test", "Cpu/TrainingStepOptions_f16.*/2x64x128x256_*"),
        ):
            result = run(program, f"--gtest_filter={case}", OCTET_RECORDS=str(self.records))
            self.assertEqual(result.returncode, 0, result)
        lines = self.records.read_text().splitlines()
        self.assertGreater(len(lines), 20)
        checked = subprocess.run(
            [ROOT / "scripts/check_records", self.records],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_the_rerun_command_runs_the_case(self):
        case = "Cpu/QuantizeRowwise_f16.MatchesReference/64x64"
        run("quantize_test", f"--gtest_filter={case}", OCTET_RECORDS=str(self.records))
        rerun = json.loads(self.records.read_text())["rerun"]
        again = subprocess.run(rerun, shell=True, capture_output=True, text=True, check=False)
        self.assertIn("[  PASSED  ] 1 test.", again.stdout)

    def test_same_seed_same_bits_other_seed_other_bits(self):
        def output_hash(seed):
            self.records.unlink(missing_ok=True)
            run("training_step_test", "--gtest_filter=Cpu/TrainingStep_f16.MatchesReference/2x64*",
                OCTET_RECORDS=str(self.records), OCTET_SEED=seed)  # fmt: skip
            return json.loads(self.records.read_text())["output_hash"]

        self.assertEqual(output_hash("1"), output_hash("1"))
        self.assertNotEqual(output_hash("1"), output_hash("2"))

    def test_a_filter_that_matches_nothing_fails(self):
        result = run("quantize_test", "--gtest_filter=Cpu/NoSuchCase")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no test matches --gtest_filter=Cpu/NoSuchCase", result.stderr)

    def test_bad_options_are_refused(self):
        case = "--gtest_filter=Cpu/QuantizeRowwise_f16.MatchesReference/64x64"
        for name, value, sentence in (
            ("OCTET_ITERATIONS", "0", "OCTET_ITERATIONS is '0' but must be a whole number"),
            ("OCTET_SEED", "x", "OCTET_SEED is 'x' but must be a whole number"),
            ("OCTET_REQUIRE", "rocm", "OCTET_REQUIRE names 'rocm' but a backend is cpu or cuda"),
            ("OCTET_DISTRIBUTION", "normal", "'normal' is none of gaussian"),
            ("OCTET_CACHE", "warm", "cache mode 'warm' is none of rotate, cold, hot"),
            ("OCTET_LAYOUT", "col", "OCTET_LAYOUT is 'col' but must be one of row, col_turing"),
            ("OCTET_OUTLIER_THRESHOLD", "-1",
             "OCTET_OUTLIER_THRESHOLD is '-1' but must be 0 or a number above 0"),
            ("OCTET_OUTLIER_THRESHOLD", "nan",
             "OCTET_OUTLIER_THRESHOLD is 'nan' but must be 0 or a number above 0"),
            ("OCTET_OUTLIER_MODE", "row", "OCTET_OUTLIER_MODE is 'row' but must be one of element"),
            ("OCTET_OUTLIER_SHARE", "2", "but must be a number above 0 and up to 1"),
            ("OCTET_BIAS", "yes", "OCTET_BIAS is 'yes' but must be 0 or 1"),
            ("OCTET_POLICY", "s8,s8", "OCTET_POLICY is 's8,s8' but must be"),
            ("OCTET_RECORDS", "/dev/null/r.jsonl", "/dev/null/r.jsonl cannot be written"),
            ("CTEST_RESOURCE_GROUP_0_GPUS", "gpu1", "must begin with id:"),
        ):
            with self.subTest(name):
                self.expect_refusal(run("quantize_test", case, **{name: value}), sentence)
        self.expect_refusal(run("quantize_test", "--unknown"), "unknown argument --unknown")

    def test_the_ends_of_ranges_belong_to_them(self):
        case = "--gtest_filter=Cpu/QuantizeRowwise_f16.MatchesReference/64x64"
        for name, value in (
            ("OCTET_ITERATIONS", "1"), ("OCTET_WARMUP", "0"), ("OCTET_OUTLIER_SHARE", "1"),
            ("OCTET_OUTLIER_THRESHOLD", "0"), ("OCTET_SEED", "0"), ("OCTET_BIAS", "0"),
        ):  # fmt: skip
            with self.subTest(name):
                result = run("quantize_test", case, **{name: value})
                self.assertEqual(result.returncode, 0, result)

    def test_backends_that_answer_are_listed(self):
        result = run("quantize_test", "--available")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn(result.stdout.split(), (["cpu"], ["cpu", "cuda"]))

    def test_records_on_a_full_disk_are_reported(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        case = "--gtest_filter=Cpu/QuantizeRowwise_f16.MatchesReference/64x64"
        result = run("quantize_test", case, OCTET_RECORDS="/dev/full")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/dev/full cannot be written", result.stdout + result.stderr)

    def test_a_killed_run_leaves_whole_lines(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OCTET_")}
        program = subprocess.Popen(
            [BUILD / "tests/quantize_test", "--gtest_filter=Cpu/*x*", "--gtest_repeat=100"],
            env={**clean, "OCTET_RECORDS": str(self.records)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.records.exists() and self.records.stat().st_size > 20_000:
                break
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
        program.wait()
        text = self.records.read_text()
        self.assertTrue(text.endswith("\n"))
        for line in text.splitlines():
            json.loads(line)

    def test_parallel_processes_share_a_file(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OCTET_")}
        command = [BUILD / "tests/quantize_test", "--gtest_filter=Cpu/QuantizeRowwise_*.Matches*/*x*:-*k_*"]
        programs = [
            subprocess.Popen(command, env={**clean, "OCTET_RECORDS": str(self.records)},
                             stdout=subprocess.DEVNULL)  # fmt: skip
            for _ in range(3)
        ]
        self.assertEqual([p.wait() for p in programs], [0, 0, 0])
        lines = [json.loads(line) for line in self.records.read_text().splitlines()]
        self.assertEqual(len({r["run"] for r in lines}), 3)
        self.assertEqual(len(lines) % 3, 0)

    def test_floors_name_cases_that_exist(self):
        listed, suite = set(), ""
        for program in sorted((BUILD / "tests").glob("*_test")):
            for text in run(program.name, "--gtest_list_tests").stdout.splitlines():
                text = text.split("#")[0].rstrip()
                if text.startswith("  "):
                    listed.add(suite + text.strip())
                else:
                    suite = text
        backends = {name.partition("/")[0] for name in listed}
        for path in sorted((ROOT / "tests/thresholds").glob("*.json")):
            if path.name.endswith(".schema.json"):
                continue
            content = json.loads(path.read_text())
            self.assertTrue(content["floors"], path)
            # Cases of a backend that was not built are not there to be named.
            unknown = [f["test"] for f in content["floors"]
                       if f["test"].partition("/")[0] in backends and f["test"] not in listed]  # fmt: skip
            self.assertEqual(unknown, [], path)

    def test_a_missing_required_device_fails_and_is_recorded(self):
        listed = run("quantize_test", "--gtest_list_tests").stdout
        if "Cuda/" not in listed:
            self.skipTest("built without CUDA")
        case = "--gtest_filter=Cuda/QuantizeRowwise_f16.MatchesReference/64x64"
        # No device is visible to this process, whatever the machine has.
        hidden = {"CUDA_VISIBLE_DEVICES": "", "OCTET_RECORDS": str(self.records)}
        skipped = run("quantize_test", case, **hidden)
        self.assertEqual(skipped.returncode, 0)
        self.assertIn("[  SKIPPED ]", skipped.stdout)
        required = run("quantize_test", case, OCTET_REQUIRE="cuda", **hidden)
        self.assertEqual(required.returncode, 1)
        self.assertIn("OCTET_REQUIRE asks for one", required.stdout)
        records = [json.loads(line) for line in self.records.read_text().splitlines()]
        self.assertEqual([r["status"] for r in records], ["SKIPPED", "FAILED"])


if __name__ == "__main__":
    unittest.main()
