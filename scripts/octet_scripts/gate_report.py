"""What a gate says: one sequence of tables and sentences, in the terminal (at most 100 columns)
and in Markdown."""

import html
import textwrap

from octet_scripts.gate_verdict import GateError
from octet_scripts.table import WIDTH, Grid
from octet_scripts.texts import clean, plain_name


def by_suite(tests):
    """['Cpu/A.Timing/1x1', 'Cpu/A.Timing/1x7'] -> ['Cpu/A.Timing/: 1x1 1x7']."""
    suites = {}
    for test in tests:
        suite, _, problem = test.rpartition("/")
        suites.setdefault(suite, []).append(problem)
    return [f"{suite}/: {' '.join(problems)}" for suite, problems in suites.items()]


def folded(grid):
    """A grid too wide for the terminal, with its first column on a line of its own."""
    lines = grid.text(whole_names=True)
    if max(map(len, lines)) <= WIDTH:
        return lines
    rest = Grid(grid.columns[1:], [row[1:] for row in grid.rows]).text(whole_names=True)
    body = [line for row, cells in zip(grid.rows, rest[2:]) for line in (row[0], f"    {cells}")]
    return [grid.columns[0][0], *(f"    {line}" for line in rest[:2]), *body]


class Report:
    def __init__(self, title):
        self.title = title
        self.parts = []  # (kind, content)
        self.ending = []

    def line(self, text):
        self.parts.append(("text", [text]))

    def paragraphs(self, texts):
        if texts:
            self.parts.append(("text", texts))

    def names(self, heading, texts):
        if texts:
            self.parts.append(("names", (heading, texts)))

    def grid(self, grid):
        self.parts.append(("grid", grid))

    def verdict(self, verdict, text):
        self.ending = [verdict, text]

    def text(self):
        lines = [self.title]
        for kind, content in self.parts:
            if kind == "grid":
                lines += ["", *folded(content), ""]
            elif kind == "names":
                heading, texts = content
                lines.append(f"{heading}:")
                for text in texts:
                    lines += wrap(text, "  ", "    ")
            else:
                for text in content:
                    lines += wrap(text, "", "  ")
        if self.ending:
            lines += wrap(f"{self.title}: {self.ending[0]}: {self.ending[1]}", "", "  ")
        return "\n".join(lines) + "\n"

    def markdown(self):
        lines = [f"### {self.title}" + (f": {self.ending[0]}" if self.ending else ""), ""]
        if self.ending:
            lines += [plain_name(self.ending[1]), ""]
        for kind, content in self.parts:
            if kind == "grid":
                lines += [*content.markdown(), ""]
            elif kind == "names":
                heading, texts = content
                lines += [f"<details><summary>{html.escape(clean(heading))}</summary>", ""]
                lines += [f"- {plain_name(text)}" for text in texts] + ["", "</details>", ""]
            else:
                lines += [line for text in content for line in (plain_name(text), "")]
        return "\n".join(lines) + "\n"

    def print(self, file):
        print(self.text(), end="", file=file, flush=True)

    def append_markdown(self, path):
        if path is None:
            return
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(self.markdown())
        except OSError as error:
            raise GateError(f"cannot write {path}: {error.strerror}") from None


def wrap(text, first, following):
    return textwrap.wrap(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=following,
        break_on_hyphens=False,
    ) or [""]  # fmt: skip
