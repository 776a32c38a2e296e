"""A listing as a table, no wider than the terminal; columns that are empty are left out.

Texts wrap at spaces. A path is there to be typed again, so it is never cut but wraps anywhere; of
other texts a word that is too long is cut. Without a width, each entry is one line, for grep.
Guarantees that names, paths and texts from records are printed without control characters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.postprocess.export.score_texts import score_text, telling
from rollout.report.listing.entry import SCORES, Entry, SweepEntry
from rollout.report.values import short_model
from rollout.runs.state import FAILED, RESUMABLE, RUNNING
from rollout.system import dates
from rollout.system.safe_text import one_line, printable
from rollout.system.terminal import counted, rate_text

STYLES = {RUNNING: "bold", FAILED: "red", RESUMABLE: "yellow"}
GAP = 2
MAX_SCORES = 2
MAX_FAULTS = 10
MAX_VALUE = 24  # characters of a sampling setting
MAX_CELL = 120  # of any text; a longer one is cut
MAX_FAULT = 500  # columns of a reason where no width is given
# A column's least width; narrower, its texts would wrap into too many lines.
NARROWEST = {"when": 10, "what": 14, "model": 8, "data": 8, "sampling": 8, "state": 9, "scores": 13}
# As long as columns may be left out for it, the others' words are whole, and these this wide.
ROOMY = {"what": 14, "model": 12, "data": 12}
COLUMNS = ("when", "what", "model", "data", "sampling", "state", "rows", "tokens/s", "scores")
DROPPED_FIRST = ("data", "tokens/s", "model", "sampling", "rows", "scores", "when")
NUMBERS = ("rows", "tokens/s")


@dataclass(slots=True)
class Line:
    """A row of the table: a cell for each column that has something to say."""

    cells: dict[str, str]
    state: str = ""
    faults: list[str] = field(default_factory=list)  # why it failed


def lines_of(entries: Sequence[Entry | SweepEntry], root: Path, with_points: bool) -> list[Line]:
    """Return a line for each entry and, `with_points`, below a sweep one for each point."""
    lines = []
    for entry in entries:
        if isinstance(entry, Entry):
            lines.append(_run_line(entry, _what(entry.path, root)))
            continue
        lines.append(_sweep_line(entry, _what(entry.path, root)))
        if with_points:
            points = sorted(entry.points, key=lambda point: str(point.path))
            lines += [_run_line(p, _what(p.path, root)) for p in points]
    return lines


def table_of(lines: Sequence[Line], width: int | None) -> Any:
    """Return the lines as a rich table of at most `width` cells; None: as wide as its texts."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False)
    widths = _widths(lines, width)
    for name, size in widths.items():
        justify = "right" if name in NUMBERS else "left"
        overflow = "fold" if name == "what" else "ellipsis"
        table.add_column(name, justify=justify, width=size, overflow=overflow)
    for line in lines:
        texts = [one_line(line.cells.get(name, ""), MAX_CELL) for name in widths]
        table.add_row(*map(Text, texts), style=STYLES.get(line.state))
    return table


def fault_lines(lines: Sequence[Line], width: int | None) -> list[str]:
    """Return a line for each run that failed, with the reason."""
    faults = [fault for line in lines for fault in line.faults]
    more = [f"and {len(faults) - MAX_FAULTS:,} more failed"] if len(faults) > MAX_FAULTS else []
    return [one_line(fault, width or MAX_FAULT) for fault in faults[:MAX_FAULTS]] + more


def _run_line(entry: Entry, what: str) -> Line:
    state, rate = entry.state, entry.output_tokens_per_s
    cells = {
        "when": dates.shown(entry.when) if entry.when else "",
        "what": what,
        "model": _model(entry),
        "data": _data(entry),
        "sampling": _sampling(entry),
        "state": state.name,
        "rows": _rows(state.num_done, state.num_rows, state.num_failed),
        "tokens/s": "" if rate is None else rate_text(rate),
        "scores": _scores(entry),
    }
    faults = [f"{what} failed: {state.detail}"] if state.name == FAILED else []
    return Line(cells, state.name, faults)


def _sweep_line(sweep: SweepEntry, what: str) -> Line:
    points = sweep.points
    num_done, num_failed = (
        sum(getattr(point.state, name) or 0 for point in points)
        for name in ("num_done", "num_failed")
    )
    states = ", ".join(f"{count:,} {name}" for name, count in sweep.states.items())
    cells = {
        "when": dates.shown(sweep.when) if sweep.when else "",
        "what": what,
        "model": _common([_model(p) for p in points], "models"),
        "data": _common([_data(p) for p in points], "inputs"),
        "sampling": _swept(sweep) or _common([_sampling(p) for p in points], "kinds"),
        "state": states or "no points yet",
        "rows": _rows(num_done, sweep.num_rows, num_failed) if points else "",
        "scores": _best(sweep),
    }
    faults = [
        f"{_what(p.path, sweep.path.parent)} failed: {p.state.detail}"
        for p in points
        if p.state.name == FAILED
    ]
    faults += [
        f"{_what(path, sweep.path.parent)} failed: {error}" for path, error in sweep.refused.items()
    ]
    cells["what"] += f" ({counted(sweep.num_points, 'point')})"
    return Line(cells, sweep.state, faults)


