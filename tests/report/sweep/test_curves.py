"""Charts of a figure against the swept keys: each value drawn is one point's own."""

import itertools

import pytest
from sweep_points import FIGURES, SPEED, point

from rollout.report.charts import Chart, Format, HeatMap, Kind
from rollout.report.page import Note
from rollout.report.sweep.axes import axes_of, constants_of
from rollout.report.sweep.curves import MAX_MAPS, MAX_SERIES, Field, curve, heat_maps
from rollout.report.sweep.measures import measure_of
from rollout.report.sweep.ranking import rank

DISTINCT = "distinct_fraction"


def swept(distinct, status="done", **values):
    figures = FIGURES | {DISTINCT: distinct, "scores": {"pass@1": distinct,
              "intervals": {"pass@1": [distinct - 0.1, distinct + 0.1]}}}  # fmt: skip
    keys = {f"sampling.{key}": value for key, value in values.items()}
    return point(values=keys, status=status, figures=figures)


def drawn(points, name="scores.pass@1") -> Chart | None:
    return curve(field_of(points), measure_of(points, name, {}), "objective")


def maps(points, name="scores.pass@1"):
    return heat_maps(field_of(points), measure_of(points, name, {}), "map")


def field_of(points) -> Field:
    ranked = rank(points, DISTINCT).ranked
    return Field(points, axes_of(points), {points.index(p): i for i, p in enumerate(ranked)})


def cross(**axes):
    return [dict(zip(axes, pair, strict=True)) for pair in itertools.product(*axes.values())]


def test_one_number_is_a_line_sorted_by_it_with_the_intervals_of_the_scores():
    points = [swept(0.4, temperature="1.0"), swept(0.6, temperature="0.5")]
    found = drawn(points)
    assert list(found.x) == [0.5, 1.0] and found.ticks is None
    (line,) = found.series
    assert (line.kind, list(line.values)) == (Kind.line, [0.6, 0.4])
    assert line.low == pytest.approx([0.5, 0.3]) and line.high == pytest.approx([0.7, 0.5])
    assert found.y_format is Format.percent


def test_texts_are_points_over_ticks():
    found = drawn([swept(0.4, model="b"), swept(0.6, model="a"), swept(0.5, model="c")])
    assert list(found.ticks) == ["b", "a", "c"] and list(found.x) == [0, 1, 2]
    assert found.series[0].kind is Kind.points and list(found.series[0].values) == [0.4, 0.6, 0.5]


def test_another_key_makes_a_series_of_each_of_its_values():
    points = [swept(float(v["temperature"]) / 10 + float(v["top_p"]) / 100, **v)
              for v in cross(temperature=["0.5", "1", "2"], top_p=["0.9", "1"])]  # fmt: skip
    found = drawn(points)
    assert [series.name for series in found.series] == ["top_p=0.9", "top_p=1"]
    assert list(found.series[0].values) == pytest.approx([0.059, 0.109, 0.209])
    assert found.x_label == "temperature" and list(found.x) == [0.5, 1.0, 2.0]


def test_of_many_combinations_those_with_the_best_points_are_drawn_and_the_rest_counted():
    axes = cross(temperature=list("123456789"), top_k=list("1234567"), seed=list("01"))
    points = [swept(int(v["seed"]) / 100 + int(v["top_k"]) / 1000, **v) for v in axes]
    best = max(points, key=lambda p: p.figures[DISTINCT])
    found = drawn(points)
    assert len(found.series) == MAX_SERIES and "6 more are in the table" in found.note
    assert best.name in [label for series in found.series for label in series.labels]


def test_every_value_of_a_curve_is_the_figure_of_the_point_it_names():
    axes = cross(temperature=["0.5", "1", "2"], top_p=["0.9", "1"], model=["a", "b"])
    points = [swept(i / 60, **values) for i, values in enumerate(axes)]
    by_name = {p.name: p.figures[DISTINCT] for p in points}
    found = drawn(points)
    pairs = [(label, value) for series in found.series
             for label, value in zip(series.labels, series.values, strict=True)]  # fmt: skip
    assert len(pairs) == len(points) and all(by_name[name] == value for name, value in pairs)


def test_a_second_point_with_the_same_values_is_a_series_of_its_own():
    points = [swept(0.4, temperature="0.5"), swept(0.6, temperature="0.50"),
              swept(0.5, temperature="1")]  # fmt: skip
    found = drawn(points)
    assert [list(series.values) for series in found.series] == [[0.4, 0.5], [0.6, None]]


