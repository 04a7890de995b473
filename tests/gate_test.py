#!/usr/bin/env python3
"""Tests of scripts/gate: its statistics by simulation, floors, and merges of stub builds.

  python3 tests/gate_test.py                  all but CpuBackend; under a minute, builds nothing
  python3 tests/gate_test.py CpuBackend       the gate on the built CPU backend ($OCTET_GATE_BUILD,
                                              default build/cpu), under two minutes; needs a
                                              machine that is otherwise quiet
"""

import copy
import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

from octet_scripts import gate_floors, gate_report  # noqa: E402
from octet_scripts import gate_simulation as simulation  # noqa: E402
from octet_scripts import gate_statistics as statistics  # noqa: E402
from octet_scripts import gate_thresholds as thresholds  # noqa: E402
from octet_scripts.gate_verdict import FAIL, INCONCLUSIVE, PASS, GateError  # noqa: E402
from octet_scripts.table import Grid  # noqa: E402
from scripts_test import (  # noqa: E402
    Draft202012Validator,
    line,
    make_record,
    make_time,
    make_variant,
)

GATES = 2000
PASS_1, FAIL_1, USAGE, OPEN_3 = 0, 1, 2, 3  # exit statuses


class SignTest(unittest.TestCase):
    def test_tails_are_exact(self):
        for successes, pairs, exact in (
            (18, 18, Fraction(1, 2**18)),
            (17, 18, Fraction(1 + 18, 2**18)),
            (16, 18, Fraction(1 + 18 + 153, 2**18)),
            (15, 18, Fraction(1 + 18 + 153 + 816, 2**18)),
            (0, 18, Fraction(1)),
            (3, 4, Fraction(5, 16)),
            (5, 4, Fraction(0)),
        ):
            self.assertEqual(statistics.sign_tail(successes, pairs), float(exact))

    def test_least_successes_is_the_first_count_within_the_level(self):
        for pairs in (1, 7, 18, 36, 54):
            for level in (0.5, 0.01, 0.01 / 3, 0.01 / 54, 0.01 / 900):
                naive = next((k for k in range(pairs + 1)
                              if statistics.sign_tail(k, pairs) <= level), None)  # fmt: skip
                self.assertEqual(statistics.least_successes(pairs, level), naive)

    def test_counts_of_the_plan(self):
        plan = statistics.Plan(series=18)
        # 0.01 / 54 = 1.85e-4: 19 / 2^18 = 7.2e-5 fits, 172 / 2^18 = 6.6e-4 does not.
        self.assertEqual(plan.pairs_to_fail(18), 17)
        # 0.01 / 3 = 3.33e-3: 172 / 2^18 fits, 988 / 2^18 = 3.77e-3 does not.
        self.assertEqual(plan.pairs_to_pass(18), 16)

    def test_thirteen_pairs_fail_nothing_beyond_27_cases(self):
        self.assertEqual(statistics.Plan(series=27).pairs_to_fail(13), 13)
        self.assertIsNone(statistics.Plan(series=28).pairs_to_fail(13))
        self.assertIsNotNone(statistics.Plan(series=800).pairs_to_fail(18))

    def test_series_verdicts(self):
        plan = statistics.Plan(series=18)
        slow, same, tie = math.log(1.03), 0.0, plan.log_margin
        for values, verdict in (
            ([slow] * 17 + [same], FAIL),
            ([slow] * 16 + [same] * 2, statistics.OPEN),
            ([same] * 16 + [slow] * 2, PASS),
            ([same] * 15 + [slow] * 3, statistics.OPEN),
            ([tie] * 18, statistics.OPEN),
            ([slow] * 16 + [tie] * 2, statistics.OPEN),
        ):
            self.assertEqual(statistics.judge_series(values, plan), verdict, values)

    def test_a_gate_stops_at_the_look_that_decides(self):
        plan = statistics.Plan(series=2)
        asked = []

        def measure(pairs):
            asked.append(pairs)
            half = [0.0, 0.05] * 27
            return {"a": [0.0] * pairs, "b": half[:18] + [0.05] * 36}

        outcome = statistics.conduct(plan, measure)
        self.assertEqual((outcome.verdict, outcome.pairs, asked), (FAIL, 54, [18, 36, 54]))
        self.assertEqual(outcome.named(FAIL), ["b"])
        asked.clear()
        outcome = statistics.conduct(plan, lambda pairs: {"a": [0.0] * pairs})
        self.assertEqual((outcome.verdict, outcome.pairs), (PASS, 18))
        outcome = statistics.conduct(plan, lambda pairs: {"a": [0.0, 0.05] * 27})
        self.assertEqual((outcome.verdict, outcome.pairs), (INCONCLUSIVE, 54))

    def test_median_interval(self):
        values = list(range(1, 19))
        # P(X >= 15) = 988 / 2^18 = 0.0038 <= 0.005 < P(X >= 14): the 4th and the 15th of 18.
        self.assertEqual(statistics.median_interval(values, 0.99), (4, 15))
        self.assertEqual(statistics.median(values), 9.5)
        self.assertIsNone(statistics.median_interval([1, 2, 3], 0.99))

    def test_smallest_visible_is_where_the_verdict_turns(self):
        plan = statistics.Plan(series=5)
        scatter = [0.001 * i - 0.0265 for i in range(54)]
        smallest = statistics.smallest_visible(scatter, plan)
        for change, verdict in ((1e-9, True), (-1e-9, False)):
            shifted = [e + math.log1p(smallest) + change for e in scatter]
            self.assertEqual(statistics.judge_series(shifted, plan) == FAIL, verdict)
        self.assertIsNone(statistics.smallest_visible([0.0] * 9, statistics.Plan(series=28)))


