"""Which engines of a sweep run side by side, and in which order."""

from dataclasses import replace
from pathlib import Path

import pytest
from one_engine import PLAN

from rollout.config.sections.scale import Scale, ScaleOut
from rollout.sweeps.batches import Batch, rounds_of

TWO, FOUR = (ScaleOut(mode=Scale.ray, num_replicas=n) for n in (2, 4))


def batch(size, scale=TWO, **environment):
    plan = replace(PLAN, log_file=Path("sweep/engine.log"), scale=scale)
    return Batch(replace(plan, engine=replace(plan.engine, max_num_seqs=size)), environment, [])


def shown(rounds):
    return [[[b.plan.engine.max_num_seqs for b in group] for group in groups] for groups in rounds]


@pytest.mark.parametrize(
    ("batches", "rounds"),
    [
        ([batch(1)], [[[1]]]),
        ([batch(1), batch(1), batch(2)], [[[1, 1], [2]]]),
        ([batch(1), batch(2, FOUR), batch(3)], [[[1], [3]], [[2]]]),
        ([batch(1, ScaleOut()), batch(2)], [[[2]], [[1]]]),  # Ray has to start first
        ([batch(1), batch(1, A="1"), batch(1, A="2")], [[[1], [1], [1]]]),
    ],
)
def test_engines_with_the_same_scale_run_side_by_side(batches, rounds):
    assert shown(rounds_of(batches, lambda plan, environment: False)) == rounds


def test_the_engine_that_is_up_comes_first():
    batches = [batch(1), batch(2), batch(3)]
    rounds = rounds_of(batches, lambda plan, environment: plan.engine.max_num_seqs == 3)
    assert shown(rounds) == [[[3], [1], [2]]]


def test_engines_that_take_more_of_the_host_wait_until_the_others_are_finished():
    """On eight GPUs, one with TP 8 got none of them beside one with TP 1, which kept four."""
    wide = batch(2)
    wide.plan = replace(wide.plan, engine=replace(wide.plan.engine, tensor_parallel_size=8))
    rounds = rounds_of([batch(1), wide, batch(3)], lambda plan, environment: False)
    assert shown(rounds) == [[[1], [3]], [[2]]]
