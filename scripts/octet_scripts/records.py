"""Reads records: JSON Lines, strict, one line for each case (tests/harness/record.schema.json)."""

import json
import math

from octet_scripts import schema

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


MOST_DIGITS = 20  # of 64 bits, with a sign


def _parse_integer(text):
    if len(text) > MOST_DIGITS:
        raise RecordError(f"{text[:MOST_DIGITS]}... has {len(text)} digits, more than 64 bits hold")
    return int(text)


def _parse_number(text):
    value = float(text)
    if math.isinf(value):
        raise RecordError(f"{text[:40]} is more than a number can be")
    return value


def strict_json(text):
    """The value in a text. RecordError where JSON does not say what it is, or says it twice."""
    try:
        return json.loads(
            text, parse_constant=_reject_constant, object_pairs_hook=_reject_duplicates,
            parse_int=_parse_integer, parse_float=_parse_number,
        )
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise RecordError("not JSON that can be read: it is nested too deeply") from None


def parse(line):
    """The record in one line, given as bytes with its newline."""
    if not line.endswith(b"\n"):
        raise RecordError("truncated: the line does not end in a newline")
    try:
        record = strict_json(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise RecordError("not UTF-8") from None
    if not isinstance(record, dict):
        raise RecordError("not a JSON object")
    if record.get("schema") != SCHEMA_VERSION:
        found = record.get("schema", "missing")
        raise RecordError(f"the schema version is {found}, but this reads {SCHEMA_VERSION}")
    return record


def lines(path, skip=0):
    """(number, record, problems) of each line after the first `skip`: the record is None where the
    line holds none, the problems are those of a line that is none."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number <= skip:
                continue
            try:
                yield number, parse(line), []
            except RecordError as error:
                yield number, None, [str(error)]


def read(path, skip=0, strict=False):
    """Returns the records after the first `skip` lines and, one text a line, what was wrong with
    lines. Strict: records that break the schema or contradict themselves are none."""
    records, problems = [], []
    for number, record, wrong in lines(path, skip):
        if strict and record is not None:
            wrong = [f"{name_of(record)}: {text}" for text in schema.problems(record)]
        if wrong:
            more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            problems.append(f"{path}:{number}: {wrong[0]}{more}")
        else:
            records.append(record)
    return records, problems


def name_of(record):
    test = record.get("test")
    return test if isinstance(test, str) and test else "a record without a test's name"


def at(record, *path):
    """The value at a path of keys; None where something on the way is null or missing."""
    for key in path:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record
