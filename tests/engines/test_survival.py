"""Decisions after a death, without an engine: each test plays the engine's part."""

import itertools

import pytest

from rollout.engines.survival import SPLIT, Survival, _Suspects
from rollout.errors import EngineError
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.rows.result import Result

DEATH = EngineError("gone")


def row(number, run=0):
    return OwedRow(Prompt(number, number, f"row {number}"), Wanted(1, 1, 8, run=run))


def result(one):
    """Return the row's result, answered."""
    prompt = one.prompt
    return Result(prompt.index, prompt.row, prompt.digest, [], 1, run=one.wanted.run)


def taken(turn, number):
    return list(itertools.islice(turn.rows, number))


def test_rows_in_flight_at_a_first_death_come_back_in_their_order():
    rows = [row(i) for i in range(6)]
    survival = Survival(rows, max_restarts=3)
    flying = taken(survival.next_turn(), 3)
    assert "3 rows in flight are submitted again" in survival.engine_died(DEATH, flying, 10, None)
    assert list(survival.next_turn().rows) == rows


def test_rows_in_flight_at_two_deaths_run_separately_in_groups_in_order():
    rows = [row(i) for i in range(2 * SPLIT)]
    survival = Survival(rows, max_restarts=3)
    for _ in range(2):
        flying = list(survival.next_turn().rows)
        survival.engine_died(DEATH, flying, 10, None)
    groups = []
    for _ in range(SPLIT):
        turn = survival.next_turn()
        assert turn.is_apart and not turn.is_alone
        groups.append(list(turn.rows))
        survival.finished([result(one) for one in groups[-1]], by_engine=True)
    assert [one for group in groups for one in group] == rows
    assert not survival.next_turn().is_apart


def alone(number_of_steps=10, **more):
    """Return a Survival in which row 0 died alone, and its next turn."""
    survival = Survival([row(0), row(1)], max_restarts=3, **more)
    for _ in range(2):
        survival.engine_died(DEATH, taken(survival.next_turn(), 1), number_of_steps, None)
    turn = survival.next_turn()
    assert turn.is_alone
    survival.engine_died(DEATH, list(turn.rows), number_of_steps, None)
    return survival, survival.next_turn()


def test_a_row_that_dies_alone_leads_to_a_trial_of_as_many_harmless_steps():
    _, turn = alone(number_of_steps=40)
    assert turn.num_trial_steps == 42
    assert not list(turn.rows)


def test_a_row_is_blamed_if_the_engine_survives_and_returned_once_its_run_is_answered():
    survival, _ = alone()
    assert survival.engine_survived() is None
    other = taken(survival.next_turn(), 1)
    finished = survival.finished([result(other[0])], by_engine=True)
    assert [(r.index, bool(r.error)) for r in finished] == [(1, False), (0, True)]
    assert survival.unresolved() == []


def test_a_row_is_not_blamed_if_the_engine_dies_on_harmless_requests():
    survival, _ = alone()
    assert "no row is blamed" in survival.engine_died(DEATH, [], 3, None)
    assert [one.prompt.index for one in survival.next_turn().rows] == [0]


def test_blamed_rows_of_a_run_with_nothing_answered_are_left_to_the_end():
    survival, _ = alone()
    survival.engine_survived()
    assert [r.index for r in survival.unresolved()] == [0]


def test_no_row_is_blamed_if_memory_ran_out():
    rows = [row(i) for i in range(4)]
    survival = Survival(rows, max_restarts=0)
    for _ in range(5):
        flying = list(survival.next_turn().rows)
        assert survival.engine_died(DEATH, flying, 10, "stepping down") == "stepping down"
    assert list(survival.next_turn().rows) == rows


def test_a_row_left_over_of_a_group_was_not_alone():
    """The rest of its group was in the engine too, before it died."""
    rows = [row(0), row(1)]
    survival = Survival(rows, max_restarts=9)
    survival.engine_died(DEATH, list(survival.next_turn().rows), 10, None)
    survival.engine_died(DEATH, list(survival.next_turn().rows), 10, None)
    survival._suspects = [_Suspects(rows)]
    turn = survival.next_turn()
    survival.finished([result(rows[0])], by_engine=True)
    assert "run separately" in survival.engine_died(DEATH, [rows[1]], 10, None)
    turn = survival.next_turn()
    assert turn.is_alone and list(turn.rows) == [rows[1]]


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_deaths_without_progress_end_the_run(allowed):
    survival = Survival([row(0)], max_restarts=allowed)
    for _ in range(allowed):
        survival.next_turn()
        survival.engine_died(DEATH, [], 0, None)
    survival.next_turn()
    with pytest.raises(EngineError, match=f"max_restarts={allowed}"):
        survival.engine_died(DEATH, [], 0, None)


def test_a_run_whose_rows_are_blamed_one_by_one_is_given_up_and_its_rows_are_left_out():
    rows = [row(i, run=i % 2) for i in range(40)]
    survival = Survival(rows, max_restarts=2)
    given_up = None
    while given_up is None:
        turn = survival.next_turn()
        if turn.num_trial_steps:
            given_up = survival.engine_survived()
            continue
        flying = taken(turn, 4)
        bad = [one for one in flying if one.wanted.run == 1]
        if bad:
            survival.engine_died(DEATH, flying, 10, None)
        else:
            survival.finished([result(one) for one in flying], by_engine=True)
    run, error = given_up
    assert run == 1 and "settings or the machine" in str(error)
    left = []
    while (turn := survival.next_turn()).is_apart:
        left += turn.rows
    left += turn.rows
    assert {one.wanted.run for one in left} <= {0}
