"""Small faults that a program can plant in a source line, and a seeded choice of them.

A fault is a rewriting of one line. Comments, strings and preprocessor lines are never touched. Two
mutants that give the same line are one.
"""

import hashlib
import random
import re
from dataclasses import dataclass

KEPT = re.compile(r"^\s*(#|using |namespace |template |static_assert|friend |\}|import |from |\"\"\")")
CPP_COMMENT_OR_STRING = re.compile(r'//.*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
PYTHON_COMMENT_OR_STRING = re.compile(r'#.*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
# A name says that a number is chosen for speed and changes no result.
TUNING = re.compile(r"Grain|Task|Wanted|Piece|unroll|__launch_bounds__|reserve|Alignment", re.I)

# What is told to people is read by people.
TEXT = re.compile(r"\bthrow\b|\braise\b|fmt::format|std::to_string|\breject\(|\btell\(|\bprint\(")


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Mutant:
    file: str
    number: int  # of the line, from 1
    fault: str
    before: str
    after: str

    @property
    def line_hash(self):
        """What an entry of the equivalent ones names: the line as it was and as it became, without
        indentation."""
        return short_hash(f"{self.before.strip()}\n{self.after.strip()}")

    @property
    def name(self):
        return f"{self.file}:{self.number}:{self.fault}:{self.line_hash}"

    @property
    def folder(self):
        return short_hash(self.name)

    @property
    def diff(self):
        return f"{self.file}:{self.number} ({self.fault})\n- {self.before.strip()}\n" + (
            f"+ {self.after.strip()}" if self.after.strip() else "+"
        )


def swaps(*pairs):
    """Each of a pair becomes the other."""
    return [(left, right) for a, b in pairs for left, right in ((a, b), (b, a))]


def literal(pairs):
    return [(re.escape(a), b.replace("\\", "\\\\")) for a, b in pairs]


def words(pairs):
    return [(rf"(?<![\w]){re.escape(a)}(?!\w)", b) for a, b in pairs]


def one_more(match):
    return str(int(match[0]) + 1)


def one_less(match):
    return str(int(match[0]) - 1)


CALL = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"  # parentheses three deep
CONDITION = rf"(?<=if ){CALL}(?= [\w{{*+-])|(?<=if ){CALL}$"
NUMBER = r"(?<![\w.])(?:[2-9]|[1-9]\d+)(?![\w.])"

SHARED = {
    "bound": literal([(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > ")]),
    "comparison": literal(swaps((" == ", " != "), (" < ", " > "), (" <= ", " >= "))),
    "off_by_one": [(r" [+-] 1(?![\w.'])", "")],
    "sign": literal(swaps((" + ", " - "))),
    "constant": [(NUMBER, one_more), (NUMBER, one_less)],
}

CPP = {
    **SHARED,
    "logic": literal(swaps((" && ", " || "))),
    "extremum": words(swaps(("std::min", "std::max"), ("min", "max"), ("fminf", "fmaxf"))),
    "tail": [
        (r"\(([\w.]+) \+ [\w.]+ - 1\) / ", r"(\1) / "),
        (r"\(([\w.]+) \+ (?:3|7|15|31|63|127|255)\) / ", r"(\1) / "),
        (r"\bceil_div\(([^(),]+), ([^(),]+)\)", r"((\1) / (\2))"),
    ],
    "barrier": [
        (
            r"^\s*(?:__syncthreads|__syncwarp|__threadfence\w*|sync_\w+|publish_barriers|"
            r"wait_for_\w+(?:<\w+>)?|begin_products|commit_products|cp_async_wait\w*(?:<\w+>)?|"
            r"arrive_at|arrive_and_expect|hold|signal_threads|grid_sync|[\w.]+\.(?:wait|join|sync|"
            rf"notify_one|notify_all|synchronize)){CALL};$",
            ";",
        )
    ],
    "rounding": [
        (r"\b(?:std::)?(?:rintf?|nearbyintf?|lrintf?)(?=\()", "truncf"),
        (r"(?<=\w)_rn(?=\()", "_rz"),
        (r"(?<=\w)2int_rn\b", "2int_rz"),
        (r"0x1\.8p23f", "0x1.7fffffp23f"),
        (r"\b127\.0f\b", "128.0f"),
    ],
    "swapped_scale": words(swaps(("row_scale", "col_scale"))),
    "extent": [(r"\.rows\b", ".cols"), (r"\.cols\b", ".rows")],
    "stride": [
        (r"(?<=\w)\.layout\.ld\b", ".cols"),
        (r"\bld([abdqx])\b", "cols"),
        *words(swaps(("lda", "ldb"))),
    ],
    "stale": [
        # An assignment that is no declaration, or a call that stores.
        (r"^\s*\*?[\w.:]+(?:->\w+)*(?:\[[^=]*\]|\([^=]*\))*(?:\.\w+)* [-+|&^]?= [^;]*;$", ";"),
        (rf"^\s*(?:[\w:]*store\w*|std::(?:copy|fill|transform|sort)\w*|std::mem\w+)(?:<[^<>]*>)?"
         rf"{CALL};$", ";"),
    ],  # fmt: skip
    "index": [
        (r"\bstatic_cast<(?:std::)?int64_t>\(", "static_cast<int>("),
        (r"(?<=const )(?:std::)?int64_t(?= \w+ = )", "int"),
        (r"\* p\.(ld\w*)", r"* static_cast<int>(p.\1)"),
    ],
    "ignored": [(CONDITION, "(false)"), (CONDITION, "(true)")],
    "side": words(swaps(("low", "high"), ("q1", "q3"), ("front", "back"), ("first", "last"),
                        ("expected", "actual"))),
}  # fmt: skip

PYTHON = {
    **SHARED,
    "logic": literal(swaps((" and ", " or "))) + [(r"\bnot ", "")],
    "comparison": SHARED["comparison"]
    + literal(swaps((" is not None", " is None"), (" not in ", " in "))),
    "extremum": words(swaps(("min", "max"), ("all", "any"))),
    "ignored": [(r"(?<=\bif )[^:]+(?=:$)", "False"), (r"(?<=\bif )[^:]+(?=:$)", "True")],
    "side": words(swaps(("low", "high"), ("lower", "upper"), ("base", "head"), ("first", "last"))),
    "stale": [(r"(?<=^    )\s*[\w.]+(?:\[.*\])?(?:\.\w+\(.*\)| [-+]= .*)$", "pass")],
}


def masked(line, pattern):
    """The line with comments and strings blanked out, as long as it was."""
    return pattern.sub(lambda m: m[0][0] + " " * (len(m[0]) - 2) + m[0][-1], line)


def is_index_worth(path):
    """Where extents beyond 2^31 elements are run: on a GPU, whose memory holds them."""
    return path.startswith("kernels/cuda/")


def sites(path, text):
    """Every mutant of a file, in the order of its lines."""
    is_python = path.startswith("scripts/")
    faults = PYTHON if is_python else CPP
    pattern = PYTHON_COMMENT_OR_STRING if is_python else CPP_COMMENT_OR_STRING
    found, seen, in_docstring = [], set(), False
    for number, line in enumerate(text.splitlines(), 1):
        if is_python and line.count('"""') % 2:
            in_docstring = not in_docstring
            continue
        if in_docstring or KEPT.search(line) or TEXT.search(line) or not line.strip():
            continue
        code = masked(line, pattern)
        for fault, rules in faults.items():
            if fault == "index" and not is_index_worth(path):
                continue
            if fault == "constant" and TUNING.search(line):
                continue
            for rule, replacement in rules:
                for match in re.finditer(rule, code):
                    new = replacement(match) if callable(replacement) else match.expand(replacement)
                    if fault in ("stale", "barrier"):
                        new = match[0][: len(match[0]) - len(match[0].lstrip())] + new
                    after = line[: match.start()] + new + line[match.end() :]
                    if after != line and (number, after) not in seen:
                        seen.add((number, after))
                        found.append(Mutant(path, number, fault, line, after))
    return found


def order_in_file(mutants, generator):
    """Shuffled so that faults of all kinds come early, and no line twice before all others."""
    by_fault = {}
    for mutant in mutants:
        by_fault.setdefault(mutant.fault, []).append(mutant)
    for group in by_fault.values():
        generator.shuffle(group)
    kinds = sorted(by_fault)
    generator.shuffle(kinds)
    kinds.sort(key=lambda kind: kind != "barrier")  # few, and the hardest to notice
    order, lines, again = [], set(), []
    while any(by_fault.values()):
        for kind in kinds:
            if by_fault[kind]:
                mutant = by_fault[kind].pop()
                (again if mutant.number in lines else order).append(mutant)
                lines.add(mutant.number)
    return order + again


def draw(texts, seed):
    """Mutants of all files, forever fewer: one of each file in turn, so that any first N of them
    have the same quota for each file. texts: path -> content."""
    generator = random.Random(f"octet mutants {seed}")
    paths = sorted(texts)
    generator.shuffle(paths)
    queues = [order_in_file(sites(p, texts[p]), random.Random(f"{seed} {p}")) for p in paths]
    while any(queues):
        for queue in queues:
            if queue:
                yield queue.pop(0)
