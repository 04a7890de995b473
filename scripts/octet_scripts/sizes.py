"""Sizes of layers as scripts/bench --size takes them: refused here before anything is built, in the
words of tests/harness/layer_size.cpp, which reads them in the end.
"""

import json
import os
import re
import sys
from pathlib import Path

LAYERS = Path(__file__).resolve().parents[2] / "tests" / "harness" / "layers.json"
LARGEST = 131071
LONGEST_NAME = 24
LONGEST_QUOTE = 100
KEYS = ("name", "batch", "seq", "model", "hidden")
KEYS_TEXT = "name, batch, seq, model and hidden"
NAME_RULE = (
    "letters, digits, '_', '.' and '-', at most 24, one of them a letter other than x"
)
BENCHMARK = ("4k", "5k", "12k")


class SizeError(ValueError):
    """A size that cannot be; the text names the option, the value and what would be right."""


def printable(text):
    data = text.encode("utf-8", "surrogateescape")
    shown = "".join(chr(c) if 32 <= c < 127 else "?" for c in data[:LONGEST_QUOTE])
    return shown + "..." if len(data) > LONGEST_QUOTE else shown


def presets():
    with open(LAYERS, encoding="utf-8") as file:
        return json.load(file)


def test_name(name):
    return re.sub(r"[.-]", "_", name)


def is_name(text):
    return (
        re.fullmatch(r"[A-Za-z0-9_.-]{1,%d}" % LONGEST_NAME, text) is not None
        and re.search("[A-WYZa-wyz]", text) is not None
        and not text.startswith("DISABLED_")
    )


def read(option, text, known):
    """The values of one size."""

    def refuse(why):
        raise SizeError(f"{option} '{printable(text)}': {why}")

    names = ", ".join(known)
    if not text:
        refuse(f"give KEY=VALUE for {KEYS_TEXT} or one of {names}")
    size, given = {}, set()
    for i, item in enumerate(text.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            if i or item not in known:
                where = ", which come first" if i else ""
                refuse(f"'{printable(item)}' is neither KEY=VALUE nor one of {names}{where}")
            size = {"name": item, **{k: known[item][k] for k in KEYS[1:]}}
            continue
        if key not in KEYS:
            refuse(f"unknown key '{printable(key)}': the keys are {KEYS_TEXT}")
        if key in given:
            refuse(f"{key} is given twice")
        given.add(key)
        if key == "name":
            if not is_name(value):
                refuse(f"name is '{printable(value)}' but must be {NAME_RULE}")
            size[key] = value
        else:
            if not re.fullmatch(r"[0-9]{1,18}", value) or not 1 <= int(value) <= LARGEST:
                refuse(f"{key} is '{printable(value)}' but must be a whole number from 1 to {LARGEST}")
            size[key] = int(value)
    for key in (*KEYS[1:], "name"):
        if key not in size:
            refuse(f"{key} is missing: give {KEYS_TEXT}")
    tokens = size["batch"] * size["seq"]
    if tokens > LARGEST:
        refuse(f"batch * seq is {tokens} but may be at most {LARGEST}, of which int32 holds every sum")
    return size


def check(option, texts):
    """Throws SizeError for the first of several sizes that cannot be."""
    known = presets()
    taken = {name: name for name in BENCHMARK}
    for text in texts:
        name = read(option, text, known)["name"]
        other = taken.get(test_name(name))
        if other is not None:
            as_other = "" if other == name else f", as '{other}' ('.' and '-' count as '_')"
            raise SizeError(f"{option} '{printable(text)}': the name '{name}' exists already{as_other}: "
                            "give another one with name=")  # fmt: skip
        taken[test_name(name)] = name


def main():
    """Checks OCTET_SIZES, of scripts/bench's option --size. Exit status: 0, 2 one cannot be."""
    try:
        check(sys.argv[1], os.environ["OCTET_SIZES"].split(";"))
    except SizeError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
