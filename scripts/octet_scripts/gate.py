"""scripts/gate's arguments; scripts/gate --help has the text for people."""

import argparse
import re
import signal
import sys
from pathlib import Path

from octet_scripts import gate_floors, gate_merge
from octet_scripts.gate_verdict import USAGE, GateError
from octet_scripts.texts import plain_name

THRESHOLDS = Path(__file__).resolve().parents[2] / "tests" / "thresholds"


class Parser(argparse.ArgumentParser):
    """Errors are one sentence."""

    def error(self, message):
        self.exit(USAGE, f"{self.prog}: {message}; scripts/gate --help explains\n")


def fraction(least, most):
    def parse(text):
        value = float(text)
        if not least < value < most:
            raise argparse.ArgumentTypeError(f"'{text}' must lie between {least} and {most}")
        return value

    parse.__name__ = "number"
    return parse


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least 1")
    return value


positive.__name__ = "whole number"


def looks(text):
    return [positive(item) for item in text.split(",")]


looks.__name__ = "list of numbers of pairs"


def pattern(text):
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from None
    return text


def parser():
    top = Parser(prog="scripts/gate", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    floors = commands.add_parser("floors", allow_abbrev=False)
    floors.add_argument("records", nargs="+", metavar="RECORDS")
    floors.add_argument("--thresholds", metavar="DIR", type=Path, default=THRESHOLDS)
    floors.add_argument("--partial", action="store_true")
    floors.set_defaults(run=gate_floors.main)
    for name in ("merge", "aa"):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("--base", metavar="REV")
        command.add_argument("--base-build", metavar="DIR", type=Path)
        if name == "merge":
            command.add_argument("--head", metavar="REV")
            command.add_argument("--head-build", metavar="DIR", type=Path)
        else:
            command.add_argument("--two-builds", action="store_true")
            command.add_argument("--history", metavar="FILE", type=Path)
        command.add_argument("--cases", metavar="REGEX", type=pattern, default="")
        command.add_argument("--backend", choices=("cpu", "cuda"))
        command.add_argument("--margin", type=fraction(0, 1), default=0.02)
        command.add_argument("--alpha", type=fraction(0, 0.5), default=0.01)
        command.add_argument("--looks", type=looks, default=[18, 36, 54])
        command.add_argument("--state", metavar="DIR", type=Path)
        command.add_argument("--timeout", metavar="SECONDS", type=positive, default=1800)
        command.add_argument("--allow-busy", action="store_true")
        command.add_argument("--no-wait", action="store_true")
        command.add_argument("--no-install", action="store_true")
        command.set_defaults(run=gate_merge.main)
    for command in commands.choices.values():
        command.add_argument("--markdown", metavar="FILE", type=Path)
    return top


def check_markdown(options):
    """Before anything is measured for it."""
    if options.markdown is None:
        return
    try:
        with open(options.markdown, "a", encoding="utf-8"):
            pass
    except OSError as error:
        path, options.markdown = options.markdown, None
        raise GateError(f"cannot write {path}: {error.strerror}") from None


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def main(arguments=None):
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        check_markdown(options)
        return options.run(options)
    except KeyboardInterrupt:
        print("scripts/gate: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"scripts/gate {options.command}: {where}{error.strerror}", file=sys.stderr)
        return USAGE
    except GateError as error:
        print(f"scripts/gate {options.command}: {error}", file=sys.stderr)
        if options.markdown:
            try:
                with open(options.markdown, "a", encoding="utf-8") as file:
                    verdict = "FAIL" if error.status == 1 else "no verdict"
                    file.write(f"### scripts/gate {options.command}: {verdict}\n\n{plain_name(str(error))}\n\n")
            except OSError:
                pass  # the sentence above was said
        return error.status


if __name__ == "__main__":
    sys.exit(main())