def test_points_without_the_key_or_the_figure_are_left_out_and_the_first_are_counted():
    points = [swept(0.4, temperature="0.5"), swept(0.6, temperature="1"), swept(0.5, seed="1"),
              swept(0.9, "failed", temperature="2")]  # fmt: skip
    found = drawn(points)
    assert list(found.x) == [0.5, 1.0] and "1 points have no temperature" in found.note


def test_fewer_than_two_values_are_no_chart():
    assert drawn([swept(0.4, temperature="0.5")]) is None
    assert drawn([swept(0.4, temperature="0.5"), swept(0.6, "failed", temperature="1")]) is None
    assert drawn([swept(float("nan"), temperature=t) for t in "12"]) is None


def test_speeds_of_points_that_shared_an_engine_are_not_drawn():
    points = [point(t, speed=float(t), figures={"num_sharing": 2}) for t in "123"]
    assert drawn(points, SPEED) is None


@pytest.mark.parametrize(
    ("texts", "is_log"),
    [(["8", "32", "256"], True), (["0.1", "1"], False), (["1", "2", "3", "4", "20"], False),
     (["0", "8", "64"], False)],
)  # fmt: skip
def test_an_axis_of_whole_numbers_that_grow_by_factors_is_logarithmic(texts, is_log):
    found = drawn([swept(0.1 * i, max_num_seqs=text) for i, text in enumerate(texts)])
    assert (found.x_format is Format.log) == is_log


# Heat maps.


def test_two_keys_are_a_map_with_an_empty_cell_for_a_missing_pair():
    pairs = cross(temperature=["1", "0.5", "2"], top_p=["0.9", "1"])[:-1]
    (found,) = maps([swept(i / 10, **pair) for i, pair in enumerate(pairs)])
    assert (list(found.x_ticks), list(found.y_ticks)) == (["0.5", "1", "2"], ["0.9", "1"])
    assert [list(row) for row in found.values] == [[0.2, 0.0, 0.4], [0.3, 0.1, None]]
    assert found.texts[1][2] == "" and found.texts[0][0] == "20.0% (10-30)"


def test_a_third_key_makes_a_map_of_each_of_its_values_and_no_mean():
    axes = cross(temperature=list("123"), top_k=list("45"), seed=[str(i) for i in range(2)])
    points = [swept(i / 100, **values) for i, values in enumerate(axes)]
    found = maps(points)
    assert len(found) == 2 and {f.name for f in found} == {"map-1", "map-2"}
    cells = [value for f in found for row in f.values for value in row]
    assert sorted(cells) == [p.figures[DISTINCT] for p in points]


def test_of_many_maps_the_first_are_drawn_and_a_note_counts_the_rest():
    axes = cross(temperature=list("123"), top_k=list("123"), model=list("abc"), seed=list("123"))
    found = maps([swept(i / 100, **values) for i, values in enumerate(axes)])
    assert [type(block) for block in found] == [*[HeatMap] * MAX_MAPS, Note]
    assert found[-1].text.startswith("3 more combinations") and "model=c" in found[-2].title


def test_seeds_are_no_axis_while_another_key_varies():
    points = [swept(0.1, seed=s, model=m) for s in "12345" for m in "ab"]
    assert [axis.label for axis in axes_of(points)] == ["model", "seed"]


def test_several_points_for_one_pair_make_a_note_and_no_map():
    points = [swept(0.1, temperature="1", top_p="0.9"), swept(0.2, temperature="1", top_p="0.9"),
              swept(0.3, temperature="2", top_p="1")]  # fmt: skip
    (found,) = maps(points)
    assert isinstance(found, Note) and "same pair of values" in found.text


def test_one_key_has_no_map():
    assert maps([swept(0.1, temperature="1"), swept(0.2, temperature="2")]) == []


# The keys.


def test_keys_that_do_not_vary_are_no_axes():
    points = [swept(0.1, temperature=t, seed="1") for t in "12"]
    assert [axis.label for axis in axes_of(points)] == ["temperature"]
    assert constants_of(points) == [("seed", "1")]


def test_labels_are_whole_keys_where_their_ends_are_alike():
    points = [point(values={"model.a.name": str(i), "data.name": str(i)}) for i in range(2)]
    assert {axis.label for axis in axes_of(points)} == {"model.a.name", "data.name"}
