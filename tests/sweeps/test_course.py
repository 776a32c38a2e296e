"""How far a sweep is: over all points of the command."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rollout.engines.base import EngineStats
from rollout.engines.slot import together
from rollout.report.sweep.points import Point
from rollout.runs.outlook import Outlook
from rollout.runs.tally import Tally
from rollout.sweeps.progress import PointConsole
from rollout.sweeps.running import Course, Running
from rollout.system.console import Console
from rollout.system.status import Status


def point(name, status="waiting", num_rows=100, n=2):
    sampling = SimpleNamespace(n_samples=n)
    job = SimpleNamespace(
        prompts=SimpleNamespace(num_rows=num_rows), settings=SimpleNamespace(sampling=sampling)
    )
    return Point(name, {}, Path(name), status=status, job=job)


def batch(*points, fraction, left_s=10.0, num_rows=0):
    """Return what Course reads of a batch that runs."""
    report = SimpleNamespace(tally=Tally(num_samples=2 * num_rows), num_rows_done=num_rows)
    report.num_gpus = 0
    attempt = SimpleNamespace(report=report)
    return SimpleNamespace(
        points=[(p, attempt) for p in points], num_samples_before=[0] * len(points),
        ahead=Outlook(fraction, left_s, left_s, left_s), tally=report.tally,
        counters=EngineStats(), rates=SimpleNamespace(now=5.0, average=4.0),
    )  # fmt: skip


def test_a_point_has_no_rate_until_a_row_of_it_is_finished():
    """It was 0: tokens in flight can't be split between points that share an engine."""
    standing = SimpleNamespace(num_rows=8, num_owed=8, num_owed_samples=16,
                               num_samples_done=lambda n: 0)  # fmt: skip
    report = SimpleNamespace(tally=Tally(), num_rows_done=0)
    running = Running([(point("a"), SimpleNamespace(report=report, standing=standing))])
    running.elapsed_s = 5.0
    assert list(running.rows()) == [("a", (0, 8, None))]
    report.tally.num_output_tokens = 50
    assert list(running.rows()) == [("a", (0, 8, 10.0))]


@pytest.fixture
def points():
    made = [point("a", "running"), point("b"), point("c", "done"), point("d", num_rows=300)]
    return {p.run_dir: p for p in made}


def test_points_that_wait_count_as_not_begun_and_those_that_ended_as_done(points):
    a = points[Path("a")]
    status = Course(points).status([batch(a, fraction=0.5, num_rows=50)], 20.0)
    assert status.fraction == (50 + 100) / 600
    assert status.phrases == ("150/600 rows", "300/1,200 samples", "1/4 points")


def test_the_fraction_never_goes_back_until_points_are_added(points):
    a, course = points[Path("a")], Course(points)
    seen = [course.status([batch(a, fraction=f)], 20.0).fraction for f in (0.6, 0.4)]
    assert seen[1] == seen[0] > 0
    points[Path("e")] = point("e")
    assert course.status([batch(a, fraction=0.4)], 20.0).fraction < seen[0]


def test_the_time_left_counts_points_that_wait_by_the_pace_so_far(points):
    a, course = points[Path("a")], Course(points)
    course.status([batch(a, fraction=0.0)], 0.0)
    status = course.status([batch(a, fraction=1.0)], 20.0)
    assert status.left_s == 20.0 * (100 + 300) / 100
    for waiting in ("b", "d"):
        points[Path(waiting)].status = "done"
    assert course.status([batch(a, fraction=1.0, left_s=3.0)], 21.0).left_s == 3.0


def test_points_that_are_not_composed_yet_count_as_not_begun_and_as_the_mean(points):
    """With one point a batch, the bar said 100 % and went back at each."""
    a, course = points[Path("a")], Course(points)
    for waiting in ("b", "d"):
        points[Path(waiting)].status = "done"
    status = course.status([batch(a, fraction=1.0, num_rows=100)], 20.0, num_to_come=2)
    assert status.fraction == pytest.approx(4 / 6)
    assert status.phrases == (
        "600/600 rows so far", "1,200/1,200 samples so far", "3/6 points")  # fmt: skip
    points[Path("e")], a.status = point("e", "running"), "done"
    batches = [batch(points[Path("e")], fraction=0.0)]
    assert course.status(batches, 21.0, num_to_come=1).fraction == pytest.approx(600 / 840)


def test_an_optimizer_may_add_points_so_nothing_is_over_and_no_time_left_is_known(points):
    a, course = points[Path("a")], Course(points)
    for waiting in ("b", "d"):
        points[Path(waiting)].status = "done"
    status = course.status([batch(a, fraction=1.0)], 20.0, num_to_come=None)
    assert (status.percent, status.left_s) == (" 99%", None)
    assert status.phrases[-1] == "3/4 of the points so far"


def test_a_failed_point_keeps_the_rows_that_it_finished(points):
    a, course = points[Path("a")], Course(points)
    course.status([batch(a, fraction=0.5, num_rows=50)], 20.0)
    a.status, b = "failed", points[Path("b")]
    b.status = "running"
    status = course.status([batch(b, fraction=0.0)], 30.0)
    assert status.fraction == 200 / 600 and status.phrases[0] == "150/600 rows"


def test_figures_of_engines_side_by_side_are_joined():
    each = [EngineStats(num_running=n, kv_cache_usage=n / 10, memory_gib=n) for n in (2, 4)]
    total = together(each, each)
    assert (total.num_running, total.memory_gib) == (6, 4)
    assert total.kv_cache_usage == pytest.approx(0.3)


def test_a_point_shows_no_progress_of_its_own(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with PointConsole(Console(), "a", is_first=True).progress() as progress:
        now[0] += 60.0
        progress.update(Status(0.5, ("1/2 rows",)))
    assert capfd.readouterr() == ("", "")
