#!/usr/bin/env python3
"""The test programs as their users call them: records, options, bad input, a missing device. Run by
ctest in its build folder, or as tests/programs_test.py BUILD_FOLDER."""

import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from octet_scripts import sizes  # noqa: E402
from octet_scripts.gate_builds import cases_in  # noqa: E402

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
            ("OCTET_STEADY", "no", "OCTET_STEADY is 'no' but must be 0 or 1"),
            ("OCTET_GRADIENT_ROUNDING", "up",
             "OCTET_GRADIENT_ROUNDING is 'up' but must be one of nearest, stochastic"),
            ("OCTET_OVERLAP", "yes", "OCTET_OVERLAP is 'yes' but must be one of none, launches"),
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

    def test_sizes_of_ones_own_are_cases_of_every_suite(self):
        own = {"OCTET_SIZES": "name=my-own.1,batch=1,seq=3,model=128,hidden=7;name=b,batch=2,seq=2,"
                              "model=2,hidden=2"}  # fmt: skip
        listed = run("training_step_test", "--sizes", **own).stdout.splitlines()
        self.assertEqual([row.partition(" ")[0] for row in listed[:3]], ["benchmark"] * 3)
        self.assertEqual(listed[3:], ["own my_own_1 my-own.1 1 3 128 7", "own b b 2 2 2 2"])
        for program in sorted((BUILD / "tests").glob("*_test")):
            names = cases_in(run(program.name, "--gtest_list_tests", **own).stdout)
            # Each backend's cases: a build for the CPU alone has no others.
            for backend in ("Cpu/", "Cuda/"):
                cases = " ".join(name for name in names if name.startswith(backend))
                if "/4k" in cases and program.name != "huge_test":
                    self.assertTrue("/my_own_1" in cases, f"{program} {backend}")
        for program in ("training_step_test", "quantize_test", "gemm_test"):
            result = run(program, "--gtest_filter=Cpu/*/my_own_1*:Cpu/*/b:Cpu/*/b_*",
                         OCTET_RECORDS=str(self.records), **own)  # fmt: skip
            self.assertEqual(result.returncode, 0, result.stdout[-3000:])
        recorded = [json.loads(text) for text in self.records.read_text().splitlines()]
        self.assertEqual({r["problem"]["size"] for r in recorded}, {"my-own.1", "b"})
        checked = subprocess.run([ROOT / "scripts/check_records", self.records],
                                 capture_output=True, text=True, check=False)  # fmt: skip
        self.assertEqual(checked.returncode, 0, checked.stdout)
        again = subprocess.run(recorded[0]["rerun"], shell=True, capture_output=True, text=True,
                               check=False)  # fmt: skip
        self.assertIn("[  PASSED  ] 1 test.", again.stdout)

    def test_every_suite_has_cases_on_the_cpu(self):
        # One that has none fails a build for the CPU alone, unless it is marked as partial.
        for source in sorted((ROOT / "tests").glob("*_test.cpp")):
            suites = re.findall(r"^OCTET_KERNEL_SUITE\((\w+),", source.read_text(), re.M)
            if not suites:
                continue
            listed = run(source.stem, "--gtest_list_tests", "--gtest_filter=Cpu/*").stdout
            self.assertEqual([s for s in suites if f"Cpu/{s}." not in listed], [], source.name)

    def test_programs_and_scripts_refuse_the_same_sizes_in_the_same_words(self):
        rest = ",batch=2,seq=3,model=4,hidden=5"
        for text in (
            "name=a,batch=0,seq=3,model=4,hidden=5", "name=a,batch=2,seq=3,model=4,hidden=1000000000",
            "name=a,batch=2,seq=3,model=4,hidden=5x", "name=a,batch=2,seq=3,model=4,hidden=",
            "name=a,batch=2,seq=3,model=4,hidden=99999999999999999999999", "name=a,batch=+2,seq=3",
            "name=a,batch=2,seq=3,model=4", "batch=2,seq=3,model=4,hidden=5", "name=a", "=", "x=", ",",
            "name=a,width=3" + rest, "name=a,name=b" + rest, "name=a,batch=1" + rest, "name=" + rest,
            "name=a b" + rest, "name=\u00e9" + rest, "name=$(reboot)" + rest, "name=a'b" + rest,
            "name=" + "a" * 25 + rest, "name=2x3" + rest, "name=DISABLED_a" + rest, "name=4k" + rest,
            "name=a-b" + rest + ";name=a.b" + rest, "name=a" + rest + ";name=a" + rest, ";",
            "llama-9", "batch=2,llama-2-7b", "llama-2-7b;llama-2-7b", "llama-2-7b,batch=256",
            "name=a" + rest + ";", "name=a\n" + rest, "name=" + "a" * 200, "name=a,batch=400,seq=1000,"
            "model=1,hidden=1",
        ):  # fmt: skip
            with self.subTest(text):
                with self.assertRaises(sizes.SizeError) as refused:
                    sizes.check("OCTET_SIZES", text.split(";"))
                result = run("training_step_test", "--sizes", OCTET_SIZES=text)
                self.expect_refusal(result, str(refused.exception))
                self.assertEqual(result.stderr.strip(), str(refused.exception))
        for text in ("llama-2-7b,batch=255", "name=a_b.c-D" + rest, "name=xyx" + rest,
                     "name=a,batch=1,seq=131071,model=1,hidden=131071"):  # fmt: skip
            sizes.check("OCTET_SIZES", text.split(";"))
            self.assertEqual(run("training_step_test", "--sizes", OCTET_SIZES=text).returncode, 0)

    def test_a_size_beyond_memory_is_refused_before_anything_is_allocated(self):
        largest = "name=big,batch=1,seq=131071,model=131071,hidden=131071"
        result = run("training_step_test", "--sizes=cpu", OCTET_SIZES=largest)
        self.expect_refusal(result, "OCTET_SIZES: the step of size 'big' needs ")
        self.assertIn("GB of cpu memory, but", result.stderr)
        case = run("training_step_test", "--gtest_filter=Cpu/TrainingStep_f16.Timing/big",
                   OCTET_SIZES=largest)  # fmt: skip
        self.assertEqual(case.returncode, 1)
        self.assertIn("training_step: size big needs", case.stdout)

    def layer(self, path, kind="e", spoiled=None, shift=0):
        """Tensors of a layer whose values f16 holds exactly: kind e is f16, f is f32."""
        shapes = {"a": (2, 33, 65), "w1": (129, 65), "w2": (65, 129), "grad": (2, 33, 65)}
        header, data = {}, b""
        for name, shape in shapes.items():
            count = 1
            for extent in shape:
                count *= extent
            values = [((n * 7919 + ord(name[-1]) + shift) % 251 - 125) / 128 for n in range(count)]
            if name == spoiled:
                values[5] = float("nan")
            packed = struct.pack(f"<{count}{kind}", *values)
            header[name] = {"dtype": {"e": "F16", "f": "F32"}[kind], "shape": shape,
                            "data_offsets": [len(data), len(data) + len(packed)]}  # fmt: skip
            data += packed
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)

    def test_a_step_runs_on_ones_own_tensors(self):
        folder = self.records.parent
        case = "--gtest_filter=Cpu/TrainingStep_f16.*/it_s_mine"

        def records_of(**how):
            path = folder / "it's mine.safetensors"
            self.layer(path, **how)
            self.records.unlink(missing_ok=True)
            result = run("training_step_test", case, OCTET_RECORDS=str(self.records),
                         OCTET_TENSORS=str(path))  # fmt: skip
            self.assertEqual(result.returncode, 0, result.stdout[-3000:])
            recorded = [json.loads(row) for row in self.records.read_text().splitlines()]
            self.assertEqual(len(recorded), 2)
            return recorded

        first = records_of()
        for record in first:
            self.assertEqual(record["data"], "tensors")
            self.assertEqual(record["tensors"]["file"], "it's mine.safetensors")
            self.assertEqual(record["tensors"]["converted"], [])
            problem = record["problem"]
            self.assertEqual([problem[k] for k in ("batch", "seq", "model", "hidden")],
                             [2, 33, 65, 129])  # fmt: skip
            self.assertEqual(shlex.split(record["rerun"])[0].partition("=")[0], "OCTET_TENSORS")
            again = subprocess.run(record["rerun"], shell=True, capture_output=True, text=True,
                                   check=False)  # fmt: skip
            self.assertIn("[  PASSED  ] 1 test.", again.stdout)
        checked = subprocess.run([ROOT / "scripts/check_records", self.records],
                                 capture_output=True, text=True, check=False)  # fmt: skip
        self.assertEqual(checked.returncode, 0, checked.stdout)
        # The same values of another type give the same bits, other values others.
        same, other = records_of(kind="f"), records_of(shift=1)
        self.assertEqual(same[0]["tensors"]["converted"], ["a", "w1", "w2", "grad"])
        self.assertEqual(same[0]["output_hash"], first[0]["output_hash"])
        self.assertNotEqual(other[0]["output_hash"], first[0]["output_hash"])

    def test_tensors_that_cannot_be_used_are_refused(self):
        path = self.records.parent / "layer.safetensors"
        case = "--gtest_filter=Cpu/TrainingStep_f16.Timing/layer"
        self.layer(path, spoiled="w2")
        result = run("training_step_test", "--sizes=cpu", OCTET_TENSORS=str(path))
        self.expect_refusal(result, f"OCTET_TENSORS '{path}': w2[0, 5] is nan, but every element")
        result = run("training_step_test", case, OCTET_TENSORS=str(path),
                     OCTET_RECORDS=str(self.records))  # fmt: skip
        self.assertEqual(result.returncode, 1)
        self.assertEqual(json.loads(self.records.read_text())["status"], "INVALID")
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        result = run("training_step_test", case, OCTET_TENSORS=str(path))
        self.expect_refusal(result, "the file is truncated")
        path.write_bytes(whole)
        result = run("training_step_test", case, OCTET_TENSORS=str(path), OCTET_BIAS="1")
        self.expect_refusal(result, "it holds no b1 and b2, for which OCTET_BIAS asks")
        path = path.rename(path.with_name("4k.safetensors"))
        result = run("training_step_test", case, OCTET_TENSORS=str(path))
        self.expect_refusal(result, "the file's name makes the size '4k', which exists already")

    def test_floors_lie_beside_the_programs(self):
        self.assertEqual((BUILD / "tests/thresholds").resolve(), ROOT / "tests/thresholds")

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
