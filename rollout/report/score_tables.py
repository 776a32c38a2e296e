"""Tables of scores: figures with intervals, groups, verdicts and reasons.

Must not know about files.
"""

from collections.abc import Sequence

from rollout.postprocess.export.estimates import Group, Value
from rollout.postprocess.export.score_texts import between, is_percent, percent_text, score_text
from rollout.report.page import Facts, Table, TableColumn, TableRow
from rollout.report.prompt_texts import cut
from rollout.report.responses import LENGTHS, length_cells
from rollout.report.score_charts import ks_of
from rollout.report.scored_rows import NAMES, Scores
from rollout.system.terminal import half_up, share_text

MAX_REASONS = 20
NARROW = 0.02  # intervals with ends in tenths of a percent
MEANINGS = {
    "right": "judged right",
    "wrong": "judged wrong",
    "no_answer": "no answer found in the response; counts as not solved",
    "cut_off": "cut off before an answer; counts as not solved",
    "error": "the scorer raised, took too long or ran out of memory",
    "unjudged": "could not be judged, such as a row without a right answer; counts nowhere",
}


def facts(scores: Scores) -> Facts:
    """Return each figure of all rows with its interval, and how often rows were solved."""
    group, confidence = scores.everything, scores.estimate.confidence
    items = [
        (name, f"{score_text(value.value)} ({basis(value, confidence)})")
        for name, value in group.values.items()
        if value.value is not None and not (name in ("mean", "best@n") and not scores.is_graded)
    ]
    rows = group.num_rows_counted
    counts = {"solved at least once": group.solved, "always solved": group.always}
    for label, number in (counts | {"never solved": group.never}).items():
        share = f" ({share_text(number / rows)})" if rows else ""
        items.append((label, f"{number:,} of {rows:,} rows{share}"))
    fewest, most = group.fewest_samples, group.most_samples
    count = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}; each row weighs the same"
    items.append(("scored samples per row", count))
    if group.num_rows < scores.samples.num_rows or rows < group.num_rows:
        left_out = f"{group.num_rows - rows:,} of {group.num_rows:,}"
        items.append(("rows without scored samples", left_out))
    return Facts(items)


def basis(value: Value, confidence: float) -> str:
    """Return the interval of a figure and how many rows it rests on."""
    rows = f"{value.num_rows:,} rows"
    return f"{percent_text(confidence)} interval {span(value)}, {rows}" if span(value) else rows


def span(value: Value | None) -> str:
    """Return an interval as text, such as 40-47% or -3.1% to -2.9%; empty if there is none."""
    if value is None or value.value is None or value.low is None:
        return ""
    percent = is_percent(value.value, value.low, value.high)
    if percent and value.high - value.low < NARROW:
        low, high = half_up(100 * value.low, 1), half_up(100 * value.high, 1)
        return f"{low}% to {high}%" if low.startswith("-") else f"{low}-{high}%"
    text = between(value.low, value.high, percent)
    return text.replace(" to ", "% to ") + "%" if percent else text


def group_table(scores: Scores) -> Table:
    """Return a row per group: rows, samples, and pass@k with intervals."""
    names = [f"pass@{k}" for k in ks_of(scores.everything)]
    names = list(dict.fromkeys([*names[:1], *names[-1:]]))
    heads = [TableColumn(", ".join(scores.groups[1].name)), TableColumn("rows", True)]
    heads += [
        TableColumn("samples", True),
        TableColumn("right or wrong", True, help="share of its samples with one of these verdicts"),
    ]
    for name in names:
        heads += [TableColumn(name, True), TableColumn("interval", True)]
    return Table(heads, [_group_row(group, names) for group in scores.groups[1:]])


def _group_row(group: Group, names: Sequence[str]) -> TableRow:
    name = ", ".join(group.name.values())
    judged = group.num_judged / group.num_samples if group.num_samples else None
    cells = [name, f"{group.num_rows:,}", f"{group.num_samples:,}", score_text(judged)]
    keys: list[float | str | None] = [name, group.num_rows, group.num_samples, judged]
    for figure in names:
        value = group.values.get(figure)
        cells += [score_text(value and value.value), span(value)]
        keys += [value and value.value, value and value.low]
    return TableRow(cells, keys)


def verdict_table(scores: Scores) -> Table:
    s, total = scores.samples, len(scores.samples.row)
    heads = [TableColumn("verdict"), TableColumn("samples", True), TableColumn("share", True)]
    if s.tokens is not None:
        heads += LENGTHS
    rows = []
    for place, name in enumerate(NAMES):
        here = s.verdict == place
        number = int(here.sum())
        share = number / total if total else None
        cells = [name.replace("_", " "), f"{number:,}", score_text(share)]
        keys = [place, number, share]
        if s.tokens is not None:
            texts, lengths = length_cells(s.tokens[here])
            cells, keys = cells + texts, keys + lengths
        rows.append(TableRow([*cells, MEANINGS[name]], [*keys, MEANINGS[name]]))
    errors = "count as not solved" if scores.everything.errors_fail else "are left out of pass@k"
    note = f"{total:,} samples. Errors {errors} (postprocess.estimate.unscored)."
    return Table([*heads, TableColumn("meaning")], rows, note)


def reason_table(scores: Scores) -> Table:
    shown = scores.reasons[:MAX_REASONS]
    note = (
        "Why samples have no answer or could not be judged; reasons that differ in quotes or "
        "numbers count together."
    )
    if len(scores.reasons) > MAX_REASONS:
        note += f" The {MAX_REASONS} most frequent of {len(scores.reasons):,} are shown."
    rows = [TableRow([cut(text, 500), f"{n:,}"], [text[:500], n]) for text, n in shown]
    return Table([TableColumn("reason"), TableColumn("samples", True)], rows, note)
