#!/usr/bin/env python3
"""Tests of scripts/: the table, the check of records, arguments, set-up, and what is run and told.

Nothing is built or installed here: scripts run in a copy of the tree, on a PATH of stubs that say
what they were asked. Run: python3 tests/scripts_test.py
"""

import copy
import io
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

from octet_scripts import bench, device_suites, records, schema, sizes, table  # noqa: E402

try:
    from jsonschema import Draft202012Validator
except ImportError:
    Draft202012Validator = None
needs_jsonschema = unittest.skipIf(
    Draft202012Validator is None, "needs jsonschema: apt-get install python3-jsonschema"
)


# Keys that came later: records of older versions lack them.
ADDED = {"b1", "b2", "busy", "curve", "drift", "fp8", "gradient_rounding", "matrices", "overlap",
         "overlap_us", "stationary", "step", "tensors", "undecomposed_rel_frobenius"}  # fmt: skip


def make_time(median_us, **changes):
    return {
        "mode": "hot", "state": "burst", "samples": 20, "median_us": median_us, "mad_us": 1.0,
        "min_us": median_us - 2, "q1_us": median_us - 1, "q3_us": median_us + 1,
        "max_us": median_us + 9, "stop": "iterations", "throttled": False, "clock_sm_mhz": 1980,
        "calls_in_sample": 3, "low_us": median_us - 1, "high_us": median_us + 1,
        "confidence": 0.96, "power_w": None, "joules": None,
        **changes,
    }  # fmt: skip


def make_variant(name, median_us, ratio=None, derived=False, **changes):
    interval = {"estimate": ratio, "low": None, "high": None, "confidence": None}
    return {
        "name": name, "derived": derived, "time": make_time(median_us, **changes),
        "ratio": None if ratio is None else interval, "steady": None,
    }  # fmt: skip


def make_stages(unit_us):
    """Of each product: quantize 1 (and weights 4 in the fprops), product 8, dequantize 2."""
    stages = []

    def add(variant, product, operator, us, tensor="", weights=False):
        stages.append({
            "variant": variant, "product": product, "operator": operator, "tensor": tensor,
            "weights": weights, "median_us": us * unit_us, "plan": None,
        })  # fmt: skip

    for product in table.PRODUCTS:
        if not product.endswith("wgrad"):
            add("int8", product, "quantize_row_col", 1, "a")
        if product.endswith("fprop"):
            add("int8", product, "quantize_row_col", 4, "w1", weights=True)
        add("int8", product, "gemm_s8", 8)
        add("int8", product, "dequantize", 2)
        add("native", product, "gemm_f16", 15)
    return stages