class SimulationTest(unittest.TestCase):
    """MEASUREMENT's noise models through conduct(), which judges reality, too."""

    MODELS = (simulation.MILD, simulation.HARSH)

    def test_at_most_1_percent_of_a_a_gates_fail(self):
        for noise in self.MODELS:
            rates = simulation.run(noise, GATES, cases=18)
            self.assertLessEqual(rates[FAIL], 0.01, (noise, rates))
            self.assertGreaterEqual(rates[PASS], 0.99, (noise, rates))

    def test_a_3_percent_loss_of_one_case_is_found(self):
        for noise in self.MODELS:
            rates = simulation.run(noise, GATES, cases=18, effects=(0.03,))
            self.assertGreaterEqual(rates["found"], 0.95, (noise, rates))
            self.assertLessEqual(rates["blamed"], 0.01, (noise, rates))

    def test_error_rates_hold_where_they_are_largest(self):
        """At the margin itself: all cases there may fail, one there may pass, 1 % of the time."""
        for noise in self.MODELS:
            rates = simulation.run(noise, 600, cases=18, effects=(0.02,) * 18)
            # 1 % of 600 is 6; more than 14 would come of a true 1 % once in 500 runs.
            self.assertLessEqual(rates[FAIL], 14 / 600, (noise, rates))
            rates = simulation.run(noise, 600, cases=18, effects=(0.02,))
            self.assertLessEqual(rates[PASS], 14 / 600, (noise, rates))

    def test_300_cases(self):
        for noise in self.MODELS:
            rates = simulation.run(noise, 40, cases=300)
            self.assertEqual(rates[PASS], 1, (noise, rates))
            rates = simulation.run(noise, 40, cases=300, effects=(0.03,))
            self.assertGreaterEqual(rates["found"], 0.9, (noise, rates))


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = dict(os.environ, TMPDIR=str(self.folder), PYTHONDONTWRITEBYTECODE="1")
        for name in list(self.environment):
            if name.startswith("OCTET_") or name.startswith("CUDA"):
                del self.environment[name]

    def gate(self, *arguments, root=ROOT, **environment):
        return subprocess.run(
            ["bash", str(root / "scripts" / "gate"), *map(str, arguments)], capture_output=True,
            text=True, check=False, cwd=self.folder, stdin=subprocess.DEVNULL,
            env={**self.environment, **environment},
        )  # fmt: skip

    def assert_ends(self, result, status, *mentions):
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        said = " ".join((result.stdout + result.stderr).split())
        for mention in mentions:
            self.assertIn(mention, said)

    def assert_usage_error(self, result, *mentions):
        self.assert_ends(result, USAGE, *mentions)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertEqual(result.stdout, "")


TEST = "Cuda/TrainingStep_f16.Timing/4k"


def floor(value=0.9, test=TEST, metric="ratio", state="burst"):
    return {"test": test, "metric": metric, "floor": value, "state": state}


def ratio(estimate, half_width=0.002):
    return {"estimate": estimate, "low": estimate * (1 - half_width),
            "high": estimate * (1 + half_width), "confidence": 0.99}  # fmt: skip


