#!/usr/bin/env python3
"""What the scripts read, mutated: each reader takes it or refuses it with its own error, and what
they take they can show and judge. Seeded, so that a failure can be had again; OCTET_FUZZ_SECONDS
(scripts/fuzz) goes on for so long, from another seed with OCTET_FUZZ_SEED."""

import contextlib
import copy
import io
import json
import math
import os
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

from octet_scripts import gate_floors, gate_pairs, gate_thresholds, records, schema, table  # noqa: E402
from octet_scripts import report  # noqa: E402
from octet_scripts.gate_state import State  # noqa: E402
from octet_scripts.gate_verdict import GateError  # noqa: E402
from scripts_test import line, make_record  # noqa: E402

SECONDS = float(os.environ.get("OCTET_FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("OCTET_FUZZ_SEED", "1"))
LEAST_ROUNDS = 300
VALUES = (
    None, True, False, 0, -1, 1, 2, 1e308, -1e308, 5e-324, 2**63, -(2**63), 10**400, 0.5, "", "x",
    "$(touch x)", "`id`", "<script>alert(1)</script>", "|a|b|", "\n", "\u0000", "\ud7ff", "a'b\"c",
    "Cuda/TrainingStep_f16.Timing/4k", "../../etc/passwd", [], {}, [[]], [{}], {"a": {}}, "9" * 5000,
)  # fmt: skip


def places(value, path=()):
    """Every path into a value of JSON."""
    yield path
    inner = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ())  # fmt: skip
    for key, one in inner:
        yield from places(one, (*path, key))


def mutated(chance, value):
    """A copy with a few places replaced, removed, doubled or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        paths = [path for path in places(value) if path]
        if not paths:
            break
        path = chance.choice(paths)
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        kind = chance.randrange(6)
        if kind == 0 and isinstance(holder, dict):
            del holder[path[-1]]
        elif kind == 1 and isinstance(holder, dict):
            holder[chance.choice(("more", "", "name", "__class__"))] = holder[path[-1]]
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif kind == 3 and isinstance(holder[path[-1]], (int, float)):
            old = holder[path[-1]]
            holder[path[-1]] = chance.choice((-old, old * 1e9 if abs(old) < 1e9 else 0, 0, str(old)))
        else:
            holder[path[-1]] = copy.deepcopy(chance.choice(VALUES))
    return value


def damaged(chance, text):
    """Bytes of a text with a few of them changed, cut out, repeated or put in."""
    data = bytearray(text)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data[at:at] = chance.choice((b"\x00", b"\xff", b"\n", b'"', b"{", b"[" * 2000, b"NaN",
                                         b"Infinity", b"1e999", b"\\ud800", b"-"))  # fmt: skip
        elif kind == 2:
            del data[at : at + chance.randrange(1, 40)]
        elif kind == 3:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        elif at < len(data):
            data[at] = chance.randrange(256)
    return bytes(data)


class Readers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def each(self, attempt):
        """attempt(chance) round after round, each with a seed that its failure names."""
        end = time.monotonic() + SECONDS / 4
        number = 0
        while number < LEAST_ROUNDS or time.monotonic() < end:
            with self.subTest(seed=f"{SEED}:{number}"):
                attempt(random.Random(f"{SEED}:{number}"))
            number += 1

    def test_a_line_of_records_is_a_record_or_an_error_of_its_own(self):
        good = [make_record(), make_record("5k", "bf16", "cpu")]
        seen = {"taken": 0, "refused": 0}

        def attempt(chance):
            text = damaged(chance, line(mutated(chance, chance.choice(good))).encode())
            try:
                record = records.parse(text)
            except records.RecordError:
                seen["refused"] += 1
                return
            seen["taken"] += 1
            self.assertIsInstance(record, dict)
            for problem in schema.problems(record):
                self.assertIsInstance(problem, str)
            records.name_of(record)

        self.each(attempt)
        self.assertGreater(min(seen.values()), LEAST_ROUNDS // 20, seen)

    def test_what_a_strict_reader_takes_can_be_shown_and_judged(self):
        good = [make_record(), make_record("5k"), make_record("4k", "bf16")]
        path = self.folder / "records.jsonl"
        taken = []

        def attempt(chance):
            texts = [line(mutated(chance, chance.choice(good))) for _ in range(4)]
            path.write_text("".join(texts), encoding="utf-8")
            found, _ = records.read(path, strict=True)
            taken.extend(found)
            table.render(found)
            for record in found:
                gate_pairs.reduce_case([record])
                gate_thresholds.figures(record)
            if found:
                report.render([found])
            try:
                gate_floors.judge(found, ROOT / "tests" / "thresholds", partial=True)
            except GateError:
                pass

        self.each(attempt)
        self.assertGreater(len(taken), LEAST_ROUNDS // 20)

    def test_floors_are_taken_or_refused_by_name(self):
        (source,) = (ROOT / "tests" / "thresholds").glob("NVIDIA_H200.json")
        good = json.loads(source.read_text(encoding="utf-8"))
        good["floors"] = good["floors"][:3]
        taken = []

        def attempt(chance):
            text = json.dumps(mutated(chance, good) if chance.random() < 0.7 else good).encode()
            text = damaged(chance, text) if chance.random() < 0.5 else text
            path = self.folder / "NVIDIA_H200.json"
            path.write_bytes(text)
            try:
                floors = gate_thresholds.read(self.folder, "NVIDIA H200")
            except GateError as error:
                self.assertIn(str(path), str(error))
                return
            taken.append(floors)
            for floor in floors:
                self.assertTrue(0 < floor.value < math.inf, floor)

        self.each(attempt)
        self.assertGreater(len(taken), LEAST_ROUNDS // 20)

    def test_the_state_of_a_gate_is_taken_or_refused(self):
        asked = {"command": "merge", "base": "a", "looks": [12], "environment": {"OCTET_SEED": "1"}}
        kept = {"schema": 1, **asked, "device": {"name": "A"}}
        pair = {"pair": 0, "order": ["base", "head"], "base": {}, "head": {}, "ends": {}}

        def attempt(chance):
            state_file = self.folder / "state.json"
            state_file.write_bytes(damaged(chance, json.dumps(mutated(chance, kept)).encode()))
            pairs = [json.dumps(mutated(chance, dict(pair, pair=i))) + "\n" for i in range(3)]
            (self.folder / "pairs.jsonl").write_bytes(damaged(chance, "".join(pairs).encode()))
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    found = State(self.folder, asked).pairs()
            except GateError:
                return
            self.assertEqual([one["pair"] for one in found], list(range(len(found))))

        self.each(attempt)


if __name__ == "__main__":
    unittest.main()
