"""The page and the Markdown report: what is said, in which order, around the plots."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from octet_scripts import (
    report_curve, report_floors, report_history, report_roofline, report_step, table,
)  # fmt: skip
from octet_scripts.records import at
from octet_scripts.report_data import measured, newest, step_name
from octet_scripts.report_figures import duration
from octet_scripts.report_svg import FONT, NARROW, PALETTE, WIDE, escape, style
from octet_scripts.texts import plain

TITLE = "octet: int8 training kernels, checked and timed"
BAD_SHOWN = 50  # cases that did not pass

PAGE_CSS = """
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 16px/1.55 FONT; background: var(--page); color: var(--ink); }
main { max-width: 1010px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 52px 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 16px; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 0 0 10px; max-width: 76ch; overflow-wrap: anywhere; }
.muted, .caption, figcaption { color: var(--muted); font-size: 14px; }
a { color: var(--product); }
nav { margin: 14px 0 0; font-size: 14px; display: flex; flex-wrap: wrap; gap: 4px 18px; }
figure, .box { margin: 16px 0 0; padding: 20px; background: var(--surface); border-radius: 10px;
  border: 1px solid var(--grid); }
figcaption { margin-bottom: 14px; max-width: 84ch; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
.narrow { display: none; max-width: 480px; }
.spark svg { width: 120px; height: 24px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin: 20px 0 0; padding: 0; list-style: none; }
.tiles li { background: var(--surface); border: 1px solid var(--grid); border-radius: 10px;
  padding: 14px 16px; }
.tiles b { display: block; font-size: 28px; line-height: 1.15; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.tiles span { display: block; font-size: 13px; color: var(--muted); overflow-wrap: anywhere; }
.tiles .what { color: var(--ink); font-weight: 600; margin-bottom: 4px; }
.under { margin-top: 8px; }
.scroll { overflow-x: auto; margin-top: 10px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { font-weight: 600; color: var(--muted); }
.r { text-align: right; }
summary { cursor: pointer; font-size: 14px; color: var(--muted); margin-top: 14px; }
summary:hover { color: var(--ink); }
.bad { border-left: 4px solid var(--bad); }
.bad li { margin-bottom: 10px; overflow-wrap: anywhere; }
code { font: 13px ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@media (max-width: 719px) {
  main { padding: 22px 14px 48px; }
  figure, .box { padding: 14px 12px; }
  .wide { display: none; }
  .narrow { display: block; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); gap: 8px; }
  .tiles li { padding: 10px 12px; }
  .tiles b { font-size: 22px; }
}
@media print { details > * { display: block; } body { background: none; } }
"""


@dataclass
class Section:
    name: str
    title: str
    lead: str
    figures: list
    nothing: str  # what is said where there is no figure


@dataclass
class Tile:
    what: str
    figure: str
    lines: tuple


def sections_of(runs, thresholds):
    def made(make, wanted, *arguments):
        """The figures of the newest runs that have any, and what is said of the others."""
        shown, others = newest(runs, wanted)
        said = f" {others} earlier runs: in the history alone." if others else ""
        return make(shown, *arguments), said

    steps, more_steps = made(report_step.step_figures, lambda run: run.steps)
    roofs, more_roofs = made(report_roofline.roofline_figures, lambda run: run.operators)
    floors, more_floors = made(
        report_floors.floor_figures, lambda run: measured(run, thresholds),
        thresholds,
    )  # fmt: skip
    errors, more_errors = made(report_step.error_figures, lambda run: run.steps)
    curves, more_curves = made(report_curve.curve_figures, report_curve.curves_of)
    return [
        Section("step", "The step", "Forward, backward and weight gradients of a feed-forward "
                "layer: where its time goes. A bar is as long as the step took beside the faster "
                "16-bit step of its size (dashed); on the right its time, and 16-bit time / int8 "
                "time. Parts are timed one by one where they stand; idle is what they leave of "
                f"the whole.{more_steps}", steps,
                "No record of a timed training step."),
        Section("roofline", "The operators", "What each reaches of what the device allows."
                f"{more_roofs}", roofs, "No record of a timed operator with its cost."),
        Section("floors", "Ratios and floors", "What a merge must not lose (tests/thresholds)."
                f"{more_floors}", floors, "No record with a ratio."),
        Section("errors", "Accuracy", f"What int8 costs.{more_errors}", errors,
                "No record of a step's errors."),
        Section("training", "Training", "Small layers trained through the step, in int8 and in 16 "
                f"bits.{more_curves}", curves, "No record of a training."),
        Section("compared", "Side by side", "The last two runs of a device, and devices.",
                report_history.comparison_figures(runs),
                "No two runs have a case in common."),
        Section("history", "History", "Absolute times of every run, for people; they gate "
                "nothing.", report_history.history_figures(runs), ""),
    ]  # fmt: skip


def tiles_of(runs):
    """The newest run's steps in large figures."""
    run = next((run for run in reversed(runs) if run.steps and run.backend == "cuda"), None)
    run = run or next((run for run in reversed(runs) if run.steps), None)
    tiles = []
    for step in run.steps if run else ():
        ratio, kept = step.ratio("int8_every_step"), step.ratio("int8_kept")
        lines = [f"kept {table.ratio_text(kept)}"] if kept else []
        joules = {name: at(v, "steady", "joules") for name, v in step.variants.items()}
        native = min((joules[n] for n in table.NATIVE if joules.get(n)), default=None)
        if native and joules.get("int8_every_step"):
            lines.append(f"energy {joules['int8_every_step'] / native:.2f}x")
        if ratio:
            tiles.append(Tile(step_name(step), table.ratio_text(ratio), tuple(lines)))
    return run, tiles


def tiles_text(run):
    return (f"Speed of the int8 step beside the faster 16-bit step on {run.label}, weights "
            "quantized in every step; kept: with weights kept quantized; energy: joules of an int8 "
            "step in the steady state beside the 16-bit step's.")  # fmt: skip


RUN_COLUMNS = tuple((h, "<") for h in (
    "run", "backend", "commit", "CUDA", "cuBLASLt", "driver", "compiler", "first record", "cases",
))  # fmt: skip


def run_rows(runs):
    rows = []
    for run in reversed(runs):
        record = run.all[-1]
        build = at(record, "build") or {}
        counts = Counter(record["status"] for record in run.cases)
        rows.append((
            run.label, run.backend, run.commit[:12] + (" (dirty)" if run.dirty else ""),
            build.get("cuda") or "-", build.get("cublaslt") or "-",
            table.driver_text(at(record, "device", "driver")) or "-",
            build.get("compiler") or "-", run.start,
            ", ".join(f"{n} {status}" for status, n in sorted(counts.items())),
        ))  # fmt: skip
    return rows


def tally(runs):
    counts = Counter(record["status"] for run in runs for record in run.cases)
    total = sum(counts.values())
    cases = f"{total} case" if total == 1 else f"{total} cases"
    if counts["PASSED"] == total:
        return f"{cases}, all PASSED"
    return f"{cases}: " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))


def not_passed(runs):
    """[(run, record)] that failed, were not trusted or could not be posed; the tally has skips."""
    return [(run, r) for run in reversed(runs) for r in run.cases
            if r["status"] not in ("PASSED", "SKIPPED")]  # fmt: skip


# ---- the page ----


def html_table(columns, rows):
    """Cells are escaped; one that is already markup comes as bytes."""
    def cell(tag, text, align):
        css = ' class="r"' if align == ">" else ""
        inside = text.decode() if isinstance(text, bytes) else escape(text)
        return f"<{tag}{css}>{inside}</{tag}>"

    head = "".join(cell("th", name, align) for name, align in columns)
    body = "\n".join(
        "<tr>" + "".join(cell("td", text, align) for text, (_, align) in zip(row, columns))
        + "</tr>" for row in rows
    )  # fmt: skip
    return (f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>\n{body}'
            "\n</tbody></table></div>")  # fmt: skip


def html_figure(figure):
    drawn = "".join(
        f'<div class="{kind}">'
        + figure.draw(width).svg(f"{figure.name}-{kind}", figure.title, figure.description)
        + "</div>\n"
        for kind, width in (("wide", WIDE), ("narrow", NARROW))
    )
    numbers = ""
    if figure.rows:
        numbers = (f"<details><summary>The numbers</summary>"
                   f"{html_table(figure.columns, figure.rows)}</details>\n")  # fmt: skip
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>\n" if figure.caption else ""
    return (f'<figure id="{figure.name}">\n<h3>{escape(figure.title)}</h3>\n'
            f"{caption}{drawn}{numbers}</figure>\n")  # fmt: skip


def html_history(runs):
    """Every case's history as a row with a small line."""
    parts = []
    for (device, backend), entries in report_history.histories(runs).items():
        rows = []
        for name, points, cells in report_history.history_rows(entries):
            text = f"{name}: {duration(points[0][2])} to {duration(points[-1][2])}"
            mark = hashlib.sha256(f"{device} {backend} {name}".encode("utf-8", "replace"))
            drawn = report_history.sparkline(points).svg(
                f"spark-{mark.hexdigest()[:12]}-{len(rows)}", text, text)  # fmt: skip
            rows.append((name, f'<div class="spark">{drawn}</div>'.encode(), *cells))
        columns = (("case", "<"), ("history", "<"), *report_history.HISTORY_COLUMNS)
        parts.append(f'<div class="box"><h3>Every case on {escape(device)}</h3>'
                     f"{html_table(columns, rows)}</div>\n")  # fmt: skip
    return "".join(parts)


def no_history():
    return "A history needs two runs of a case on one device."


def html_bad(runs):
    found = not_passed(runs)
    if not found:
        return ""
    items = "".join(
        f"<li><b>{escape(r['status'])}</b> {escape(r['test'])} "
        f'<span class="muted">{escape(run.label)}</span><br>{escape(at(r, "reason") or "")}<br>'
        f"<code>{escape(at(r, 'rerun') or '')}</code></li>\n"
        for run, r in found[:BAD_SHOWN]
    )
    more = f"<p>and {len(found) - BAD_SHOWN} more</p>" if len(found) > BAD_SHOWN else ""
    return f'<section class="box bad"><h3>Not passed</h3><ul>{items}</ul>{more}</section>\n'


def page(runs, sections):
    names = {role: shades for role, shades in PALETTE.items() if not role.startswith("on-")}
    light, dark = ("; ".join(f"--{role}: {shades[i]}" for role, shades in names.items())
                   for i in range(2))  # fmt: skip
    css = (f":root {{ {light}; }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}; }} }}"
           + PAGE_CSS.replace("FONT", FONT) + style(".plot "))  # fmt: skip
    run, tiles = tiles_of(runs)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(TITLE)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(TITLE)}</h1>\n"
        f'<p class="muted">{escape("; ".join(r.label for r in reversed(runs[-4:])))}'
        f"{f' and {len(runs) - 4} more runs' if len(runs) > 4 else ''}. "
        f"{escape(tally(runs))}.</p>\n<nav>"
        + "".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in sections)
        + '<a href="#runs">Runs</a></nav>\n'
    ]
    if tiles:
        parts.append('<ul class="tiles">' + "".join(
            f'<li><span class="what">{escape(tile.what)}</span><b>{escape(tile.figure)}</b>'
            + "".join(f"<span>{escape(line)}</span>" for line in tile.lines) + "</li>\n"
            for tile in tiles
        ) + f'</ul>\n<p class="muted under">{escape(tiles_text(run))}</p>\n')  # fmt: skip
    parts.append(html_bad(runs))
    for section in sections:
        drawn = "".join(map(html_figure, section.figures))
        if section.name == "history":
            drawn += html_history(runs)
        nothing = section.nothing or no_history()
        drawn = drawn or f'<div class="box">{escape(nothing)}</div>\n'
        parts.append(
            f'<section id="{section.name}">\n<h2>{escape(section.title)}</h2>\n'
            f'<p class="caption">{escape(section.lead)}</p>\n{drawn}</section>\n'
        )
    parts.append(
        '<section id="runs">\n<h2>Runs</h2>\n<div class="box">'
        f"{html_table(RUN_COLUMNS, run_rows(runs))}</div>\n</section>\n</main>\n</body>\n</html>\n"
    )
    return "".join(parts)


