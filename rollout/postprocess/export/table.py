"""The summary of a scoring as text of at most 100 columns, and as plain values for JSON."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rollout.postprocess.export.estimates import MAX_GROUPS, OTHER, Group, Value
from rollout.postprocess.export.score_texts import (
    between,
    column_texts,
    is_percent,
    percent_text,
    telling,
)
from rollout.system.safe_text import printable
from rollout.system.terminal import counted

SHOWN_GROUPS = 20
NAME_WIDTH = 18
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Summary:
    """What a hand-over came to; `groups[0]` is all rows."""

    groups: list[Group]
    dropped: Counter[str]
    num_exported: int
    path: str | None
    confidence: float = 0.95
    notes: list[str] = field(default_factory=list)  # on the export
    num_rows_other: int = 0  # in the last group, which stands for all after the first MAX_GROUPS

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        notes = [*self._group_notes(), *self.notes]
        return asdict(self) | {"dropped": dict(self.dropped), "notes": notes}

    def figures(self) -> dict[str, Any]:
        """Give all rows' figures for summary.json, and the intervals of those that have one."""
        values = self.groups[0].values
        spans = {name: [v.low, v.high] for name, v in values.items() if v.low is not None}
        return {name: value.value for name, value in values.items()} | {"intervals": spans}

    def text(self) -> str:
        """Give all lines for a terminal."""
        return "\n".join([*self.table_lines(), *self.export_lines()])

    def export_lines(self) -> list[str]:
        """Say what became of the export: what was dropped, and where the rest is."""
        if not self.path:
            return []
        lines = [f"dropped {n:>9,}  {rule}" for rule, n in self.dropped.items()]
        if self.num_exported:
            lines.append(f"export  {self.path}: {_rows(self.num_exported)}")
            lines += wrapped(self.notes)
        return lines

    def table_lines(self) -> list[str]:
        """Give a line a group, the intervals of all rows below theirs, and notes on the figures."""
        everything = self.groups[0]
        room = (
            WIDTH
            - NAME_WIDTH
            - sum(
                max(9, len(f" {number:,}"))
                for number in (everything.num_rows, everything.num_samples)
            )
        )
        told = {name for group in self.groups for name in telling(_numbers(group))}
        names = [name for name in everything.values if name in told]
        names = _fitting(names, room // 9)
        rows, listed = [], self.groups[: SHOWN_GROUPS + 1]
        columns = [column_texts(group.values[name].value for group in listed) for name in names]
        for number, group in enumerate(listed):
            values = [texts[number] for texts in columns]
            title = _cut(", ".join(group.name.values()) or "all rows")
            rows.append([title, f"{group.num_rows:,}", f"{group.num_samples:,}", *values])
            if number == 0 and any(group.values[name].low is not None for name in names):
                title, spans = _spans([group.values[name] for name in names])
                rows.append([f"  {percent_text(self.confidence)} {title}", "", "", *spans])
        lines = _laid_out(["", "rows", "samples", *names], rows)
        if (more := len(self.groups) - 1 - SHOWN_GROUPS) > 0:
            lines.append(f"{more:,} groups more are in the JSON")
        for note in [*self._group_notes(), *_notes(everything, names)]:
            lines += textwrap.wrap(
                note, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
            )
        return lines

    def _group_notes(self) -> list[str]:
        """What the last group is, where there were too many to tell each."""
        if not self.num_rows_other:
            return []
        return [
            f"the last of the groups, {OTHER}, holds {_rows(self.num_rows_other)}: those of every "
            f"value after the first {MAX_GROUPS:,}"
        ]


def _numbers(group: Group) -> dict[str, float | None]:
    return {name: value.value for name, value in group.values.items()}


def wrapped(notes: list[str]) -> list[str]:
    """Notes as lines that fit the table."""
    return [
        line
        for note in notes
        for line in textwrap.wrap(
            printable(note),
            WIDTH,
            initial_indent="        ",
            subsequent_indent="          ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _notes(group: Group, names: Sequence[str]) -> Iterator[str]:
    """What the figures of all rows leave out, count as not solved, or rest on."""
    of = f"of {group.num_samples:,} samples"
    if not group.num_judged:
        yield "nothing could be judged, so there are no figures"
    else:
        yield (
            f"solved at least once: {_rows(group.solved)}, always {group.always:,}, "
            f"never {group.never:,}"
        )
    if group.num_no_answer:
        yield f"no answer found in {group.num_no_answer:,} {of} (counted as not solved)"
    if group.num_cut_off:
        yield f"cut off before an answer: {group.num_cut_off:,} {of} (counted as not solved)"
    if group.num_errors:
        errors = f"errors (time-out, exception, memory): {group.num_errors:,} {of}"
        if not group.num_judged:
            yield errors
        elif group.errors_fail:
            yield f"{errors}, counted as not solved; estimate.unscored=leave_out leaves them out"
        else:
            yield f"{errors}, left out; estimate.unscored=fail counts them as not solved"
    if group.num_unjudged:
        yield (
            f"could not be judged, left out: {group.num_unjudged:,} {of}, in "
            f"{_rows(group.num_rows_unjudged)}"
        )
    if group.num_judged:
        yield from _notes_on_rows(group, names)


def _notes_on_rows(group: Group, names: Sequence[str]) -> Iterator[str]:
    """How many rows each figure rests on, where that is not the same for all."""
    values = {name: group.values[name] for name in names if name.startswith("pass@")}
    if group.fewest_samples < group.most_samples:
        numbers = dict.fromkeys(value.num_rows for value in values.values() if value.num_rows)
        shares = [
            f"over {_rows(number)}: {_listed([k for k in values if values[k].num_rows == number])}"
            for number in numbers
        ]
        fewer = " (the others have fewer samples)" if len(numbers) > 1 else ""
        yield (
            f"rows have {group.fewest_samples:,} to {group.most_samples:,} samples that count, and "
            f"each row weighs the same; {'; '.join(shares)}{fewer}"
        )
    for name, value in values.items():
        if not value.num_rows:
            yield f"{name}: no row has that many samples that count"
    if group.num_rows_repeated and len(values) > 1:
        yield (
            f"all samples are the same text in {_rows(group.num_rows_repeated)}: there pass@k is "
            "pass@1 for every k (it takes samples for independent draws)"
        )


def _rows(number: int) -> str:
    return counted(number, "row")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _laid_out(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table's lines: names to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in head:
        table.add_column(
            name,
            justify="right" if name else "left",
            min_width=8 if name else NAME_WIDTH,
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _fitting(names: list[str], most: int) -> list[str]:
    """As many as the width takes; of many k, those in the middle go first."""
    ks = [name for name in names if name.startswith("pass@")]
    while len(names) > most and len(ks) > 2:
        names.remove(ks.pop(len(ks) // 2))
    return names[:most]


def _spans(values: list[Value]) -> tuple[str, list[str]]:
    """The intervals and what they are: percent, where all of them are."""
    known = [(v.value, v.low, v.high) for v in values if v.low is not None]
    unit = "" if all(is_percent(*numbers) for numbers in known) else "%"
    texts = []
    for v in values:
        percent = v.low is not None and is_percent(v.value, v.low, v.high)
        text = "" if v.low is None else between(v.low, v.high, percent)
        texts.append(text + unit if percent else text)
    return "interval" if unit else "interval, %", texts


def _cut(text: str) -> str:
    """A group's name in NAME_WIDTH cells, of which a Chinese character takes two."""
    from rich.cells import cell_len, set_cell_size

    text = printable(text)
    return text if cell_len(text) <= NAME_WIDTH else f"{set_cell_size(text, NAME_WIDTH - 1)}…"
