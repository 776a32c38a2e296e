"""The summary of a scoring as text of at most 100 columns, and as plain values for JSON."""

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rollout.console import printable
from rollout.training.estimates import Group, Value

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

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self) | {"dropped": dict(self.dropped)}

    def text(self) -> str:
        """Give the lines for a terminal: a line a group, the intervals of all rows below theirs."""
        everything = self.groups[0]
        names = _fitting([name for name in everything.values if not self._says_nothing(name)])
        head = f"{'':<{NAME_WIDTH}} {'rows':>8} {'samples':>9}"
        lines = [head + "".join(f" {name:>8}" for name in names)]
        for number, group in enumerate(self.groups[: SHOWN_GROUPS + 1]):
            title = ", ".join(group.name.values()) or "all rows"
            values = "".join(f" {_percent(group.values[name].value):>8}" for name in names)
            counts = f"{group.num_rows:>8,} {group.num_samples:>9,}"
            lines.append(f"{_cut(title):<{NAME_WIDTH}} {counts}{values}")
            between = "".join(f" {_interval(group.values[name]):>8}" for name in names)
            if number == 0 and between.strip():
                title = f"  {self.confidence:.0%} interval, %"
                lines.append(f"{title:<{len(head)}}{between}".rstrip())
        if (more := len(self.groups) - 1 - SHOWN_GROUPS) > 0:
            lines.append(f"{more:,} groups more are in the JSON")
        lines.append(
            f"solved at least once: {everything.solved:,} rows, always {everything.always:,}, "
            f"never {everything.never:,}"
        )
        for name in names:
            value = everything.values[name]
            # A row without a score has no part in any figure.
            fewer = everything.num_rows - everything.num_rows_unscored - value.num_rows
            if name.startswith("pass@") and value.value is None:
                lines.append(f"{name}: no row has that many scored samples")
            elif name.startswith("pass@") and fewer > 0:
                lines.append(f"{name} leaves {fewer:,} rows out, which have fewer scored samples")
        if everything.num_unscored:
            lines.append(f"without a score, and left out: {everything.num_unscored:,} samples")
        if self.path:
            lines += [f"dropped {n:>9,}  {rule}" for rule, n in self.dropped.items()]
            if self.num_exported:
                lines.append(f"export  {self.path}: {self.num_exported:,} rows")
                lines += wrapped(self.notes)
        return "\n".join(lines)

    def _says_nothing(self, name: str) -> bool:
        """Whether a figure is another's: the mean of passes is pass@1, their best pass@n."""
        ks = [k for k in self.groups[0].values if k.startswith("pass@")]
        other = {"mean": ks[0], "best@n": ks[-1]}.get(name)
        return other is not None and all(
            _is_same(group.values[name].value, group.values[other].value) for group in self.groups
        )


def wrapped(notes: list[str]) -> list[str]:
    """Notes as lines that fit the table."""
    import textwrap

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


def _fitting(names: list[str]) -> list[str]:
    """As many as the width takes; of many k, those in the middle go first."""
    most = (WIDTH - NAME_WIDTH - 19) // 9
    ks = [name for name in names if name.startswith("pass@")]
    while len(names) > most and len(ks) > 2:
        names.remove(ks.pop(len(ks) // 2))
    return names[:most]


def _is_same(one: float | None, two: float | None) -> bool:
    return one == two or (None not in (one, two) and math.isclose(one, two, abs_tol=1e-9))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _interval(value: Value) -> str:
    return "" if value.low == value.high else f"{100 * value.low:.0f}-{100 * value.high:.0f}"


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= NAME_WIDTH else text[: NAME_WIDTH - 1] + "…"
