"""The state folder of a merge gate: what it was asked, and every pair that it measured.

  state.json    what the gate was asked, and what it found and must find again on resuming
  pairs.jsonl   one line for each pair, appended with one write
  records/      the records of each process
  plans         the algorithms that base chose and both sides take (OCTET_PLANS)
"""

import errno
import json
import os
from pathlib import Path

from octet_scripts.gate_machine import tell
from octet_scripts.gate_verdict import GateError
from octet_scripts.records import strict_json

SCHEMA_VERSION = 1


class State:
    def __init__(self, folder, asked):
        """Opens or makes the folder. One that belongs to another gate is left as it is."""
        self.folder = Path(folder).resolve()
        self.file, self.pairs_file = self.folder / "state.json", self.folder / "pairs.jsonl"
        self.records = self.folder / "records"
        asked = json.loads(json.dumps({"schema": SCHEMA_VERSION, **asked}))
        try:
            if self.file.exists():
                self.content = strict_json(self.file.read_text(encoding="utf-8"))
                self._compare(asked)
            elif self.folder.exists() and any(self.folder.iterdir()):
                raise GateError(f"{self.folder} is not empty and holds no gate's state; "
                                "name another folder with --state")  # fmt: skip
            else:
                self.content = asked
                self.records.mkdir(parents=True)
                self._write()
        except (OSError, ValueError) as error:
            raise GateError(f"cannot use {self.folder} as state: {error}") from None

    def _compare(self, asked):
        if not isinstance(self.content, dict):
            raise GateError(f"{self.file} is no gate's state; name another folder with --state")
        for key, value in asked.items():
            if self.content.get(key) != value:
                raise GateError(
                    f"{self.folder} belongs to a gate with another {key.replace('_', ' ')} "
                    f"({short(self.content.get(key))}, not {short(value)}); "
                    "name another folder with --state"
                )

    def _write(self):
        text = json.dumps(self.content, indent=1) + "\n"
        part = self.file.with_suffix(".part")
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a machine that stops could leave the new name empty
        os.replace(part, self.file)

    def pin(self, key, value):
        """Remembers a value; one that differs from the remembered one is refused."""
        value = json.loads(json.dumps(value))
        if key in self.content:
            self._compare({key: value})
        else:
            self.content[key] = value
            self._write()

    def pairs(self):
        """The pairs that are whole, in order."""
        if not self.pairs_file.exists():
            return []
        found = []
        with open(self.pairs_file, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    pair = strict_json(line.decode())
                    if not line.endswith(b"\n") or pair["pair"] != len(found):
                        raise ValueError
                except (ValueError, KeyError, TypeError):
                    tell(f"{self.pairs_file}:{number}: left out, not the pair that follows")
                    continue
                found.append(pair)
        return found

    def append(self, pair):
        line = json.dumps(pair, allow_nan=False).encode() + b"\n"
        descriptor = os.open(self.pairs_file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # ends what a killed run left
            try:
                written = os.write(descriptor, line)
            except OSError:
                written = 0
            if written != len(line):
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, "no room for a pair", str(self.pairs_file))
        finally:
            os.close(descriptor)


def short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
