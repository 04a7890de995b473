"""Checks every line of record files against the published schema.

Exit status: 0 all lines are records, 1 some are not or there is none, 2 usage or environment.
"""

import argparse
import json
import sys
from pathlib import Path

from octet_scripts import records

SCHEMA = Path(__file__).resolve().parents[2] / "tests" / "harness" / "record.schema.json"
ERRORS_SHOWN = 5  # of one line


def schema_errors(validator, record):
    """What the schema finds wrong with a record, one text each."""
    for error in sorted(validator.iter_errors(record), key=lambda e: [str(p) for p in e.path]):
        place = ".".join(str(part) for part in error.path) or "the record"
        text = error.message if len(error.message) <= 200 else error.message[:197] + "..."
        yield f"{place}: {text}"


def check(path, validator):
    """Returns (number of good records, texts that each name a bad line)."""
    found, problems = records.read(path)
    good = 0
    for record in found:
        errors = list(schema_errors(validator, record))
        if errors:
            shown = errors[:ERRORS_SHOWN]
            if len(errors) > len(shown):
                shown.append(f"and {len(errors) - len(shown)} more")
            name = record.get("test", "a record without a test's name")
            problems += [f"{path}: {name}: {text}" for text in shown]
        else:
            good += 1
    if not found and not problems:
        problems.append(f"{path}: holds no record")
    return good, problems


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="scripts/check_records", description="Checks records against the published schema."
    )
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="a file of JSON Lines")
    options = parser.parse_args(arguments)
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        print(
            "scripts/check_records: needs jsonschema: apt-get install python3-jsonschema",
            file=sys.stderr,
        )
        return 2
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    total, bad = 0, False
    for path in options.records:
        try:
            good, problems = check(path, validator)
        except OSError as error:
            print(f"scripts/check_records: cannot read {path}: {error.strerror}", file=sys.stderr)
            return 2
        total += good
        bad = bad or bool(problems)
        for problem in problems:
            print(problem)
    print(f"{total} good records" + (", and the lines above" if bad else ""))
    return 1 if bad else 0
