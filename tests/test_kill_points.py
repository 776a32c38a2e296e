"""The drill of kill_points.py, short: killed anywhere, started again, the same file."""

import pytest
from kill_points import drill_all


def test_a_run_killed_anywhere_ends_with_the_file_of_an_undisturbed_one(tmp_path):
    counts = drill_all(30, jobs=2, directory=tmp_path)
    assert not counts.faults
    assert (counts.points, counts.lost, counts.doubled) == (30, 0, 0)
    assert counts.kills >= 25


@pytest.mark.vllm
def test_a_real_engine_killed_anywhere_ends_with_the_same_file(tmp_path, tiny_model):
    counts = drill_all(2, engine="vllm", model=tiny_model, directory=tmp_path)
    assert not counts.faults
    assert (counts.kills, counts.lost, counts.doubled) == (2, 0, 0)
