"""What a gate can answer, and the errors that end it with one sentence."""

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
EXIT_STATUS = {PASS: 0, FAIL: 1, INCONCLUSIVE: 3}
USAGE = 2  # exit status: usage or environment wrong, no verdict

_SEVERITY = (PASS, INCONCLUSIVE, FAIL)


def worst(verdicts):
    """The verdict of the whole: one FAIL fails, else one INCONCLUSIVE leaves it open."""
    return max(verdicts, key=_SEVERITY.index, default=PASS)


class GateError(Exception):
    """No verdict can be given; the text is one sentence for people."""

    status = USAGE


class HeadError(GateError):
    """The head is at fault, so the merge fails."""

    status = EXIT_STATUS[FAIL]