# ---- Markdown ----


def markdown_table(columns, rows):
    lines = [
        "| " + " | ".join(plain(name) for name, _ in columns) + " |",
        "| " + " | ".join("--:" if align == ">" else ":--" for _, align in columns) + " |",
    ]
    return lines + ["| " + " | ".join(map(plain, row)) + " |" for row in rows]


def folded(summary, lines):
    return [f"<details><summary>{escape(summary)}</summary>", "", *lines, "", "</details>", ""]


def markdown(runs, sections):
    lines = [f"# {TITLE}", "", plain(tally(runs)) + ".", ""]
    run, tiles = tiles_of(runs)
    if tiles:
        lines += markdown_table(
            (("step", "<"), ("int8", ">"), ("", "<")),
            [(tile.what, tile.figure, ", ".join(tile.lines)) for tile in tiles],
        )
        lines += ["", plain(tiles_text(run)), ""]
    for run, r in not_passed(runs)[:BAD_SHOWN]:
        lines.append(f"- **{plain(r['status'])}** {plain(r['test'])}, {plain(run.label)}: "
                     f"{plain(at(r, 'reason') or '')}")  # fmt: skip
    for section in sections:
        lines += ["", f"## {section.title}", "", plain(section.lead), ""]
        for figure in section.figures:
            lines += [f"### {plain(figure.title)}", "",
                      f"![{plain(figure.title)}]({figure.name}.svg)", "",
                      plain(figure.caption), ""]  # fmt: skip
            if figure.rows:
                lines += folded("The numbers", markdown_table(figure.columns, figure.rows))
        found = bool(section.figures)
        if section.name == "history":
            for (device, _), entries in report_history.histories(runs).items():
                found = True
                rows = [(name, *cells)
                        for name, _, cells in report_history.history_rows(entries)]  # fmt: skip
                columns = (("case", "<"), *report_history.HISTORY_COLUMNS)
                lines += [f"### Every case on {plain(device)}", ""]
                lines += folded("The numbers", markdown_table(columns, rows))
        if not found:
            lines += [plain(section.nothing or no_history()), ""]
    lines += ["## Runs", "", *markdown_table(RUN_COLUMNS, run_rows(runs)), ""]
    return "\n".join(lines)


def plots(sections):
    """{file name: SVG}."""
    return {
        f"{figure.name}.svg": figure.draw(WIDE).file(figure.name, figure.title, figure.description)
        for section in sections
        for figure in section.figures
    }
