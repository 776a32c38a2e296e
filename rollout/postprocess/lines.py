"""Terminal lines about a scoring: reasons, errors and examples."""

import json
import textwrap

from rollout.postprocess.scoring.scorers import Verdict
from rollout.postprocess.tally import Example, FirstError, Tally
from rollout.system.safe_text import printable

WIDTH = 100
SHOWN_REASONS = 5
SHOWN_FAULTS = 3
TRACE_WIDTH = 200  # a line of code may be a megabyte
TRACE_LINES = 12  # the last lines of a long traceback


def reason_lines(tally: Tally) -> list[str]:
    """Return why samples were not judged, with the number of samples for each reason.

    Leaves out reasons that only repeat their verdict, since the table has that line.
    """
    verdicts = (Verdict.no_answer.value, Verdict.cut_off.value)
    reasons = [(reason, n) for reason, n in tally.reasons() if reason not in verdicts]
    lines = []
    for reason, number in reasons[:SHOWN_REASONS]:
        lines += textwrap.wrap(
            printable(reason), WIDTH, initial_indent=f"{number:>8,}  ", subsequent_indent=" " * 10
        )
    if (more := len(reasons) - SHOWN_REASONS) > 0:
        lines.append(f"{'':>8}  and {more:,} other reasons, see the figures")
    return lines


def fault_lines(tally: Tally) -> list[str]:
    """Return the first error of each kind with its traceback."""
    lines = []
    for fault in list(tally.faults.values())[:SHOWN_FAULTS]:
        lines += _fault_lines(fault)
    if (more := len(tally.faults) - SHOWN_FAULTS) > 0:
        lines.append(f"and {more:,} other kinds of error, see the figures")
    return lines


def _fault_lines(fault: FirstError) -> list[str]:
    trace = (fault.trace or "").rstrip().splitlines()
    if len(trace) > TRACE_LINES:
        trace = ["...", *trace[-TRACE_LINES:]]
    head = f"first of its kind, row {fault.row}, sample {fault.sample}: {fault.error}"
    return [_cut(head), *(f"    {_cut(line, TRACE_WIDTH)}" for line in trace)]


def example_lines(tally: Tally) -> list[str]:
    """Return two right and two wrong responses: the quickest check of a scorer."""
    ranked = sorted(tally.examples, key=lambda example: (example.verdict != "right", example.row))
    return [line for example in ranked for line in _example_lines(example)]


def _example_lines(example: Example) -> list[str]:
    extracted, compared = (_quoted(text) for text in (example.extracted, example.compared))
    against = f", compared with {compared}" if example.compared is not None else ""
    found = f"extracted {extracted}{against}"
    if example.error:
        found = example.error if example.extracted is None else f"{found}: {example.error}"
    head = f"{example.verdict:<5}  row {example.row}, sample {example.sample}: {found}"
    end = " ".join(printable(example.response_end).split())
    end = end if len(end) <= WIDTH - 12 else f"…{end[len(end) - WIDTH + 13 :]}"
    return [_cut(head), f"         {end}"]


def _quoted(text: str | None) -> str:
    if text is None:
        return "nothing"
    shown = json.dumps(printable(text), ensure_ascii=False)
    return shown if len(shown) <= 40 else f'{shown[:38]}…"'


def _cut(line: str, width: int = WIDTH) -> str:
    line = printable(line[: 2 * width])
    return line if len(line) <= width else f"{line[: width - 1]}…"
