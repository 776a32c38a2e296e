"""Figures beside a scored file that no scoring wrote: none is shown, and each has a page."""

import json
from copy import deepcopy

import pytest
from scored_files import output_file, scored_file

from rollout.config.sections.export import Estimate
from rollout.config.sections.postprocess import Postprocess
from rollout.postprocess.postprocess import postprocess
from rollout.report.html import html_of
from rollout.report.page import Note, Page
from rollout.report.scored import page_of_scored
from rollout.report.scored_figures import recorded_figures
from rollout.system.console import Console


@pytest.fixture
def by_level(tmp_path):
    return scored_file(tmp_path, group_by=["level"], level=["easy", "hard"])


def said_in(page: Page) -> str:
    blocks = [block for section in page.sections for block in section.blocks]
    return " ".join(block.text for block in blocks if isinstance(block, Note))


def _leaves(found, at=()) -> list[tuple]:
    """Return the path and the value of each leaf of nested JSON."""
    if not isinstance(found, dict | list):
        return [(at, found)]
    items = found.items() if isinstance(found, dict) else enumerate(found)
    return [leaf for key, inner in items for leaf in _leaves(inner, (*at, key))]


def _with(figures: dict, path: tuple, value) -> dict:
    figures = deepcopy(figures)
    inner = figures
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return figures


ODD = {
    "text": "x", "huge": 10**400, "NaN": float("nan"), "infinite": float("inf"), "below 0": -1,
    "list": [], "object": {}, "true": True, "half": 0.5, "null": None,
}  # fmt: skip


def _is_fit(before, odd) -> bool:
    """Whether a scoring could have written `odd` where it wrote `before`."""
    if isinstance(before, float):  # an estimate or an end of its interval
        return odd is None or (type(odd), odd) in ((float, 0.5), (int, -1))
    return before is odd or (isinstance(before, str) and odd == "x")


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_figures_with_a_damaged_value_are_not_used(by_level, odd):
    """A text or 10**400 among them ended the command with a TypeError and no page."""
    file = by_level.with_suffix(".json")
    whole = json.loads(file.read_text())
    whole["reasons"] = [{"reason": "no answer found", "num": 1}]
    used = {name: whole[name] for name in ("groups", "confidence", "reasons")}
    count = {"right": 4, "wrong": 4}
    leaves = [(leaf, before) for leaf, before in _leaves(used) if not _is_fit(before, odd)]
    assert leaves
    for leaf, _ in leaves:
        file.write_text(json.dumps(_with(whole, leaf, odd)))
        found = recorded_figures(file, 2, 8, lambda name: count.get(name, 0))
        assert isinstance(found, str), leaf
    page = page_of_scored(by_level)
    assert "counted anew" in said_in(page) and html_of(page)


CERTAIN = {"value": 1.0, "low": None, "high": None, "num_rows": 2}
DAMAGES = {
    "of more rows than there are": (("groups", 0, "solved"), 10**400),
    "an end of an interval only": (("groups", 0, "values", "pass@1", "low"), None),
    "a share above 1": (("groups", 0, "values", "pass@1", "value"), 2.0),
    "pass@k of more samples": (("groups", 0, "values", "pass@64"), CERTAIN),
    "another spelling of k": (("groups", 0, "values", "pass@01"), CERTAIN),
    "no figures": (("groups", 0, "values"), {}),
    "no groups": (("groups",), []),
    "a group without a name": (("groups", 1, "name"), {}),
    "groups by different columns": (("groups", 1, "name"), {"other": "easy"}),
    "certainty": (("confidence",), 1.0),
}


@pytest.mark.parametrize(("place", "value"), DAMAGES.values(), ids=DAMAGES.keys())
def test_figures_that_no_scoring_writes_are_counted_anew(by_level, place, value):
    file = by_level.with_suffix(".json")
    file.write_text(json.dumps(_with(json.loads(file.read_text()), place, value)))
    page = page_of_scored(by_level)
    assert "counted anew" in said_in(page) and html_of(page)


def test_a_k_of_more_samples_than_rows_have_is_not_known(tmp_path):
    output = output_file(tmp_path / "output.parquet", level=["easy", "hard"])
    estimate = Estimate(group_by=["level"], k=[64])
    where = tmp_path / "scored.parquet"
    settings = Postprocess(scorer="exact", workers=1, estimate=estimate)
    postprocess(settings, output, where, Console(quiet=True))
    page = page_of_scored(where)
    first = page.figures[0]
    assert (first.value, first.label, first.note) == ("-", "pass@64", "no row has so many samples")
    assert html_of(page)
