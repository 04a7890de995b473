#!/usr/bin/env python3
"""Faults that end a test program, a case of it or a write, and what is left: whole records, one for
the case that did it, and whoever runs the program can go on. Run by ctest in its build folder, or
as tests/faults_test.py BUILD_FOLDER."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop() if len(sys.argv) > 1 and os.path.isdir(sys.argv[-1]) else os.getcwd())
ROOT = Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

from octet_scripts import records, schema  # noqa: E402
from octet_scripts.bench import describe_exit  # noqa: E402

DEVICE_LOST, WATCHDOG = 70, 71  # tests/harness/ends.hpp
SANITIZER = os.environ.get("OCTET_SANITIZER")
GOOD = "QuantizeRowwise_f16.MatchesReference"


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OCTET_")}
    return {**clean, **more}


class Faults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.records = self.folder / "records.jsonl"

    def run_program(self, program, cases, limits=None, **more):
        def set_limits():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))

        more.setdefault("OCTET_RECORDS", str(self.records))
        return subprocess.run(
            [BUILD / "tests" / program, "--gtest_filter=" + ":".join(cases)],
            env=environment(**more), capture_output=True, text=True, check=False, timeout=120,
            preexec_fn=set_limits, errors="replace",
        )  # fmt: skip

    def plant(self, fault, backend="Cpu", **more):
        """A sound case, the fault, and a sound case again, in one process."""
        return self.run_program("planted_faults", self.cases(backend), PLANTED_FAULT=fault, **more)

    @staticmethod
    def cases(backend, problems=("1x7", "64x64", "65x63")):
        return [f"{backend}/Planted_f16.MatchesReference/{p}" for p in problems]

    def recorded(self):
        """[(problem, status, reason)] of the records, all whole and of their schema."""
        found, problems = records.read(self.records, strict=True)
        self.assertEqual(problems, [])
        for record in found:
            self.assertEqual(schema.problems(record), [])
        return [(r["test"].rpartition("/")[2], r["status"], r["reason"]) for r in found]

    def backends(self):
        listed = subprocess.run([BUILD / "tests/planted_faults", "--available"], check=True,
                                capture_output=True, text=True, env=environment())  # fmt: skip
        return [name.capitalize() for name in listed.stdout.split()]

    # ------------------------------------------------------------------------------- the device

    def test_a_lost_device_ends_the_process_and_is_blamed_on_its_case(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            result = self.plant("loses_device", backend)
            self.assertEqual(result.returncode, DEVICE_LOST, result)
            case = self.cases(backend)[1]
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertTrue(result.stderr.startswith(f"{case}: "), result.stderr)
            self.assertIn("illegal address" if backend == "Cpu" else "cudaError", result.stderr)
            first, second = self.recorded()  # and no third
            self.assertEqual(first[:2], ("1x7", "PASSED"))
            self.assertEqual(second[:2], ("64x64", "FAILED"))
            self.assertIn(f"the {backend.lower()} device is lost to this process", second[2])
            # The next process works.
            again = self.run_program("planted_faults", self.cases(backend)[2:])
            self.assertEqual(again.returncode, 0, again)

    def test_a_case_that_never_ends(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            started = time.monotonic()
            result = self.plant("never_ends", backend, OCTET_WATCHDOG="2")
            self.assertEqual(result.returncode, WATCHDOG, result)
            self.assertLess(time.monotonic() - started, 60)
            case = self.cases(backend)[1]
            self.assertEqual(result.stderr.strip(), f"{case}: still running after 2 s "
                             f"(OCTET_WATCHDOG); this process ends (exit status {WATCHDOG})")  # fmt: skip
            first, second = self.recorded()
            self.assertEqual(first[:2], ("1x7", "PASSED"))
            self.assertEqual(second, ("64x64", "FAILED",
                                      "still running after 2 s (OCTET_WATCHDOG)"))  # fmt: skip

    def test_the_ends_have_names_in_scripts(self):
        header = (ROOT / "tests/harness/ends.hpp").read_text()
        self.assertIn(f"kDeviceLostExit = {DEVICE_LOST};", header)
        self.assertIn(f"kWatchdogExit = {WATCHDOG};", header)
        self.assertEqual(describe_exit(DEVICE_LOST), "exit status 70 (the device was lost)")
        self.assertEqual(describe_exit(WATCHDOG), "exit status 71 (ended by the watchdog)")

    # ------------------------------------------------------------------------------- memory

    def expect_one_failure(self, result, mention):
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(mention, result.stdout)
        first, second, third = self.recorded()
        self.assertEqual(first[:2], ("1x7", "PASSED"))
        self.assertEqual(second[:2], ("64x64", "FAILED"))
        self.assertIn(mention, second[2])
        self.assertEqual(third[:2], ("65x63", "PASSED"))

    def test_a_budget_that_a_case_exceeds(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            result = self.plant("takes_memory", backend, OCTET_MEMORY_LIMIT=str(3 << 30))
            mention = f"out of {backend.lower()} memory: 1073741824 bytes were asked for while"
            self.expect_one_failure(result, mention)

    def test_the_nth_request_is_refused_once(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            result = self.run_program("planted_faults", self.cases(backend, ("1x7", "65x63")),
                                      OCTET_FAIL_ALLOCATION="2")  # fmt: skip
            self.assertEqual(result.returncode, 1, result)
            first, second = self.recorded()
            self.assertEqual(first[:2], ("1x7", "FAILED"))
            self.assertIn(f"out of {backend.lower()} memory", first[2])
            self.assertEqual(second, ("65x63", "PASSED", None))

    def test_a_step_over_its_budget_is_refused_and_the_next_runs(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            cases = [f"{backend}/TrainingStep_f16.MatchesReference/{s}"
                     for s in ("1x1x1x1", "12k", "2x3x20x36")]  # fmt: skip
            result = self.run_program("training_step_test", cases, OCTET_MEMORY_LIMIT=str(1 << 30))
            self.assertEqual(result.returncode, 1, result)
            by_case = {r["test"].rpartition("/")[2]: r for r in records.read(self.records)[0]}
            self.assertEqual({name: r["status"] for name, r in by_case.items()},
                             {"12k": "FAILED", "1x1x1x1": "PASSED", "2x3x20x36": "PASSED"})  # fmt: skip
            self.assertRegex(by_case["12k"]["reason"], r"^training_step: size 12k needs \d+ bytes of "
                             rf"{backend.lower()} memory, but \d+ are available$")  # fmt: skip
            memory = by_case["2x3x20x36"]["memory"]
            self.assertGreater(memory["device_peak_bytes"], 0)
            self.assertGreater(memory["predicted_bytes"], 0)
            self.assertGreater(memory["host_peak_bytes"], 0)

    @unittest.skipIf(SANITIZER, "a sanitizer ends the process where memory is out")
    def test_out_of_host_memory(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            result = self.plant("takes_host_memory", backend)
            self.expect_one_failure(result, "out of host memory")

    @unittest.skipIf(SANITIZER, "a sanitizer's shadow takes all addresses")
    def test_a_process_with_few_addresses(self):
        limits = {resource.RLIMIT_AS: 400 << 20}
        cases = [f"Cpu/{GOOD}/{p}" for p in ("12k_49152x12288", "64x64")]
        result = self.run_program("quantize_test", cases, limits)
        self.assertEqual(result.returncode, 1, result)
        by_case = {r["test"].rpartition("/")[2]: r for r in records.read(self.records)[0]}
        self.assertEqual(by_case["64x64"]["status"], "PASSED")
        self.assertEqual(by_case["12k_49152x12288"]["status"], "FAILED")
        self.assertRegex(by_case["12k_49152x12288"]["reason"], "^out of (cpu|host) memory")

    def test_a_leak_fails_its_case(self):
        for backend in self.backends():
            self.records.unlink(missing_ok=True)
            if SANITIZER == "address" and backend == "Cpu":
                continue  # which reports the planted leak, too
            self.expect_one_failure(self.plant("leaks", backend),
                                    "memory: 1000 bytes that the case allocated were not freed")  # fmt: skip

    # ------------------------------------------------------------------------------- records

    def test_a_killed_process_keeps_the_records_before(self):
        result = self.plant("is_killed")
        self.assertEqual(result.returncode, -signal.SIGKILL)
        self.assertEqual([r[:2] for r in self.recorded()], [("1x7", "PASSED")])

    def test_interrupted_and_killed_at_any_time_records_are_whole(self):
        for number in range(8):
            for how in (signal.SIGINT, signal.SIGKILL):
                program = subprocess.Popen(
                    [BUILD / "tests/quantize_test", "--gtest_filter=Cpu/*Matches*/*x*:-*k_*",
                     "--gtest_repeat=100"],
                    env=environment(OCTET_RECORDS=str(self.records)),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                time.sleep(0.05 + 0.013 * number)
                program.send_signal(how)
                self.assertEqual(program.wait(timeout=60), -how)
        found, problems = records.read(self.records, strict=True)
        self.assertEqual(problems, [])
        self.assertGreater(len(found), 0)

    def test_a_disk_that_fills_up_leaves_no_half_line(self):
        cases = [f"Cpu/{GOOD}/{p}" for p in ("1x1", "1x7", "7x1", "3x31", "64x64")]
        whole = self.run_program("quantize_test", cases)
        self.assertEqual(whole.returncode, 0, whole)
        size = self.records.stat().st_size
        for limit in (size * 2 // 5, size - 1, 10):
            self.records.unlink()
            result = self.run_program("quantize_test", cases, {resource.RLIMIT_FSIZE: limit})
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(f"{self.records} cannot be written: ", result.stdout)
            failed = result.stdout.count("cannot be written")
            text = self.records.read_bytes()
            self.assertTrue(text == b"" or text.endswith(b"\n"), text[-50:])
            self.assertEqual(text.count(b"\n"), len(self.recorded()))
            self.assertEqual(len(self.recorded()) + failed, len(cases))

    def test_samples_that_do_not_fit_fail_their_case(self):
        (self.folder / "records.jsonl.samples").symlink_to("/dev/full")
        result = self.run_program("quantize_test", ["Cpu/QuantizeRowwise_f16.Timing/64x64"])
        self.assertEqual(result.returncode, 1, result)
        ((_, status, reason),) = self.recorded()
        self.assertEqual(status, "FAILED")
        self.assertIn("records.jsonl.samples cannot be written: No space left on device", reason)

    def test_a_folder_that_cannot_be_written(self):
        folder = self.folder / "sealed"
        folder.mkdir()
        folder.chmod(0o555)
        path = folder / "records.jsonl"
        as_root = os.geteuid() == 0  # whom no mode keeps out
        if as_root:
            path = Path("/proc/records.jsonl")
        result = self.run_program("quantize_test", [f"Cpu/{GOOD}/64x64"], OCTET_RECORDS=str(path))
        self.assertEqual(result.returncode, 2, result)
        self.assertIn(f"records: {path} cannot be written: ", result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_hostile_names_stay_names(self):
        """Of records and of the program: what is shown to be run again is quoted."""
        for name in ("$(touch x)", "a'b\"c", "-n", "new\nline", "`id`;&|<>"):
            records_file = self.folder / name
            program = self.folder / f"{name} program"
            program.symlink_to((BUILD / "tests/quantize_test").resolve())
            result = subprocess.run(
                [program, f"--gtest_filter=Cpu/{GOOD}/64x64"], cwd=self.folder, check=False,
                env=environment(OCTET_RECORDS=str(records_file)), capture_output=True, text=True,
            )  # fmt: skip
            self.assertEqual(result.returncode, 0, result)
            (record,) = records.read(records_file, strict=True)[0]
            again = subprocess.run(record["rerun"], shell=True, cwd=self.folder, check=False,
                                   capture_output=True, text=True, env=environment())  # fmt: skip
            self.assertIn("[  PASSED  ] 1 test.", again.stdout)
            self.assertFalse((self.folder / "x").exists())

    def test_a_program_in_a_folder_with_a_hostile_name_can_be_run_again(self):
        folder = self.folder / "$(touch x) it's; `id`"
        folder.mkdir()
        program = folder / "quantize_test"
        shutil.copy(BUILD / "tests/quantize_test", program)
        result = subprocess.run(
            [program, f"--gtest_filter=Cpu/{GOOD}/64x64"], cwd=self.folder, check=False,
            env=environment(OCTET_RECORDS=str(self.records)), capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result)
        (record,) = records.read(self.records, strict=True)[0]
        again = subprocess.run(record["rerun"], shell=True, cwd=self.folder, check=False,
                               capture_output=True, text=True, env=environment())  # fmt: skip
        self.assertIn("[  PASSED  ] 1 test.", again.stdout, again)
        self.assertFalse((self.folder / "x").exists())


if __name__ == "__main__":
    unittest.main()
