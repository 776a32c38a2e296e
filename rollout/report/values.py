"""Values as text: those of charts, as charts_text.js writes them on a page, and names."""

import math

from rollout.report.charts import Format
from rollout.system.terminal import half_up

AT_THE_ENDS = "At 0 and 100% an exact binomial bound, which is wider."  # said of intervals


def short_model(model: str) -> str:
    """Return the name in a model's path or in a hub's ORG/NAME."""
    return model.removeprefix("embedded:").rstrip("/").rpartition("/")[2] or model


def bin_text(low: int, high: int) -> str:
    """Return the whole numbers from `low` to below `high`: `5` or `1,000-1,199`."""
    return f"{low:,}" if high - low == 1 else f"{low:,}-{high - 1:,}"


def value_text(value: float | None, written: Format) -> str:
    """Return a value as its axis writes it, `43.8%` or `1:02:03`; a dash if there is none."""
    if value is None or math.isnan(value):
        return "–"
    if value in (math.inf, -math.inf):
        return "∞" if value > 0 else "-∞"
    if written is Format.percent:
        return half_up(100 * value, 1).removesuffix(".0") + "%"
    return _seconds_text(value) if written is Format.seconds else _number_text(value)


def _number_text(value: float) -> str:
    """Return a number with at most four decimals: `12,345`, `12.3`, `0.0123`."""
    size = abs(value)
    if value == int(value) and size < 1e15:
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-4:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power):+d}"
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 4
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds_text(value: float) -> str:
    """Return `12.5 s` below a minute, else `2:03` or `1:02:03`."""
    if abs(value) < 59.995:  # else it is rounded to a minute
        return f"{_number_text(round(value, 2))} s"
    sign, whole = "-" if value < 0 else "", round(abs(value))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if hours else f"{sign}{minutes}:{seconds:02}"
