"""A page of plots, a Markdown report and a plot a file, from records.

DIR gets index.html (one file, nothing from the network), report.md and the plots that it shows, as
SVG and, if asked, as PNG. All is made before anything is written, and the same records give the
same bytes.

Exit status: 0 written, 2 nothing written: no records, a line that is none, or no way to write.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from octet_scripts import report_page
from octet_scripts.gate_verdict import GateError
from octet_scripts.report_data import ReportError, read, runs_of

THRESHOLDS = Path(__file__).resolve().parents[2] / "tests" / "thresholds"
PNG_SCALE = "2"  # for screens with two pixels a point


def render(files, thresholds=THRESHOLDS):
    """{file name: text} of lists of records, one list for each file."""
    if not thresholds.is_dir():
        raise ReportError(f"cannot read {thresholds}: no such folder")
    runs = runs_of(files)
    try:
        sections = report_page.sections_of(runs, thresholds)
    except GateError as error:
        raise ReportError(str(error)) from None
    return {
        "index.html": report_page.page(runs, sections),
        "report.md": report_page.markdown(runs, sections),
        **report_page.plots(sections),
    }


def png(svg):
    """A picture of a plot, in light colours."""
    if not shutil.which("rsvg-convert"):
        raise ReportError("--png needs rsvg-convert: apt-get install librsvg2-bin")
    result = subprocess.run(["rsvg-convert", "--zoom", PNG_SCALE], input=svg.encode(),
                            capture_output=True, check=False)  # fmt: skip
    if result.returncode:
        text = result.stderr.decode("utf-8", "replace").strip() or "no reason given"
        raise ReportError(f"rsvg-convert failed: {text}")
    return result.stdout


def write(files, folder):
    """All files or none: each is complete beside its place before the first takes it."""
    ready = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if (folder / name).is_dir():
                raise IsADirectoryError(0, f"{name} is a folder")
            handle, part = tempfile.mkstemp(prefix=".report_", dir=folder)
            ready.append((part, folder / name))
            with os.fdopen(handle, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
            os.chmod(part, 0o666 & ~mask())
        for part, path in ready:
            os.replace(part, path)
    except OSError as error:
        raise ReportError(f"cannot write {folder}: {error.strerror}") from None
    finally:
        for part, _ in ready:
            if os.path.exists(part):
                os.unlink(part)


def mask():
    """What a new file of this process may not be."""
    current = os.umask(0)
    os.umask(current)
    return current


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="scripts/report",
        description="Makes a page of plots (index.html), a Markdown report and SVG from records.",
    )
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="a file of JSON Lines")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR",
                        help="the folder to write to; made where there is none")  # fmt: skip
    parser.add_argument("--png", action="store_true", help="each plot as PNG, too")
    parser.add_argument("--thresholds", type=Path, default=THRESHOLDS, metavar="DIR",
                        help="the floors (tests/thresholds)")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        files = render([read(path) for path in options.records], options.thresholds)
        if options.png:
            files.update({f"{name[:-4]}.png": png(text) for name, text in files.items()
                          if name.endswith(".svg")})  # fmt: skip
        write(files, options.output)
    except ReportError as error:
        print(f"scripts/report: {error}", file=sys.stderr)
        return 2
    print(options.output / "index.html")
    return 0
