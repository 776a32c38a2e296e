"""The collector looks less often while a run generates, and as before afterwards."""

import gc

import pytest
from drilled_run import write_input

from rollout.engines.scripted import ScriptedEngine
from rollout.system.garbage import ALLOCATIONS, rare_collections


@pytest.fixture
def thresholds():
    """Restore the collector's thresholds after the test."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_the_thresholds_come_back_even_after_an_error(thresholds):
    with pytest.raises(ValueError), rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, *thresholds[1:])
        raise ValueError
    assert gc.get_threshold() == thresholds


@pytest.mark.parametrize("first", [0, 2 * ALLOCATIONS])
def test_a_user_who_collects_even_less_is_left_alone(thresholds, first):
    gc.set_threshold(first, 5, 5)
    with rare_collections():
        assert gc.get_threshold() == (first, 5, 5)


def test_a_run_generates_with_rare_collections(typed, tmp_path, monkeypatch, thresholds):
    seen, source = set(), write_input(tmp_path / "in.parquet")
    step = ScriptedEngine.step
    monkeypatch.setattr(
        ScriptedEngine, "step", lambda engine: seen.add(gc.get_threshold()[0]) or step(engine)
    )
    assert typed("engine=scripted", "tracking=none", f"data.input={source}").code == 0
    assert seen == {ALLOCATIONS} and gc.get_threshold() == thresholds
