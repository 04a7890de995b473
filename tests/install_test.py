#!/usr/bin/env python3
"""An installed octet, and tests/outside, a project of its own that is built against it. Run by ctest
in its build folder, or as tests/install_test.py BUILD_FOLDER."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = Path(sys.argv.pop() if len(sys.argv) > 1 and os.path.isdir(sys.argv[-1]) else os.getcwd())
BUILD = BUILD.resolve()
ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "quantize_rows_test"
CASES = "Cpu/*/64x64:Cpu/*/131x257_pad9_special"
TIMED = "Cpu/QuantizeRows_f16.Timing/64x64"
# Line information of device code names sources, for profilers.
WITH_LINE_INFORMATION = {"liboctet_cuda.a", "liboctet_instruments.a"}


def run(*command, cwd=None, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OCTET_")}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, env={**clean, **environment}, timeout=600,
    )  # fmt: skip


def must(*command, **options):
    result = run(*command, **options)
    if result.returncode != 0:
        raise AssertionError(f"{result.args}\n{result.stdout}{result.stderr}")
    return result


def cached(name):
    """What this build was configured with."""
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found[1] if found else ""


def configure(source, build, prefix, *options):
    # The harness in one suite is much code to compile and little to run.
    return run(
        "cmake", "-S", source, "-B", build, "-G", "Ninja", "-D", "CMAKE_BUILD_TYPE=Release",
        "-D", "CMAKE_CXX_FLAGS_RELEASE=-O1", "-D", f"CMAKE_CXX_FLAGS={cached('CMAKE_CXX_FLAGS')}",
        "-D", f"CMAKE_CUDA_FLAGS={cached('CMAKE_CUDA_FLAGS')}",
        "-D", f"CMAKE_PREFIX_PATH={prefix};{cached('CMAKE_PREFIX_PATH')}", *options,
    )  # fmt: skip


class Outside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name).resolve()
        cls.first_prefix = cls.folder / "installed_here"
        must("cmake", "--install", BUILD, "--prefix", cls.first_prefix)
        # And used elsewhere.
        cls.prefix = cls.first_prefix.rename(cls.folder / "prefix")
        cls.scripts = cls.prefix / "share/octet/scripts"
        cls.source = cls.folder / "outside"
        shutil.copytree(ROOT / "tests/outside", cls.source)
        cls.build = cls.folder / "build"
        result = configure(cls.source, cls.build, cls.prefix)
        assert result.returncode == 0, result.stdout + result.stderr
        must("cmake", "--build", cls.build)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=self.folder)
        self.addCleanup(folder.cleanup)
        self.here = Path(folder.name)
        self.records = self.here / "records.jsonl"

    def run_cases(self, build, cases=CASES, **environment):
        return run(build / PROGRAM, f"--gtest_filter={cases}", OCTET_RECORDS=str(self.records),
                   **environment)  # fmt: skip

    def read_records(self):
        return [json.loads(line) for line in self.records.read_text().splitlines()]

    def script(self, name, *arguments):
        return run(self.scripts / name, *arguments, cwd=self.here, TMPDIR=str(self.here),
                   PYTHONDONTWRITEBYTECODE="1")  # fmt: skip

    def assert_ends(self, result, status, mention):
        said = " ".join((result.stdout + result.stderr).split())
        self.assertEqual(result.returncode, status, said)
        self.assertIn(mention, said)

    def break_kernel(self):
        """A build whose kernel stores other scales."""
        build, source = self.folder / "broken", self.source / "quantize_rows.cpp"
        if build.exists():
            return build
        shutil.copytree(self.build, self.folder / "good", symlinks=True)
        text = source.read_text()
        self.assertEqual(text.count("absmax / 127.0f"), 1)
        source.write_text(text.replace("absmax / 127.0f", "absmax / 128.0f"))
        must("cmake", "--build", self.build)
        self.build.rename(build)
        (self.folder / "good").rename(self.build)
        source.write_text(text)
        return build

    def test_no_path_of_the_build_is_installed(self):
        traces = [str(path).encode() for path in (ROOT, BUILD, self.first_prefix)]
        for path in self.prefix.rglob("*"):
            if path.is_file() and path.name not in WITH_LINE_INFORMATION:
                content = path.read_bytes()
                self.assertEqual([t for t in traces if t in content], [], path)

    def test_every_header_is_installed_and_finds_what_it_includes(self):
        include = self.prefix / "include"
        installed = {str(path.relative_to(include)) for path in include.rglob("*.hpp")}
        wanted = {str(path.relative_to(ROOT / "include")) for path in ROOT.glob("include/octet/*.hpp")}
        for folder in ("harness", "reference"):
            wanted |= {f"octet/{path.relative_to(ROOT / 'tests')}"
                       for path in ROOT.glob(f"tests/{folder}/**/*.hpp")}  # fmt: skip
        self.assertEqual(installed, wanted | {"octet/config.hpp"})
        for header in installed:
            quoted = re.findall(r'#include "([^"]+)"', (include / header).read_text())
            self.assertEqual([name for name in quoted if name not in installed], [], header)

    def test_its_cases_are_checked_timed_and_recorded(self):
        result = self.run_cases(self.build)
        self.assert_ends(result, 0, "[ PASSED ] 4 tests.")
        checked = self.script("check_records", self.records)
        self.assert_ends(checked, 0, "4 good records")
        for record in self.read_records():
            self.assertTrue(record["check"]["exact"], record["test"])
            self.assertEqual(record["time"] is not None, ".Timing/" in record["test"])
        floors = self.script("gate", "floors", self.records)
        self.assert_ends(floors, 0, "0 records not PASSED")
        report = self.script("report", self.records, "-o", self.here / "report")
        self.assertEqual(report.returncode, 0, report.stderr)
        self.assertTrue((self.here / "report/index.html").exists())

    def test_floors_beside_the_program_are_judged(self):
        self.assertEqual(self.run_cases(self.build, TIMED).returncode, 0)
        (before,) = self.read_records()
        self.assertEqual(before["floors"], [])
        program = self.here / PROGRAM
        shutil.copy(self.build / PROGRAM, program)
        device = before["device"]["name"]
        floor = {"test": TIMED, "metric": "ratio", "floor": 1, "state": before["time"]["state"]}
        path = self.here / "thresholds" / (re.sub("[ /]", "_", device) + ".json")
        path.parent.mkdir()
        path.write_text(json.dumps({"schema": 1, "device": device, "floors": [floor]}))
        self.assertEqual(self.run_cases(self.here, TIMED).returncode, 0)
        # Nothing on the CPU has a ratio: found, and INCONCLUSIVE.
        self.assertEqual([f["verdict"] for f in self.read_records()[1]["floors"]], ["INCONCLUSIVE"])
        judged = self.script("gate", "floors", self.records, "--thresholds", path.parent)
        self.assert_ends(judged, 3, "not measured")

    def test_ctest_lists_its_cases(self):
        listed = must("ctest", "--test-dir", self.build, "--show-only=json-v1")
        names = {test["name"] for test in json.loads(listed.stdout)["tests"]}
        self.assertIn(TIMED, names)
        self.assertEqual(any(n.startswith("Cuda/") for n in names), cached("OCTET_CUDA") == "ON")

    def test_a_planted_fault_fails(self):
        result = self.run_cases(self.break_kernel())
        self.assert_ends(result, 1, "row_scale")
        self.assertEqual({r["status"] for r in self.read_records()}, {"FAILED"})
        self.assertEqual(self.script("check_records", self.records).returncode, 0)
        self.assert_ends(self.script("gate", "floors", self.records), 1, "4 records not PASSED")

    def test_the_merge_gate_compares_its_builds(self):
        def merge(head):
            return self.script("gate", "merge", "--base-build", self.build, "--head-build", head,
                               "--backend", "cpu", "--cases", "/(64x64|257x255_pad7)$", "--looks",
                               "18", "--margin", "0.5", "--no-install")  # fmt: skip

        same = merge(self.build)
        self.assertIn(same.returncode, (0, 3), same.stdout + same.stderr)
        # What it keeps lies in the project, not in the prefix.
        self.assertTrue((self.here / "build/gate").is_dir())
        self.assert_ends(merge(self.break_kernel()), 1, f"{TIMED}: FAILED")

    def test_what_is_missing_is_named(self):
        for package in ("fmt", "GTest", "nlohmann_json", "BLAS"):
            result = configure(self.source, self.here / "build", self.prefix, "-U", "CMAKE_DISABLE_*",
                               "-D", f"CMAKE_DISABLE_FIND_PACKAGE_{package}=ON")  # fmt: skip
            self.assertNotEqual(result.returncode, 0)
            said = " ".join(result.stderr.split())
            self.assertRegex(said, f"octet was built with {package}( [0-9.]+)?, which is not here")

    def test_another_minor_version_is_refused(self):
        (self.here / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(newer LANGUAGES NONE)\n"
            "find_package(octet 0.9 REQUIRED)\n"
        )
        result = configure(self.here, self.here / "build", self.prefix)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('compatible with requested version "0.9"', " ".join(result.stderr.split()))

    def test_the_tree_itself_is_taken_instead(self):
        (self.here / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(whole LANGUAGES CXX)\n"
            "include(FetchContent)\n"
            f"FetchContent_Declare(octet SOURCE_DIR {ROOT} OVERRIDE_FIND_PACKAGE)\n"
            f"add_subdirectory({self.source} outside)\n"
        )
        build = self.here / "build"
        result = configure(self.here, build, self.prefix, "-D", "OCTET_CUDA=OFF",
                           "-D", "CMAKE_CXX_FLAGS_RELEASE=-O0")  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        # Its libraries take minutes; that the headers are found under the same names, seconds.
        must("cmake", "--build", build, "--target",
             f"outside/CMakeFiles/{PROGRAM}.dir/{PROGRAM}.cpp.o")  # fmt: skip
        plan = must("ninja", "-C", build, "-n", PROGRAM).stdout
        self.assertIn("liboctet_harness.a", plan)
        everything = must("ninja", "-C", build, "-n").stdout
        self.assertNotIn("quantize_test", everything)
        installed = must("cmake", "--install", build, "--prefix", self.here / "prefix")
        self.assertEqual(list((self.here / "prefix").rglob("*")), [], installed.stdout)


if __name__ == "__main__":
    unittest.main()
