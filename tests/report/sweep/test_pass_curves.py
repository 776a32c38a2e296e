"""pass@k against k: a curve for each scored point, with its intervals."""

from sweep_points import point

from rollout.report.sweep.pass_curves import MAX_POINTS, pass_curves


def scored(name, passes, status="done", **spans):
    intervals = {key.replace("_", "@"): span for key, span in spans.items()}
    scores = {f"pass@{k}": value for k, value in passes.items()} | {"intervals": intervals}
    return point(name=name, status=status, figures={"scores": {"path": "x", **scores}})


def test_each_scored_point_is_a_curve_over_its_ks():
    points = [
        scored("a", {1: 0.2, 2: 0.3, 4: 0.5}, pass_1=[0.1, 0.3]),
        scored("b", {1: 0.1, 4: 0.4}),
    ]
    found = pass_curves(points, points)
    assert list(found.ticks) == ["1", "2", "4"] and [s.name for s in found.series] == ["a", "b"]
    assert [list(s.values) for s in found.series] == [[0.2, 0.3, 0.5], [0.1, None, 0.4]]
    assert list(found.series[0].low) == [0.1, None, None] and found.series[1].low is None


def test_ks_that_are_no_powers_are_numbers():
    found = pass_curves([scored("a", {1: 0.2, 5: 0.3, 100: 0.5})], [])
    assert list(found.x) == [1.0, 5.0, 100.0] and found.ticks is None


def test_of_many_points_the_best_are_drawn_in_the_order_of_launch():
    points = [scored(f"p{i}", {1: i / 20, 2: 0.9}) for i in range(12)]
    found = pass_curves(points, points[::-1])
    assert [s.name for s in found.series] == [f"p{i}" for i in range(12 - MAX_POINTS, 12)]
    assert "4 more are in the table" in found.note


def test_points_that_were_not_scored_or_have_one_k_have_no_curve():
    points = [scored("a", {1: 0.2}), point(), scored("c", {1: 0.1, 2: 0.2}, "failed")]
    assert pass_curves(points, []) is None