def _what(path: Path, root: Path) -> str:
    return printable(str(path.relative_to(root)))


def _data(entry: Entry) -> str:
    more = f" ({entry.num_files:,} files)" if entry.num_files > 1 else ""
    return _last_part(entry.data) + more


def _model(entry: Entry) -> str:
    return printable(short_model(entry.model or ""))


def _last_part(text: str | None) -> str:
    """Return the name in a path or a URL."""
    return printable((text or "").rstrip("/").rpartition("/")[2])


def _sampling(entry: Entry) -> str:
    """Return `n=8 t=0.7 stop`: values of settings, of long ones only the name."""
    texts = [] if entry.n_samples is None else [f"n={entry.n_samples}"]
    for name, value in entry.sampling.items():
        text = f"{value:g}" if isinstance(value, float) else str(value)
        is_short = isinstance(value, str | int | float) and len(text) <= MAX_VALUE
        name = "t" if name == "temperature" else name
        texts.append(f"{name}={text}" if is_short else name)
    return printable(" ".join(texts))


def _rows(num_done: int | None, num_rows: int | None, num_failed: int | None) -> str:
    """Return `40`, `13/40` or `40, 2 failed`."""
    if num_done is None:
        return "" if num_rows is None else f"?/{num_rows:,}"
    text = f"{num_done:,}"
    if num_done != num_rows:
        text += f"/{'?' if num_rows is None else f'{num_rows:,}'}"
    return f"{text}, {num_failed:,} failed" if num_failed else text


def _scores(entry: Entry) -> str:
    """Return the first pass@k and the last, or the first scores of another name."""
    names = telling(entry.scores)
    ks = [name for name in names if name.startswith("pass@")]
    names = [ks[0], ks[-1]] if len(ks) > 1 else names
    texts = [f"{printable(n)} {score_text(entry.scores[n])}" for n in names[:MAX_SCORES]]
    return " ".join(texts)


def _swept(sweep: SweepEntry) -> str:
    """Return the swept keys with the number of their values, such as `temperature (3)`."""
    texts = [f"{key.rpartition('.')[2]} ({len(values)})" for key, values in sweep.swept.items()]
    return printable(", ".join(texts))


def _best(sweep: SweepEntry) -> str:
    """Return the best point's objective, such as `pass@1 43.8% at temperature=0.7`."""
    if not sweep.best:
        return ""
    from rollout.report.sweep.points import shown

    name = sweep.objective.removeprefix(f"{SCORES}.")
    is_score = name in sweep.best[0].scores
    value = score_text(sweep.best_value) if is_score else shown(name, sweep.best_value)
    name = "tokens/s" if name == "output_tokens_per_s" else name
    where = _what(sweep.best[0].path, sweep.path)
    where = where if len(sweep.best) == 1 else f"{len(sweep.best):,} points"
    return printable(f"{name} {value} at {where}")


def _common(texts: Sequence[str], noun: str) -> str:
    """Return the text that all points share, or how many different ones there are."""
    different = set(texts)
    return "" if not texts else texts[0] if len(different) == 1 else f"{len(different):,} {noun}"


def _widths(lines: Sequence[Line], width: int | None) -> dict[str, int]:
    """Return the columns that have a cell, with their widths.

    Texts wrap at spaces first; then columns are left out, then words are cut.
    """
    from rich.cells import cell_len

    sizes, words = {}, {}
    for name in COLUMNS:
        cells = [line.cells.get(name, "") for line in lines]
        if any(cells):
            sizes[name] = min(MAX_CELL, max(map(cell_len, [name, *cells])))
            longest = max(cell_len(word) for cell in [name, *cells] for word in cell.split())
            least = min(MAX_CELL, longest)
            words[name] = max(NARROWEST.get(name, 0), min(least, ROOMY.get(name, least)))
    if width is None:
        return sizes
    for name in (None, *DROPPED_FIRST):
        if name is not None:
            sizes.pop(name, None)
        found = _narrowed(sizes, words, width)
        if _total(found) <= width:
            return found
    return _narrowed(sizes, NARROWEST, width)


def _narrowed(sizes: Mapping[str, int], leasts: Mapping[str, int], width: int) -> dict[str, int]:
    """Return the widths after the widest columns have shrunk to fit, none below its least."""
    found = dict(sizes)
    while _total(found) > width:
        spare = {n for n in NARROWEST if n in found and found[n] > leasts[n]}
        if not spare:
            break
        if "when" in spare:  # it has one place to wrap
            found["when"] = leasts["when"]
        else:
            found[max(spare, key=lambda name: (found[name], name))] -= 1
    return found


def _total(sizes: Mapping[str, int]) -> int:
    return sum(sizes.values()) + GAP * (len(sizes) - 1)
