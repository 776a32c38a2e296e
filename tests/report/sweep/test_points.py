"""The order of a sweep's points: the objective's figure, and whether more of it is better."""

import pytest
from sweep_points import SPEED, point

from rollout.report.sweep.points import is_maximized, objective_of, ranked


@pytest.mark.parametrize(
    ("key", "value"),
    [("speed", 2.0), ("engine.slots", 3.0), ("engine", None), ("engine.gone", None),
     ("speed.x", None), ("flag", None), ("text", None), ("huge", None)],
)  # fmt: skip
def test_an_objective_is_a_number_under_a_dotted_key_or_nothing(key, value):
    figures = {"speed": 2, "engine": {"slots": 3}, "flag": True, "text": "2", "huge": 10**400}
    assert objective_of(figures, key) == value


def test_the_first_point_is_done_finite_and_the_first_of_equals():
    points = [
        point("1", speed=float("nan")), point("2", speed=float("inf")), point("3", speed=5.0),
        point("4", speed=9.0, status="failed"), point("5", speed=7.0), point("6", speed=7.0),
        point("7"),
    ]  # fmt: skip
    assert ranked(points, SPEED, maximize=True)[0] is points[4]
    assert ranked(points, SPEED, maximize=False)[0] is points[2]


def test_there_is_no_first_point_where_none_has_the_figure():
    assert ranked([point(), point(status="failed")], SPEED, True) == []


@pytest.mark.parametrize(
    "key", [SPEED, "requests_per_s", "output_tokens_per_s_per_gpu", "distinct_fraction",
            "prefix_cache_hit_rate", "num_samples", "scores.accuracy",
            "output_tokens_per_gpu_hour", "output_tokens_per_j"],
)  # fmt: skip
def test_more_is_better_of_rates_and_of_what_is_unknown(key):
    assert is_maximized(key)


@pytest.mark.parametrize(
    "key", ["generate_s", "load_s", "times.wall_s", "truncated_fraction", "empty_fraction",
            "repetitive_fraction", "num_unclosed", "num_failed", "num_preemptions", "num_empty",
            "num_truncated", "peak_memory_gib",
            "num_engine_restarts", "mean_response_tokens", "p95_response_tokens", "reload_s",
            "energy_j", "gpu_hours", "num_discarded_tokens"],
)  # fmt: skip
def test_less_is_better_of_time_memory_faults_and_lengths(key):
    assert not is_maximized(key)
