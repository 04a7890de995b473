#!/usr/bin/env python3
"""The public headers as documentation: scripts/document, where doxygen is installed."""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = sorted((ROOT / "include" / "octet").glob("*.hpp"))
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

from octet_scripts.doxygen_filter import filtered  # noqa: E402


class Filter(unittest.TestCase):
    def test_code_and_line_numbers_stay(self):
        def code(line):
            return re.sub(r"/\*\*.*?\*/", "", line).split("//")[0].rstrip()

        self.assertTrue(HEADERS)
        for path in HEADERS:
            lines = path.read_text().splitlines()
            self.assertEqual(
                [code(line) for line in filtered(lines)[: len(lines)]],
                [code(line) for line in lines], path,
            )  # fmt: skip

    def test_a_comment_is_about_its_paragraph(self):
        lines = ["/// Doubles x.", "void f(Cpu);", "void f(Cuda);", "", "void g();"]
        self.assertEqual(
            filtered(lines),
            ["/// Doubles x. @{", "void f(Cpu);", "void f(Cuda); /** @} */", "", "void g();"],
        )

    def test_a_comment_is_not_about_what_comes_after_the_braces_around_it(self):
        lines = ["/// What it holds.", "struct A {", "  int i = 0;", "", "  int j = 0;  // rows", "};"]
        self.assertEqual(
            filtered(lines),
            ["/// What it holds.", "struct A { /** See A. @{ */", "  int i = 0; /** @} */", "",
             "  int j = 0;  ///< rows", "};"],
        )  # fmt: skip

    def test_the_comment_at_the_top_is_the_file_s(self):
        lines = ["// Sums.", "//", "//   s = a + b", "#pragma once"]
        self.assertEqual(
            filtered(lines), [*lines, "/** @file", "Sums.", "", "      s = a + b", "*/"]
        )


@unittest.skipIf(shutil.which("doxygen") is None, "doxygen is not installed: apt-get install doxygen")
class Document(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def document(self, root):
        return subprocess.run([root / "scripts/document", self.folder / "document"],
                              capture_output=True, text=True, check=False)  # fmt: skip

    def test_every_public_declaration_is_documented(self):
        result = self.document(ROOT)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        pages = {path.name for path in (self.folder / "document/html").glob("*_8hpp.html")}
        self.assertEqual(len(pages), len(HEADERS))

    def test_what_is_not_documented_is_named(self):
        root = self.folder / "tree"
        for name in ("include", "scripts"):
            shutil.copytree(ROOT / name, root / name)
        header = root / "include/octet/quantize.hpp"
        text = header.read_text().replace("}  // namespace octet", "int bare();\n\n}")
        header.write_text(text)
        result = self.document(root)
        self.assertEqual(result.returncode, 1)
        line = text.splitlines().index("int bare();") + 1
        self.assertIn(f"quantize.hpp:{line}: ", result.stderr)
        self.assertIn("bare()", result.stderr)


if __name__ == "__main__":
    unittest.main()
