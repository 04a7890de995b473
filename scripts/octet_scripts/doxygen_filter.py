"""Says in Doxygen's words what the headers of include/octet say: INPUT_FILTER of include/Doxyfile.

The headers keep to three habits, and no line of theirs changes its number:
  - the comment at the top of a file is the file's
  - a /// comment is about the whole paragraph below it: each overload, and the members that follow
    a struct's opening line
  - a // comment behind a declaration is about that declaration
"""

import re
import sys

DOC = re.compile(r"\s*///( |$)")
BEHIND = re.compile(r"^(?P<code>.*[;,})])(?P<space>\s*)// (?!namespace |NOLINT)(?P<text>.*)$")
STRUCT = re.compile(r"\s*struct (\w+) \{$")
CODE_INDENT = "    "  # in Markdown


def formulas(lines):
    """Indented lines that are no list are set as code."""
    for line in lines:
        indented = line.startswith("  ") and not line.lstrip().startswith("- ")
        yield CODE_INDENT + line if indented else line


def file_comment(lines):
    """The comment at the top, without its slashes."""
    top = []
    for line in lines:
        if not line.startswith("//") or DOC.match(line):
            break
        top.append(line[2:].removeprefix(" "))
    return top


def code_of(line):
    """Without comments and the braces in literals."""
    return re.sub(r'"[^"]*"', '""', line).split("//")[0]


def braces(line):
    """How much deeper a line leaves the braces."""
    code = code_of(line)
    return code.count("{") - code.count("}")


def end_of_group(lines, begin):
    """The line before which ends what the comment above `begin` is about: at a blank line, at the
    next comment, or with the braces around it."""
    depth = 0
    for end in range(begin, len(lines)):
        depth += braces(lines[end])
        if not lines[end].strip() or DOC.match(lines[end]) or depth < 0:
            return end
    return len(lines)


def declarations(lines):
    """How many declarations end in these lines; 0 where one is left open."""
    depth = ended = 0
    for line in lines:
        for character in code_of(line):
            depth += {"{": 1, "}": -1}.get(character, 0)
            ended += depth == 0 and character in ";}"
    return ended if depth == 0 else 0


def close_group(line):
    """Ends a group behind the code of a line, before its comment."""
    code, slashes, comment = line.partition("//")
    return f"{code} /** @}} */ {slashes}{comment}".rstrip()


def mark_members(lines, out, opening):
    """Members without a comment of their own are what the comment of their struct is about."""
    end = end_of_group(lines, opening + 1)
    if end > opening + 1:
        out[opening] += f" /** See {STRUCT.match(lines[opening])[1]}. @{{ */"
        out[end - 1] = close_group(out[end - 1])


def filtered(lines):
    out = list(lines)
    for number, line in enumerate(lines):
        if match := BEHIND.match(line):
            out[number] = f"{match['code']}{match['space']}///< {match['text']}"
        if DOC.match(line):
            margin, _, text = line.partition("///")
            out[number] = margin + "/// " + "".join(formulas([text.removeprefix(" ")]))
    for number, line in enumerate(lines):
        if not DOC.match(line) or DOC.match(lines[number + 1]) or "@" in line:
            continue
        end = end_of_group(lines, number + 1)
        if declarations(lines[number + 1 : end]) > 1:
            out[number] += " @{"
            out[end - 1] = close_group(out[end - 1])
        for opening in range(number + 1, end):
            if STRUCT.match(lines[opening]):
                mark_members(lines, out, opening)
    top = file_comment(lines)
    return out + ["/** @file", *formulas(top), "*/"] if top else out


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\n".join(filtered(file.read().splitlines())))


if __name__ == "__main__":
    main()
