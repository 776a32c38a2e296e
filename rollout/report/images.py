"""Charts and heat maps as PNG and SVG files, drawn by matplotlib.

Guarantees: equal charts give equal files; text of models and inputs is drawn as text, never as a
formula. Looks as the charts of a page do, but for what only a browser can (cursor, zoom).
"""

import contextlib
import itertools
import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rollout.report.charts import Chart, Format, HeatMap, Kind, Series
from rollout.report.values import value_text
from rollout.system.safe_text import printable

# Okabe and Ito's colours, which colour-blind readers tell apart; yellow made darker.
COLOURS = (
    "#0072b2", "#d97f00", "#009e73", "#c2568f", "#c44e00", "#4aa3d8", "#8c7a00", "#6b7280",
)  # fmt: skip
PHASE_COLOURS = {  # as in page.css
    "load": "#8a8f98", "fill": "#d97f00", "steady": "#009e73", "tail": "#c2568f",
    "publish": "#0072b2", "reload": "#b3261e", "score": "#6f4fa3",
}  # fmt: skip
OTHER_SPAN_COLOURS = ("#8c7a00", "#4aa3d8")
SOFT, LINE = "#5c656d", "#e3e5e6"
MAX_TICK_CHARS, MAX_NAME_CHARS, MAX_NOTE_CHARS = 24, 80, 1000
SECOND_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
MAX_TICKS = 10
UNDATED = {"png": {"Software": None}, "svg": {"Date": None}}  # equal charts give equal files
LEGEND_COLUMNS, MAX_LEGEND_CHARS = 3, 32
# With letters that DejaVu Sans lacks; only those that are installed are used.
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic", "WenQuanYi Zen Hei")
STYLE = {
    "svg.hashsalt": "rollout",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


def write_images(
    charts: Sequence[Chart | HeatMap],
    directory: Path,
    kinds: Sequence[str] = ("png", "svg"),
    title: str = "",
) -> list[Path]:
    """Write each chart as NAME.png and NAME.svg into a directory, and return the files in order.

    `title` is that of their page, such as model and run: a small line below each. A second chart of
    a name is NAME-2. Makes the directory. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, chart in zip(_names(charts), charts, strict=True):
        with _style(), warnings.catch_warnings():
            # A box is drawn where no font has a letter (docs/reports.md); the SVG has its text.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure = _figure(chart, title)
            for suffix in kinds:
                path = directory / f"{name}.{suffix}"
                figure.savefig(path, dpi=160, metadata=UNDATED[suffix], bbox_inches="tight")
                written.append(path)
    return written


def _names(charts: Sequence[Chart | HeatMap]) -> list[str]:
    """Return a file name for each chart, without suffix."""
    names: list[str] = []
    for chart in charts:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", chart.name)[:100].strip("._-") or "chart"
        free = (f"{name}-{i}" if i > 1 else name for i in range(1, len(charts) + 1))
        names.append(next(n for n in free if n not in names))
    return names


@contextlib.contextmanager
def _style() -> Iterator[None]:
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    with matplotlib.rc_context({**STYLE, "font.family": fonts or ["sans-serif"]}):
        yield


def _figure(chart: Chart | HeatMap, title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    is_heat = isinstance(chart, HeatMap)
    size = _heat_size(chart) if is_heat else (8.0, 4.0 + 0.2 * _legend_rows(chart))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(
        _short(chart.title, MAX_NAME_CHARS), pad=20 if not is_heat and chart.spans else 10
    )
    axes.set_xlabel(_short(chart.x_label, MAX_NAME_CHARS))
    axes.set_ylabel(_short(chart.y_label, MAX_NAME_CHARS))
    axes.spines[["top", "right"]].set_visible(False)
    if is_heat:
        _draw_heat(axes, chart)
    else:
        _draw_chart(axes, chart)
    note = textwrap.fill(printable(chart.note[:MAX_NOTE_CHARS]), 110)
    if below := "\n".join(filter(None, (note, _short(title, MAX_NAME_CHARS)))):
        figure.supxlabel(below, fontsize=8, color=SOFT)
    return figure


def _draw_chart(axes: Any, chart: Chart) -> None:
    values = [v for series in chart.series for v in _numbers(series.values)]
    if all(map(math.isnan, values)):
        _say_empty(axes)
        return
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    _set_scales(axes, chart)
    _shade(axes, chart)
    handles, bottom = [], [0.0] * len(chart.x)
    for index, series in enumerate(chart.series):
        handles.append(_draw_series(axes, chart, series, COLOURS[index % len(COLOURS)], bottom))
    if chart.group:  # over time: small changes of a large value must not look large
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    names = [_short(series.name or chart.y_label, MAX_LEGEND_CHARS) for series in chart.series]
    # matplotlib leaves names that start with an underscore out of a legend.
    names = [f" {name}" if name.startswith("_") else name for name in names]
    axes.figure.legend(
        handles, names, loc="outside upper right", frameon=False, fontsize=9,
        ncols=min(len(names), LEGEND_COLUMNS),
    )  # fmt: skip


def _legend_rows(chart: Chart) -> int:
    return math.ceil(len(chart.series) / LEGEND_COLUMNS)


def _say_empty(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, "no data", ha="center", color=SOFT, transform=axes.transAxes)


def _set_scales(axes: Any, chart: Chart) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    for axis, written in (("x", chart.x_format), ("y", chart.y_format)):
        if written is Format.log:
            getattr(axes, f"set_{axis}scale")("log", nonpositive="mask")
        formatter = FuncFormatter(lambda value, _, written=written: value_text(value, written))
        getattr(axes, f"{axis}axis").set_major_formatter(formatter)
    if chart.y_format is Format.number and _is_whole(chart):
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    if chart.x_format is Format.seconds:
        steps = (s for s in SECOND_STEPS if (chart.x[-1] - chart.x[0]) / s <= MAX_TICKS)
        axes.xaxis.set_major_locator(MultipleLocator(next(steps, 7 * SECOND_STEPS[-1])))
    if chart.ticks is not None:
        texts = [_short(text) for text in chart.ticks]
        slant = {"rotation": 35, "ha": "right"} if sum(map(len, texts)) > 80 else {}
        axes.set_xticks(range(len(texts)), texts, **slant)


def _is_whole(chart: Chart) -> bool:
    """Return whether all values are whole numbers, such as counts of rows."""
    each = ((s.values, s.low or (), s.high or ()) for s in chart.series)
    values = itertools.chain.from_iterable(itertools.chain.from_iterable(each))
    return all(value is None or not value % 1 for value in values)


def _short(text: str, size: int = MAX_TICK_CHARS) -> str:
    """Return a text for one line, printable and cut: a figure grows with its texts."""
    is_cut = len(text) > size
    shown = printable(text[:size])
    return f"{shown[: size - 1]}…" if is_cut or len(shown) > size else shown


def _shade(axes: Any, chart: Chart) -> None:
    kinds = dict.fromkeys(span.kind for span in chart.spans)
    others = zip((k for k in kinds if k not in PHASE_COLOURS), itertools.cycle(OTHER_SPAN_COLOURS))
    colours = PHASE_COLOURS | dict(others)
    for span in chart.spans:
        colour = colours[span.kind]
        axes.axvspan(span.start, span.end, color=colour, alpha=0.11, linewidth=0)
        axes.annotate(
            _short(span.name), ((span.start + span.end) / 2, 1), (0, 2), fontsize=8, color=SOFT,
            xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
        )  # fmt: skip


def _draw_series(axes: Any, chart: Chart, series: Series, colour: str, bottom: list[float]) -> Any:
    """Draw one series and return its handle for the legend; bars are added to `bottom`."""
    x, y = list(chart.x), _numbers(series.values)
    if series.kind is Kind.bars:
        handle = _draw_bars(axes, x, series, colour, bottom)
    elif series.kind is Kind.points:
        handle = axes.scatter(x, y, s=22, color=colour, alpha=0.7)
    else:
        steps = {"drawstyle": "steps-post"} if series.kind is Kind.steps else {}
        marker = "o" if len(x) <= 24 and not steps else None
        (handle,) = axes.plot(
            x, y, color=colour, linewidth=1.8, marker=marker, markersize=4, **steps
        )
    if series.low is not None and series.high is not None and series.kind is not Kind.bars:
        _draw_interval(axes, x, series, colour)
    return handle


def _draw_bars(axes: Any, x: list[float], series: Series, colour: str, bottom: list[float]) -> Any:
    gaps = [after - before for before, after in itertools.pairwise(x) if after > before]
    heights = [0.0 if math.isnan(value) else value for value in _numbers(series.values)]
    handle = axes.bar(x, heights, 0.86 * min(gaps, default=1.0), list(bottom), color=colour)
    if series.low is not None and series.high is not None:
        _draw_whiskers(axes, x, series, "#1b1f23", bottom)
    bottom[:] = [base + height for base, height in zip(bottom, heights, strict=True)]
    return handle


def _draw_interval(axes: Any, x: list[float], series: Series, colour: str) -> None:
    """Draw intervals of a line as a band, those of points or of a single value as whiskers."""
    num_values = sum(not math.isnan(value) for value in _numbers(series.values))
    if series.kind is Kind.points or num_values < 2:
        _draw_whiskers(axes, x, series, colour, [0.0] * len(x))
        return
    step = "post" if series.kind is Kind.steps else None
    low, high = _numbers(series.low or ()), _numbers(series.high or ())
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, step=step)


def _draw_whiskers(
    axes: Any, x: list[float], series: Series, colour: str, bottom: Sequence[float]
) -> None:
    ends = zip(x, series.low or (), series.high or (), bottom, strict=True)
    drawn = [(at, a + base, b + base) for at, a, b, base in ends if a is not None and b is not None]
    if drawn:
        at, low, high = zip(*drawn, strict=True)
        axes.vlines(at, low, high, color=colour, linewidth=1.4)
        for edge in (low, high):
            axes.plot(at, edge, "_", color=colour, markersize=6)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if v is None or not math.isfinite(v) else v for v in values]


def _heat_size(heat: HeatMap) -> tuple[float, float]:
    """Return width and height in inches, so that the texts of the cells fit."""
    longest = max((len(_short(text)) for row in heat.texts for text in row), default=6)
    width = len(heat.x_ticks) * max(0.7, 0.09 * longest)
    return min(30.0, 3 + width), min(30.0, 2 + 0.5 * len(heat.y_ticks))


def _draw_heat(axes: Any, heat: HeatMap) -> None:
    from matplotlib.colors import LogNorm

    rows = [_numbers(row) for row in heat.values]
    found = [value for row in rows for value in row if not math.isnan(value)]
    if not found:
        _say_empty(axes)
        return
    norm = LogNorm() if heat.format is Format.log and min(found) > 0 else None
    image = axes.imshow(rows, cmap="Blues", norm=norm, aspect="auto")
    axes.set_xticks(range(len(heat.x_ticks)), [_short(text) for text in heat.x_ticks])
    axes.set_yticks(range(len(heat.y_ticks)), [_short(text) for text in heat.y_ticks])
    for i, row in enumerate(heat.values):
        for j, value in enumerate(row):
            text = heat.texts[i][j] if heat.texts else value_text(value, heat.format)
            is_dark = not math.isnan(rows[i][j]) and image.norm(rows[i][j]) > 0.55
            axes.text(j, i, _short(text), ha="center", va="center", fontsize=9,
                      color="white" if is_dark else "#1b1f23")  # fmt: skip
