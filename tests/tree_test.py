#!/usr/bin/env python3
"""The rules of the tree that a build cannot see: who may include whom, and what no file may hold."""

import re
import shutil
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("*.hpp", "*.cpp", "*.cu", "*.cuh", "*.in")


def files(folder, patterns=SOURCES):
    found = [path for pattern in patterns for path in (ROOT / folder).rglob(pattern)]
    assert found, f"no source in {folder}"
    return sorted(found)


def includes(path):
    """(is it in quotes, what is included)"""
    found = re.findall(r'^\s*#include\s*(["<])([^">]+)[">]', path.read_text(), re.MULTILINE)
    return [(mark == '"', name) for mark, name in found]


class Includes(unittest.TestCase):
    def expect(self, folder, allowed):
        for path in files(folder):
            for quoted, name in includes(path):
                self.assertTrue(
                    allowed(quoted, name), f"{path.relative_to(ROOT)} includes {name}"
                )

    def test_the_contract_includes_only_itself_and_std(self):
        def allowed(quoted, name):
            return name.startswith("octet/") if quoted else "/" not in name and "." not in name

        self.expect("include", allowed)

    def test_the_reference_sees_views_and_layouts_only(self):
        views = {"octet/layout.hpp", "octet/matrix.hpp", "octet/numeric.hpp", "octet/gemm.hpp"}

        def allowed(quoted, name):
            return name in views if quoted else "." not in name

        self.expect("tests/reference", allowed)

    def test_backends_do_not_know_each_other(self):
        self.expect("kernels/cpu", lambda _, name: "cuda" not in name and "cublas" not in name)
        self.expect("kernels/cuda", lambda _, name: not name.startswith("cpu/"))

    def test_nobody_includes_kernels(self):
        private = re.compile(r"^(cpu|cuda)/|^preconditions\.hpp|kernels/")
        for folder in ("include", "tests"):
            self.expect(folder, lambda _, name: not private.search(name))

    def test_formatting_library_stays_out_of_device_files(self):
        for path in files("kernels/cuda", ("*.cu", "*.cuh")):
            self.assertNotIn("fmt/", "".join(name for _, name in includes(path)), path)

    def test_suites_and_kernels_have_no_backend_conditions(self):
        for folder in ("kernels", "include", "tests"):
            for path in files(folder):
                found = re.search(r"^\s*#\s*(if|ifdef|ifndef)\b.*", path.read_text(), re.MULTILINE)
                self.assertIsNone(found, f"{path.relative_to(ROOT)}: {found and found[0]}")


class Style(unittest.TestCase):
    def test_clang_format_is_clean(self):
        if shutil.which("clang-format") is None:
            self.skipTest("clang-format is not installed")
        version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True)
        if "version 14." not in version.stdout:
            self.skipTest(f"another clang-format lays out otherwise: {version.stdout.strip()}")
        paths = [
            path
            for folder in ("include", "kernels", "tests")
            for path in files(folder, ("*.hpp", "*.cpp", "*.cu", "*.cuh"))
        ]
        result = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", "--style=file", *paths],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
