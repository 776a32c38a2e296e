"""The star of a sweep: which point gets it, and the notes if none does."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scored_points import TEXTS, rows

from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.table import write_tables
from rollout.sweeps.lines import table_lines

SPEED, SCORE = "output_tokens_per_s", "scores.pass@1"


def plain(name, status="done", **figures):
    return Point(name, {"seed": name}, f"runs/{name}", status=status, figures=figures)


# Scores.


def test_a_point_that_beats_every_other_row_by_row_has_the_star(scored):
    points = [scored("a", rows(0.5)), scored("b", rows(1.0, 1)), scored("c", rows(0.4, 2))]
    found = rank(points, SCORE)
    assert found.star is points[1] and found.headline.startswith("best pass@1: ")
    assert found.headline.endswith(" at b")
    assert found.notes == [
        "b is better than every other point (paired bootstrap over the same 40 rows, 95%)"
    ]
    assert found.differs == {points[0].run_dir: True, points[2].run_dir: True}


def test_points_that_may_differ_by_chance_have_no_star_and_are_named(scored):
    """The highest of three equal points was called best, then `highest t=0.3` was read as t."""
    points = [scored("a", rows(1.0, 1)), scored("b", rows(1.0, 2)), scored("c", rows(0.3, 3))]
    found = rank(points, SCORE)
    first, second = found.ranked[:2]
    assert found.star is None and found.headline.startswith("highest pass@1: ")
    assert found.headline.endswith(f" at {first.name}")
    assert found.notes == [
        f"{first.name} is not distinguishable from {second.name} "
        "(paired bootstrap over the same 40 rows, 95%)"
    ]
    assert found.differs == {second.run_dir: False, points[2].run_dir: True}


def test_rows_are_joined_by_their_prompt_and_not_by_their_place(scored):
    better, worse = rows(0.9), np.maximum(rows(0.9) - 1, 0)
    turned = scored("a", better[::-1], TEXTS[::-1])
    assert rank([turned, scored("b", worse)], SCORE).star is turned
    half = scored("c", better[::2], TEXTS[::2])
    assert "over the same 20 rows" in rank([half, scored("d", rows(0.2))], SCORE).notes[0]


def test_the_kth_of_equal_prompts_is_the_kth_at_the_other_point(scored):
    twice = ["p", "q"] * 20
    better = scored("a", rows(0.9), twice)
    found = rank([better, scored("b", np.maximum(rows(0.9) - 1, 0), twice)], SCORE)
    assert found.star is better and "over the same 40 rows" in found.notes[0]


def test_points_that_ask_by_another_column_are_still_of_the_same_rows(scored):
    points = [scored("a", [8] * 40), scored("b", [0] * 40, columns={"in_chinese": TEXTS[::-1]})]
    points[1].prompt_keys = ["in_chinese"]
    assert rank(points, SCORE).star is points[0]


def test_points_that_share_a_column_but_no_row_are_not_compared(scored):
    """With data.template, rows were joined by its first column: a star for other rows' scores."""
    same, texts = ["CTX"] * 40, [f"q {i}" for i in range(80)]
    points = [scored("a", [8] * 40, same, columns={"question": texts[:40]}),
              scored("b", [0] * 40, same, columns={"question": texts[40:]})]  # fmt: skip
    for point in points:
        point.prompt_keys = ["prompt", "question"]
    found = rank(points, SCORE)
    assert found.star is None and "no prompt was judged for both" in found.notes[0]


def test_rows_that_could_not_be_judged_at_one_point_are_in_no_comparison(scored):
    unjudged = [["unjudged"] * 8] * 10 + [["right"] * 8] * 30
    one = scored("a", [8] * 40, columns={"verdicts": unjudged})
    assert "over the same 30 rows" in rank([one, scored("b", [0] * 40)], SCORE).notes[0]


