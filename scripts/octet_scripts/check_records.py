"""Checks every line of record files against the published schema, and each record against itself.

Exit status: 0 all lines are records, 2 some are not, there is none, or a file cannot be read.
"""

import argparse
import sys

from octet_scripts import records, schema

ERRORS_SHOWN = 5  # of one line


def check(path):
    """Returns (number of good records, texts that each name a bad line)."""
    good, problems, number = 0, [], 0
    for number, record, wrong in records.lines(path):
        if record is not None:
            wrong = [f"{records.name_of(record)}: {text}" for text in schema.problems(record)]
        good += not wrong
        shown = wrong[:ERRORS_SHOWN]
        if len(wrong) > len(shown):
            shown.append(f"and {len(wrong) - len(shown)} more")
        problems += [f"{path}:{number}: {text}" for text in shown]
    if number == 0:
        problems.append(f"{path}: holds no record")
    return good, problems


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="scripts/check_records",
        description="Checks records against the published schema and against themselves.",
    )
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="a file of JSON Lines")
    options = parser.parse_args(arguments)
    total, bad = 0, False
    for path in options.records:
        try:
            good, problems = check(path)
        except OSError as error:
            print(f"scripts/check_records: cannot read {error.filename or path}: {error.strerror}",
                  file=sys.stderr)  # fmt: skip
            return 2
        total += good
        bad = bad or bool(problems)
        for problem in problems:
            print(problem)
    print(f"{total} good records" + (", and the lines above" if bad else ""))
    return 2 if bad else 0
