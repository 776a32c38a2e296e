"""The HTML of a page: its template, styles and scripts, which are in assets/.

Guarantees: one file that loads nothing; equal pages give equal text. Its Content-Security-Policy
names the hashes of its own scripts and styles, so that a browser runs no other. Text is escaped,
and control, invisible and reordering characters are shown as escapes. Must not know what a run or a
sweep is.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rollout.report.charts import Chart, Format, HeatMap
from rollout.report.page import Block, Browser, Code, Page
from rollout.report.script_json import script_json
from rollout.report.values import value_text
from rollout.system.safe_text import printable_text
from rollout.system.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Template

STYLES = ("uplot.min.css", "page.css", "samples.css")
SCRIPTS = (
    "safe_text.js",
    "dom.js",
    "page.js",
    "charts_text.js",
    "charts_data.js",
    "charts.js",
    "charts_legend.js",
    "samples_data.js",
    "samples_cards.js",
    "samples.js",
    "start.js",
)
LIBRARY = "uplot.min.js"
DENSE_FROM = 9  # columns of a table; one with more is set in smaller letters
MAX_CHARS = 20_000  # of a text outside the sample browser
NARROW_HEAT = 6  # columns that fit beside a chart
HEAT_STEPS = 10  # colours of a heat map: .heat-0 to .heat-9 in page.css


def html_of(page: Page) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    styles = [_asset(name) for name in STYLES]
    scripts = [_asset(LIBRARY), '"use strict";\n' + "\n".join(map(_asset, SCRIPTS))]
    sections = [(f"section-{i}", s, _rows(s.blocks)) for i, s in enumerate(page.sections)]
    return _template().render(
        page=page,
        sections=sections,
        version=VERSION,
        policy=policy(scripts, styles),
        styles=[Markup(style) for style in styles],
        scripts=[Markup(script) for script in scripts],
        data=Markup(script_json(_data(page))),
        heat_steps=range(HEAT_STEPS),
        dense_from=DENSE_FROM,
        range_of=heat_range,
    )


@cache
def _template() -> "Template":
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters["hue"] = heat_step
    environment.filters["written"] = value_text
    return environment.from_string(_asset("page.html.jinja"))


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts and styles, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (files("rollout.report") / "assets" / name).read_text("utf-8")


def _data(page: Page) -> dict[str, list[Any]]:
    """Return the data of the page's scripts: charts, sample browsers and copied texts, in order."""
    blocks = [block for section in page.sections for block in section.blocks]
    return {
        "charts": [block for block in blocks if isinstance(block, Chart)],
        "browsers": [block for block in blocks if isinstance(block, Browser)],
        "codes": [block.text for block in blocks if isinstance(block, Code)],
    }


def _rows(blocks: Sequence[Block]) -> list[tuple[str, list[tuple[str, Block]]]]:
    """Return the rows of a section: neighbouring charts share one, two side by side.

    Those of a group stand one below the other, so that their x axes line up.
    """

    def key(block: Block) -> tuple[str, Any]:
        if isinstance(block, Chart):
            return ("stacked", block.group) if block.group else ("grid", None)
        if isinstance(block, HeatMap) and len(block.x_ticks) <= NARROW_HEAT:
            return "grid", None
        return "alone", id(block)

    rows = [(k, [(type(b).__name__, b) for b in group]) for k, group in groupby(blocks, key)]
    return [(k[0] if len(row) > 1 else "alone", row) for k, row in rows]


def heat_range(heat: HeatMap) -> tuple[float, float] | None:
    """Return the lowest and highest value of a heat map, None if it has none."""
    values = [value for row in heat.values for value in row if value is not None]
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else None


def heat_step(value: float | None, heat: HeatMap) -> int | None:
    """Return the colour of a cell, 0 (lowest) to HEAT_STEPS - 1, None without a value."""
    extent = heat_range(heat)
    if value is None or extent is None or value != value:
        return None
    low, high = extent
    value = min(max(value, low), high)
    if heat.format is Format.log and low > 0:
        low, high, value = math.log(low), math.log(high), math.log(value)
    share = (value - low) / (high - low) if high > low else 0.5
    return min(int(share * HEAT_STEPS), HEAT_STEPS - 1)


def _shown(value: Any) -> Any:
    """Return a value for the template: text is cut, and made printable."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if len(value) <= MAX_CHARS:
        return printable_text(value)
    return f"{printable_text(value[:MAX_CHARS])} … (cut: {len(value):,} characters)"
