"""The table of a sweep's page: swept keys and the objective first, nothing twice."""

from scored_sweep import scored_sweep
from sweep_points import FIGURES, SPEED, point

from rollout.report.sweep.page_table import page_table
from rollout.report.sweep.ranking import rank

SCORE = "scores.pass@1"


def made(points, objective=SPEED):
    return page_table(points, rank(points, objective))


def labels(points, objective=SPEED):
    return [column.label for column in made(points, objective)[0].columns]


def scored(temperature, score, **more):
    scores = {"path": "x", "pass@1": score, "mean": score, "pass@4": score + 0.1, "best@n": 0.9,
              "intervals": {"pass@1": [score - 0.05, score + 0.05]}}  # fmt: skip
    return point(temperature, figures=FIGURES | {"scores": scores}, speed=100.0, **more)


def test_swept_keys_come_first_then_the_objective_then_scores_quality_and_costs():
    points = [scored("0.5", 0.6), scored("1.0", 0.4)]
    points[1].figures |= {"mean_response_tokens": 99.0, "generate_s": 5.0, "num_failed": 1}
    assert labels(points, SCORE) == [
        "temperature",
        "pass@1",
        "pass@4",
        "mean len",
        "time",
        "failed",
    ]


def test_no_figure_is_in_two_columns():
    points = [scored("0.5", 0.6), scored("1.0", 0.4)]
    for objective in (SCORE, SPEED, "distinct_fraction", "num_rows", "kv_cache_usage_peak"):
        for i, p in enumerate(points):
            p.figures |= {SPEED: float(i), "kv_cache_usage_peak": i / 2, "distinct_fraction": i / 2}
        found = labels(points, objective)
        assert len(set(found)) == len(found)
        assert found[0] == "temperature"


def test_a_mean_that_repeats_pass_at_1_is_left_out_and_said():
    table, _ = made([scored("0.5", 0.6), scored("1.0", 0.4)], SCORE)
    assert "mean" not in [column.label for column in table.columns]
    assert "mean is pass@1 here." in table.note


def test_what_all_points_share_is_said_once_above():
    table, shared = made([scored("0.5", 0.6, engine=1), scored("1.0", 0.4, engine=1)], SCORE)
    assert shared.startswith("All points: 2 rows, 2 samples each, no row failed, one engine load, ")
    assert "truncated 3.4%" in shared and "truncated" not in [c.label for c in table.columns]


def test_a_swept_key_with_one_value_is_said_above_too():
    points = [point(values={"sampling.seed": "1", "sampling.top_p": p}, speed=1.0)
              for p in ("0.9", "1")]  # fmt: skip
    table, shared = made(points)
    assert "seed=1" in shared and table.columns[0].label == "top_p"


def test_cells_are_sorted_by_numbers_and_missing_values_have_none():
    points = [
        point("10", speed=1234.5),
        point("9", speed=None, status="waiting"),
        point("2", speed=7.0),
    ]
    table, _ = made(points)
    assert [row.sort_keys[0] for row in table.rows] == [10.0, 9.0, 2.0]
    place = [column.label for column in table.columns].index("tokens/s")
    assert [row.sort_keys[place] for row in table.rows] == [1234.5, None, 7.0]
    assert [row.cells[place] for row in table.rows] == ["1,234", "", "7"]


def test_the_marked_point_is_best_and_the_note_says_what_that_means():
    points = [point("1", speed=10.0, figures=FIGURES), point("2", speed=20.0, figures=FIGURES)]
    table, _ = made(points)
    assert [row.style for row in table.rows] == ["", "best"] and table.rows[1].cells[0] == "2 ★"
    assert table.rows[1].sort_keys[0] == 2.0 and table.note == "★ the highest value."


def test_a_status_is_shown_only_where_points_differ_from_done():
    done = [point("1", speed=1.0), point("2", speed=2.0)]
    assert "status" not in labels(done)
    table, _ = made([*done, point("3", "interrupted", error="3 of 9 rows"), point("4", "waiting")])
    place = [column.label for column in table.columns].index("status")
    assert [row.cells[place] for row in table.rows[2:]] == ["not finished", "not started"]
    assert table.rows[2].detail == "3 of 9 rows"


def test_points_that_their_values_do_not_tell_apart_have_their_names():
    points = [point("1", speed=1.0, name="a"), point("1", speed=2.0, name="b")]
    table, _ = made(points)
    assert table.columns[0].label == "point" and table.rows[0].cells[0] == "a"


def test_one_point_keeps_its_columns_and_figures_may_be_odd():
    assert "truncated" in labels([point("1", figures=FIGURES)])
    odd = [point("1", figures={"num_rows": "x", "load_s": True, "wall_s": float("nan")})]
    assert made(odd)[0].rows[0].cells[0] == "sampling.temperature=1"
    assert made([])[0].rows == []


def test_all_pass_at_k_stand_side_by_side_and_details_are_last(tmp_path):
    """pass@2 was behind the times, far from pass@1 and pass@8."""
    points = scored_sweep(tmp_path, [{"sampling.temperature": t} for t in ("0.2", "1.7")])
    points[0].figures |= {"wall_s": 1.0, "load_s": 3.0, "peak_memory_gib": 2.0}
    labels = [c.label for c in page_table(points, rank(points, "scores.pass@1"))[0].columns]
    assert labels[:5] == ["temperature", "pass@1", "pass@2", "pass@4", "pass@8"]
    assert labels.index("pass@8") < labels.index("wall") < labels.index("load")
