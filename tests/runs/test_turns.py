"""Tasks that take turns in one thread."""

import pytest

from rollout.errors import EngineError, Interrupted
from rollout.runs.turns import take_turns
from rollout.system.signals import StopRequest


def task(name, said, moves, error=None):
    said.append(f"{name} begins")
    try:
        for moved in moves:
            said.append(name)
            yield moved
        if error:
            raise error
    except BaseException as end:
        said.append(f"{name}: {type(end).__name__}")
        raise
    said.append(f"{name} ends")


def test_tasks_take_turns_until_each_is_over():
    said = []
    tasks = [task("a", said, [True] * 3), task("b", said, [True])]
    take_turns(tasks, StopRequest(), pytest.fail, lambda: 2)
    assert said == ["a begins", "a", "a", "b begins", "b", "a", "b ends", "a ends"]


def test_a_task_begins_when_there_is_room():
    said = []
    take_turns([task(name, said, [True]) for name in "abc"], StopRequest(), pytest.fail, lambda: 1)
    assert [line for line in said if " " in line] == [
        "a begins", "a ends", "b begins", "b ends", "c begins", "c ends",
    ]  # fmt: skip


def test_the_wait_comes_only_when_no_task_has_anything_to_do():
    waits, said = [], []
    tasks = [task("a", said, [False, False, True]), task("b", said, [True, False, False])]
    take_turns(tasks, StopRequest(), lambda: waits.append(len(said)), lambda: 2)
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("error", "in_others"),
    [(Interrupted(15), "Interrupted"), (EngineError("gone"), "GeneratorExit")],
    ids=["interrupted", "error"],
)
def test_an_error_ends_the_other_tasks_too(error, in_others):
    said = []
    tasks = [task("a", said, [True] * 9), task("b", said, [True], error), task("c", said, [])]
    with pytest.raises(type(error)):
        take_turns(tasks, StopRequest(), pytest.fail, lambda: 2)
    assert said[-1] == f"a: {in_others}" and "c begins" not in said


def test_signals_wait_until_a_task_can_stop():
    stop = StopRequest()

    def stopping():
        assert stop._deferring
        stop.signal_number = 15
        yield True
        stop.raise_if_requested()

    with pytest.raises(Interrupted):
        take_turns([stopping()], stop, pytest.fail)
