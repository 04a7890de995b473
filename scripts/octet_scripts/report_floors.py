"""The plot of ratios, with their intervals, against the floors of the device."""

from octet_scripts import table
from octet_scripts.gate_verdict import FAIL, PASS
from octet_scripts.report_data import measured
from octet_scripts.report_figures import ROWS_SHOWN, Figure
from octet_scripts.report_svg import Canvas, Linear, fit


def margin(entry):
    """How far above its floor; what has none comes last."""
    return entry.figure.estimate / entry.floor if entry.floor else float("inf")


def draw_floors(entries, width):
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (215, 150)
    highs = [v for e in entries for v in (e.figure.estimate, e.figure.high, e.floor) if v]
    scale = Linear(0, 1.04 * max([*highs, 1.0]), left + 4, width - right - 8)
    y, pitch = 24, 34 if canvas.narrow else 17
    suites = {}
    for entry in entries:
        fraction = entry.metric == "roofline_fraction"
        name = f"{entry.suite}, of its roof" if fraction else entry.suite
        suites.setdefault(name, []).append(entry)
    bottom = y + sum(26 + pitch * len(found) for found in suites.values())
    for value, text in scale.ticks(4 if canvas.narrow else 8):
        canvas.line(scale(value), y - 4, scale(value), bottom)
        canvas.text(scale(value), y - 9, text, "small f-muted", "middle" if value else "start")
    canvas.line(scale(1), y - 4, scale(1), bottom, "s-line thin")
    for suite, found in suites.items():
        y += 20
        canvas.text(0, y, fit(suite, width, 12), "bold halo")
        y += 6
        for entry in found:
            at_y = y + (pitch - 8 if canvas.narrow else pitch / 2)
            figure, bad = entry.figure, entry.verdict == FAIL
            sign = "<" if entry.floor and figure.estimate < entry.floor else "\u2265"
            value = f"{figure.estimate:.3f}" + (f" {sign} {entry.floor:.3f}" if entry.floor else "")
            value = {FAIL: "missed  ", PASS: "", None: ""}.get(entry.verdict, "unclear  ") + value
            css = "f-bad bold" if bad else "f-muted"
            if canvas.narrow:
                canvas.text(0, y + 14, fit(entry.name, width - 150), "halo")
                canvas.text(width, y + 14, value, f"small halo {css}", "end")
            else:
                canvas.text(left - 12, at_y + 4, fit(entry.name, left - 16), "small", "end")
                canvas.text(width, at_y + 4, value, f"small {css}", "end")
            tip = f"{suite} {entry.name}: {value} {entry.why}".strip()
            role = "bad" if bad else ("product" if entry.verdict == PASS else "line")
            if entry.floor:
                span = sorted((scale(entry.floor), scale(figure.estimate)))
                canvas.rect(span[0], at_y - 2.5, span[1] - span[0], 5,
                            "f-bad" if bad else "f-native")  # fmt: skip
                canvas.rect(scale(entry.floor) - 1, at_y - 6, 2, 12, "f-ink", tip)
            if figure.low is not None and figure.high is not None:
                canvas.line(scale(figure.low), at_y, scale(figure.high), at_y, f"s-{role} thick")
            canvas.mark(scale(figure.estimate), at_y, role, "cross" if bad else "circle", tip, 4.2)
            y += pitch
    canvas.height = y + 4
    return canvas


def floor_figures(runs, folder):
    figures = []
    for number, run in enumerate(runs, 1):
        entries = measured(run, folder)
        if not entries:
            continue
        floored = [e for e in entries if e.floor]
        missed = [e for e in floored if e.verdict == FAIL]
        shown = sorted(entries, key=margin)[:ROWS_SHOWN]
        chosen = {id(entry) for entry in shown}
        shown = [entry for entry in entries if id(entry) in chosen]
        caption = "Time of the baseline of the same run / time taken, with its interval. " + (
            "The bar reaches from the floor (upright line) to what was measured."
            if floored else "There is no floor for any of these cases on this device."
        )  # fmt: skip
        if len(shown) < len(entries):
            caption += f" The {len(shown)} nearest to their floors; the table has all."
        if floored:
            unclear = sum(e.verdict not in (PASS, FAIL) for e in floored)
            caption += (f" {len(floored) - len(missed) - unclear} floors kept, {len(missed)} "
                        f"missed, {unclear} inconclusive.")  # fmt: skip
        said = f"{len(entries)} ratios, {len(floored)} with a floor, {len(missed)} under it" + (
            ": " + ", ".join(f"{e.suite} {e.name}" for e in missed) if missed else ""
        )
        rows = [
            (e.suite, e.name, e.metric.partition(":")[0], 
             *(table.number(value, 4) for value in (
                 e.figure.estimate, e.figure.low, e.figure.high, e.floor)),
             {None: "no floor"}.get(e.verdict, f"{e.verdict}{': ' if e.why else ''}{e.why}"))
            for e in entries
        ]  # fmt: skip
        figures.append(Figure(
            f"floors_{number}", f"Ratios against their floors, {run.label}", caption, said + ".",
            lambda width, e=shown: draw_floors(e, width),
            (("suite", "<"), ("case", "<"), ("metric", "<"), ("estimate", ">"), ("low", ">"),
             ("high", ">"), ("floor", ">"), ("verdict", "<")),
            rows,
        ))  # fmt: skip
    return figures
