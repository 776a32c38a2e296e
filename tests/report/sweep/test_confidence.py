"""The words for a sweep's intervals: their level is on record, and the rule at 0 and 100 %."""

import json

from scored_sweep import scored_sweep

from rollout.report.sweep.measures import measure_of, score_measure
from rollout.report.sweep.page_table import page_table
from rollout.report.sweep.pass_curves import pass_curves
from rollout.report.sweep.ranking import rank

TWO = [{"sampling.temperature": t} for t in ("0.2", "1.0")]


def at_level(point, level):
    path = point.run_dir / "published.json"
    record = json.loads(path.read_text())
    record["scoring"]["estimate"]["confidence"] = level
    path.write_text(json.dumps(record))


def test_every_interval_says_its_level_and_that_it_is_a_bootstrap_over_prompts(tmp_path):
    """Captions said "intervals over prompts" without the level."""
    points = scored_sweep(tmp_path, TWO)
    for point in points:
        at_level(point, 0.9)
    words = "90% intervals (bootstrap over prompts)"
    assert pass_curves(points, points).note.startswith(f"Bands: {words}.")
    assert score_measure(points, "pass@1").note == f"Bands: {words}."
    table, _ = page_table(points, rank(points, "scores.pass@1"))
    assert {c.help for c in table.columns if "pass@" in c.label} == {f"with {words}"}


def test_levels_that_differ_are_all_named_and_none_is_made_up(tmp_path):
    points = scored_sweep(tmp_path, TWO)
    at_level(points[0], 0.9)
    assert "90% and 95% intervals" in score_measure(points, "pass@1").note
    (points[1].run_dir / "published.json").unlink()
    assert score_measure(points, "pass@1").note == "Bands: intervals (bootstrap over prompts)."


def test_a_band_at_0_or_100_percent_says_that_it_is_an_exact_bound(tmp_path):
    """The band of a perfect value was wider than that of 98 %, without a reason."""
    points = scored_sweep(tmp_path, TWO)
    spans = {point.run_dir: {"distinct_fraction": (0.9, 1.0)} for point in points}
    notes = []
    for value in (0.98, 1.0):
        points[0].figures["distinct_fraction"] = value
        notes.append(measure_of(points[:1], "distinct_fraction", spans).note)
    assert "exact binomial bound" not in notes[0] and "exact binomial bound" in notes[1]
