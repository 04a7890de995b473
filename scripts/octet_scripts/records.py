"""Reads records: JSON Lines, strict, one line for each case (tests/harness/record.schema.json)."""

import json

SCHEMA_VERSION = 1


class RecordError(ValueError):
    """A line that is no record; the text says why."""


def _reject_constant(token):
    raise RecordError(f"{token} is not JSON: unknown numbers are null")


def _reject_duplicates(pairs):
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RecordError(f"the key '{twice}' occurs twice in one object")
    return record


def parse(line):
    """The record in one line, given as bytes with its newline."""
    if not line.endswith(b"\n"):
        raise RecordError("truncated: the line does not end in a newline")
    try:
        record = json.loads(
            line.decode("utf-8"),
            parse_constant=_reject_constant,
            object_pairs_hook=_reject_duplicates,
        )
    except UnicodeDecodeError:
        raise RecordError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(record, dict):
        raise RecordError("not a JSON object")
    if record.get("schema") != SCHEMA_VERSION:
        found = record.get("schema", "missing")
        raise RecordError(f"the schema version is {found}, but this reads {SCHEMA_VERSION}")
    return record


def read(path, skip=0):
    """Returns the records after the first `skip` lines and, as text, what was wrong with lines."""
    records, problems = [], []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number <= skip:
                continue
            try:
                records.append(parse(line))
            except RecordError as error:
                problems.append(f"{path}:{number}: {error}")
    return records, problems


def at(record, *path):
    """The value at a path of keys; None where something on the way is null or missing."""
    for key in path:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record
