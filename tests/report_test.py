#!/usr/bin/env python3
"""Tests of scripts/report: what it says, that records' texts stay texts, that the same records give
the same bytes, and what it refuses. Run: python3 tests/report_test.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path
from xml.dom import minidom

from scripts_test import ROOT, line, make_record, make_time  # puts scripts/ on the path

from octet_scripts import (
    report, report_curve, report_data, report_figures, report_history, report_step, report_svg,
)  # fmt: skip

RECORDS = ROOT / "tests" / "records"
SAMPLES = sorted(RECORDS.glob("*.jsonl"))
VOID = {"meta", "br"}
HOSTILE = (
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style></svg></title>",
    "a & b &amp; &#60;", "| pipe \\| `code` [link](javascript:x) ![i](http://x/y)", "\x00\x08\x1b",
    "\u202egnp", "\ud800", "\ufffe\uffff", "../../etc/passwd", "x" * 3000, "{curly} %s {0}", "",
)  # fmt: skip


def make_operator(test="Cuda/Gemm_s8.Timing/4k_fc1_fprop", operator="gemm_s8", median_us=100.0,
                  tops=1000.0, gigabytes=0.1, ratio=1.9, **changes):  # fmt: skip
    interval = {"estimate": ratio, "low": 0.999 * ratio, "high": 1.001 * ratio, "confidence": 0.96}
    return make_record(
        test=test, operator=operator, dtype=operator.rpartition("_")[2], products=[], variants=[],
        stages=[], policy=None, time=make_time(median_us),
        cost={"bytes": gigabytes * 1e9, "operations": int(tops * median_us * 1e6)},
        rate={"gb_per_s": 1.0, "tops": tops, "copy_gb_per_s": 4000.0, "peak_tops": 1900.0,
              "roofline_fraction": 0.5, "roofline": None, "bound": "compute"},
        ratio=interval, **changes,
    )  # fmt: skip


def make_training(losses, test="Cpu/Training_f16.Converges/2x48x48x24", **changes):
    """Of {variant: losses of each seed}."""
    runs = [{"variant": variant, "seed": seed, "loss": list(loss)}
            for seed in range(len(losses["native"]))
            for variant, found in losses.items() for loss in found[seed : seed + 1]]  # fmt: skip
    return make_record(
        backend="cpu", operator="training", test=test, products=[], variants=[], stages=[],
        time=None, cost=None, rate=None, baseline=None, ratio=None, data="a teacher",
        curve={"level": 0.01, "bound": 1.05, "runs": runs}, **changes,
    )  # fmt: skip


def falling(end, steps=60):
    return [end + 2.0 * 0.8**n for n in range(steps)]


def at_commit(record, commit, time_utc="2026-01-01T00:00:00Z", device=None, factor=1.0):
    """The same record of another run."""
    record["build"]["git"] = commit * 40
    record["time_utc"] = time_utc
    record["device"]["name"] = device or record["device"]["name"]
    for time in (record["time"], *(v["time"] for v in record["variants"])):
        for key in time:
            time[key] = time[key] * factor if key.endswith("_us") else time[key]
    return record


def rendered(*files):
    return report.render([list(records) for records in files])


class Page(HTMLParser):
    """Checks that elements nest, and keeps what could reach out or run."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.tags, self.attributes, self.text = [], [], set(), [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, text):
        if self.open[-1:] != ["style"]:
            self.text.append(text)


