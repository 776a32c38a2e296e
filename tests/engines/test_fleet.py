"""How groups of replicas divide a host."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_engine import PLAN

from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines.fleet import Fleet
from rollout.errors import UserError
from rollout.system.console import Console
from rollout.system.signals import StopRequest

ON_RAY = replace(PLAN, scale=ScaleOut(mode=Scale.ray, num_replicas=8))


@pytest.fixture
def fleet_with():
    def fleet_with(room):
        fleet = Fleet(Console(quiet=True), StopRequest())
        fleet._open_host = lambda plan: SimpleNamespace(
            num_slots=lambda plan: room, close=lambda: None
        )
        fleets.append(fleet)
        return fleet

    fleets = []
    yield fleet_with
    for fleet in fleets:
        fleet.close()


@pytest.mark.parametrize(
    ("room", "num_to_serve", "shares"),
    [
        (8, 1, [8]),
        (8, 2, [4, 4]),
        (8, 3, [3, 3, 2]),
        (2, 5, [1, 1]),  # three groups wait
        (1, 3, [1]),
        (4, 0, [4]),  # of a group that stays up after the last one
    ],
)
def test_a_host_is_divided_evenly_among_the_groups_to_serve(fleet_with, room, num_to_serve, shares):
    fleet = fleet_with(room)
    fleet.num_to_serve = num_to_serve
    groups = [object() for _ in shares]
    for group in groups:
        fleet.join(group, ON_RAY)
    assert [fleet.num_slots(ON_RAY, group) for group in groups] == shares
    assert fleet.num_at_once == room


def test_shares_grow_when_a_group_leaves_and_none_waits(fleet_with):
    fleet = fleet_with(4)
    fleet.num_to_serve = 3
    first, second = object(), object()
    fleet.join(first, ON_RAY)
    fleet.join(second, ON_RAY)
    assert fleet.num_slots(ON_RAY, second) == 1
    fleet.leave(first)
    fleet.num_to_serve = 1
    assert fleet.num_slots(ON_RAY, second) == 4


def test_a_host_that_refused_one_engine_is_not_asked_again_for_the_next(monkeypatch):
    """A sweep waited a minute for Ray at each of its engines."""
    from rollout.engines.ray import host

    asked = []

    def refuse(scale):
        asked.append(scale)
        raise UserError("Ray did not start here")

    monkeypatch.setattr(host, "RayHost", refuse)
    fleet = Fleet(Console(quiet=True), StopRequest())
    for _ in range(2):
        with pytest.raises(UserError, match="did not start"):
            fleet.join(object(), ON_RAY)
    assert len(asked) == 1
    fleet.close()


@pytest.mark.parametrize(
    ("serves_many", "names"),
    [(False, ("engine-1.log", "replica 1")), (True, ("engine-2-1.log", "engine 2, replica 1"))],
)
def test_replicas_and_their_logs_are_named_after_the_plan_in_a_sweep(serves_many, names):
    fleet = Fleet(Console(quiet=True), StopRequest(), serves_many=serves_many)
    plan = replace(ON_RAY, log_file=Path("sweep/engine.log"))
    assert (fleet.log_of(plan, 2, 1).name, fleet.name_of(2, 1)) == names


def test_before_there_is_a_host_one_group_is_served(fleet_with):
    assert fleet_with(8).num_at_once == 1
