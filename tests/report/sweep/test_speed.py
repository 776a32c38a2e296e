"""Throughput against memory: the Pareto front, and points whose speeds say nothing."""

import random

import pytest
from sweep_points import point

from rollout.report.charts import Chart, Kind
from rollout.report.page import Note
from rollout.report.sweep.speed import pareto_front, speed_blocks


def measured(memory, speed, name="a", **figures):
    return point(name=name, speed=speed, figures={"peak_memory_gib": memory, "generate_s": 60.0,
                                                  **figures})  # fmt: skip


def is_dominated(pair, pairs):
    """Whether another pair has at most the memory and at least the speed, and is not equal."""
    return any(m <= pair[0] and s >= pair[1] and (m, s) != pair for m, s in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_all_points_that_no_other_one_dominates(seed):
    rng = random.Random(seed)
    pairs = [(float(rng.randrange(12)), float(rng.randrange(12))) for _ in range(40)]
    wanted = {i for i, pair in enumerate(pairs) if not is_dominated(pair, pairs)}
    assert set(pareto_front(pairs)) == wanted


def test_the_front_is_drawn_as_the_best_speed_within_each_memory():
    points = [measured(30.0, 900.0, "c"), measured(10.0, 500.0, "a"), measured(20.0, 400.0, "b")]
    (chart,) = speed_blocks(points)
    dots, front = chart.series
    assert (list(chart.x), list(dots.values)) == ([10.0, 20.0, 30.0], [500.0, 400.0, 900.0])
    assert (front.kind, list(front.values)) == (Kind.steps, [500.0, 500.0, 900.0])
    assert list(dots.labels) == ["a", "b", "c"] and "little memory): a, c." in chart.note


def test_points_that_shared_an_engine_or_replicas_are_left_out_and_counted():
    alone = [measured(10.0, 500.0, "a"), measured(20.0, 600.0, "b")]
    shared = [measured(5.0, 900.0, "c", num_sharing=3), measured(5.0, 900.0, "d", num_beside=1)]
    chart, note = speed_blocks([*alone, *shared])
    assert isinstance(chart, Chart) and len(chart.x) == 2
    assert isinstance(note, Note) and note.text.startswith("2 points shared an engine")


def test_nothing_is_drawn_where_all_points_shared_an_engine():
    (note,) = speed_blocks([measured(5.0, 900.0, n, num_sharing=2) for n in "ab"])
    assert isinstance(note, Note) and "is not drawn" in note.text
    assert "hydra.sweeper.max_batch_size=1" in note.text


def test_points_without_a_finite_figure_and_single_points_are_not_drawn():
    odd = [measured(None, 5.0), measured(5.0, float("nan")), measured("x", 5.0)]
    assert speed_blocks([*odd, measured(5.0, 6.0)]) == []
    assert speed_blocks([point(status="failed")]) == []


def test_short_runs_are_noted():
    (chart,) = speed_blocks([measured(1.0, 5.0, "a", generate_s=2.0), measured(2.0, 6.0, "b")])
    assert "too short to compare speeds" in chart.note