def make_record(size="4k", dtype="f16", backend="cuda", unit_us=10.0, **changes):
    model, hidden = {"4k": (4096, 12288), "5k": (5120, 15360), "12k": (12288, 49152)}[size]
    test = f"{backend.capitalize()}/TrainingStep_{dtype}.Timing/{size}"
    record = {
        "schema": 1, "run": "20260101T000000Z-1", "status": "PASSED", "reason": None, "test": test,
        "rerun": f"build/cuda/tests/training_step_test --gtest_filter={test}", "seed": 7,
        "backend": backend, "operator": "training_step", "dtype": dtype, "layout": "row",
        "problem": {
            "size": size, "batch": 2, "seq": 512, "model": model, "hidden": hidden,
            "product": None, "m": None, "n": None, "k": None, "rows": None, "cols": None,
            "ld_padding": 0,
        },
        "data": "gaussian", "policy": {"fprop": "s8", "dgrad": "s8", "wgrad": "s8"},
        "check": {
            "kind": "freivalds", "exact": True, "compared": 10, "mismatches": 0, "max_abs": None,
            "max_ulp": None, "rel_frobenius": 0.012, "worst_row": 0.02, "worst_col": 0.02,
            "cosine": 0.9999, "bound": 0.05, "after_timing": True,
        },
        "products": [
            {
                "product": product, "rel_frobenius": 0.0123, "worst_row": 0.02, "worst_col": 0.02,
                "cosine": 0.9999, "output_hash": "0123456789abcdef",
            }
            for product in table.PRODUCTS
        ],
        "time": make_time(80 * unit_us),
        "variants": [
            make_variant("int8_every_step", 80 * unit_us, 0.99),
            make_variant("int8_kept", 53 * unit_us, 1.49),
            make_variant("native", 85 * unit_us),
            make_variant("native_transposed", 79 * unit_us),
        ],
        "stages": make_stages(unit_us),
        "iterations": 20, "warm_up": 3, "output_hash": "0123456789abcdef", "plan": None,
        "memory": {"host_peak_bytes": 1, "device_peak_bytes": 2, "predicted_bytes": 3},
        "samples_file": None, "cost": {"bytes": 1, "operations": 2},
        "rate": {
            "gb_per_s": None, "tops": 900.5, "copy_gb_per_s": None, "peak_tops": 2000.0,
            "roofline_fraction": None, "roofline": None, "bound": None,
        },
        "baseline": {"name": "native_transposed", "algorithm": None, "median_us": 790.0},
        "ratio": {"estimate": 0.99, "low": 0.98, "high": 1.0, "confidence": 0.99}, "floors": [],
        "device": {
            "name": "NVIDIA H200", "uuid": "GPU-1", "compute_capability": 90,
            "multiprocessors": 132, "l2_bytes": 62914560, "memory_bytes": 150754820096,
            "driver": 13000, "clock_sm_mhz": 1980, "clock_mem_mhz": 3201, "power_w": 350.5,
            "temperature_c": 41, "throttle": [],
        },
        "build": {
            "version": "0.1.0", "git": "0123456789abcdef0123456789abcdef01234567", "dirty": False,
            "cuda": "13.0", "cublaslt": "13.1.0", "compiler": "GNU 12.2.0", "flags": "-O3",
        },
        "host": "host", "time_utc": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    record.update(copy.deepcopy(changes))
    return record


def make_options_record(unit_us=10.0, **changes):
    """A step in tiles, with outliers set apart and biases."""
    record = make_record(
        unit_us=unit_us, layout="col_ampere", data="outlier_channels",
        step={
            "bias": True, "threshold": 6.0, "outlier_mode": "column",
            "outliers": [
                {"tensor": "a", "count": 16384, "share": 0.00390625, "capacity": 83886},
                {"tensor": "out1", "count": 2129, "share": 0.0001692, "capacity": 251658},
            ],
        },
        **changes,
    )  # fmt: skip
    for product in record["products"]:
        product["undecomposed_rel_frobenius"] = 0.05
    stages = []
    for stage in record["stages"]:
        if stage["operator"] == "gemm_s8":
            fprop = stage["product"].endswith("fprop")
            stages += [
                {**stage, "operator": "transform", "median_us": 0.5 * unit_us},
                {**stage, "operator": "transform", "median_us": unit_us, "weights": fprop},
                stage,
                {**stage, "operator": "spmm_coo", "median_us": 3 * unit_us},
            ]
        else:
            stages.append(stage)
    record["stages"] = stages
    return record


def line(record):
    return json.dumps(record) + "\n"


def row_of(text, first_cell):
    """Cells of the first row that starts with a cell."""
    return next(row for row in text.splitlines() if row.split()[:1] == [first_cell]).split()


def make_fp8_record(unit_us=10.0):
    """With a step in fp8 beside int8, none of which dequantizes by itself."""
    record = make_record(unit_us=unit_us)
    record["variants"] += [
        make_variant("fp8_every_step", 70 * unit_us, 1.12),
        make_variant("fp8_kept", 50 * unit_us, 1.58),
    ]
    for variant in record["variants"]:
        variant["steady"] = make_time(90 * unit_us, joules=0.5, state="steady")
    for entry in record["products"]:
        entry["fp8"] = {"rel_frobenius": 0.037, "worst_row": 0.04, "worst_col": 0.04,
                        "cosine": 0.999, "output_hash": "0123456789abcdef"}  # fmt: skip
    stages = [s for s in record["stages"] if s["operator"] != "dequantize"]
    record["stages"] = stages + [
        {**s, "variant": "fp8", "operator": s["operator"] + "_e4m3"}
        for s in stages if s["variant"] == "int8"
    ]  # fmt: skip
    return record


class TableTest(unittest.TestCase):
    def test_stochastic_rounding_is_said_and_stands_in_a_table_of_its_own(self):
        step = {"bias": False, "threshold": None, "outlier_mode": None, "outliers": []}
        stochastic = make_record(step={**step, "gradient_rounding": "stochastic"})
        nearest = make_record(step={**step, "gradient_rounding": "nearest"})
        self.assertEqual(schema.problems(stochastic), [])
        text = table.render([make_record(), nearest, stochastic])
        self.assertEqual(text.count("gradients rounded stochastically"), 1)
        self.assertEqual(text.count("Training step, cuda"), 2)

    def test_a_step_of_another_commit_than_the_heading_is_named(self):
        here, there = make_record(), make_record(dtype="bf16")
        there["build"] = {**here["build"], "git": "f" * 40}
        self.assertNotIn("16: commit", table.render([here, make_record(dtype="bf16")]))
        self.assertIn("\n4k bf16: commit ffffffffffff\n", table.render([here, there]))

    def test_summary_names_the_faster_native_variant_and_both_ratios(self):
        text = table.render([make_record()])
        self.assertEqual(
            row_of(text, "4k"),
            ["4k", "f16", "0.790", "native_transposed", "0.800", "0.99x", "0.530", "1.49x",
             "PASSED"],
        )  # fmt: skip

    def test_ratio_is_computed_where_the_record_has_none(self):
        record = make_record()
        for variant in record["variants"]:
            variant["ratio"] = None
        row = row_of(table.render([record]), "4k")
        self.assertEqual((row[5], row[7]), (f"{790 / 800:.2f}x", f"{790 / 530:.2f}x"))

    def test_steady_state_shows_time_energy_and_ratio(self):
        record = make_record()
        for variant in record["variants"]:
            us = 1.2 * variant["time"]["median_us"]
            variant["steady"] = {**make_time(us, state="steady"), "joules": us / 1000}
        self.assertEqual(
            row_of(table.render([record]).partition("steady")[2], "4k"),
            ["4k", "f16", "0.948", "0.948", "0.960", "0.960", "0.99x", "0.636", "0.636", "1.49x"],
        )  # fmt: skip
        self.assertNotIn("steady", table.render([make_record()]))

    def test_split_adds_up(self):
        text = table.render([make_record(unit_us=10.0)])
        # quantize, weights, product, dequantize, int8, 16-bit, ratio, relative error
        fprop = ["10.0", "40.0", "80.0", "20.0", "150.0", "150.0", "1.00x", "1.230", "%"]
        wgrad = ["-", "-", "80.0", "20.0", "100.0", "150.0", "1.50x", "1.230", "%"]
        total = ["40.0", "80.0", "480.0", "120.0", "720.0", "900.0", "1.25x", "-"]
        self.assertEqual(row_of(text, "fc1_fprop")[1:], fprop)
        self.assertEqual(row_of(text, "fc2_wgrad")[1:], wgrad)
        self.assertEqual(row_of(text, "sum")[1:], total)

    def test_a_product_that_scales_at_once_has_no_column_for_it(self):
        record = make_record(unit_us=10.0)
        record["stages"] = [s for s in record["stages"] if s["operator"] != "dequantize"]
        for stage in record["stages"]:
            if stage["operator"] == "gemm_s8":
                stage["operator"] = "scaled_gemm"
        text = table.render([record])
        self.assertNotIn("dequantize", text)
        self.assertEqual(
            row_of(text, "sum")[1:],
            ["40.0", "80.0", "480.0", "600.0", "900.0", "1.50x", "-"],
        )  # fmt: skip

    def test_fp8_stands_beside_int8_where_it_ran(self):
        self.assertNotIn("fp8", table.render([make_record()]))
        for unit_us in (10.0, 1e4, 1e6):
            record = make_fp8_record(unit_us=unit_us)
            lines = table.render([record]).splitlines()
            self.assertLessEqual(max(map(len, lines)), 100)
        text = table.render([make_fp8_record(unit_us=10.0)])
        rows = [line.split() for line in text.splitlines() if line.startswith("4k    f16    ")]
        beside = {row[2]: row[3:] for row in rows if row[2] in ("16-bit", "int8", "fp8")}
        self.assertEqual(beside["16-bit"],
                         ["0.790", "-", "0.900", "0.500", "-", "-", "-", "-", "-"])  # fmt: skip
        self.assertEqual(beside["int8"], ["0.800", "0.99x", "0.900", "0.500", "0.530", "1.49x",
                                          "0.900", "0.500", "1.230", "%"])  # fmt: skip
        self.assertEqual(beside["fp8"], ["0.700", "1.12x", "0.900", "0.500", "0.500", "1.58x",
                                         "0.900", "0.500", "3.700", "%"])  # fmt: skip
        of_fp8 = text[text.index("4k fp8 f16, us"):]
        self.assertEqual(
            row_of(of_fp8, "fc1_fprop")[1:],
            ["10.0", "40.0", "80.0", "130.0", "150.0", "1.15x", "3.700", "%"],
        )

    def test_a_step_in_fp8_alone_has_its_own_errors(self):
        record = make_fp8_record()
        record["variants"] = [v for v in record["variants"] if "int8" not in v["name"]]
        record["stages"] = [s for s in record["stages"] if s["variant"] != "int8"]
        text = table.render([record])
        self.assertIn("1.230 %", text)
        self.assertNotIn("3.700 %", text)

    def test_transform_and_outliers_have_columns_where_they_occur(self):
        default = table.render([make_record()])
        for word in ("transform", "outliers"):
            self.assertNotIn(word, default)
        text = table.render([make_options_record(unit_us=10.0)])
        head = next(row for row in text.splitlines() if row.startswith("4k f16, us"))
        self.assertEqual(
            head.split()[3:],
            ["quantize", "weights", "transform", "product", "dequantize", "outliers", "int8",
             "16-bit", "ratio", "rel", "error"],
        )  # fmt: skip
        self.assertEqual(
            row_of(text, "fc1_fprop")[1:9],
            ["10.0", "50.0", "5.0", "80.0", "20.0", "30.0", "195.0", "150.0"],
        )
        self.assertEqual(
            row_of(text, "fc2_wgrad")[1:8], ["-", "-", "15.0", "80.0", "20.0", "30.0", "145.0"]
        )
        self.assertIn("bias' gradient", text)
        self.assertIn("outliers: their 16-bit part", text)

    def test_options_and_outliers_are_named_and_options_not_mixed(self):
        text = table.render([make_record(), make_options_record(), make_options_record()])
        self.assertEqual(text.count("Training step, "), 2)
        self.assertIn(
            "burst, col_ampere, threshold 6 by column, bias, outlier_channels",
            " ".join(text.split()),
        )
        self.assertIn("4k f16 outliers: a 16,384 (0.391 %), out1 2,129 (0.017 %)", text)

    def test_all_columns_fit_at_any_magnitude(self):
        for unit_us in (0.01, 10.0, 999.0, 1e4, 1e6):
            for left_out in ((), ("transform",), ("spmm_coo",)):
                record = make_options_record(unit_us=unit_us)
                record["stages"] = [s for s in record["stages"] if s["operator"] not in left_out]
                lines = table.render([record]).splitlines()
                self.assertLessEqual(max(map(len, lines)), 100)
        self.assertIn("4k f16, ms", table.render([make_options_record(unit_us=1e6)]))

    def test_the_longest_name_of_a_size_fits_at_any_magnitude(self):
        for unit_us in (0.01, 10.0, 999.0, 1e4, 1e6):
            for make in (make_record, make_options_record):
                record = make(unit_us=unit_us, dtype="bf16")
                record["problem"]["size"] = "W" * sizes.LONGEST_NAME
                for variant in record["variants"]:
                    us = variant["time"]["median_us"]
                    variant["steady"] = {**make_time(us, state="steady"), "joules": us / 1000}
                    variant["derived"] = True
                lines = table.render([record]).splitlines()
                self.assertLessEqual(max(map(len, lines)), 100, "\n".join(lines))

    def test_own_tensors_are_named_with_what_was_converted(self):
        tensors = {
            "file": "mine.safetensors", "bytes": 9, "hash": "0123456789abcdef",
            "types": {"a": "bf16", "w1": "f16", "w2": "f32", "grad": "f32"},
            "converted": ["a", "w2", "grad"],
        }  # fmt: skip
        record = make_record(data="tensors", tensors=tensors)
        self.assertEqual(schema.problems(record), [])
        text = table.render([record])
        self.assertIn(", tensors\n", text)
        self.assertIn("4k f16: tensors of mine.safetensors, converted from bf16: a, converted from "
                      "f32: w2, grad", " ".join(text.split()))  # fmt: skip

    def test_a_native_pass_of_an_int8_step_counts_as_product(self):
        record = make_record(unit_us=10.0)
        for stage in record["stages"]:
            if stage["operator"] == "gemm_s8" and stage["product"] == "fc1_wgrad":
                stage["operator"] = "gemm_f16"
        self.assertEqual(row_of(table.render([record]), "fc1_wgrad")[3], "80.0")

    def test_aligned_within_100_columns(self):
        for unit_us in (0.01, 10.0, 1e6):
            recorded = [make_record(s, d, unit_us=unit_us) for s in ("12k", "4k", "5k")
                        for d in ("bf16", "f16")]  # fmt: skip
            lines = table.render(recorded).splitlines()
            self.assertLessEqual(max(map(len, lines)), 100)
            rows = [row for row in lines if row[:2] in ("4k", "5k", "12") and "PASSED" in row]
            self.assertEqual(len({row.index("PASSED") for row in rows}), 1)
            order = [tuple(row.split()[:2]) for row in rows]
            self.assertEqual(order, [(s, d) for s in ("4k", "5k", "12k") for d in ("f16", "bf16")])
            start = next(i for i, row in enumerate(lines) if row.startswith("4k f16, us"))
            split = lines[start : start + 9]
            for heading in ("product", "dequantize", "int8", "16-bit", "ratio"):
                end = split[0].index(heading) + len(heading)
                for row in split[2:]:
                    self.assertNotEqual(row[end - 1], " ", (heading, row))

    def test_missing_variants_and_figures_show_as_dashes(self):
        record = make_record()
        record["variants"] = record["variants"][:1]
        record["products"][0]["rel_frobenius"] = None
        text = table.render([record])
        self.assertEqual(
            row_of(text, "4k"), ["4k", "f16", "-", "-", "0.800", "0.99x", "-", "-", "PASSED"]
        )
        self.assertEqual(row_of(text, "fc1_fprop")[-1], "-")
        bare = make_record(status="SKIPPED", reason="no device", variants=[], stages=[],
                           products=[], time=None, check=None, device=None, build=None)  # fmt: skip
        text = table.render([bare])
        self.assertEqual(row_of(text, "4k")[2:], ["-", "-", "-", "-", "-", "-", "SKIPPED"])

    def test_a_failure_shows_with_its_reason(self):
        reason = "fc1_fprop: 3 of 12582912 elements differ, the first at (0, 7) " * 4
        text = table.render([make_record(), make_record("5k", status="FAILED", reason=reason)])
        self.assertEqual(row_of(text, "5k")[-1], "FAILED")
        self.assertIn("5k f16 FAILED: fc1_fprop: 3 of", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_derived_and_throttled_times_are_marked_and_explained(self):
        record = make_record(backend="cpu", unit_us=1e5)
        record["variants"][1]["derived"] = True
        record["variants"][2]["time"]["throttled"] = True
        record["variants"][3:] = []
        text = table.render([record, make_record("5k", backend="cpu", unit_us=1e5)])
        self.assertEqual(row_of(text, "4k")[2:7:4], ["8.50!", "5.30*"])
        self.assertIn("* the sum of its stages", text)
        self.assertIn("! the clock was throttled", text)

    def test_a_busy_gpu_and_a_drift_are_said(self):
        record = make_record()
        record["device"]["busy"] = [4711, 4712]
        record["variants"][1]["steady"] = make_time(640, state="steady", drift=0.034,
                                                    stationary=False)  # fmt: skip
        text = table.render([record])
        self.assertIn("4k f16: the GPU was busy with processes 4711, 4712", text)
        self.assertIn("int8_kept was not stationary in the steady state: it drifted by +3.4%", text)
        record["device"]["busy"] = []
        record["variants"][1]["steady"].update(stationary=True)
        self.assertNotIn("4k f16:", table.render([record]))

    def test_devices_and_states_are_not_mixed(self):
        steady = make_record()
        for variant in steady["variants"]:
            variant["time"]["state"] = "steady"
        text = table.render([make_record(), steady, make_record(backend="cpu")])
        self.assertEqual(text.count("Training step, "), 3)
        self.assertIn("cuda on NVIDIA H200, steady", text)

    def test_markdown(self):
        text = table.render([make_record()], markdown=True)
        self.assertIn("| size | dtype | 16-bit ms | variant | int8 ms | ratio |", text)
        self.assertIn("| 4k | f16 | 0.790 | native_transposed | 0.800 | 0.99x |", text)
        self.assertIn("| fc1_fprop | 10.0 | 40.0 | 80.0 | 20.0 | 150.0 | 150.0 |", text)
        for row in text.splitlines():
            self.assertTrue(row.startswith("|") == row.endswith("|"), row)

    def test_what_a_record_holds_stays_a_text(self):
        for text in ("<script>alert(1)</script>", "a|b", "[x](javascript:y)", "`id`", "![i](http://x)",
                     "\x1b[31mred\x1b[0m", "line\nline", "<!-- ", "**b**", "&lt;"):  # fmt: skip
            record = make_record(status="FAILED", reason=text)
            record["device"]["name"] = record["build"]["git"] = text
            shown = table.render([record], markdown=True)
            bare = re.sub(r"\\.", "", shown)
            self.assertNotRegex(bare, r"<(?!!--)|`|\]\(|\x1b|\[x", text)
            for row in bare.splitlines():
                self.assertTrue(row.startswith("|") == row.endswith("|"), row)
            self.assertNotIn("\x1b", table.render([record]))

    def test_other_operators_are_left_out(self):
        self.assertEqual(table.render([make_record(operator="gemm_s8")]), "")


class RecordsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "records.jsonl"

    def run_script(self, name, *arguments):
        return subprocess.run(
            [sys.executable, "-B", "-W", "error", str(ROOT / "scripts" / name), *arguments],
            capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip

    def check(self, text):
        self.path.write_text(text, encoding="utf-8")
        return self.run_script("check_records", str(self.path))

    def assert_bad(self, text, *mentions):
        result = self.check(text)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        for mention in mentions:
            self.assertIn(mention, result.stdout)

    def test_parse_is_strict(self):
        for text, reason in (
            (b'{"schema": 1, "x": NaN}\n', "NaN is not JSON"),
            (b'{"schema": 1, "x": -Infinity}\n', "-Infinity is not JSON"),
            (b'{"schema": 1, "x": 1, "x": 2}\n', "'x' occurs twice"),
            (b'{"schema": 2}\n', "schema version is 2, but this reads 1"),
            (b"{}\n", "schema version is missing"),
            (b"[1]\n", "not a JSON object"),
            (b'{"schema": 1', "truncated"),
            (b'{"schema": 1}', "truncated"),
            (b"\xff\n", "not UTF-8"),
            (b"\n", "not JSON"),
        ):
            with self.assertRaises(records.RecordError) as caught:
                records.parse(text)
            self.assertIn(reason, str(caught.exception))

    @needs_jsonschema
    def test_the_schema_is_one_and_strict_everywhere(self):
        published = json.loads(schema.SCHEMA.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(published)

        def visit(node):
            if isinstance(node, dict):
                if "properties" in node and "type" in node and node["type"] == "object":
                    self.assertIs(node["additionalProperties"], False)
                    # What was added to this version, which older records lack.
                    added = set(node["properties"]) - set(node["required"])
                    self.assertLessEqual(added, ADDED)
                    self.assertLessEqual(set(node["required"]), set(node["properties"]))
                for value in node.values():
                    visit(value)

        visit(published)

    def test_good_records_pass(self):
        cpu = make_record(
            backend="cpu", iterations=None, warm_up=None, policy=None, check=None,
            products=[], time=None, variants=[], stages=[], cost=None, rate=None, baseline=None,
            ratio=None, output_hash=None,
        )  # fmt: skip
        skipped = make_record(status="SKIPPED", reason="no cuda device answers", device=None,
                              build=None, check=None, time=None, variants=[])  # fmt: skip
        newer = make_record()
        newer["device"]["busy"] = [4711]
        newer["time"].update(drift=-0.002, stationary=True)
        good = [make_record(), cpu, skipped, newer, make_options_record()]
        result = self.check("".join(map(line, good)))
        self.assertEqual((result.returncode, result.stdout), (0, "5 good records\n"), result)

    def test_the_records_of_this_tree_are_good(self):
        paths = sorted((ROOT / "tests" / "records").glob("*.jsonl"))
        result = self.run_script("check_records", *map(str, paths))
        self.assertEqual(result.returncode, 0, result.stdout)

    @needs_jsonschema
    def test_the_reader_and_jsonschema_agree(self):
        """About the good record with any one value in it changed, removed or added."""
        validator = Draft202012Validator(json.loads(schema.SCHEMA.read_text(encoding="utf-8")))
        good = make_record(floors=[{"metric": "ratio", "floor": 0.9, "estimate": 0.99, "low": 0.98,
                                    "high": 1.0, "verdict": "PASSED"}])  # fmt: skip
        compared = [0, 0]

        def compare(record, what):
            mine = not list(schema.mistakes(record, schema.load()))
            self.assertEqual(mine, validator.is_valid(record), what)
            compared[mine] += 1

        def visit(node, path):
            keys = list(node) if isinstance(node, dict) else range(len(node[:1]))
            for key in keys:
                kept = node[key]
                for value in (None, True, -1, 0.5, 3.0, "x", ["x"]):
                    node[key] = value
                    compare(good, (path, key, value))
                node[key] = kept
                if isinstance(node, dict):
                    del node[key]
                    compare(good, (path, key, "removed"))
                    node[key] = kept
                if isinstance(kept, (dict, list)):
                    visit(kept, (*path, key))
            if isinstance(node, dict):
                node["unknown"] = 1
                compare(good, (path, "added"))
                del node["unknown"]

        compare(good, "the good record")
        visit(good, ())
        self.assertGreater(min(compared), 200)

    def test_a_schema_with_an_unknown_keyword_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "'uniqueItems'"):
            list(schema.mistakes([1], {"uniqueItems": True}))

    def test_bad_records_are_named(self):
        good = make_record()
        self.assert_bad(line(good) + line(good)[:-20], ":2: truncated", "1 good record")
        self.assert_bad(line(dict(good, schema=2)), ":1: the schema version is 2")
        self.assert_bad(line(good).replace("350.5", "NaN"), ":1: NaN is not JSON")
        self.assert_bad(line(dict(good, status="OK")), good["test"], 'status is "OK"')
        self.assert_bad(line(dict(good, extra=1)), "unknown key 'extra'")
        self.assert_bad(line({k: v for k, v in good.items() if k != "host"}), "lacks the key 'host'")
        self.assert_bad(line(dict(good, status="FAILED")), "reason is null, but must be of type string")
        self.assert_bad(line(dict(good, output_hash="xyz")), "output_hash")
        self.assert_bad(line(dict(good, time_utc="yesterday")), "time_utc")
        nested = copy.deepcopy(good)
        nested["variants"][0]["time"]["median_us"] = "fast"
        self.assert_bad(line(nested), 'variants[0].time.median_us is "fast", but must be of type')
        self.assert_bad(line(dict(good, time=make_time(-3.0))), "median_us is -3.0, but must be at")
        self.assert_bad(line(dict(good, reason="3 differ")), "PASSED, but the reason is")
        self.assert_bad(line(good) + "[" * 100000 + "\n", ":2: not JSON")
        self.assert_bad("", "holds no record")

    def test_unreadable_files_are_usage_errors(self):
        for name in ("table", "check_records"):
            for path in (self.path, self.path.parent):
                result = self.run_script(name, str(path))
                self.assertEqual(result.returncode, 2)
                self.assertIn(f"cannot read {path}: ", result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_table_prints_what_it_can_read(self):
        self.path.write_text(line(make_record()) + '{"schema": 1', encoding="utf-8")
        result = self.run_script("table", str(self.path))
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"left out {self.path}:2: truncated", result.stderr)
        self.assertIn("0.99x", result.stdout)
        self.path.write_text(line(make_record(operator="gemm_s8")), encoding="utf-8")
        self.assertEqual(self.run_script("table", str(self.path)).returncode, 2)
        edited = make_record(reason="3 differ")
        for record, mention in (
            (edited, 'the status is PASSED, but the reason is "3 differ"'),
            (make_record(schema=2), "the schema version is 2, but this reads 1"),
            (make_record(time=make_time(-3.0)), "must be at least 0"),
            (make_record(more=1), "has the unknown key 'more'"),
        ):
            text = line(make_record("5k")) + line(record)
            self.path.write_text(text, encoding="utf-8")
            result = self.run_script("table", str(self.path))
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"left out {self.path}:2: ", result.stderr)
            self.assertIn(mention, result.stderr)
            self.assertIn("5k    f16", result.stdout)
            self.assertNotIn("4k    f16", result.stdout)
            self.assertEqual(self.path.read_text(encoding="utf-8"), text)


HOSTILE = ("$(touch planted)", "`touch planted`", "'; touch planted; '", "a\nb", "-rf", "a[$(touch "
           "planted)]", "\" && touch planted", "../../x", "|touch planted", "x y", "*")  # fmt: skip
TOOLS = ("bash basename cat cut date dirname env grep head hash mkdir mktemp nproc readlink rm sed "
         "sleep sort tail tee tr").split()  # fmt: skip
HEADERS = ("gtest/gtest.h", "gmock/gmock.h", "fmt/format.h", "nlohmann/json.hpp", "cblas.h")

# Each stub appends what it was asked to $STUB_LOG.
STUB = """#!/bin/bash
printf '%s %s\\n' "${0##*/}" "$*" >>"$STUB_LOG"
"""
CMAKE_STUB = STUB + """
[[ $1 == --version ]] && { echo "cmake version ${STUB_CMAKE_VERSION:-3.25.1}"; exit 0; }
exit "${STUB_CMAKE_STATUS:-0}"
"""
CTEST_STUB = STUB + """
[[ -z ${STUB_CTEST_RECORD:-} ]] || echo "$STUB_CTEST_RECORD" >>"$OCTET_RECORDS"
cat "$STUB_CTEST_OUTPUT" 2>/dev/null
exit "${STUB_CTEST_STATUS:-0}"
"""
# A test program that records the case that it was asked for, as told by the test's name.
PROGRAM_STUB = STUB + """
[[ $1 == --available ]] && { printf '%b' "${STUB_AVAILABLE:-cpu\\n}"; exit 0; }
[[ $1 == --sizes=* ]] && {
  [[ -z ${STUB_MISFIT:-} ]] || { echo "$STUB_MISFIT" >&2; exit 2; }
  printf 'benchmark %s %s 2 512 4096 12288\\n' 4k 4k 5k 5k 12k 12k
  [[ -z ${OCTET_SIZES:-}${OCTET_TENSORS:-} ]] || echo own my_size my.size 2 3 5 7
  exit 0
}
printf 'environment %s %s %s\\n' "$OCTET_REQUIRE" "${OCTET_ITERATIONS:--}" "${OCTET_WARMUP:--}" \
  >>"$STUB_LOG"
echo "output of $1"
case=${1#--gtest_filter=}
[[ $case == "${STUB_KILLED:-}" ]] && kill -9 $$
cat "$STUB_RECORDS/${case//\\//_}" >>"$OCTET_RECORDS"
[[ $case != "${STUB_FAILING:-}" ]]
"""


class ScriptsTest(unittest.TestCase):
    """scripts/ in a tree and on a PATH of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.tree, self.bin = self.folder / "tree", self.folder / "prefix" / "bin"
        shutil.copytree(ROOT / "scripts", self.tree / "scripts",
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        harness = self.tree / "tests" / "harness"
        harness.mkdir(parents=True)
        for name in ("layers.json", "record.schema.json"):
            shutil.copy(ROOT / "tests" / "harness" / name, harness)
        shutil.copytree(ROOT / ".ci", self.tree / ".ci")
        self.bin.mkdir(parents=True)
        for tool in TOOLS:
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)
        for name in ("g++", "ninja", "git"):
            self.stub(name, STUB)
        self.stub("cmake", CMAKE_STUB)
        self.stub("ctest", CTEST_STUB)
        self.stub("python3", f'#!/bin/bash\nexec "{sys.executable}" -B -W error "$@"\n')
        for preset in ("cpu", "cuda"):
            self.stub(self.tree / "build" / preset / "tests" / "training_step_test", PROGRAM_STUB)
        for header in HEADERS:
            path = self.folder / "prefix" / "include" / header
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (self.folder / "prefix" / "lib").mkdir()
        (self.folder / "prefix" / "lib" / "libopenblas.so").touch()
        self.log = self.folder / "log"
        self.environment = {
            "PATH": str(self.bin), "HOME": str(self.folder), "STUB_LOG": str(self.log),
            "STUB_RECORDS": str(self.folder / "stub_records"), "LC_ALL": "C.UTF-8",
            "STUB_CTEST_OUTPUT": str(self.folder / "ctest_output"),
        }  # fmt: skip
        (self.folder / "stub_records").mkdir()
        for backend in ("cpu", "cuda"):
            for size in ("4k", "5k", "12k"):
                for dtype in ("f16", "bf16"):
                    self.stub_record(make_record(size, dtype, backend))
        own = make_record("4k", "f16", "cpu")
        own["problem"]["size"] = "my.size"
        self.stub_record(dict(own, test="Cpu/TrainingStep_f16.Timing/my_size"))

    def stub(self, name, text):
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def stub_record(self, record):
        path = self.folder / "stub_records" / record["test"].replace("/", "_")
        path.write_text(line(record), encoding="utf-8")

    def remove(self, *names):
        for name in names:
            (self.bin / name).unlink()

    def run_script(self, name, *arguments, cwd=None, **environment):
        return subprocess.run(
            ["/bin/bash", str(self.tree / name), *arguments],
            capture_output=True, text=True, cwd=cwd or self.folder, check=False,
            stdin=subprocess.DEVNULL, env={**self.environment, **environment},
        )  # fmt: skip

    def asked(self):
        """What the stubs were asked to do, version queries aside."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [asked for asked in lines if asked != "cmake --version"]

    def assert_usage_error(self, result, *mentions):
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for mention in mentions:
            self.assertIn(mention, result.stderr)
        self.assertEqual(self.asked(), [])


class SetUpTest(ScriptsTest):
    def test_no_install_lists_what_is_missing_and_stops(self):
        self.remove("g++", "ninja", "git")
        self.stub("apt-get", STUB)
        result = self.run_script("scripts/set_up.sh", "--no-install", CMAKE_PREFIX_PATH="")
        self.assert_usage_error(result, "missing: g++ ninja-build git", "--no-install")
        for script in ("scripts/test", "scripts/bench"):
            result = self.run_script(script, "--no-install")
            self.assertEqual(result.returncode, 2)
            self.assertIn("missing: g++ ninja-build git", result.stderr)
            self.assertEqual(self.asked(), [])

    def test_an_old_cmake_is_missing(self):
        for version, missing in (("3.22.1", True), ("2.99", True), ("3.25.0", False),
                                 ("4.0.2", False)):  # fmt: skip
            result = self.run_script(
                "scripts/set_up.sh", "--no-install", STUB_CMAKE_VERSION=version
            )
            text = f"cmake (3.25 or later; this is {version})"
            self.assertEqual(text in result.stderr, missing, version)

    def test_a_library_that_cannot_be_linked_with_is_missing(self):
        libraries = self.folder / "prefix" / "lib"
        (libraries / "libopenblas.so").rename(libraries / "libopenblas.so.0")
        system = any(
            path.exists()
            for folder in ("/usr/lib", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu")
            for path in (Path(folder, "libopenblas.so"), Path(folder, "libopenblas.a"))
        )
        result = self.run_script("scripts/set_up.sh", "--no-install")
        self.assertEqual("libopenblas-dev" in result.stderr, not system, result.stderr)

    def test_without_apt_one_sentence_lists_what_is_missing(self):
        self.remove("g++", "git")
        result = self.run_script("scripts/set_up.sh")
        self.assert_usage_error(result, "missing: g++ git", "There is no apt-get here")

    def test_apt_is_told_what_is_missing_and_says_so_first(self):
        self.remove("git")
        self.stub("sudo", '#!/bin/bash\nexec "$@"\n')
        self.stub("apt-get", STUB + f"""
[[ $* == *install* ]] || exit 0
echo 'Need to get 12.3 MB of archives.'
echo 'Setting up git (1:2.39) ...'
printf '#!/bin/bash\\n' >'{self.bin}/git'
'{sys.executable}' -c "import os; os.chmod('{self.bin}/git', 0o755)"
""")
        result = self.run_script("scripts/set_up.sh")
        if Draft202012Validator is None:
            self.skipTest("jsonschema would be listed too")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            result.stderr.splitlines(),
            ["octet: installing with apt-get, and what they depend on: git",
             "octet:   downloading 12.3 MB", "octet:   git"],
        )  # fmt: skip
        update, install = self.asked()
        self.assertIn(" update", update)
        self.assertTrue(install.endswith("--no-install-recommends install git"), install)

    def test_a_failing_apt_ends_with_what_is_missing(self):
        self.remove("git")
        self.stub("sudo", '#!/bin/bash\nexec "$@"\n')
        self.stub("apt-get", "#!/bin/bash\necho 'E: no network' >&2\nexit 100\n")
        result = self.run_script("scripts/set_up.sh")
        self.assertEqual(result.returncode, 2)
        self.assertIn("E: no network", result.stderr)
        self.assertIn("missing: git. apt-get did not provide it.", result.stderr)

    @needs_jsonschema
    def test_nothing_missing_is_silent(self):
        result = self.run_script("scripts/set_up.sh")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_unknown_arguments(self):
        self.assert_usage_error(self.run_script("scripts/set_up.sh", "--fast"), "'--fast'")


@needs_jsonschema
class TestTest(ScriptsTest):
    """scripts/test."""

    def test_configures_builds_and_tests_the_preset_from_any_folder(self):
        jobs = len(os.sched_getaffinity(0))
        result = self.run_script("scripts/test", "-R", "Quantize", cwd="/")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.asked(),
            ["cmake --preset cpu", f"cmake --build --preset cpu --parallel {jobs}",
             f"ctest --preset cpu-quick --parallel {jobs} -R Quantize"],
        )  # fmt: skip
        self.assertRegex(result.stdout.splitlines()[-1],
                         r"^scripts/test: passed with the preset cpu-quick \(\d+ s\)$")  # fmt: skip

    def test_preset(self):
        for environment, preset in (({"OCTET_PRESET": "cuda"}, "cuda"), ({"CUDACXX": "x"}, "cuda"),
                                    ({"OCTET_PRESET": "cpu", "CUDACXX": "x"}, "cpu")):  # fmt: skip
            self.run_script("scripts/test", "--all", **environment)
            self.assertTrue(self.asked()[-1].startswith(f"ctest --preset {preset} --parallel"))
        self.stub("nvcc", STUB)
        self.run_script("scripts/test")
        self.assertTrue(self.asked()[-1].startswith("ctest --preset cuda-quick"))

    def test_failures(self):
        result = self.run_script("scripts/test", STUB_CMAKE_STATUS="1")
        self.assertEqual(result.returncode, 2)
        self.assertIn("FAILED: could not configure the preset cpu", result.stdout)
        result = self.run_script("scripts/test", STUB_CTEST_STATUS="8")
        self.assertEqual(result.returncode, 1)
        self.assertIn("FAILED with the preset cpu-quick", result.stdout.splitlines()[-1])

    def test_skipped_cuda_cases_are_counted(self):
        (self.folder / "ctest_output").write_text(
            "1/3 Test #1: Cuda/A_f16.Timing/4k ......***Skipped 0.01 sec\n"
            "The following tests did not run:\n"
            "\t  1 - Cuda/A_f16.Timing/4k (Skipped)\n"
            "\t  3 - Cuda/B_f16.Timing/4k (Skipped)\n"
            "\t  4 - scripts (Skipped)\n",
            encoding="utf-8",
        )
        result = self.run_script("scripts/test", OCTET_PRESET="cuda")
        self.assertIn("2 CUDA cases were compiled but SKIPPED because no CUDA device", result.stdout)
        self.assertIn("2 CUDA cases skipped", result.stdout.splitlines()[-1])
        result = self.run_script("scripts/test", OCTET_PRESET="cuda", STUB_AVAILABLE="cpu\ncuda\n")
        self.assertIn("SKIPPED although a device answers", result.stdout)

    def test_a_device_is_needed_for_its_suites(self):
        result = self.run_script("scripts/test", "--device", "-R", "x", OCTET_PRESET="cuda")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--device takes no arguments of ctest, but there is '-R'", result.stdout)
        self.assertEqual(self.asked(), [])
        result = self.run_script("scripts/test", "--device", OCTET_PRESET="cuda")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--device needs a CUDA device, and none answers", result.stdout)

    def test_ci_runs_it(self):
        def run(record):
            return self.run_script(".ci/run", cwd="/", CI="true", STUB_CTEST_RECORD=record)

        result = run(json.dumps(make_record()))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(self.asked()[-1].startswith("ctest --preset cpu-quick"))
        result = run('{"schema": 2}')
        self.assertEqual(result.returncode, 2, result)
        self.assertIn("schema version is 2, but this reads 1", result.stdout)
        self.assertEqual(run("").returncode, 2)


class SizesTest(unittest.TestCase):
    def test_help_and_presets_agree(self):
        text = (ROOT / "scripts" / "bench").read_text(encoding="utf-8")
        for name, layer in sizes.presets().items():
            self.assertRegex(text, rf"(?m)^#.* {re.escape(name)}( |$)")
            self.assertTrue(layer["source"])
            self.assertEqual((layer["batch"], layer["seq"]), (2, 512))

    def test_every_preset_can_be_asked_for(self):
        sizes.check("--size", list(sizes.presets()))
        sizes.check("--size", ["llama-2-7b,seq=4096,name=long", "llama-2-7b,batch=1"])


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


class ProgressTest(unittest.TestCase):
    def make(self, stream):
        self.now = 0.0
        progress = bench.Progress([100, 300], stream, clock=lambda: self.now)
        self.addCleanup(progress.stop)
        return progress

    def test_says_what_runs_how_many_are_done_and_how_long_is_left(self):
        stream = FakeTerminal()
        progress = self.make(stream)
        progress.begin("Cpu/A.Timing/x")
        self.assertIsNone(progress.left_s())
        self.assertTrue(progress.read("[        x 6/10 ] int8 fc1_fprop gemm_s8 \n"))
        self.now = 50.0
        self.assertEqual(progress.left_s(), 350.0)
        self.assertEqual(
            progress.text(),
            "[0 of 2 done, 0:50, about 5:50 left] Cpu/A.Timing/x: int8 fc1_fprop gemm_s8 ",
        )
        self.now = 3700.0
        progress.end()
        progress.begin("Cpu/A.Timing/y")
        self.assertIn("[1 of 2 done, 1:01:40, about 3:05:00 left] Cpu/A.Timing/y", stream.getvalue())

    def test_is_one_line_within_the_terminal(self):
        stream = FakeTerminal()
        progress = self.make(stream)
        with unittest.mock.patch.dict(os.environ, COLUMNS="40"):
            progress.begin("Cpu/TrainingStep_f16.Timing/" + "x" * 99)
            progress.tell("told")
            progress.stop()
        drawn = stream.getvalue()
        self.assertEqual(drawn.count("\n"), 1)
        for text in drawn.replace("\x1b[K", "").replace("\n", "\r").split("\r"):
            self.assertLessEqual(len(text), 39)

    def test_is_silent_elsewhere(self):
        stream = io.StringIO()
        progress = self.make(stream)
        progress.begin("Cpu/A.Timing/x")
        progress.read("[ x 1/2 ] native")
        progress.end()
        progress.stop()
        self.assertEqual(stream.getvalue(), "")
        self.assertFalse(progress.read("[ RUN      ] Cpu/A.Timing/x"))


class ColourTest(unittest.TestCase):
    def test_verdicts_are_painted_on_a_terminal_that_wants_it(self):
        text = table.render([make_record(), make_record("5k", status="FAILED", reason="3 differ")])
        painted = table.painted(text)
        self.assertEqual(painted.count("\x1b[32mPASSED\x1b[0m"), 1)
        self.assertEqual(painted.count("\x1b[31mFAILED\x1b[0m"), 2)
        self.assertEqual(re.sub(r"\x1b\[\d*m", "", painted), text)
        for environment, expected in (({}, True), ({"NO_COLOR": "1"}, False),
                                      ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):  # fmt: skip
            with unittest.mock.patch.dict(os.environ, {"TERM": "xterm", **environment}):
                if "NO_COLOR" not in environment:
                    os.environ.pop("NO_COLOR", None)
                self.assertEqual(table.takes_colour(FakeTerminal()), expected, environment)
                self.assertFalse(table.takes_colour(io.StringIO()))


class SaveTensorsTest(unittest.TestCase):
    """scripts/save_tensors, with .npy files made here: numpy need not be installed."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output = self.folder / "layer.safetensors"
        for name, shape in (("a", (2, 3, 4)), ("w1", (5, 4)), ("w2", (4, 5)), ("grad", (2, 3, 4))):
            self.npy(name, shape)

    def npy(self, name, shape, descr="<f4", data=None, order=False, version=1, header=None):
        header = header or repr({"descr": descr, "fortran_order": order, "shape": shape})
        length = len(header).to_bytes(2 if version == 1 else 4, "little")
        width = int(descr[-1]) if descr[-1].isdigit() else 4
        if data is None:
            data = b"".join(struct.pack("<f", n)[4 - width:] for n in range(math.prod(shape)))
        path = self.folder / f"{name}.npy"
        path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + data)
        return path

    def save(self, *changes):
        given = {n: f"{n}={self.folder}/{n}.npy" for n in ("a", "w1", "w2", "grad")}
        for change in changes:
            given[change.partition("=")[0]] = change
        return subprocess.run(
            [sys.executable, "-B", ROOT / "scripts/save_tensors", self.output, *given.values()],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def assert_refused(self, sentence, *changes):
        result = self.save(*changes)
        self.assertEqual((result.returncode, result.stdout), (2, ""), result)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn(sentence, result.stderr)
        self.assertFalse(list(self.folder.glob("layer*")))

    def test_writes_header_and_data(self):
        self.npy("w1", (5, 4), "<f2", version=2)
        self.npy("w2", (4, 5), "<V2", version=3)
        b1, b2 = self.npy("b1", (5,)), self.npy("b2", (4,))
        result = self.save(f"b1={b1}", f"b2={b2}")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        data = self.output.read_bytes()
        length = int.from_bytes(data[:8], "little")
        self.assertEqual(length % 8, 0)
        header = json.loads(data[8 : 8 + length])
        self.assertEqual(list(header), ["a", "w1", "w2", "grad", "b1", "b2"])
        self.assertEqual(header["a"], {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]})
        self.assertEqual(header["w1"]["dtype"], "F16")
        self.assertEqual(header["w2"]["dtype"], "BF16")
        self.assertEqual(header["b2"]["data_offsets"], [292, 308])
        self.assertEqual(len(data), 8 + length + 308)
        self.assertEqual(struct.unpack("<24f", data[8 + length : 104 + length]), tuple(range(24)))

    def test_each_mistake_is_one_sentence_and_leaves_no_file(self):
        self.assert_refused("'x=y' is not NAME=FILE.npy with a name of a, w1", "x=y")
        self.assert_refused("No such file", f"a={self.folder}/none.npy")
        self.assert_refused("this is no .npy file", f"a={ROOT}/README.md")
        self.npy("b1", (5,))
        self.assert_refused("give both or none", f"b1={self.folder}/b1.npy")
        for name, shape, sentence in (
            ("a", (4,), "a has the shape [4], but must be [batch, seq, model]"),
            ("w1", (5, 3), "w1 has the shape [5, 3], but must be [hidden, 4]"),
            ("w2", (5, 4), "w2 has the shape [5, 4], but must be [model, hidden], which is [4, 5]"),
            ("grad", (3, 2, 4), "grad has the shape [3, 2, 4], but must be a's shape"),
            ("a", (0, 4), "every extent must be at least 1"),
        ):
            path = self.folder / f"{name}.npy"
            kept = path.read_bytes()
            self.npy(name, shape)
            self.assert_refused(sentence)
            path.write_bytes(kept)
        for sentence, changes in (
            ("its type is <f8, but must be float16, float32", {"descr": "<f8"}),
            ("its type is >f4", {"descr": ">f4"}),
            ("it lies in Fortran's order", {"order": True}),
            ("its data are 9 bytes, but shape and type make 80", {"data": b"123456789"}),
            ("its header cannot be read", {"header": "__import__('os')"}),
            ("its header cannot be read", {"header": "{'descr': '<f4'}"}),
            ("its header cannot be read", {"header": "(" * 5000}),
            ("its type is [('x', '<f4')]", {"header": "{'descr': [('x', '<f4')], "
                                            "'fortran_order': False, 'shape': (5, 4)}"}),
        ):  # fmt: skip
            self.npy("w1", (5, 4), **changes)
            self.assert_refused(sentence)
        self.npy("w1", (5, 4)).write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")
        self.assert_refused("its header is truncated")

    def test_without_needed_arrays(self):
        result = subprocess.run(
            [sys.executable, "-B", ROOT / "scripts/save_tensors", self.output,
             f"a={self.folder}/a.npy"], capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(result.returncode, 2)
        self.assertIn("w1 is missing: give NAME=FILE.npy for a, w1, w2, grad", result.stderr)


class BenchArgumentsTest(ScriptsTest):
    def test_each_error_is_one_sentence_before_anything_is_built(self):
        for arguments, mentions in (
            (["--sizes", "7k"], ["unknown size '7k'", "4k 5k 12k"]),
            (["--sizes", "4k 5k"], ["unknown size '4k 5k'"]),
            (["--sizes", "4k,"], ["unknown size ''"]),
            (["--sizes="], ["unknown size ''"]),
            (["--backend", "rocm"], ["unknown backend 'rocm'", "cpu or cuda"]),
            (["--dtype", "f16,f32"], ["unknown dtype 'f32'", "f16 bf16"]),
            (["--iterations", "0"], ["--iterations is '0'", "at least 1"]),
            (["--iterations", "1e3"], ["--iterations is '1e3'"]),
            (["--warmup", "-1"], ["--warmup is '-1'", "at least 0"]),
            (["--records", "/proc/none/r.jsonl"], ["cannot write records to '/proc/none/r.jsonl'"]),
            (["--records", "/"], ["cannot write records to '/'"]),
            (["--records", ""], ["--records needs"]),
            (["--records"], ["--records needs a value"]),
            (["--fast"], ["unknown argument '--fast'"]),
            (["--layout", "col"], ["--layout is 'col'", "row col_turing col_ampere"]),
            (["--threshold", "-6"], ["--threshold is '-6'"]),
            (["--threshold", "6x"], ["--threshold is '6x'"]),
            (["--threshold", "6", "--outlier-mode", "row"], ["'row'", "element column"]),
            (["--outlier-mode", "column"], ["need a --threshold"]),
            (["--threshold", "6", "--outlier-share", "1.5"], ["'1.5'", "up to 1"]),
            (["--bias=yes"], ["--bias takes no value"]),
            (["--gradient-rounding", "up"], ["'up'", "nearest stochastic"]),
            (["--distribution", "normal"], ["'normal'", "outlier_channels"]),
            (["--backend", "cuda"], ["nvcc"]),
            (["--size"], ["--size needs a value"]),
            (["--size", ""], ["--size needs a size"]),
            (["--tensors", "/none"], ["--tensors is '/none'", "safetensors file that can be read"]),
            (["--tensors", "/dev"], ["--tensors is '/dev'"]),
            (["--tensors", "bench.py", "--distribution", "integers"], ["leave one out"]),
        ):
            with self.subTest(arguments):
                cwd = self.tree / "scripts" / "octet_scripts"
                result = self.run_script("scripts/bench", *arguments, cwd=cwd)
                self.assert_usage_error(result, *mentions)

    def test_hostile_arguments_are_texts(self):
        for text in HOSTILE:
            for arguments in (
                ["--sizes", text], ["--backend", text], ["--dtype", text], ["--iterations", text],
                ["--warmup", text], ["--layout", text], ["--threshold", text], [text],
                ["--distribution", text], ["--threshold", "6", "--outlier-share", text],
            ):  # fmt: skip
                result = self.run_script("scripts/bench", *arguments)
                self.assertEqual(result.returncode, 2, (arguments, result))
                self.assertEqual(self.asked(), [], arguments)
            for script, arguments in (
                ("fuzz", [text]), ("fuzz", ["--seconds", text]), ("sanitize", ["--tool", text]),
                ("sanitize", [text]), ("gpu_resources", [text]), ("set_up.sh", [text]),
            ):  # fmt: skip
                result = self.run_script(f"scripts/{script}", *arguments)
                self.assertEqual(result.returncode, 2, (script, arguments, result))
        self.assertEqual([p.name for p in self.folder.rglob("planted")], [])

    def test_the_ids_of_gpus_are_counted_and_not_copied(self):
        for text in HOSTILE:
            visible = text.replace("\n", "")
            result = self.run_script("scripts/gpu_resources", CUDA_VISIBLE_DEVICES=f"{visible},1")
            self.assertEqual(result.returncode, 0, result)
            self.assertEqual(json.loads(result.stdout)["local"][0]["gpus"][:2],
                             [{"id": "0", "slots": 4}, {"id": "1", "slots": 4}])  # fmt: skip

    def test_help(self):
        for script in ("bench", "test", "set_up.sh", "fuzz", "sanitize"):
            result = self.run_script(f"scripts/{script}", "--help")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("--no-install", result.stdout)
            self.assertNotIn("set -euo", result.stdout)


# A test program: its cases, and how each ends.
SUITE_STUB = """#!/usr/bin/env python3
import json, os, sys, time
cases = json.load(open(sys.argv[0] + ".json"))
asked = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--gtest_filter=")][0]
if "--gtest_list_tests" in sys.argv:
    assert asked == "-Cpu/*", asked
    for case in cases:
        print("{}.\\n  {}  # GetParam() = x".format(*case.split(".")))
    sys.exit(cases == {})
ends = [cases[case] for case in asked.split(":")]
with open(sys.argv[0] + ".log", "a") as log:
    print(os.environ["OCTET_REQUIRE"], os.environ.get("OCTET_THRESHOLDS"), asked, file=log)
if "hang" in ends:
    time.sleep(60)
if "lost" in ends:
    sys.exit(70)
if "vanish" in ends:
    ends.remove("vanish")
count = ends.count("pass")
print(f"[  PASSED  ] {count} test{'s' * (count != 1)}.")
if "skip" in ends:
    print("[  SKIPPED ] 1 test.")
if "fail" in ends:
    print("the first mismatch is here")
sys.exit("fail" in ends)
"""


class DeviceSuitesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "thresholds").mkdir()
        (self.folder / "thresholds" / "Some_GPU.json").write_text(
            json.dumps({"schema": 1, "device": "Some GPU", "floors": [
                {"test": "Cuda/A_f16.Timing/4k", "metric": "ratio", "floor": 1.5, "state": "burst"}]}),
            encoding="utf-8")  # fmt: skip

    def program(self, name, cases):
        path = self.folder / name
        path.write_text(SUITE_STUB.replace("/usr/bin/env python3", sys.executable), encoding="utf-8")
        path.chmod(0o755)
        Path(f"{path}.json").write_text(json.dumps(cases), encoding="utf-8")

    def run_suites(self, *arguments):
        return subprocess.run(
            [sys.executable, "-B", "-m", "octet_scripts.device_suites", "--programs", self.folder,
             "--thresholds", self.folder / "thresholds", *arguments],
            capture_output=True, text=True, check=False, cwd=ROOT / "scripts",
        )  # fmt: skip

    def asked(self, name):
        lines = (self.folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
        told = f"cuda {(self.folder / 'thresholds').resolve()} "
        self.assertTrue(all(line.startswith(told) for line in lines), lines)
        return [line.removeprefix(told).split(":") for line in lines]

    def test_cases_share_processes_and_those_with_floors_are_timed_last(self):
        many = {f"Cuda/A_f16.MatchesReference/{i}x{i}": "pass" for i in range(400)}
        many["Cuda/A_f16.MatchesReference/12k_1x1"] = "pass"
        timed = {f"Cuda/A_f16.Timing/{size}": "pass" for size in ("4k", "12k_1x1", "3x3")}
        verified = {"Cuda/A_f16.MatchesReference/4k": "pass"}  # by the timing case with a floor
        self.program("a_test", many | verified | timed)
        self.program("b_test", {"Unit.Holds": "pass", "Unit.NeedsMore": "skip"})
        result = self.run_suites()
        self.assertEqual(result.returncode, 0, result)
        asked = self.asked("a_test")
        self.assertEqual(asked[-1], ["Cuda/A_f16.Timing/4k"])
        self.assertEqual(sorted(sum(asked[:-1], [])), sorted([*many, "Cuda/A_f16.Timing/3x3"]))
        self.assertEqual(len(asked), 4)
        self.assertIn("b_test: 1 passed, 1 skipped, ", result.stdout)
        self.assertIn("405 cases in 5 processes", result.stdout.splitlines()[-1])
        self.run_suites("--all")
        asked = sum(self.asked("a_test")[4:], [])
        self.assertEqual(asked[-2:], ["Cuda/A_f16.Timing/4k", "Cuda/A_f16.Timing/12k_1x1"])
        self.assertNotIn("Cuda/A_f16.MatchesReference/12k_1x1", asked)

    def test_what_is_no_pass_fails_and_is_shown(self):
        for end, said in (("fail", "FAILED, exit status 1, of 2 cases"),
                          ("lost", "FAILED, exit status 70 (the device was lost), of 2 cases"),
                          ("vanish", "FAILED, 1 passed and 0 were skipped, of 2 cases")):  # fmt: skip
            self.program("a_test", {"Cuda/A.X/1": "pass", "Cuda/A.X/2": end})
            self.program("b_test", {"Unit.Holds": "pass"})
            result = self.run_suites()
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(f"a_test: {said}, ", result.stdout)
            self.assertIn("b_test: 1 passed, ", result.stdout)
            self.assertEqual("the first mismatch is here" in result.stdout, end == "fail")

    def test_a_process_without_end_fails(self):
        self.program("a_test", {"Cuda/A.X/1": "hang"})
        job = device_suites.Job(self.folder / "a_test", ("Cuda/A.X/1",), "a_test")
        with unittest.mock.patch.object(device_suites, "TIMEOUT_S", 0.5):
            passed, said, _ = job.run({**os.environ, "OCTET_REQUIRE": "cuda"})
        self.assertFalse(passed)
        self.assertIn("a_test: FAILED, no end after 0.5 s, of 1 cases", said)

    def test_programs_that_list_nothing_are_refused(self):
        self.assertEqual(self.run_suites().returncode, 2)
        self.program("a_test", {})
        result = self.run_suites()
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("a_test --gtest_list_tests: exit status 1", result.stderr)

    def test_floors_that_are_none_are_refused(self):
        self.program("a_test", {"Cuda/A_f16.Timing/4k": "pass"})
        (self.folder / "thresholds" / "Some_GPU.json").write_text("{}", encoding="utf-8")
        result = self.run_suites()
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("Some_GPU.json: the schema version is missing", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


@needs_jsonschema
class BenchTest(ScriptsTest):
    def cases_run(self):
        prefix = "training_step_test --gtest_filter="
        return [a.removeprefix(prefix) for a in self.asked() if a.startswith(prefix)]

    def test_on_the_cpu_f16_at_every_size_by_default(self):
        result = self.run_script("scripts/bench")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.cases_run(), [f"Cpu/TrainingStep_f16.Timing/{s}" for s in ("4k", "5k", "12k")]
        )
        self.assertEqual(
            [a for a in self.asked() if a.startswith("environment")], ["environment cpu - -"] * 3
        )
        self.assertIn("Training step, cpu", result.stdout.splitlines()[0])
        (path,) = (self.tree / "records").iterdir()
        self.assertRegex(path.name, r"^\d{8}T\d{6}Z-cpu\.jsonl$")
        self.assertIn(f"records: {path}", result.stderr)
        self.assertIn("3 of 3 cases passed", result.stderr.splitlines()[-1])
        self.assertIn("[2/3] Cpu/TrainingStep_f16.Timing/5k: PASSED after", result.stderr)
        self.assertNotIn("output of", result.stderr)

    def test_where_a_device_answers_both_dtypes_on_cuda(self):
        result = self.run_script(
            "scripts/bench", "--sizes", "5k", "--iterations=7", "--warmup", "0",
            OCTET_PRESET="cuda", STUB_AVAILABLE="cpu\\ncuda\\n",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.cases_run(), [f"Cuda/TrainingStep_{d}.Timing/5k" for d in ("f16", "bf16")]
        )
        self.assertIn("environment cuda 7 0", self.asked())
        self.assertTrue(any(a.endswith("--target training_step_test") for a in self.asked()))

    def test_options_of_the_step_reach_its_cases(self):
        path = self.tree / "build" / "cpu" / "tests" / "training_step_test"
        said = "$OCTET_LAYOUT $OCTET_OUTLIER_THRESHOLD $OCTET_OUTLIER_MODE $OCTET_OUTLIER_SHARE"
        self.stub(path, PROGRAM_STUB.replace(
            STUB, STUB + f'echo "options {said} $OCTET_BIAS $OCTET_DISTRIBUTION $OCTET_GRADIENT_ROUNDING" >>"$STUB_LOG"\n'
        ))  # fmt: skip
        result = self.run_script(
            "scripts/bench", "--sizes=4k", "--layout", "col_turing", "--threshold=3.5",
            "--outlier-mode", "column", "--outlier-share", "0.25", "--bias",
            "--distribution", "outlier_channels", "--gradient-rounding=stochastic",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("options col_turing 3.5 column 0.25 1 outlier_channels stochastic", self.asked())

    def test_a_size_that_cannot_be_is_refused_before_anything_is_built(self):
        good = "name=a,batch=1,seq=2,model=3,hidden=4"
        for arguments, sentence in (
            (["--size", "name=a,batch=0,seq=2,model=3,hidden=4"],
             "--size 'name=a,batch=0,seq=2,model=3,hidden=4': batch is '0' but must be a whole "
             "number from 1 to 131071"),
            (["--size", f"{good},depth=3"], "unknown key 'depth': the keys are name, batch, seq"),
            (["--size", "name=a,batch=1,seq=2,model=3"], "hidden is missing: give name, batch"),
            (["--size", "name=$(touch x),batch=1,seq=2,model=3,hidden=4"],
             "name is '$(touch x)' but must be letters, digits"),
            (["--size", "name=`touch x`,batch=1,seq=2,model=3,hidden=4"], "name is '`touch x`'"),
            (["--size", good, "--size", good], "the name 'a' exists already"),
            (["--size", "llama-3-9b"], "'llama-3-9b' is neither KEY=VALUE nor one of bert-large, "),
        ):  # fmt: skip
            with self.subTest(arguments):
                result = self.run_script("scripts/bench", *arguments)
                self.assert_usage_error(result, "scripts/bench: --size '", sentence)
                self.assertFalse(any(self.tree.rglob("x")))
        result = self.run_script("scripts/bench", OCTET_SIZES="name=a")
        self.assert_usage_error(result, "scripts/bench: OCTET_SIZES 'name=a': batch is missing")

    def test_own_sizes_run_alone_or_beside_the_benchmarks(self):
        path = self.tree / "build" / "cpu" / "tests" / "training_step_test"
        self.stub(path, PROGRAM_STUB.replace(STUB, STUB + 'echo "own $OCTET_SIZES" >>"$STUB_LOG"\n'))
        size = "name=my.size,batch=2,seq=3,model=5,hidden=7"
        result = self.run_script("scripts/bench", "--size", size, "--size=llama-2-7b")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.cases_run(), ["Cpu/TrainingStep_f16.Timing/my_size"])
        self.assertIn(f"own {size};llama-2-7b", self.asked())
        self.assertEqual(row_of(result.stdout, "my.size")[-1], "PASSED")
        self.log.unlink()
        self.run_script("scripts/bench", "--size", size, "--sizes", "5k")
        self.assertEqual(self.cases_run(), ["Cpu/TrainingStep_f16.Timing/5k",
                                            "Cpu/TrainingStep_f16.Timing/my_size"])  # fmt: skip

    def test_own_tensors_are_named_by_their_full_path(self):
        (self.folder / "it's mine.safetensors").touch()
        path = self.tree / "build" / "cpu" / "tests" / "training_step_test"
        self.stub(path, PROGRAM_STUB.replace(STUB, STUB + 'echo "at $OCTET_TENSORS" >>"$STUB_LOG"\n'))
        result = self.run_script("scripts/bench", "--tensors", "it's mine.safetensors")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.cases_run(), ["Cpu/TrainingStep_f16.Timing/my_size"])
        self.assertIn(f"at {self.folder}/it's mine.safetensors", self.asked())

    def test_a_size_that_does_not_fit_is_said_before_anything_runs(self):
        result = self.run_script("scripts/bench", "--size", "llama-2-7b",
                                 STUB_MISFIT="OCTET_SIZES: the step of size 'llama-2-7b' needs")  # fmt: skip
        self.assertEqual(result.returncode, 2)
        self.assertIn("scripts/bench: --size: the step of size 'llama-2-7b' needs", result.stderr)
        self.assertEqual(self.cases_run(), [])

    def test_what_the_program_refuses_is_said_once(self):
        (self.folder / "mine.safetensors").touch()
        path = self.tree / "build" / "cpu" / "tests" / "training_step_test"
        self.stub(path, STUB + "echo \"OCTET_TENSORS 'it': the file is truncated\" >&2\nexit 2\n")
        result = self.run_script("scripts/bench", "--tensors", "mine.safetensors")
        self.assertEqual(result.returncode, 2, result)
        self.assertIn("scripts/bench: --tensors 'it': the file is truncated", result.stderr)
        self.assertEqual(result.stderr.count("scripts/bench:"), 1, result.stderr)
        self.assertEqual(result.stderr.count("truncated"), 1, result.stderr)

    def test_cuda_without_a_device(self):
        result = self.run_script("scripts/bench", "--backend", "cuda", OCTET_PRESET="cuda")
        self.assertEqual(result.returncode, 2)
        self.assertIn("cuda is not available: no device answers", result.stderr)
        result = self.run_script("scripts/bench", OCTET_PRESET="cuda")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(self.cases_run()[0].startswith("Cpu/"))

    def test_records_are_appended_and_the_table_shows_this_run_alone(self):
        path = self.folder / "mine" / "r.jsonl"
        path.parent.mkdir()
        path.write_text(line(make_record("12k")) + "truncated", encoding="utf-8")
        result = self.run_script("scripts/bench", "--sizes", "4k,4k", "--records", "mine/r.jsonl")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("12k", result.stdout)
        found, problems = records.read(path)
        self.assertEqual([r["problem"]["size"] for r in found], ["12k", "4k"])
        self.assertEqual(len(problems), 1)

    def test_records_with_a_hostile_name(self):
        for text in ("$(touch planted).jsonl", "a'b\"c d;`id`.jsonl", "-n", "new\nline"):
            result = self.run_script("scripts/bench", "--sizes", "4k", f"--records={text}")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(len(records.read(self.folder / text)[0]), 1)
        self.assertEqual([p.name for p in self.folder.rglob("planted")], [])

    def test_a_watchdog_runs_unless_the_length_was_asked_for(self):
        path = self.tree / "build" / "cpu" / "tests" / "training_step_test"
        self.stub(path, PROGRAM_STUB.replace(
            STUB, STUB + 'echo "watchdog ${OCTET_WATCHDOG:-none}" >>"$STUB_LOG"\n'
        ))  # fmt: skip
        for arguments, more, wanted in (
            ([], {}, "3600"), (["--iterations", "9"], {}, "none"),
            ([], {"OCTET_WATCHDOG": "7"}, "7"),
        ):  # fmt: skip
            self.log.unlink(missing_ok=True)
            self.run_script("scripts/bench", "--sizes=4k", *arguments, **more)
            self.assertIn(f"watchdog {wanted}", self.asked())

    def test_a_failing_case_does_not_stop_the_next(self):
        failing = "Cpu/TrainingStep_f16.Timing/4k"
        self.stub_record(make_record(backend="cpu", status="FAILED", reason="3 elements differ"))
        result = self.run_script("scripts/bench", STUB_FAILING=failing)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(self.cases_run()), 3)
        self.assertIn(f"    output of --gtest_filter={failing}", result.stderr)
        self.assertIn(f"not passed: {failing}: FAILED: 3 elements differ", result.stderr)
        self.assertIn("2 of 3 cases passed", result.stderr)
        self.assertIn("4k f16 FAILED: 3 elements differ", result.stdout)

    def test_a_killed_case_and_one_that_claims_too_much(self):
        result = self.run_script("scripts/bench", STUB_KILLED="Cpu/TrainingStep_f16.Timing/12k")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no record was written, killed by SIGKILL", result.stderr)
        result = self.run_script("scripts/bench", STUB_FAILING="Cpu/TrainingStep_f16.Timing/5k")
        self.assertEqual(result.returncode, 1)
        self.assertIn("recorded as PASSED, but exit status 1", result.stderr)

    def test_a_failing_build(self):
        result = self.run_script("scripts/bench", STUB_CMAKE_STATUS="1")
        self.assertEqual(result.returncode, 2)
        self.assertIn("could not configure", result.stderr)
        self.assertEqual(self.cases_run(), [])


if __name__ == "__main__":
    unittest.main()
