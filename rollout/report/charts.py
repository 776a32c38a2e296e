"""Charts as data, drawn by page.js in a browser and by images.py into files.

Pure: no file, no library. Values are plain floats; None leaves a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a series is drawn."""

    line = "line"
    points = "points"
    bars = "bars"  # a bar per x; those of several series are stacked
    steps = "steps"  # a line that holds each value until the next x


class Format(Enum):
    """How values of an axis are written."""

    number = "number"  # 1,234 or 0.12
    percent = "percent"  # of a share: 0.438 is 43.8%
    seconds = "seconds"  # 1:02:03
    log = "log"  # numbers on a logarithmic scale


@dataclass(frozen=True, slots=True)
class Series:
    """One value per x of the chart; `low` and `high` are the ends of its intervals."""

    name: str
    values: Sequence[float | None]
    kind: Kind = Kind.line
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    labels: Sequence[str] | None = None  # a name per point, shown when pointed at


@dataclass(frozen=True, slots=True)
class Span:
    """A shaded stretch of the x axis, such as a phase of a run.

    Spans whose names end alike after `: ` have one colour, such as `attempt 2: load` and `load`.
    """

    name: str
    start: float
    end: float

    @property
    def kind(self) -> str:
        return self.name.rpartition(": ")[2]


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over one x axis, ascending. `name` is the file's name, such as `throughput`.

    With `ticks`, x are 0, 1, ... and each has a text. `group`: charts of one group share their
    cursor and their zoom.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    series: Sequence[Series]
    spans: Sequence[Span] = ()
    ticks: Sequence[str] | None = None
    x_format: Format = Format.number
    y_format: Format = Format.number
    note: str = ""  # how to read it, and over what it is counted
    group: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A value for each pair of an x and a y label; `values[i][j]` is at y i and x j."""

    name: str
    title: str
    x_label: str
    y_label: str
    x_ticks: Sequence[str]
    y_ticks: Sequence[str]
    values: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]] = ()  # in the cells, with intervals
    format: Format = Format.number
    note: str = ""