class Curves(unittest.TestCase):
    def test_losses_are_drawn_and_said_seed_by_seed(self):
        record = make_training({"native": [falling(0.01), falling(0.011)],
                                "int8": [falling(0.0102), falling(0.0112)]})  # fmt: skip
        files = rendered([record])
        svg = files["curve_1_1.svg"]
        minidom.parseString(svg.encode())
        self.assertEqual(svg.count("none s-product thin"), 2)
        self.assertEqual(svg.count("none s-half thick"), 2)
        self.assertIn("teacher&#x27;s own loss, 0.01", svg)
        self.assertIn("prefers-color-scheme: dark", svg)
        for text in (">16-bit<", ">1.020x<", ">2.01<", "within 1.050 times"):
            self.assertIn(text, files["index.html"])
        self.assertIn("| int8 | 0 |", files["report.md"])
        Page(files["index.html"])

    def test_a_run_that_diverged_is_drawn_as_far_as_it_goes_and_said(self):
        diverged = [2.0, 1.0, 5.0, None, None, None]
        record = make_training({"native": [falling(0.01)], "int8": [diverged],
                                "int8, stochastic": [[None]]})  # fmt: skip
        files = rendered([record])
        self.assertEqual(files["curve_1_1.svg"].count("none s-product thin"), 1)
        self.assertEqual(files["report.md"].count("diverged"), 2)

    def test_trainings_without_losses_have_no_plot(self):
        for record in (make_training({"native": []}), make_training({"native": [[None]]}),
                       make_training({"native": [[0.0, 0.0]]}), make_training({"native": [[]]})):  # fmt: skip
            files = rendered([record])
            self.assertNotIn("curve_1_1.svg", files)
            self.assertIn("No record of a training.", files["index.html"])

    def test_texts_stay_texts_and_odd_lengths_are_drawn(self):
        for text in HOSTILE:
            record = make_training({"native": [falling(0.01, 1), falling(0.01, 1234)],
                                    text or "?": [[1e-90, 1e90], [3.0]]})  # fmt: skip
            files = rendered([record])
            Page(files["index.html"])
            minidom.parseString(files["curve_1_1.svg"].encode())
        losses = falling(0.01, 1234)
        self.assertLessEqual(len(report_curve.thinned(losses)), report_curve.POINTS)
        self.assertEqual(report_curve.thinned([1.0, 2.0]), [(0.0, 1.0), (1.0, 2.0)])


