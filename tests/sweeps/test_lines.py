"""A sweep's lines on a terminal: they fit its width, and count the points left out."""

import pytest
from rich.cells import cell_len
from sweep_points import FIGURES, SPEED, drawn, point

from rollout.report.sweep.ranking import rank
from rollout.sweeps.lines import MAX_LIVE_LINES, table_lines


def test_the_lines_are_a_table_with_a_star_before_the_best():
    points = [
        point("0.2", speed=2921.3, figures=FIGURES), point("0.75", speed=3421.0, figures=FIGURES),
        point("1.0", status="failed", error="died"),
    ]  # fmt: skip
    labels = "mean len  p95 len  truncated  distinct  time   load   GiB"
    figures = "123      512       3.4%    100.0%  2:07  18.3s  12.5"
    assert table_lines(points, rank(points, SPEED)) == [
        f"  temperature  status  tokens/s  {labels}",
        f"          0.2  done       2,921       {figures}",
        f"*        0.75  done       3,421       {figures}",
        "          1.0  failed",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
def test_lines_fit_the_width_by_leaving_columns_out(width):
    points = [point("0.2" * 40, speed=2921.3, figures=FIGURES, values={"m": "模型" * 9, "n": "1"})]
    lines = table_lines(points, rank(points, SPEED), width)
    assert len(lines) == 2
    assert max(map(cell_len, lines)) <= width


def test_the_swept_values_and_the_objective_outlast_the_other_columns():
    points = [point("0.2", speed=2921.3, figures=FIGURES | {"score": {"mean": 0.51234}})]
    header = table_lines(points, rank(points, "score.mean"), 38)[0]
    assert header.split() == ["temperature", "status", "mean", "tokens/s"]
    header = table_lines(points, rank(points, "load_s"), 32)[0]
    assert header.split() == ["temperature", "status", "load"]


def test_a_short_name_that_two_keys_share_is_written_whole():
    points = [point(values={"model.seed": "1", "sampling.seed": "2", "sampling.top_p": "1"})]
    header = table_lines(points, rank(points, SPEED))[0]
    assert header.split() == ["model.seed", "sampling.seed", "top_p", "status"]


def test_points_without_swept_values_are_listed_by_name():
    alone = [point(values={}, name="alone")]
    assert table_lines(alone, rank(alone, SPEED))[1] == "  alone  done"
    assert table_lines([], rank([], SPEED)) == []


def test_long_values_keep_the_ends_in_which_they_differ():
    points = [point("/models/a/very/long/path/to/some/weights/" + end) for end in ("v1", "v2")]
    first, second = table_lines(points, rank(points, SPEED))[1:]
    assert "weights/v1" in first and "weights/v2" in second


def test_while_it_runs_rows_and_rates_so_far_are_shown():
    points = [
        point("0.2", speed=99.0, figures=FIGURES),
        point("0.7", "running"),
        point("1", "failed"),
    ]
    unknown = drawn(points, {points[1].name: (0, 4000, None)})
    assert unknown[1].split() == ["0.7", "running", "0/4,000"]
    lines = drawn(points, {points[1].name: (12, 4000, 812.7)})
    assert lines[0].split()[:4] == ["temperature", "status", "rows", "tokens/s"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["0.7", "running", "12/4,000", "813"], ["1", "failed"], ["0.2", "done", "2", "99"],
    ]  # fmt: skip


def test_the_live_table_counts_what_it_has_no_room_for():
    statuses = ["done"] * 40 + ["failed"] * 2 + ["running"] * 3 + ["waiting"] * 15
    points = [point(str(i), status) for i, status in enumerate(statuses)]
    lines = drawn(points)
    assert len(lines) == 1 + MAX_LIVE_LINES + 1
    assert [line.split()[1] for line in lines[1:7]] == ["running"] * 3 + ["failed"] * 2 + ["done"]
    assert lines[-2].split() == ["39", "done"]
    assert lines[-1] == "and 40 more (25 done, 15 waiting)"


@pytest.mark.parametrize("width", [10, 30, 80])
def test_the_live_table_never_wraps(width):
    points = [point(str(i), "running", speed=1.0, figures=FIGURES) for i in range(30)]
    lines = drawn(points, width=width)
    assert len(lines) == 1 + MAX_LIVE_LINES + 1
    assert max(map(len, lines)) <= width


def test_names_are_not_markup_on_a_terminal():
    lines = drawn([point(values={"model": "[red]a[/red]"}, status="running")])
    assert "[red]a[/red]" in lines[1]


def scored(temperature, **scores):
    return point(temperature, figures={"scores": {k.replace("_", "@"): v for k, v in
                                                  scores.items()}})  # fmt: skip


def test_scores_are_all_in_percent_and_none_stands_twice():
    """mean was 0.438 beside pass@1 of 43.8%, and the same figure."""
    points = [scored("0.2", pass_1=0.4375, pass_4=0.6, mean=0.4375, best_n=0.6),
              scored("0.7", pass_1=0.5, pass_4=0.7, mean=0.5, best_n=0.7)]  # fmt: skip
    header, first, _ = table_lines(points, rank(points, "scores.pass@1"))
    assert header.split() == ["temperature", "status", "pass@1", "pass@4"]
    assert first.split() == ["0.2", "done", "43.8%", "60.0%"]


def test_a_mean_that_says_more_than_pass_at_1_has_the_same_unit():
    points = [scored("0.2", pass_1=0.4, mean=0.438), scored("0.7", pass_1=0.4, mean=0.4)]
    lines = table_lines(points, rank(points, "scores.pass@1"))
    assert [line.split()[-1] for line in lines] == ["mean", "43.8%", "40.0%"]


def test_points_on_a_large_scale_have_plain_numbers():
    points = [scored("0.2", mean=8.25), scored("0.7", mean=45.0)]
    lines = table_lines(points, rank(points, "scores.mean"))
    assert [line.split()[-1] for line in lines[1:]] == ["8.25", "45"]
