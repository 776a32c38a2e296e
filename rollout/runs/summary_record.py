"""Read summary.json, the figures of a complete run; a damaged one counts as missing."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from rollout.runs.metrics import number_names
from rollout.store.counts import Totals
from rollout.store.run_records import is_count, is_number
from rollout.system.disk import read_json


def summary_record(run_dir: Path) -> dict[str, Any] | None:
    """Return the content of summary.json; None if it is missing or damaged."""
    found = read_json(run_dir / "summary.json") or {}
    counts = (f.name for f in fields(Totals) if f.default is not None)
    is_whole = all(is_count(found.get(name)) for name in counts)
    is_whole &= all(found.get(name) is None or is_number(found[name]) for name in number_names())
    return found if is_whole and _are_scores(found.get("scores") or {}) else None


def _are_scores(scores: Any) -> bool:
    if scores == {}:
        return True
    if not isinstance(scores, dict) or not isinstance(scores.get("path"), str):
        return False
    spans = scores.get("intervals") or {}
    return isinstance(spans, dict) and all(
        isinstance(span, list) and len(span) == 2 and all(map(is_number, span))
        for span in spans.values()
    )
