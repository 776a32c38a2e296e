"""The top of a sweep's page: what the records tell, and nothing else."""

import json
from datetime import datetime, timedelta

from scored_sweep import scored_sweep
from sweep_points import SPEED, point

from rollout.report.sweep.heading import heading_of
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.record import SweepRecord, sweep_record

TWO = [{"sampling.temperature": t} for t in ("0.2", "1.0")]


def top(directory, points, objective="scores.pass@1"):
    return heading_of(directory, points, rank(points, objective))


def test_title_and_lines_name_model_data_date_settings_and_command(tmp_path):
    found = top(tmp_path, scored_sweep(tmp_path, TWO))
    assert found.title == f"Sweep {tmp_path.name}: Qwen/Qwen3-4B on sums.parquet"
    assert "n 8 · max_tokens 200 · seed 42" in found.subtitle[0]
    assert found.subtitle[0].startswith("2026-03-01 ")
    assert found.commands[0] in found.subtitle and "-m rollout model=qwen3_4b" in found.commands[0]


def test_the_verdict_counts_the_points_and_names_the_first(tmp_path):
    points = scored_sweep(tmp_path, TWO)
    found = top(tmp_path, [*points, point(status="waiting")])
    assert found.verdict.startswith("3 points: 2 done, 1 not started. ")
    assert ". Best pass@1 so far: " in found.verdict
    assert found.verdict.endswith(" at temperature=0.2")
    assert found.style == "warning"
    assert top(tmp_path, points).style == "good"
    assert top(tmp_path, [*points, point(status="running")]).style == "neutral"


def test_points_that_a_killed_sweep_had_not_composed_are_counted_as_not_started(tmp_path):
    points = scored_sweep(tmp_path, TWO)
    SweepRecord(tmp_path, []).write(points, SPEED, 1.0, num_points=3)
    found = top(tmp_path, points)
    assert found.verdict.startswith("3 points: 2 done, 1 not started. ")
    assert found.style == "warning" and ("3", "2 done") in [
        (f.value, f.note) for f in found.figures
    ]
    SweepRecord(tmp_path, []).write(points, SPEED, 1.0, num_points=None)  # an optimizer's
    assert top(tmp_path, points).verdict.startswith("2 points: 2 done. ")


def test_the_figures_are_the_best_value_points_samples_time_and_engine_loads(tmp_path):
    found = top(tmp_path, scored_sweep(tmp_path, TWO)).figures
    assert [figure.label for figure in found] == [
        "best pass@1", "points", "samples", "total time", "engine load"]  # fmt: skip
    assert [figure.value for figure in found[1:]] == ["2", "640", "1:01", "1"]
    assert found[2].note == "of 80 rows (40 prompts x 2 points)"
    assert (
        found[0].value.endswith("%") and "temperature=0.2; 95% interval (bootstrap" in found[0].note
    )


def test_rows_of_points_that_differ_in_their_number_are_only_added(tmp_path):
    points = [point(figures={"num_rows": n, "num_samples": n}) for n in (8, 4)]
    (samples,) = (f for f in top(tmp_path, points).figures if f.label == "samples")
    assert (samples.value, samples.note) == ("12", "of 12 rows")


def test_a_tie_and_an_unfinished_sweep_are_said_in_the_verdict_and_the_figure(tmp_path):
    points = scored_sweep(tmp_path, [{"seed": s} for s in "ab"])
    points[1].figures = points[0].figures
    found = top(tmp_path, [*points, point(status="running")])
    assert ". Highest pass@1 so far: " in found.verdict
    assert found.verdict.endswith(") at 2 points (seed=a, seed=b)")
    assert found.figures[0].label == "highest pass@1 so far"
    assert found.figures[0].note == "at 2 points (seed=a, seed=b)"


def test_what_no_record_tells_is_left_out(tmp_path):
    found = top(tmp_path, [point(), point(status="failed")], SPEED)
    assert found.title == f"Sweep {tmp_path.name}" and found.subtitle == []
    assert [figure.label for figure in found.figures] == ["points"] and found.commands == []


def test_models_that_differ_are_all_named_and_many_are_counted(tmp_path):
    points = scored_sweep(tmp_path, [{"model": m} for m in "abcd"])
    for i, p in enumerate(points):
        record = json.loads((p.run_dir / "run.json").read_text())
        record["config"]["model"]["model_path"] = f"org/model-{i}"
        (p.run_dir / "run.json").write_text(json.dumps(record))
    assert "org/model-0, org/model-1 on" in top(tmp_path, points[:2]).title
    assert "4 models on" in top(tmp_path, points).title


def test_engine_loads_of_several_launches_are_all_counted(tmp_path):
    points = scored_sweep(tmp_path, TWO)
    for pid, p in enumerate(points):  # both were the first engine of their process
        (p.run_dir / "attempts/1").mkdir(parents=True)
        (p.run_dir / "attempts/1/environment.json").write_text(json.dumps({"pid": pid}))
    assert top(tmp_path, points).figures[-1].value == "2"


def test_secrets_in_the_command_are_starred(tmp_path):
    points = scored_sweep(tmp_path, TWO)
    SweepRecord(tmp_path, ["+hydra.job.env_set.HF_TOKEN=hf_verysecret"]).write(points, SPEED, 1.0)
    assert "verysecret" not in (tmp_path / "sweep.json").read_text()
    assert not any("verysecret" in command for command in top(tmp_path, points).commands)


def test_the_total_time_of_a_killed_sweep_reaches_to_the_last_record_of_its_points(tmp_path):
    """sweep.json is written when points begin; at four minutes it said 0:16."""
    left = point("0.7", status="interrupted")
    left.run_dir = tmp_path / "t"
    began = datetime.now().astimezone()
    SweepRecord(tmp_path, []).write([left], SPEED, 16.0)
    launches = [(1, began, 240.0), (2, began + timedelta(hours=5), 60.0)]  # the second by hand
    for number, started, elapsed_s in launches:
        launch = left.run_dir / f"attempts/{number}"
        launch.mkdir(parents=True)
        (launch / "environment.json").write_text(json.dumps({"started": started.isoformat()}))
        (launch / "metrics.jsonl").write_text(json.dumps({"elapsed_s": elapsed_s}) + "\n")
    record = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps(record | {"written": began.isoformat()}))
    (time,) = (f for f in top(tmp_path, [left], SPEED).figures if f.label == "total time")
    assert time.value == "at least 4:16"
    SweepRecord(tmp_path, []).write([left], SPEED, 10.0)  # the next command adds to it
    assert sweep_record(tmp_path)["elapsed_s"] == 266.0


def test_the_time_of_all_commands_is_added_and_unknown_where_one_did_not_record_it(tmp_path):
    for _ in range(2):
        SweepRecord(tmp_path, []).write([point()], SPEED, 20.0)
    assert sweep_record(tmp_path)["elapsed_s"] == 40.0
    created = sweep_record(tmp_path)["created"]
    SweepRecord(tmp_path, []).write([], SPEED, 5.0)
    assert sweep_record(tmp_path)["created"] == created
    old = {"points": [{"name": "a", "values": {}, "run_dir": "a"}]}
    (tmp_path / "sweep.json").write_text(json.dumps(old))
    SweepRecord(tmp_path, []).write([], SPEED, 5.0)
    assert sweep_record(tmp_path)["elapsed_s"] is None
    assert "total time" not in [figure.label for figure in top(tmp_path, [point()], SPEED).figures]
