"""The page made again from sweep.json: at any time, with each point's true state."""

import json

import pytest
from scored_sweep import scored_sweep
from sweep_points import SPEED, point

from rollout.errors import UserError
from rollout.report.html import html_of
from rollout.report.sweep.page_file import page_now
from rollout.report.sweep.record import SweepRecord, recorded_objective, recorded_points

THREE = [{"sampling.temperature": t} for t in ("0.2", "0.7", "1.0")]


def page(directory) -> str:
    return html_of(page_now(directory))


def test_the_page_of_a_finished_sweep_is_made_again(tmp_path):
    scored_sweep(tmp_path, THREE)
    text = page(tmp_path)
    assert "3 points: 3 done" in text and "pass@1 by temperature" in text
    assert ">To resume<" not in text
    assert page(tmp_path) == text


def test_points_that_a_killed_sweep_left_as_running_are_not_finished(tmp_path):
    points = scored_sweep(tmp_path, THREE)
    points[1].status, points[2].status = "running", "waiting"
    for name in ("summary.json", "published.json"):
        (points[1].run_dir / name).unlink()
    run = json.loads((points[1].run_dir / "run.json").read_text())
    run |= {"rollout": "1", "format": 4, "input": {"num_rows": 40}, "rows_per_shard": 8,
            "fingerprint": {"sampling.n_samples": 8}, "kept": [], "cwd": "/"}  # fmt: skip
    (points[1].run_dir / "run.json").write_text(json.dumps(run))
    (points[2].run_dir / "run.json").unlink()
    SweepRecord(tmp_path, ["again.py", "-m"]).write(points, "scores.pass@1", 1.0, num_points=4)
    text = page(tmp_path)
    assert ">To resume<" in text and "1 more point not started yet" in text
    assert "4 points: 1 done, 1 not finished, 2 not started" in text
    assert "0 of 40 rows are finished and on disk" in text


def test_points_without_a_directory_are_there_if_they_wait_or_were_refused(tmp_path):
    points = scored_sweep(tmp_path, THREE[:1])
    waits = point("2", "waiting", name="w")
    refused = point("-1", "failed", error="must be at least 0", name="r")
    gone = point("3", speed=1.0, name="g")
    for p in (waits, refused, gone):
        p.run_dir = tmp_path / p.name
    SweepRecord(tmp_path, []).write([*points, waits, refused, gone], SPEED, 1.0)
    text = page(tmp_path)
    assert "3 points: 1 done, 1 failed, 1 not started" in text and "must be at least 0" in text
    assert len(recorded_points(tmp_path)) == 1


def test_an_old_record_is_ranked_by_its_scores_or_by_speed(tmp_path):
    points = scored_sweep(tmp_path, THREE)
    assert recorded_objective(tmp_path, [p.figures for p in points]) == "scores.pass@1"
    record = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({"points": record["points"]}))
    assert recorded_objective(tmp_path, [p.figures for p in points]) == "scores.pass@1"
    assert recorded_objective(tmp_path, [point(speed=1.0).figures]) == SPEED
    assert "3 points: 3 done" in page(tmp_path)


def test_a_directory_without_a_sweep_and_a_damaged_record_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="holds no sweep"):
        page_now(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        page_now(tmp_path)