@pytest.mark.parametrize("what", ["gone", "damaged", "other prompts", "no name"])
def test_with_an_unusable_scored_file_no_point_is_best_and_a_note_says_why(scored, what):
    one, other = scored("a", [8] * 40), scored("b", [0] * 40, [what, *TEXTS[1:]])
    if what == "other prompts":
        other = scored("c", [0] * 40, [f"other {i}" for i in range(40)])
    elif what == "gone":
        (other.run_dir / "scored.parquet").unlink()
    elif what == "no name":
        other.figures["scores"]["path"] = "\ud800.parquet"  # from a damaged record
    else:
        (other.run_dir / "scored.parquet").write_bytes(b"PAR1 and no more")
    found = rank([one, other], SCORE)
    reason = {"damaged": "can't be read", "other prompts": "no prompt"}.get(what, "is gone")
    assert found.star is None and reason in found.notes[0]
    assert f"{one.name} is not known to be better than {other.name} (" in found.notes[0]


def test_a_moved_sweep_is_compared_by_its_files_in_the_new_place(scored, tmp_path):
    points = [scored("a", [8] * 40), scored("b", [0] * 40)]
    (tmp_path / "moved").mkdir()
    for point in points:
        point.run_dir = point.run_dir.rename(tmp_path / "moved" / point.name)
    assert rank(points, SCORE).star is points[0]


def test_a_file_that_was_scored_again_is_compared_again(scored, tmp_path):
    one, other = scored("a", [8] * 40), scored("b", [0] * 40)
    assert rank([one, other], SCORE).star is one
    again = scored("again", [8] * 40)
    (again.run_dir / "scored.parquet").replace(other.run_dir / "scored.parquet")
    assert rank([one, other], SCORE).star is None


def test_without_resamples_no_point_is_best(scored):
    points = [scored("a", [8] * 40, resamples=0), scored("b", [0] * 40)]
    found = rank(points, SCORE)
    assert found.star is None and "estimate.resamples=0" in found.notes[0]


def test_one_point_alone_is_not_best(scored):
    found = rank([scored("a", [8] * 40)], SCORE)
    assert found.star is None and found.notes == []
    assert found.headline == "highest pass@1: 100.0% (10-20) at a"


def test_pass_at_k_and_the_vote_are_compared_row_by_row_too(scored):
    same = [["4"] * 8] * 40
    points = [scored("a", [8] * 40, columns={"extracted": same}),
              scored("b", [1] * 40, columns={"extracted": same})]  # fmt: skip
    for figure, first, second in [("pass@8", 1.0, 1.0), ("pass@2", 1.0, 0.25), ("maj@n", 1.0, 0.1)]:
        for point, value in zip(points, (first, second), strict=True):
            point.figures["scores"][figure] = value
        assert bool(rank(points, f"scores.{figure}").star) is (figure != "pass@8")


def test_the_table_has_the_interval_in_every_form(scored, tmp_path):
    ranking = rank(points := [scored("a", [8] * 40), scored("b", [0] * 40)], SCORE)
    assert not write_tables(tmp_path, points, ranking)
    table = pq.read_table(tmp_path / "sweep.parquet")
    assert table["pass@1_low"].to_pylist() == [0.1, 0.1]
    assert table["differs_from_best"].to_pylist() == [None, True]
    assert "pass@1,pass@1_low,pass@1_high" in (tmp_path / "sweep.csv").read_text()
    page = (tmp_path / "sweep.html").read_text()
    assert "Best pass@1: 100.0% (10-20) at a" in page and "★ the best point" in page
    assert "pass@1_low" not in page
    assert table_lines(points, ranking)[1].split() == ["*", "a", "done", "100.0%", "(10-20)"]


# Speeds and other figures.


def test_speeds_of_points_that_shared_an_engine_are_not_ranked():
    points = [plain(n, output_tokens_per_s=s, num_sharing=2) for n, s in (("a", 1.0), ("b", 2.0))]
    found = rank(points, SPEED)
    assert found.star is None and found.headline == "" and found.ranked == []
    assert found.notes[0].startswith("not ranked by output_tokens_per_s: b, a. Points side by side")
    assert "hydra.sweeper.max_batch_size=1" in found.notes[0]


@pytest.mark.parametrize(
    "key",
    [
        "generate_s",
        "output_tokens_per_s_per_gpu",
        "wall_s",
        "output_tokens_per_gpu_hour",
        "energy_j",
        "gpu_hours",
    ],
)
def test_all_times_and_rates_are_speeds(key):
    assert rank([plain(n, num_sharing=2, **{key: 1.0}) for n in "ab"], key).ranked == []