class FloorsTest(Folder):
    def write(self, floors, **changes):
        content = {"schema": 1, "device": "NVIDIA H200", "floors": floors, **changes}
        (self.folder / "NVIDIA_H200.json").write_text(json.dumps(content), encoding="utf-8")

    def judge(self, *recorded, arguments=(), tail=""):
        path = self.folder / "records.jsonl"
        path.write_text("".join(map(line, recorded)) + tail, encoding="utf-8")
        return self.gate("floors", path, "--thresholds", self.folder, *arguments)

    def test_pass_and_fail_by_a_stated_amount(self):
        self.write([floor(0.9)])
        self.assert_ends(self.judge(make_record(ratio=ratio(0.95))), PASS_1, "PASS: 1 floors")
        # The upper bound judges: 0.8991 * 1.002 = 0.9009.
        self.assert_ends(self.judge(make_record(ratio=ratio(0.8991))), PASS_1)
        result = self.judge(make_record(ratio=ratio(0.85, 0.0)))
        self.assert_ends(result, FAIL_1, f"FAIL: {TEST} ratio (burst): 5.56 % under the floor",
                         "0.850")  # fmt: skip
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_wide_or_missing_intervals_are_inconclusive(self):
        self.write([floor(0.9)])
        for wide in (ratio(0.95, 0.011), ratio(0.895, 0.011)):
            self.assert_ends(self.judge(make_record(ratio=wide)), OPEN_3, "+/- 1.1 % is too wide")
        # Under the floor as a whole: missed, however wide.
        self.assert_ends(self.judge(make_record(ratio=ratio(0.5, 0.011))), FAIL_1)
        self.assert_ends(self.judge(make_record(ratio=ratio(0.95, 0.0099))), PASS_1)
        bare = {"estimate": 0.95, "low": None, "high": None, "confidence": None}
        self.assert_ends(self.judge(make_record(ratio=bare)), OPEN_3, "no interval")
        self.assert_ends(self.judge(make_record(ratio=None)), OPEN_3, "not measured")
        steady = make_record(ratio=ratio(0.95), time=make_time(800, state="steady"))
        self.assert_ends(self.judge(steady), OPEN_3, "not measured")
        self.assert_ends(self.judge(steady, make_record(ratio=ratio(0.95))), PASS_1)

    def test_a_failure_outweighs_what_is_open_and_a_retry_does_not_help(self):
        self.write([floor(0.9)])
        good, bad = make_record(ratio=ratio(0.95)), make_record(ratio=ratio(0.5))
        wide = make_record(ratio=ratio(0.95, 0.1))
        self.assert_ends(self.judge(bad, good), FAIL_1)
        self.assert_ends(self.judge(good, wide, bad), FAIL_1)

    def test_roofline_fraction_has_its_interval_through_time(self):
        self.write([floor(0.8, metric="roofline_fraction")])
        rate = {**make_record()["rate"], "roofline_fraction": 0.79}

        def record(low_us, high_us):
            return make_record(rate=rate, time=make_time(800, low_us=low_us, high_us=high_us))

        self.assert_ends(self.judge(record(796, 804)), FAIL_1, "0.75 % under the floor")
        self.assert_ends(self.judge(record(788, 801)), PASS_1)
        self.assert_ends(self.judge(record(780, 820)), OPEN_3, "too wide")
        own = {**rate, "roofline": ratio(0.81)}  # goes before time's interval
        self.assert_ends(self.judge(make_record(rate=own)), PASS_1)

    def test_variants(self):
        self.write([floor(1.4, metric="variant_ratio:int8_kept")])

        def record(value):
            variant = make_variant("int8_kept", 530.0)
            variant["ratio"] = value
            return make_record(variants=[variant])

        self.assert_ends(self.judge(record(ratio(1.49))), PASS_1)
        self.assert_ends(self.judge(record(ratio(1.3))), FAIL_1, "int8_kept")

    def test_statuses(self):
        self.write([floor(0.9)])
        for status in ("FAILED", "MISTRUSTED", "INVALID"):
            other = make_record("5k", status=status, reason="all zeros")
            result = self.judge(make_record(ratio=ratio(0.95)), other)
            self.assert_ends(result, FAIL_1, f"was {status}: all zeros", "1 records not PASSED")
        skipped = make_record("5k", status="SKIPPED", reason="no device", time=None, check=None)
        result = self.judge(make_record(ratio=ratio(0.95)), skipped)
        self.assert_ends(result, PASS_1, "Skipped: Cuda/TrainingStep_f16.Timing/: 5k")
        result = self.judge(make_record("5k"), dict(skipped, test=TEST))
        self.assert_ends(result, OPEN_3, "skipped")
        self.assert_usage_error(self.judge(skipped), "every case was skipped")

    def test_a_floor_without_a_case(self):
        self.write([floor(0.9), floor(0.9, "Cuda/TrainingStep_f16.Timing/6k")])
        good = make_record(ratio=ratio(0.95))
        self.assert_usage_error(self.judge(good), "no record of Cuda/TrainingStep_f16.Timing/6k")
        self.assert_ends(self.judge(good, arguments=["--partial"]), PASS_1, "1 floors name cases")

    def test_a_device_without_floors(self):
        result = self.judge(make_record())
        self.assert_ends(result, PASS_1, "No floors for NVIDIA H200: NVIDIA_H200.json",
                         "Timed, without a floor: Cuda/TrainingStep_f16.Timing/: 4k")  # fmt: skip
        result = self.judge(make_record(), make_record("5k", status="FAILED", reason="wrong"))
        self.assert_ends(result, FAIL_1)

    def test_bad_records(self):
        self.write([floor()])
        good = make_record(ratio=ratio(0.95))
        other = self.judge(good, dict(good, schema=2))
        self.assert_usage_error(other, ":2: the schema version is 2")
        self.assertNotIn("more such lines", other.stderr)
        self.assert_usage_error(self.judge(good, tail=line(good)[:-9]), ":2: truncated")
        self.assert_usage_error(self.judge(good, tail=line(good).replace("350.5", "NaN")), "NaN")
        self.assert_usage_error(self.judge(dict(good, status="GOOD")), 'status is "GOOD"')
        self.assert_usage_error(self.judge(dict(good, schema=2), dict(good, schema=2)),
                                ":1: the schema version is 2", "and 1 more such line")  # fmt: skip
        self.assert_usage_error(self.gate("floors", self.folder), "cannot read", "directory")
        (self.folder / "binary").write_bytes(b"\xff\x00\n")
        self.assert_usage_error(self.gate("floors", self.folder / "binary"), "not UTF-8")
        self.assert_usage_error(self.judge(), "no record in")
        self.assert_usage_error(self.gate("floors", self.folder / "none"), "cannot read")
        self.assert_usage_error(self.gate("floors"), "required")

    def test_edited_records(self):
        self.write([floor()])
        good = make_record(ratio=ratio(0.95))
        failed = dict(good, status="FAILED", reason="3 differ")
        missed = {"metric": "ratio", "floor": 1.0, "estimate": 0.95, "low": 0.94, "high": 0.96}
        for edited, mention in (
            (dict(good, ratio=dict(ratio(0.95), low="0.9")), 'ratio.low is "0.9", but must be of'),
            (dict(good, time=make_time(-8.0)), ".0, but must be at least 0"),
            (dict(good, faster=True), "has the unknown key 'faster'"),
            (dict(good, time=dict(make_time(800), best=1)), "time has the unknown key 'best'"),
            (dict(failed, status="PASSED"), 'is PASSED, but the reason is "3 differ"'),
            (dict(failed, reason=None), "reason is null, but must be of type string"),
            (dict(good, check=dict(good["check"], mismatches=3)), "but check.mismatches is 3"),
            (dict(good, floors=[dict(missed, verdict="FAILED")]), "the floor of ratio is FAILED"),
            (dict(good, floors=[dict(missed, verdict="PASSED")]), "but the verdict is PASSED"),
            (dict(good, time=make_time(800, min_us=900)), "min_us is 900, over its q1_us of 799"),
            (dict(good, time=make_time(800, high_us=700)), "over its high_us of 700"),
            (dict(good, status="SKIPPED", reason="no device"), "but it was checked or timed"),
        ):
            path = self.folder / "records.jsonl"
            self.assert_usage_error(self.judge(good, edited), f"{path}:2: {TEST}: ", mention)
            self.assertEqual(path.read_text(encoding="utf-8"), line(good) + line(edited))

    def test_a_busy_gpu_is_said(self):
        self.write([floor(0.9)])
        record = make_record(ratio=ratio(0.95))
        record["device"]["busy"] = [4711]
        self.assert_ends(self.judge(record), PASS_1, "! The GPU was busy with another process during",
                         "Cuda/TrainingStep_f16.Timing/: 4k")  # fmt: skip
        record["device"]["busy"] = []
        self.assertNotIn("busy", self.judge(record).stdout)

    def test_thresholds_that_nobody_would_find(self):
        self.write([floor()])
        good = make_record(ratio=ratio(0.95))
        other = self.folder / "NVIDIA_H20.json"
        other.write_text((self.folder / "NVIDIA_H200.json").read_text(encoding="utf-8"))
        self.assert_usage_error(self.judge(good), "NVIDIA_H20.json: holds floors of 'NVIDIA H200'",
                                "which belong in NVIDIA_H200.json")  # fmt: skip
        result = self.judge(good, arguments=["--thresholds", self.folder / "none"])
        self.assert_usage_error(result, "none is no folder of thresholds")

    def test_a_markdown_file_that_cannot_be_written(self):
        self.write([floor()])
        result = self.judge(make_record(ratio=ratio(0.95)), arguments=["--markdown", self.folder])
        self.assert_usage_error(result, "cannot write")

    def test_bad_thresholds(self):
        good = make_record(ratio=ratio(0.95))
        for floors, changes, mention in (
            ([floor()], {"schema": 2}, "the schema version is 2, but this reads 1"),
            ([floor()], {"device": "NVIDIA H100"}, "holds floors of 'NVIDIA H100'"),
            ([floor(), floor()], {}, "floor 2: a second floor"),
            ([floor(metric="speed")], {}, "the metric is 'speed'"),
            ([floor(test="Cuda/A_f16.MatchesReference/4k")], {}, "must be a Timing case's"),
            ([floor(state="idle")], {}, "the state is 'idle'"),
            ([floor(value=0)], {}, "the floor is 0"),
            ([floor(value="high")], {}, "the floor is 'high'"),
            ([{"test": TEST}], {}, "the keys must be"),
            ([floor()], {"extra": 1}, "the keys must be schema, device and floors"),
        ):
            self.write(floors, **changes)
            self.assert_usage_error(self.judge(good), "NVIDIA_H200.json", mention)
        path = self.folder / "NVIDIA_H200.json"
        path.write_text("{", encoding="utf-8")
        self.assert_usage_error(self.judge(good), "not JSON")
        path.write_text('{"schema": 1, "schema": 1}', encoding="utf-8")
        self.assert_usage_error(self.judge(good), "the key 'schema' occurs twice")

    def test_markdown_is_appended(self):
        self.write([floor(0.9)])
        path = self.folder / "summary.md"
        path.write_text("before\n", encoding="utf-8")
        self.judge(make_record(ratio=ratio(0.5)), arguments=["--markdown", path])
        text = path.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("before\n### scripts/gate floors: FAIL\n"), text)
        self.assertIn(f"| {TEST} | ratio | 0.900 | 0.500 | 0.499 .. 0.501 | FAIL |", text)

    def test_a_device_makes_no_path(self):
        self.assertEqual(thresholds.file_name("NVIDIA H200"), "NVIDIA_H200.json")
        self.assertNotIn("/", thresholds.file_name("../../a device"))

    @unittest.skipIf(Draft202012Validator is None, "needs jsonschema")
    def test_the_schema_and_the_reader_agree(self):
        folder = ROOT / "tests" / "thresholds"
        schema = json.loads((folder / "thresholds.schema.json").read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        good = {"schema": 1, "device": "NVIDIA H200", "floors": [floor()]}
        for content, valid in (
            (good, True), ({**good, "schema": 2}, False), ({**good, "more": 1}, False),
            ({**good, "floors": [floor(metric="speed")]}, False),
            ({**good, "floors": [floor(metric="variant_ratio:int8_kept")]}, True),
            ({**good, "floors": [floor(value=-1)]}, False),
        ):  # fmt: skip
            self.assertEqual(validator.is_valid(content), valid, content)
            if valid:
                thresholds.parse(json.dumps(content), "x")
            else:
                with self.assertRaises(GateError):
                    thresholds.parse(json.dumps(content), "x")
        for path in folder.glob("*.json"):
            if not path.name.endswith(".schema.json"):
                content = json.loads(path.read_text(encoding="utf-8"))
                self.assertEqual(list(validator.iter_errors(content)), [])
                self.assertTrue(thresholds.read(folder, content["device"]))


class FigureTest(unittest.TestCase):
    def test_half_an_interval_is_none(self):
        for low, high, cell in ((0.9, 1.1, "0.900 .. 1.100"), (None, 1.1, "-"), (0.9, None, "-")):
            figure = thresholds.Figure(1.0, low, high)
            self.assertEqual(gate_floors.figure_cells(figure), ["1.000", cell])
        self.assertEqual(gate_floors.figure_cells(None), ["-", "-"])


class ReportTest(unittest.TestCase):
    def test_a_grid_too_wide_is_folded(self):
        name = "Cuda/QuantizeRowwise_bf16.Timing/131x257_pad9_special:int8_kept" * 2
        grid = Grid([("case", "<"), ("base us", ">"), ("verdict", "<")],
                    [[name[:95], "1.00", PASS], ["short", "22.00", FAIL]])  # fmt: skip
        text = gate_report.folded(grid)
        self.assertLessEqual(max(map(len, text)), 100)
        self.assertEqual(text[-1].split(), ["22.00", FAIL])
        self.assertEqual(text[text.index(name[:95]) + 1].split(), ["1.00", PASS])


# A test program as spec.json beside it tells: its cases, their medians and statuses. Its noise
# follows from the name of the records' file, which names pair and side.
STUB = """
import json, os, random, sys, time
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
spec = json.load(open(os.path.join(folder, "spec.json")))
argument = sys.argv[1]
if argument == "--available":
    print(spec["available"])
elif argument == "--gtest_list_tests":
    for name in spec["cases"]:
        suite, _, problem = name.rpartition("/")
        print(suite.rpartition(".")[0] + ".")
        print("  " + suite.rpartition(".")[2] + "/" + problem + "  # GetParam() = cpu")
else:
    names = argument.removeprefix("--gtest_filter=").split(":")
    path = os.environ["OCTET_RECORDS"]
    if spec.get("sleep") and os.path.basename(path).startswith("0004"):
        open(path + ".started", "w").close()
        time.sleep(60)
    for name, case in spec["cases"].items():
        if name not in names or case.get("missing"):
            continue
        if case.get("ends") == "hangs":
            time.sleep(60)
        if case.get("ends") == "killed":
            os.kill(os.getpid(), 9)
        noise = random.Random(os.path.basename(path) + name).gauss(0, spec["noise"])
        plan = case.get("plan")
        if plan and spec.get("pins"):
            plans = os.environ["OCTET_PLANS"]
            if os.path.exists(plans):
                plan = open(plans).read()
            else:
                open(plans, "w").write(plan)
        record = dict(spec["record"], test=name, status=case.get("status", "PASSED"),
                      reason=case.get("reason"), plan=plan)
        record["time"] = dict(record["time"], median_us=case["median_us"] * (1 + noise))
        if case.get("kept_us"):
            record["variants"][0]["time"]["median_us"] = case["kept_us"] * (1 + noise)
        if case.get("ratio"):
            record["ratio"] = dict(record["ratio"], estimate=case["ratio"] * (1 - noise))
        with open(path, "a") as file:
            file.write(json.dumps(record) + "\\n")
        if isinstance(case.get("ends"), int):
            print("Cuda/A: an illegal address", flush=True)
            sys.exit(case["ends"])
    sys.exit(spec.get("exit", 0))
"""
LOOKS = ("--looks", "12")  # enough for 6 series: 2^-12 < 0.01 / 6
CASES = [f"Cpu/Quantize_f16.Timing/{i}x{i}" for i in range(1, 7)]


def make_spec(**changes):
    record = make_record(backend="cpu", operator="quantize", variants=[], stages=[], products=[],
                         rerun="build/tests/stub_test")  # fmt: skip
    record["device"]["name"] = "A CPU"
    return {
        "available": "cpu", "noise": 0.004, "record": record,
        "cases": {name: {"median_us": 100.0 + 10 * i} for i, name in enumerate(CASES)}, **changes,
    }  # fmt: skip


def write_build(build, spec):
    folder = build / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    program = folder / "stub_test"
    # spec.json is no program: a comment makes the fingerprint follow it.
    head = f"#!{sys.executable} -SE\n# {hash(json.dumps(spec))}"
    program.write_text(head + STUB, encoding="utf-8")
    program.chmod(0o755)
    return build


class MergeTest(Folder):
    def build(self, name, spec=None):
        return write_build(self.folder / name, spec or make_spec())

    def merge(self, head_spec=None, *arguments, base_spec=None, **environment):
        base, head = self.build("base", base_spec), self.build("head", head_spec)
        looks = () if "--looks" in arguments else LOOKS
        return self.gate("merge", "--base-build", base, "--head-build", head, "--state",
                         self.folder / "state", *looks, *arguments, **environment)  # fmt: skip

    def pairs(self):
        return (self.folder / "state" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()

    def test_a_a_passes(self):
        result = self.merge(None, "--looks", "18,36,54")
        self.assert_ends(result, PASS_1, "PASS: none of 6 series is 2 % slower", "18 pairs")
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)
        orders = [json.loads(text)["order"][0] for text in self.pairs()]
        self.assertEqual(orders, ["base", "head"] * 9)
        again = self.merge(None, "--looks", "18,36,54")
        self.assert_ends(again, PASS_1, "Nothing was measured")
        self.assertEqual(len(self.pairs()), 18)

    def test_a_slowdown_fails_and_is_named_and_no_other(self):
        spec = make_spec()
        spec["cases"][CASES[2]]["median_us"] *= 1.05
        path = self.folder / "summary.md"
        result = self.merge(spec, "--markdown", path)
        self.assert_ends(result, FAIL_1, f"1 of 6 series more than 2 % slower: {CASES[2]}")
        rows = [row.split() for row in result.stdout.splitlines() if row.startswith("Cpu/")]
        self.assertEqual([row[0] for row in rows if row[-1] == FAIL], [CASES[2]])
        self.assertRegex(path.read_text(encoding="utf-8"),
                         rf"\n\| {CASES[2]} \| 1\d\d\.\d\d \| \+[45]\..*FAIL \|")  # fmt: skip

    def test_a_slowdown_of_a_variant_alone_is_found(self):
        specs = []
        for kept_us in (50.0, 53.0):
            spec = make_spec()
            spec["record"]["variants"] = [make_variant("int8_kept", 50.0)]
            spec["cases"] = {CASES[0]: {"median_us": 100.0, "kept_us": kept_us}}
            specs.append(spec)
        result = self.merge(specs[1], base_spec=specs[0])
        self.assert_ends(result, FAIL_1, f"1 of 2 series more than 2 % slower: {CASES[0]}:int8")

    def test_noise_is_inconclusive_and_says_what_it_could_have_seen(self):
        spec = make_spec(noise=0.1)
        result = self.merge(spec, "--looks", "9,11", "--cases", "[12]x", base_spec=spec)
        self.assert_ends(result, OPEN_3, "2 of 2 series undecided after 11 pairs",
                         "the smallest regression that could have been seen in every")  # fmt: skip

    def test_what_is_wrong_with_head_whatever_its_times(self):
        for changes, mention in (
            ({"status": "FAILED", "reason": "3 differ"}, "FAILED on head: 3 differ; again: build/"),
            ({"status": "MISTRUSTED", "reason": "zeros"}, "MISTRUSTED on head: zeros"),
            ({"status": "INVALID", "reason": "odd"}, "INVALID on head: odd"),
            ({"status": "SKIPPED", "reason": "no memory"}, "newly SKIPPED on head: no memory"),
            ({"missing": True}, "left no record on head"),
        ):
            shutil.rmtree(self.folder / "state", ignore_errors=True)
            spec = make_spec()
            spec["cases"][CASES[1]].update(changes)
            result = self.merge(spec)
            self.assert_ends(result, FAIL_1, f"FAIL: {CASES[1]}: {mention}", "1 problems of")
        shutil.rmtree(self.folder / "state")
        self.assert_ends(self.merge(make_spec(exit=7)), FAIL_1, "stub_test: exit status 7 on head")

    def test_a_case_that_ends_its_process_does_not_take_others_with_it(self):
        for ends, mention in (
            (70, f"FAIL: {CASES[1]}: FAILED on head: an illegal address"),
            (71, f"FAIL: {CASES[1]}: FAILED on head: an illegal address"),
            ("killed", f"{CASES[1]}: left no record on head, killed by SIGKILL"),
            ("hangs", f"{CASES[1]}: left no record on head, ended by the gate after 1 s"),
        ):
            shutil.rmtree(self.folder / "state", ignore_errors=True)
            spec = make_spec()
            spec["cases"][CASES[1]].update(ends=ends)
            if isinstance(ends, int):
                spec["cases"][CASES[1]].update(status="FAILED", reason="an illegal address")
            result = self.merge(spec, "--timeout", "1")
            self.assert_ends(result, FAIL_1, mention, "1 problems of")
            (pair,) = map(json.loads, self.pairs())
            self.assertEqual(set(pair["head"]) | {CASES[1]}, set(CASES), ends)

    def test_vanished_and_new_cases(self):
        spec = make_spec()
        del spec["cases"][CASES[3]]
        result = self.merge(spec)
        self.assert_ends(result, FAIL_1, f"{CASES[3]}: missing on head, present on base")
        shutil.rmtree(self.folder / "state")
        result = self.merge(make_spec(), base_spec=spec)
        self.assert_ends(result, PASS_1, "New on head", "of 5 series")
        shutil.rmtree(self.folder / "state")
        broken = make_spec()
        broken["cases"][CASES[3]].update(status="FAILED", reason="wrong")
        result = self.merge(broken, base_spec=spec)
        self.assert_ends(result, FAIL_1, f"{CASES[3]}: new, FAILED: wrong")

    def test_what_cannot_be_compared_is_listed(self):
        base, head = make_spec(), make_spec()
        for spec in (base, head):
            spec["cases"][CASES[0]].update(status="SKIPPED", reason="no memory")
            spec["cases"][CASES[1]]["median_us"] = 0
        base["cases"][CASES[2]].update(status="FAILED", reason="wrong")
        base["cases"][CASES[3]]["plan"], head["cases"][CASES[3]]["plan"] = "tile 64", "tile 128"
        result = self.merge(head, base_spec=base)
        self.assert_ends(result, PASS_1, "skipped on both", "too short to be timed",
                         "base was FAILED in pair 1", "1 cases whose plan differs",
                         f"{CASES[3]}: base tile 64; head tile 128", "of 3 series")  # fmt: skip
        for spec in (base, head):
            for case in spec["cases"].values():
                case.update(status="SKIPPED", reason="none")
        shutil.rmtree(self.folder / "state")
        self.assert_ends(self.merge(head, base_spec=base), USAGE, "no case can be compared")

    def test_both_sides_take_the_algorithms_that_base_chose(self):
        base, head = make_spec(pins=1), make_spec(pins=1)
        base["cases"][CASES[3]]["plan"], head["cases"][CASES[3]]["plan"] = "tile 64", "tile 128"
        result = self.merge(head, base_spec=base)
        self.assert_ends(result, PASS_1)
        self.assertNotIn("plan differs", result.stdout)
        self.assertEqual((self.folder / "state" / "plans").read_text(encoding="utf-8"), "tile 64")

    def test_interrupted_then_resumed(self):
        base, head = self.build("base", make_spec(sleep=1)), self.build("head", make_spec(sleep=1))
        command = ["merge", "--base-build", base, "--head-build", head, "--state",
                   self.folder / "state", *LOOKS]  # fmt: skip
        with subprocess.Popen(
            ["bash", str(ROOT / "scripts" / "gate"), *map(str, command)], cwd=self.folder,
            env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            started = self.folder / "state" / "records" / "0004-base.jsonl.started"
            end = time.monotonic() + 20
            while not started.exists() and time.monotonic() < end:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("the same command goes on", said)
        self.assertEqual(len(self.pairs()), 4)
        before = self.pairs()
        with open(self.folder / "state" / "pairs.jsonl", "a", encoding="utf-8") as file:
            file.write('{"pair": 4, "or')  # as if killed in a write
        for build in (base, head):
            spec = json.loads((build / "tests" / "spec.json").read_text(encoding="utf-8"))
            (build / "tests" / "spec.json").write_text(json.dumps({**spec, "sleep": 0}))
        result = self.gate(*command)
        self.assert_ends(result, PASS_1, "12 pairs", "pair 5 of 12")
        self.assertEqual(self.pairs()[:4], before)
        self.assertNotIn("pair 4 of 12", result.stderr)
        self.assertEqual(len(self.pairs()), 13)  # the killed write's, too

    def test_killed_then_resumed(self):
        base, head = self.build("base", make_spec(sleep=1)), self.build("head", make_spec(sleep=1))
        command = ["merge", "--base-build", base, "--head-build", head, "--state",
                   self.folder / "state", *LOOKS]  # fmt: skip
        with subprocess.Popen(
            ["bash", str(ROOT / "scripts" / "gate"), *map(str, command)], cwd=self.folder,
            env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            started = self.folder / "state" / "records" / "0004-base.jsonl.started"
            end = time.monotonic() + 20
            while not started.exists() and time.monotonic() < end:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)  # its program holds stderr no longer: it ended, too
        before = self.pairs()
        self.assertEqual(len(before), 4)
        for build in (base, head):
            spec = json.loads((build / "tests" / "spec.json").read_text(encoding="utf-8"))
            (build / "tests" / "spec.json").write_text(json.dumps({**spec, "sleep": 0}))
        found = subprocess.run(["pgrep", "-f", str(base)], capture_output=True, check=False)
        self.assertEqual(found.stdout, b"", "the killed gate's program still runs")
        result = self.gate(*command)
        self.assert_ends(result, PASS_1, "12 pairs", "pair 5 of 12")
        self.assertEqual(self.pairs()[:4], before)

    def test_a_full_disk_is_said_and_leaves_whole_pairs(self):
        base, head = self.build("base"), self.build("head")
        command = ["gate", "merge", "--base-build", base, "--head-build", head, "--state",
                   self.folder / "state", *LOOKS]  # fmt: skip
        # Files of 20 KiB at most: records have room, all pairs have not.
        result = subprocess.run(
            ["bash", "-c", 'ulimit -f 20; exec bash "$@"', "-", str(ROOT / "scripts" / command[0]),
             *map(str, command[1:])], capture_output=True, text=True, check=False,
            cwd=self.folder, env=self.environment,
        )  # fmt: skip
        self.assertEqual(result.returncode, USAGE, result.stdout + result.stderr)
        self.assertIn("no room for a pair", result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        kept = self.pairs()
        self.assertGreater(len(kept), 0)
        for text in kept:
            json.loads(text)
        result = self.gate(*command[1:])
        self.assert_ends(result, PASS_1, "12 pairs")
        self.assertEqual(self.pairs()[: len(kept)], kept)

    def test_a_foreign_state_is_refused_and_kept(self):
        self.merge()
        kept = self.pairs()
        for arguments, head, environment, what in (
            (["--margin", "0.03"], None, {}, "another margin"),
            (["--cases", "1x1"], None, {}, "another cases"),
            (["--looks", "18,36"], None, {}, "another looks"),
            ([], make_spec(noise=0.1), {}, "another head"),
            ([], None, {"OCTET_ITERATIONS": "9"}, "another environment"),
        ):
            result = self.merge(head, *arguments, **environment)
            self.assert_usage_error(result, what, "name another folder with --state")
            self.assertEqual(self.pairs(), kept)
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "file").touch()
        result = self.merge(None, "--state", self.folder / "mine")
        self.assert_usage_error(result, "is not empty and holds no gate's state")

    def test_another_device_is_refused(self):
        head = make_spec()
        head["record"] = copy.deepcopy(head["record"])
        head["record"]["device"]["uuid"] = "GPU-2"
        self.assert_ends(self.merge(head), USAGE, "another device")

    def test_records_of_another_schema_version(self):
        base = make_spec()
        base["record"] = dict(base["record"], schema=2)
        result = self.merge(None, base_spec=base)
        self.assert_ends(result, USAGE, "what a test program wrote is no record",
                         "0000-base.jsonl:1: the schema version is 2, but this reads 1")  # fmt: skip
        self.assertTrue((self.folder / "state" / "records" / "0000-base.jsonl").exists())

    def test_a_gpu_that_was_busy_during_a_case(self):
        head = make_spec()
        head["record"] = copy.deepcopy(head["record"])
        head["record"]["device"]["busy"] = [4711]
        self.assert_ends(self.merge(head), PASS_1, "busy with another process in 12 of 12 pairs")

    def test_a_state_that_cannot_be_read(self):
        self.merge()
        (self.folder / "state" / "state.json").write_text("{", encoding="utf-8")
        kept = self.pairs()
        self.assert_ends(self.merge(), USAGE, "cannot use", "as state")
        self.assertEqual(self.pairs(), kept)

    def test_usage(self):
        for arguments, mention in (
            (["--margin", "2"], "must lie between 0 and 1"),
            (["--margin", "wide"], "invalid number value"),
            (["--looks", "18,9"], "ascending"),
            (["--looks", "2"], "can prove nothing"),
            (["--looks", "x"], "invalid list of numbers of pairs value"),
            (["--cases", "("], "is no regular expression"),
            (["--backend", "rocm"], "invalid choice"),
            (["--fast"], "unrecognized arguments"),
        ):
            self.assert_usage_error(self.merge(None, *arguments), mention)
        self.assert_ends(self.merge(None, "--cases", "nothing"), USAGE, "no cpu Timing case")
        self.assert_usage_error(self.gate("merge"), "merge needs --base REV")
        self.assert_usage_error(self.gate("merge", "--base-build", self.folder, "--head-build",
                                          self.folder), "no test program in")  # fmt: skip
        self.assertEqual(self.gate("--help").returncode, 0)

    def test_one_gate_at_a_time(self):
        with open(self.folder / "octet-gate.lock", "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assert_usage_error(self.merge(None, "--no-wait"), "another gate measures")

    def test_a_second_gate_waits_for_the_first(self):
        base, head = self.build("base"), self.build("head")
        with open(self.folder / "octet-gate.lock", "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with subprocess.Popen(
                ["bash", str(ROOT / "scripts" / "gate"), "merge", "--base-build", str(base),
                 "--head-build", str(head), "--state", str(self.folder / "state"), *LOOKS],
                cwd=self.folder, env=self.environment, stderr=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                self.assertIn("waiting for it to end", process.stderr.readline())
                self.assertFalse((self.folder / "state").exists())
                fcntl.flock(held, fcntl.LOCK_UN)
                process.communicate(timeout=60)
        self.assertEqual(process.returncode, PASS_1)

    def test_a_busy_gpu(self):
        smi = self.folder / "bin" / "nvidia-smi"
        smi.parent.mkdir()
        smi.write_text("#!/bin/sh\necho '4711, GPU-1'\necho '4712, GPU-2'\n", encoding="utf-8")
        smi.chmod(0o755)
        path = {"PATH": f"{smi.parent}:{os.environ['PATH']}"}
        spec = make_spec(available="cuda")
        spec["cases"] = {name.replace("Cpu/", "Cuda/"): c for name, c in spec["cases"].items()}
        result = self.merge(spec, base_spec=spec, **path)
        self.assert_ends(result, USAGE, "the GPU is busy with processes 4711, 4712; --allow-busy")
        result = self.merge(spec, "--allow-busy", base_spec=spec, **path)
        self.assert_ends(result, PASS_1, "busy with another process in 12 of 12 pairs")
        self.assertEqual([json.loads(t)["busy"] for t in self.pairs()][:2], [[4711, 4712], [4711]])

    def test_aa(self):
        build, history = self.build("base"), self.folder / "history.jsonl"
        for number in (1, 2):
            result = self.gate("aa", "--base-build", build, "--state",
                               self.folder / f"state{number}", "--history", history,
                               *LOOKS)  # fmt: skip
            self.assert_ends(result, PASS_1, "one build folder runs as both",
                             "look at 12 pairs: 0 false alarms in 12 chances",
                             f"all {number} A/A")  # fmt: skip
        history.write_text("{", encoding="utf-8")
        result = self.gate("aa", "--base-build", build, "--state", self.folder / "state3",
                           "--history", history, *LOOKS)  # fmt: skip
        self.assert_usage_error(result, "cannot use", "as history")
        self.assertEqual(history.read_text(encoding="utf-8"), "{")
        self.assertFalse((self.folder / "state3").exists())


CMAKE_STUB = """#!/bin/bash
[[ -e broken ]] && { echo 'no rule to make it'; exit 1; }
[[ $1 == --build ]] || exit 0
mkdir -p build/cpu && cp -r stub/. build/cpu/
"""
SET_UP_STUB = "set_up() { :; }\nchoose_preset() { echo cpu; }\n"


class RevisionsTest(Folder):
    """Merges of commits: a repository of stubs, whose cmake copies them to the build folder."""

    def setUp(self):
        super().setUp()
        self.root = self.folder / "repository"
        shutil.copytree(ROOT / "scripts", self.root / "scripts",
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        (self.root / "scripts" / "set_up.sh").write_text(SET_UP_STUB, encoding="utf-8")
        (self.root / ".gitignore").write_text("/build/\n", encoding="utf-8")
        cmake = self.folder / "bin" / "cmake"
        cmake.parent.mkdir()
        cmake.write_text(CMAKE_STUB, encoding="utf-8")
        cmake.chmod(0o755)
        self.environment["PATH"] = f"{cmake.parent}:{os.environ['PATH']}"
        self.environment.update(
            GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", HOME=str(self.folder),
            GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
            GIT_COMMITTER_EMAIL="a@b",
        )  # fmt: skip
        self.git("init", "-q")

    def git(self, *arguments):
        return subprocess.run(["git", "-C", str(self.root), *arguments], check=True,
                              capture_output=True, text=True, env=self.environment)  # fmt: skip

    def commit(self, spec=None, floors=(), **files):
        write_build(self.root / "stub", spec or make_spec())
        folder = self.root / "tests" / "thresholds"
        folder.mkdir(parents=True, exist_ok=True)
        content = {"schema": 1, "device": "A CPU", "floors": list(floors)}
        (folder / "A_CPU.json").write_text(json.dumps(content), encoding="utf-8")
        shutil.copy(ROOT / "tests" / "thresholds" / "thresholds.schema.json", folder)
        for name, text in files.items():
            (self.root / name).write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a commit")
        return self.git("rev-parse", "HEAD").stdout.strip()

    def merge(self, *arguments, **environment):
        return self.gate("merge", *arguments, *LOOKS, root=self.root, **environment)

    def test_builds_both_commits_and_compares_them(self):
        base = self.commit()
        slower = make_spec()
        slower["cases"][CASES[4]]["median_us"] *= 1.06
        head = self.commit(slower)
        result = self.merge("--base", "HEAD~1")
        self.assert_ends(result, FAIL_1, f"base {base[:12]}, head {head[:12]}", CASES[4])
        state = self.root / "build" / "gate" / f"{base[:12]}-{head[:12]}"
        self.assertTrue((state / "base" / "build" / "cpu" / "tests" / "stub_test").exists())
        self.assert_ends(self.merge("--base", "HEAD~1"), FAIL_1, "Nothing was measured")
        result = self.gate("aa", "--two-builds", *LOOKS, root=self.root)
        self.assert_ends(result, PASS_1, "a build for each")
        result = self.gate("aa", "--base", "HEAD~1", *LOOKS, root=self.root)
        self.assert_ends(result, PASS_1, "one build folder runs as both")

    def test_hostile_revisions_and_names_are_texts(self):
        self.commit()
        hostile = ("$(touch planted)", "`touch planted`", "'; touch planted;'", "a\nb", "--help-me",
                   "HEAD; touch planted", "<b>|**x**")  # fmt: skip
        for text in hostile:
            self.assert_ends(self.merge(f"--base={text}"), USAGE, "--base")
            self.assert_ends(self.merge("--base", "HEAD", f"--cases={text}"), USAGE)
        path = self.folder / "summary.md"
        self.gate("merge", "--base=<img src=x>`id`", "--markdown", path, root=self.root)
        bare = re.sub(r"\\.", "", path.read_text(encoding="utf-8"))
        self.assertNotRegex(bare, "<|`")
        # A branch may have such a name; what runs is a worktree of its own.
        self.git("branch", "x;touch${IFS}planted")
        base = self.commit()
        result = self.merge("--base", "x;touch${IFS}planted", "--state",
                            self.folder / "$(touch planted) 'it'")  # fmt: skip
        self.assert_ends(result, PASS_1)
        self.assertEqual([p.name for p in self.folder.rglob("planted")], [])
        worktree = self.folder / "$(touch planted) 'it'" / "base"
        self.assertTrue((worktree / ".git").is_file())
        self.assertEqual(self.git("rev-parse", "HEAD").stdout.strip(), base)

    def test_a_reason_stays_a_text_in_markdown(self):
        base = self.commit()
        broken = make_spec()
        broken["cases"][CASES[1]].update(
            status="FAILED", reason="<script>x</script> [a](http://b) `c` | \x1b[31m"
        )
        self.commit(broken)
        path = self.folder / "summary.md"
        result = self.merge("--base", base, "--markdown", path)
        self.assert_ends(result, FAIL_1)
        self.assertNotIn("\x1b", result.stdout)
        bare = re.sub(r"\\.", "", path.read_text(encoding="utf-8"))
        self.assertNotRegex(bare, r"<(?!/?(details|summary)>)|`|\]\(|\x1b")

    def test_revisions_that_are_none(self):
        self.commit()
        for revision in ("nope", "HEAD:scripts", "-x", "--exec=true", "HEAD~9", ""):
            self.assert_usage_error(self.merge(f"--base={revision}"), "--base")
            self.assert_usage_error(self.merge("--base", "HEAD", f"--head={revision}"), "--head")
        self.assertFalse((self.root / "build").exists())

    def test_commits_that_do_not_build(self):
        self.commit()
        self.commit(broken="yes")
        path = self.folder / "summary.md"
        result = self.merge("--base", "HEAD~1", "--markdown", path)
        self.assert_ends(result, FAIL_1, "head", "does not build", "no rule to make it")
        self.assertIn("FAIL", path.read_text(encoding="utf-8"))
        result = self.merge("--base", "HEAD", "--head", "HEAD~1")
        self.assert_ends(result, USAGE, "base", "does not build")

    def test_the_floors_of_base_judge(self):
        spec = make_spec()
        for name in CASES:
            spec["cases"][name]["ratio"] = 0.95
        mine = [floor(0.9, CASES[0]), floor(0.93, CASES[1]), floor(0.99, CASES[2])]
        self.commit(spec, mine[:2])
        self.commit(spec, [floor(0.9, CASES[0]), floor(0.8, CASES[1])])
        result = self.merge("--base", "HEAD~1")
        self.assert_ends(result, PASS_1, "2 floors PASS", "floor lowered: A CPU",
                         "from 0.93 to 0.8")  # fmt: skip
        self.commit(spec, mine)
        self.commit(spec, mine[:1])
        result = self.merge("--base", "HEAD~1")
        self.assert_ends(result, FAIL_1, f"FAIL: floor of {CASES[2]} ratio (burst): 0.950 against",
                         "2 floors PASS, 1 floors FAIL", "floor removed")  # fmt: skip

    def test_uncommitted_changes_are_no_part_of_it(self):
        self.commit()
        (self.root / "more").touch()
        result = self.merge("--base", "HEAD")
        self.assert_ends(result, PASS_1, "uncommitted changes are no part of it")


BUILD = Path(os.environ.get("OCTET_GATE_BUILD") or ROOT / "build" / "cpu")
# Runs the real program and makes its times longer: a plant in the records, not in a kernel.
WRAPPER = """
import json, os, subprocess, sys
real, factor = {real!r}, {factor}
environment = dict(os.environ)
records = environment.pop("OCTET_RECORDS", None)
if records:
    environment["OCTET_RECORDS"] = records + ".real"
status = subprocess.run([real, *sys.argv[1:]], env=environment).returncode
if records and os.path.exists(records + ".real"):
    with open(records + ".real") as file, open(records, "a") as out:
        for text in file:
            record = json.loads(text)
            if record["time"]:
                record["time"]["median_us"] *= factor
            out.write(json.dumps(record) + "\\n")
    os.remove(records + ".real")
sys.exit(status)
"""


@unittest.skipUnless((BUILD / "tests" / "quantize_test").exists(), f"{BUILD} is not built")
class CpuBackend(Folder):
    """The gate on real programs of the CPU backend with small sizes. The kernels are not touched:
    the plant is a wrapper that scales the medians in the records of the real program."""

    ARGUMENTS = ("--backend", "cpu", "--margin", "0.1",
                 "--cases", r"Quantize(Rowwise|RowCol)_f16\.Timing/(61x16411_pad5|257x255_pad7)$")

    def setUp(self):
        super().setUp()
        self.environment.update(OCTET_ITERATIONS="30", OCTET_WARMUP="3")

    def test_a_a_does_not_fail(self):
        result = self.gate("aa", "--base-build", BUILD, "--state", self.folder / "state",
                           *self.ARGUMENTS)  # fmt: skip
        self.assertIn(result.returncode, (PASS_1, OPEN_3), result.stdout + result.stderr)

    def test_a_planted_50_percent_slowdown_fails(self):
        wrapper = self.folder / "planted" / "tests" / "quantize_test"
        wrapper.parent.mkdir(parents=True)
        real = str((BUILD / "tests" / "quantize_test").resolve())
        wrapper.write_text(f"#!{sys.executable} -SE" + WRAPPER.format(real=real, factor=1.5),
                           encoding="utf-8")  # fmt: skip
        wrapper.chmod(0o755)
        result = self.gate("merge", "--base-build", BUILD, "--head-build", wrapper.parents[1],
                           "--state", self.folder / "state", *self.ARGUMENTS)  # fmt: skip
        self.assert_ends(result, FAIL_1, "more than 10 % slower")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        tests = [SignTest, SimulationTest, FloorsTest, ReportTest, MergeTest, RevisionsTest]
        sys.argv += [test.__name__ for test in tests]
    unittest.main()
