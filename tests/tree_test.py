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


class Supply(unittest.TestCase):
    """What is fetched is named and pinned, and workflows hand no text of a stranger to a shell."""

    def test_downloads_are_pinned_by_commit(self):
        found = []
        for path in [ROOT / "CMakeLists.txt", *(ROOT / "tests").rglob("CMakeLists.txt"),
                     *(ROOT / "kernels").rglob("CMakeLists.txt")]:  # fmt: skip
            text = path.read_text()
            self.assertNotRegex(text, r"URL\s+http|file\(DOWNLOAD", path)
            self.assertEqual(text.count("GIT_REPOSITORY"), len(re.findall(r"GIT_TAG", text)), path)
            found += re.findall(r"GIT_REPOSITORY\s+(\S+)\s+GIT_TAG\s+(\S+)", text)
        self.assertGreaterEqual(len(found), 3)
        for repository, tag in found:
            self.assertTrue(repository.startswith("https://"), repository)
            self.assertRegex(tag, r"^[0-9a-f]{40}$", repository)

    def test_scripts_download_nothing_by_themselves(self):
        for path in (ROOT / "scripts").iterdir():
            if path.is_file():
                self.assertNotRegex(path.read_text(), r"\b(curl|wget)\b|\beval\b", path)
        for path in (ROOT / "scripts").rglob("*.py"):
            self.assertNotRegex(path.read_text(), r"shell=True|os\.system|\beval\(|\bexec\(|pickle",
                                path)  # fmt: skip

    def test_only_named_packages_are_installed(self):
        text = (ROOT / "scripts/set_up.sh").read_text()
        needed = re.search(r"^needed=\(([^)]*)\)", text, re.MULTILINE)[1].split()
        for package in needed:
            self.assertRegex(package, r"^[a-z0-9+.-]+$")
        # The packages and nothing that a variable of the caller's could bring.
        self.assertEqual(re.findall(r'apt_install "([^"]*)"', text), ["${missing[@]}"])

    def test_workflows(self):
        paths = sorted((ROOT / ".github/workflows").glob("*.yml"))
        self.assertGreaterEqual(len(paths), 3)
        for path in paths:
            text = path.read_text()
            for action in re.findall(r"uses:\s*(\S+)", text):
                self.assertRegex(action, r"^[\w./-]+@[0-9a-f]{40}$", path)
            self.assertEqual(text.count("actions/checkout@"), text.count("persist-credentials: false"))
            self.assertIn("permissions:\n  contents: read\n", text)
            self.assertNotIn("pull_request_target", text)
            self.assertEqual(text.count("runs-on:"), text.count("timeout-minutes:"), path)
            # A title, a branch or a message is a stranger's text.
            for expression in re.findall(r"\$\{\{\s*(.*?)\s*\}\}", text):
                self.assertRegex(expression, r"^(matrix\.\w+|github\.(workspace|run_number))$", path)
            if "self-hosted" in text:
                self.assertNotRegex(text, r"^\s+pull_request:", path)


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