class Content(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = rendered(*(report_data.read(path) for path in SAMPLES))
        cls.page = Page(cls.files["index.html"])
        cls.said = " ".join(cls.page.text)

    def test_the_page_is_one_file_that_asks_for_nothing(self):
        tags = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use"}
        self.assertEqual(self.page.tags & tags, set())
        for name, value in self.page.attributes:
            self.assertFalse(name.startswith("on"), (name, value))
            if name in ("href", "src"):
                self.assertTrue(value.startswith("#"), value)
        self.assertNotIn("url(", self.files["index.html"])
        self.assertNotIn("@import", self.files["index.html"])
        self.assertLess(len(self.files["index.html"].encode()), 1_000_000)

    def test_ids_are_unique_and_every_reference_has_one(self):
        self.assertEqual(len(self.page.ids), len(set(self.page.ids)))
        for name, value in self.page.attributes:
            targets = value.split() if name == "aria-labelledby" else []
            targets += [value[1:]] if name == "href" else []
            for target in targets:
                self.assertIn(target, self.page.ids)

    def test_it_says_what_the_records_say(self):
        rows = [json.loads(text) for path in SAMPLES
                for text in path.read_text(encoding="utf-8").splitlines()]  # fmt: skip
        expected = {f"{len(rows)} cases, all PASSED", "fc1_wgrad"}
        for row in rows:
            expected |= {f"{row['device']['name']}, {row['build']['git'][:7]}"}
            if row["operator"] != "training_step":
                expected.add(row["operator"])
            elif row["backend"] == "cuda":
                for variant in row["variants"]:
                    if variant["name"].startswith("int8"):
                        ms = variant["time"]["median_us"] / 1000
                        expected |= {f"{ms:.3f} ms" if ms < 10 else f"{ms:.2f} ms",
                                     f"{variant['ratio']['estimate']:.2f}x"}  # fmt: skip
        rates = [row["rate"] for row in rows if row["operator"] in ("gemm_s8", "scaled_gemm")]
        expected.add(f"int8 tensor cores {max(rate['peak_tops'] for rate in rates):,.0f} TOPS")
        self.assertGreater(len(expected), 20)
        self.assertEqual({text for text in expected if text not in self.said}, set())
        self.assertRegex(self.said, r"[1-9]\d* floors kept, 0 missed, 0 inconclusive")

    def test_steps_of_other_options_stand_beside_each_other(self):
        tiled = report_data.read(RECORDS / "training_step_layouts_h200.jsonl")
        (run,) = report_data.runs_of([tiled])
        self.assertEqual(len(run.cases), len(tiled))
        self.assertEqual({report_data.step_name(step) for step in run.steps},
                         {"4k f16 col_turing", "5k f16 col_turing", "4k f16 col_ampere",
                          "5k f16 col_ampere", "12k f16 col_ampere"})  # fmt: skip

    def test_the_readme_shows_the_plot_of_its_record(self):
        plot = rendered(report_data.read(RECORDS / "training_step_h200.jsonl"))["step_1.svg"]
        self.assertEqual((RECORDS / "training_step_h200.svg").read_text(encoding="utf-8"), plot,
                         "draw it again: scripts/report tests/records/training_step_h200.jsonl")  # fmt: skip

    def test_every_plot_is_a_file_that_markdown_shows(self):
        shown = re.findall(r"!\[[^\]]*\]\(([a-z_0-9]+\.svg)\)", self.files["report.md"])
        plots = [name for name in self.files if name.endswith(".svg")]
        self.assertEqual(sorted(shown), sorted(plots))
        for kind in ("step", "roofline", "roof", "floors", "error"):
            self.assertIn(f"{kind}_1.svg", plots)
        for name in plots:
            root = minidom.parseString(self.files[name].encode()).documentElement
            self.assertEqual(root.getAttribute("role"), "img")
            for tag in ("title", "desc"):
                found = root.getElementsByTagName(tag)[0]
                self.assertTrue(found.firstChild.data)
                self.assertIn(found.getAttribute("id"), root.getAttribute("aria-labelledby"))

    def test_coordinates_are_numbers_within_the_plot(self):
        for name, text in self.files.items():
            if not name.endswith(".svg"):
                continue
            self.assertNotRegex(text, r'"(nan|inf|-inf|None)"')
            width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', text).groups())
            places = r'<(?:circle|rect|text)[^>]*? c?x="([^"]+)" c?y="([^"]+)"'
            for x, y in re.findall(places, text):
                self.assertTrue(-1 <= float(x) <= width and -1 <= float(y) <= height, (name, x, y))

    def test_light_dark_and_narrow(self):
        page = self.files["index.html"]
        self.assertIn("@media (prefers-color-scheme: dark)", page)
        self.assertIn("@media (max-width: 719px)", page)
        self.assertEqual(page.count('<div class="wide">'), page.count('<div class="narrow">'))
        self.assertIn("@media (prefers-color-scheme: dark)", self.files["step_1.svg"])

    def test_texts_on_coloured_parts_can_be_read(self):
        def luminance(colour):
            parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

        def contrast(one, other):
            low, high = sorted((luminance(one), luminance(other)))
            return (high + 0.05) / (low + 0.05)

        palette = report_svg.PALETTE
        pairs = [(f"on-{part}", part) for part in report_figures.PART_NAMES]
        pairs += [("ink", "surface"), ("muted", "surface"), ("muted", "page"), ("bad", "surface")]
        for text, ground in pairs:
            for shade in range(2):
                found = contrast(palette[text][shade], palette[ground][shade])
                self.assertGreaterEqual(found, 4.5, (text, ground, shade))


class Step(unittest.TestCase):
    def test_parts_and_idle_make_up_the_whole(self):
        steps = report_data.Run("d", "cuda", "c", False, [make_record(unit_us=10.0)]).steps
        native, every, kept = report_step.bars_of(steps[0])
        self.assertEqual(native.parts, {"native": 900, "idle": 790 - 900})
        self.assertEqual(every.parts, {"quantize": 40, "weights": 80, "product": 480,
                                       "dequantize": 120, "idle": 800 - 720})  # fmt: skip
        self.assertEqual(kept.parts, {"quantize": 40, "product": 480, "dequantize": 120,
                                      "idle": 530 - 640})  # fmt: skip

    def test_operators_have_their_parts(self):
        for operator, weights, part in (
            ("quantize_row_col", True, "weights"), ("quantize_rowwise", False, "quantize"),
            ("gemm_s8", False, "product"), ("scaled_gemm", False, "product"),
            ("gemm_bf16", False, "product"), ("dequantize", False, "dequantize"),
            ("transform", False, "transform"), ("spmm_coo", False, "transform"),
        ):  # fmt: skip
            stage = {"operator": operator, "weights": weights}
            self.assertEqual(report_figures.part_of(stage), part, operator)

    def test_bars_are_as_long_as_their_time(self):
        record = make_record(unit_us=10.0)
        record["variants"][0]["time"]["median_us"] = 1580.0  # twice the 16-bit step
        text = rendered([record])["step_1.svg"]
        tips = re.findall(r'width="([\d.]+)"[^>]*><title>(int8|16-bit): ([a-z0-9 -]+) [\d.]', text)
        lengths = {}
        for length, bar, part in tips:
            lengths[bar] = lengths.get(bar, 0) + float(length) + 1
        self.assertAlmostEqual(lengths["int8"] / lengths["16-bit"], 2, delta=0.01)

    def test_marks_and_missing_parts(self):
        record = make_record()
        record["variants"][1]["derived"] = True
        record["stages"] = []
        files = rendered([record])
        self.assertIn("* the sum of its parts", files["report.md"])
        self.assertIn("not split", files["step_1.svg"])


class Floors(unittest.TestCase):
    def judged(self, ratio):
        return rendered([make_operator(ratio=ratio)])["floors_1.svg"]  # its floor is 1.76

    def test_kept_and_missed(self):
        self.assertNotIn("missed", self.judged(1.9).partition("<style>")[2])
        self.assertIn("missed  1.500", self.judged(1.5))
        page = rendered([make_operator(ratio=1.5)])["index.html"]
        self.assertIn("0 floors kept, 1 missed", page)

    def test_an_interval_that_is_too_wide_is_inconclusive(self):
        record = make_operator(ratio=1.9)
        record["ratio"].update(low=1.7, high=2.1)
        self.assertIn("unclear", rendered([record])["floors_1.svg"])

    def test_without_floors_ratios_are_shown_and_it_is_said(self):
        record = make_operator()
        record["device"]["name"] = "Another device"
        self.assertIn("There is no floor", rendered([record])["report.md"])


class Several(unittest.TestCase):
    def test_files_of_one_commit_are_one_run_and_repetitions_are_not(self):
        step, operator = make_record(), make_operator()
        self.assertEqual(len(report_data.runs_of([[step], [operator]])), 1)
        again = report_data.runs_of([[step], [operator], [make_record()]])
        self.assertEqual(len(again), 2)
        self.assertEqual(len({run.label for run in again}), 2)

    def test_what_did_not_run_belongs_to_what_did(self):
        skipped = make_record(status="SKIPPED", reason="no device", device=None, build=None,
                              test="Cuda/X_f16.Timing/1", time=None)  # fmt: skip
        self.assertEqual(len(report_data.runs_of([[skipped, make_record()]])), 1)

    def test_two_runs_side_by_side(self):
        old = [at_commit(make_record(), "a"), at_commit(make_operator(), "a")]
        new = [at_commit(make_record(), "b", "2026-01-02T00:00:00Z", factor=0.8),
               at_commit(make_operator(), "b", "2026-01-02T00:00:00Z", factor=1.25)]  # fmt: skip
        files = rendered(new, old)  # the order of files is not that of time
        self.assertIn("NVIDIA H200, aaaaaaa \u2192 NVIDIA H200, bbbbbbb", files["compared_1.svg"])
        self.assertIn("from -20.0 % (Gemm_s8 4k fc1_fprop) to +25.0 % (step 4k f16 16-bit)",
                      files["compared_1.svg"])  # fmt: skip
        self.assertIn("history_1.svg", files)
        self.assertIn("step_2.svg", files)

    def test_two_devices_side_by_side(self):
        other = at_commit(make_record(), "a", device="NVIDIA H100", factor=1.5)
        files = rendered([at_commit(make_record(), "a"), other])
        self.assertIn("NVIDIA H200, aaaaaaa \u2192 NVIDIA H100, aaaaaaa", files["compared_1.svg"])
        self.assertNotIn("history_1.svg", files)
        self.assertIn("A history needs two runs", files["index.html"])

    def test_the_interval_of_a_change_holds_both_medians_intervals(self):
        old, new = at_commit(make_operator(), "a"), at_commit(make_operator(), "b")
        runs = report_data.runs_of([[old], [new]])
        (_, _, _, ratio, low, high), = report_history.changes(*runs)
        self.assertEqual((ratio, low, high), (1.0, 99 / 101, 101 / 99))

    def test_a_history_has_every_record_of_every_run(self):
        runs = [[at_commit(make_record(), f"{i:x}", f"2026-01-{i + 1:02}T00:00:00Z")]
                for i in range(12)]  # fmt: skip
        files = rendered(*runs)
        self.assertEqual(files["history_1.svg"].count("<circle"), 3 * 12)
        shown = sum(name.startswith("step_") for name in files)
        self.assertEqual(shown, report_data.RUNS_SHOWN)
        self.assertIn(f"{12 - shown} earlier runs", files["index.html"])

    def test_cpu_and_gpu_are_not_compared(self):
        self.assertNotIn("compared_1.svg", rendered([make_record(), make_record(backend="cpu")]))


class Texts(unittest.TestCase):
    def test_what_a_record_holds_stays_a_text(self):
        for text in HOSTILE:
            records = []
            for factor, time in ((1.0, "2026-01-01T00:00:00Z"), (1.1, f"2026-01-02{text}")):
                for record in (make_record(reason=text), make_operator(test=f"Cuda/{text}")):
                    record = at_commit(record, "a", time, device=text, factor=factor)
                    record["build"].update(git=f"{text}{factor}", compiler=text, cuda=text)
                    record["problem"]["size"] = record["dtype"] = record["data"] = text
                    record["status"] = "FAILED"
                    record["rerun"] = text
                    for stage in record["stages"]:
                        stage.update(operator=f"gemm {text}", plan=text)
                    for product in record["products"]:
                        product["product"] = text
                    records.append(record)
            files = rendered(records[:2], records[2:])
            page = Page(files["index.html"])
            self.assertEqual(page.tags & {"script", "img"}, set(), text)
            self.assertEqual(len(page.ids), len(set(page.ids)))
            for name, value in page.attributes:
                self.assertFalse(name.startswith("on"), (name, value))
            for name, content in files.items():
                self.assertTrue(re.fullmatch(r"[a-z_0-9]+\.(html|md|svg)", name), name)
                content.encode()
                if name.endswith(".svg"):
                    minidom.parseString(content.encode())
            # Without what is escaped, nothing of Markdown is left but what the report put there.
            bare = re.sub(r"\\.", "", files["report.md"])
            markup = r"<(?!/?(details|summary)>)|`|\]\((?![a-z_0-9]+\.svg\))"
            self.assertNotRegex(bare, markup, text)

    def test_rows_of_markdown_have_their_columns(self):
        record = make_operator(test="Cuda/a|b|c.Timing/x|y")
        for row in rendered([record])["report.md"].splitlines():
            if "x\\|y" in row and row.startswith("|"):
                self.assertIn(len(re.findall(r"(?<!\\)\|", row)) - 1, (5, 8), row)

    def test_figures_of_any_size_can_be_drawn(self):
        for figure in (1e-99, 1e-9, 1e12, 1e99):
            step, operator = make_record(unit_us=figure / 100), make_operator(median_us=figure)
            operator["cost"]["operations"] = 10
            operator["ratio"].update(estimate=figure, low=0, high=figure)
            later = at_commit(make_operator(median_us=1.0), "b", "2026-02-01T00:00:00Z")
            for record in (step, operator, later):
                for time in (record["time"], *(v["time"] for v in record["variants"])):
                    time.update(low_us=time["median_us"], high_us=time["median_us"])
            for name, text in rendered([step, operator], [later]).items():
                self.assertNotRegex(text, r'"(nan|inf|-inf)"', name)

    def test_zeros_and_nulls_can_be_drawn(self):
        for value in (0, None):
            step, operator = make_record(), make_operator()
            for record in (step, operator):
                for key in ("tops", "copy_gb_per_s", "peak_tops", "roofline_fraction"):
                    record["rate"][key] = value
            for product in step["products"]:
                for key in ("rel_frobenius", "worst_row", "worst_col", "cosine"):
                    product[key] = value
            operator["cost"]["bytes"] = value
            if value == 0:
                operator["time"] = make_time(0.0, low_us=0.0)
                operator["ratio"] = {"estimate": 0, "low": 0, "high": 0, "confidence": 0}
                for variant in step["variants"]:
                    variant["time"]["median_us"] = 0
            rendered([step, operator], [make_record(), make_operator()])


class Sections(unittest.TestCase):
    def test_an_empty_section_says_so(self):
        only_step = rendered([make_record()])["index.html"]
        self.assertIn("No record of a timed operator", only_step)
        only_operator = rendered([make_operator()])
        for name in ("index.html", "report.md"):
            self.assertIn("No record of a timed training step", only_operator[name])
            self.assertIn("errors", only_operator[name])
        untimed = make_operator()
        untimed.update(time=None, ratio=None, rate=None, cost=None)
        for content in (only_step, rendered([untimed])["index.html"]):
            Page(content)

    def test_what_did_not_pass_comes_first(self):
        page = rendered([make_record(), make_operator(status="FAILED", reason="2 + 2 = 5")])
        said = page["index.html"]
        self.assertLess(said.index("2 + 2 = 5"), said.index('id="step"'))
        self.assertIn("1 FAILED, 1 PASSED", said)
        self.assertIn("2 + 2 = 5", page["report.md"])

    def test_the_last_record_of_a_case_counts(self):
        failed = make_operator(status="FAILED", reason="once")
        self.assertIn("1 case, all PASSED", rendered([failed, make_operator()])["report.md"])


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.records, self.output = self.folder / "records.jsonl", self.folder / "made" / "report"

    def run_report(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-B", "-W", "error", str(ROOT / "scripts" / "report"),
             *map(str, arguments)],
            capture_output=True, text=True, errors="replace", cwd="/", check=False,
            env={**os.environ, **environment},
        )  # fmt: skip

    def assert_refused(self, result, mention):
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(mention, result.stderr)
        self.assertTrue(result.stderr.startswith("scripts/report: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(result.stdout, "")

    def test_the_same_records_give_the_same_bytes(self):
        made = []
        for i, seed in enumerate(("1", "2")):
            folder = self.folder / str(i)
            result = self.run_report(*SAMPLES, "-o", folder, PYTHONHASHSEED=seed, TZ=f"UTC{i}")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, f"{folder}/index.html\n")
            made.append({path.name: path.read_bytes() for path in folder.iterdir()})
        self.assertEqual(made[0], made[1])
        self.assertIn("index.html", made[0])

    def test_lines_that_are_no_records(self):
        good = make_record()
        for text, mention in (
            (line(good) + line(good)[:-20], "records.jsonl:2: truncated"),
            (line(dict(good, schema=2)), "records.jsonl:1: the schema version is 2"),
            ("hello\n", "not JSON"),
            ("", "holds no record"),
            (line({"schema": 1}), "no record: it has no run"),
            (line(dict(good, device="H200")), "device is no object"),
            (line(dict(good, variants=[1])), "variants[0] is no object"),
            (line(dict(good, time=dict(good["time"], median_us="1"))), "median_us is no number"),
            (line(dict(good, time=dict(good["time"], median_us=-1))), "time.median_us is -1"),
            (line(dict(good, time=dict(good["time"], median_us=True))), "is no number"),
            (line(good).replace("350.5", "1e999"), "1e999 is more than a number can be"),
            (line(good).replace("350.5", "1" + "0" * 400), "has 401 digits"),
            ('{"schema": 1, "x": ' + "[" * 100_000 + "\n", ""),
        ):
            self.records.write_text(text, encoding="utf-8")
            result = self.run_report(self.records, "-o", self.output)
            self.assert_refused(result, mention)
            self.assertFalse(self.output.parent.exists(), text[:40])

    def test_keys_of_other_commits_are_no_error(self):
        record = dict(make_record(), extra={"more": [1]})
        del record["plan"], record["memory"]
        self.records.write_text(line(record), encoding="utf-8")
        result = self.run_report(self.records, "-o", self.output)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_no_such_file_or_folder(self):
        self.assert_refused(self.run_report(self.records, "-o", self.output), "cannot read")
        self.assert_refused(self.run_report(self.folder, "-o", self.output), "cannot read")
        self.records.write_text(line(make_record()), encoding="utf-8")
        missing = self.folder / "thresholds"
        self.assert_refused(
            self.run_report(self.records, "-o", self.output, "--thresholds", missing),
            "no such folder",
        )
        self.assertFalse(self.output.exists())
        self.assertEqual(self.run_report(self.records).returncode, 2)

    def test_bad_floors_are_named(self):
        self.records.write_text(line(make_record()), encoding="utf-8")
        (self.folder / "NVIDIA_H200.json").write_text("{}", encoding="utf-8")
        result = self.run_report(self.records, "-o", self.output, "--thresholds", self.folder)
        self.assert_refused(result, "NVIDIA_H200.json")

    def test_a_folder_that_cannot_be_written(self):
        self.records.write_text(line(make_record()), encoding="utf-8")
        self.assert_refused(self.run_report(self.records, "-o", self.records), "cannot write")
        self.assert_refused(self.run_report(self.records, "-o", self.records / "x"), "cannot write")

    def test_nothing_is_left_half_written(self):
        self.records.write_text(line(make_record()), encoding="utf-8")
        (self.output / "step_1.svg").mkdir(parents=True)
        self.assert_refused(self.run_report(self.records, "-o", self.output), "cannot write")
        self.assertEqual([path.name for path in self.output.iterdir()], ["step_1.svg"])

    def test_png(self):
        self.records.write_text(line(make_record()), encoding="utf-8")
        arguments = (self.records, "-o", self.output, "--png")
        self.assert_refused(self.run_report(*arguments, PATH="/nowhere"), "rsvg-convert")
        self.assertFalse(self.output.exists())
        if shutil.which("rsvg-convert"):
            self.assertEqual(self.run_report(*arguments).returncode, 0)
            self.assertTrue((self.output / "step_1.png").read_bytes().startswith(b"\x89PNG"))

    def test_records_come_as_they_are_written(self):
        self.records.write_text(line(json.loads(line(make_record()))), encoding="utf-8")
        self.assertEqual(len(report_data.read(self.records)), 1)


if __name__ == "__main__":
    unittest.main()
