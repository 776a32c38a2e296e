"""The summary of a scoring as text of at most 100 columns, and as plain values for JSON."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rollout.training.estimates import Group

SHOWN_GROUPS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What a hand-over came to; `groups[0]` is all rows."""

    groups: list[Group]
    dropped: Counter[str]
    num_exported: int
    path: str | None

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self) | {"dropped": dict(self.dropped)}

    def text(self) -> str:
        """Give the lines for a terminal."""
        lines = []
        for group in self.groups[: SHOWN_GROUPS + 1]:
            title = ", ".join(f"{k}={v}" for k, v in group.name.items()) or "all rows"
            lines.append(
                f"{title[:40]}: {group.num_rows:,} rows, {group.num_samples:,} samples, "
                f"{group.num_unscored:,} unscored"
            )
            lines.append(
                f"  solved at least once {group.solved:,}, always {group.always:,}, "
                f"never {group.never:,}, not scored {group.num_rows_unscored:,}"
            )
            for name, v in group.values.items():
                if v.value is None:
                    lines.append(f"  {name:<10} -        no row has that many samples")
                    continue
                between = "" if v.low is None else f"  [{v.low:.4f}, {v.high:.4f}]"
                fewer = group.num_rows - v.num_rows
                said = f"  {fewer:,} rows left out" if fewer else ""
                lines.append(f"  {name:<10} {v.value:.4f}{between}{said}")
        if (more := len(self.groups) - 1 - SHOWN_GROUPS) > 0:
            lines.append(f"{more:,} groups more are in the JSON")
        if self.path:
            lines += [f"  dropped {n:>9,}  {rule}" for rule, n in self.dropped.items()]
            lines.append(f"wrote {self.num_exported:,} rows to {self.path}")
        return "\n".join(lines)