def test_points_that_had_the_engine_to_themselves_are_ranked_without_the_others():
    points = [plain(n, output_tokens_per_s=s, num_sharing=k, generate_s=20.0)
              for n, s, k in (("a", 1.0, 1), ("b", 2.0, 1), ("c", 9.0, 2))]  # fmt: skip
    found = rank(points, SPEED)
    assert found.star is points[1] and found.headline == "highest output_tokens_per_s: 2 at b"
    assert found.notes[0].startswith("not ranked by output_tokens_per_s: c.")


def test_speeds_of_points_whose_engines_divided_the_replicas_are_not_ranked():
    """One had three of five replicas, the other two."""
    points = [plain(n, output_tokens_per_s=s, num_sharing=1, num_beside=1, generate_s=60.0)
              for n, s in (("a", 1.0), ("b", 2.0))]  # fmt: skip
    found = rank([*points, plain("c", output_tokens_per_s=0.5, generate_s=60.0)], SPEED)
    assert [point.name for point in found.ranked] == ["c"] and found.star is None
    assert "a, b" in found.notes[0].replace("b, a", "a, b")
    assert "hydra.sweeper.max_batch_size=1" in found.notes[0]


def test_speeds_of_a_few_seconds_make_no_best_point():
    points = [plain(n, output_tokens_per_s=s, generate_s=9.0) for n, s in (("a", 1.0), ("b", 2.0))]
    found = rank(points, SPEED)
    assert found.star is None and "too short to compare speeds" in found.notes[0]


def test_of_another_figure_the_highest_is_marked_and_not_called_best():
    points = [plain("a", distinct_fraction=0.5), plain("b", distinct_fraction=0.7)]
    found = rank(points, "distinct_fraction")
    assert found.star is points[1] and "was not tested" in found.notes[0]
    assert found.headline == "highest distinct_fraction: 70.0% at b"
    points = [plain("a", truncated_fraction=0.5), plain("b", truncated_fraction=0.7)]
    assert rank(points, "truncated_fraction").headline == "lowest truncated_fraction: 50.0% at a"


def test_of_equal_figures_none_is_marked():
    """The first of four points without a truncated response had the star."""
    found = rank([plain(n, truncated_fraction=0.0) for n in "abc"], "truncated_fraction")
    assert found.star is None and found.notes == ["a, b, c have the same value"]


def test_a_figure_that_no_point_has_is_noted():
    note = "no point has a value for objective=scores.pass@3; type postprocess.estimate.k=[3]"
    assert rank([plain("a")], "scores.pass@3").notes[0].startswith(note)
    assert rank([plain("a", "failed")], "scores.pass@3").notes == []


# The headline.


def test_a_tie_names_every_point_and_of_many_their_number():
    """One of two equal points was announced as the highest."""
    points = [plain(name, distinct_fraction=0.5) for name in "abcd"]
    said = [rank(points[:n], "distinct_fraction").headline for n in (2, 4)]
    assert said == ["highest distinct_fraction: 50.0% at 2 points (a, b)",
                    "highest distinct_fraction: 50.0% at 4 points"]  # fmt: skip


def test_a_tie_with_different_intervals_has_its_value_alone(scored):
    """Two points of one score, one above the other by the order of their launch."""
    right = rows(0.5)
    points = [scored("a", right), scored("b", right[::-1])]
    points[1].figures["scores"]["intervals"] = {"pass@1": [0.1, 0.3]}
    headline = rank(points, SCORE).headline
    assert headline.startswith("highest pass@1: ")
    assert headline.endswith("% at 2 points (a, b)")


@pytest.mark.parametrize("status", ["running", "waiting", "interrupted"])
def test_the_first_of_an_unfinished_sweep_is_the_first_so_far(status):
    points = [plain("a", distinct_fraction=0.5), plain("b", status)]
    headline = rank(points, "distinct_fraction").headline
    assert headline == "highest distinct_fraction so far: 50.0% at a"
