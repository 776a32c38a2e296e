"""Replicas on a Ray cluster of several nodes on this machine, with faults: scripted engines."""

import os
import signal
import sys

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import children_with, rollout
from ray_cluster import add_node, cluster_of, listening
from ray_faults import Run, drain_a_node, kill_actor, remove_a_node

from rollout.config.sections.scale import Scale, ScaleOut
from rollout.errors import EngineError, UserError


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(2) as cluster:
        yield cluster
    assert not children_with("raylet") and not children_with("ray::")


@pytest.fixture
def run_on(cluster, tmp_path):
    return lambda **what: Run(cluster.address, tmp_path, **what)


@pytest.fixture(scope="module")
def expected(cluster, tmp_path_factory):
    """The responses of a single replica."""
    return Run(cluster.address, tmp_path_factory.mktemp("one"), num_replicas=1).texts


def test_two_replicas_answer_as_one_does(run_on, expected):
    run = run_on()
    assert run.is_whole and run.texts == expected
    assert min(run.num_rows) > 50


def test_a_killed_actor_costs_only_the_rows_in_flight(run_on, expected):
    run = run_on(fault=kill_actor)
    assert run.is_whole and run.texts == expected
    assert len(run.deaths) == 1 and "killed" in run.deaths[0]


def test_a_killed_process_costs_only_the_rows_in_flight(run_on, expected):
    def kill_process(run):
        processes = children_with("ray::EngineActor")
        os.kill(processes[0].pid, signal.SIGKILL)

    run = run_on(fault=kill_process)
    assert run.is_whole and run.texts == expected and len(run.deaths) == 1


def test_a_lost_node_blames_no_row_and_another_takes_its_place(run_on, cluster, expected):
    run = run_on(fault=remove_a_node(cluster), max_restarts=0, count=900)
    assert run.is_whole and run.failed == []
    assert "left the cluster" in run.deaths[0]


def test_a_node_that_is_drained_finishes_its_rows_and_gets_no_more(run_on, cluster, expected):
    run = run_on(fault=drain_a_node(cluster), count=900)
    assert run.is_whole and run.failed == [] and run.deaths == []
    assert run.num_rows[0] < 400 < run.num_rows[1]
    drained = next(n for n in cluster.others if n.node_id == run.drained)
    cluster.others.remove(drained)
    cluster.remove_node(drained)
    cluster.others.append(add_node(cluster))


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_a_row_that_kills_engines_is_blamed_alone(run_on, expected, num_replicas):
    run = run_on(poison=[70], num_replicas=num_replicas)
    assert run.is_whole and run.failed == [70]
    assert "kills the engine" in next(r.error for r in run.results if r.error)


def test_engines_that_die_again_and_again_end_the_run_with_the_cause(run_on):
    with pytest.raises(EngineError, match=r"died at step 1.*max_restarts=1"):
        run_on(die_after_steps=0, max_restarts=1)


def test_replicas_that_find_no_place_end_the_run_and_say_what_they_need(run_on, cluster):
    with pytest.raises(EngineError, match=r"no replica found a place.*8 CPU.*no room"):
        run_on(wait_s=1.0, cpus=8.0)


def test_a_node_that_joins_is_used_where_the_number_is_auto(run_on, cluster):
    def join(run):
        if len(run.results) < 60:
            return join
        cluster.others.append(add_node(cluster))

    run = run_on(num_replicas="auto", fault=join, count=2500)
    assert run.is_whole and len(run.num_rows) == 3


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    from rollout.engines.ray.cluster import Cluster

    with pytest.raises(UserError, match=r"scale.address=127.0.0.1:1: no cluster answers"):
        Cluster(ScaleOut(mode=Scale.ray, address="127.0.0.1:1"))


@pytest.mark.parametrize(
    "env", [{"RAY_AUTH_TOKEN": "b" * 64}, {"RAY_AUTH_MODE": "disabled"}], ids=["other", "none"]
)
def test_a_wrong_token_is_named(cluster, tmp_path, env):
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "in.parquet")
    words = ("engine=scripted", "data.input=in.parquet", "scale=ray", "tracking=none")
    done = rollout(*words, f"scale.address={cluster.address}", cwd=tmp_path, **env)
    assert done.returncode == 2
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in done.stderr


def test_ray_that_is_not_installed_is_named_with_what_to_type(monkeypatch):
    from rollout.engines.ray.cluster import Cluster

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs Ray.*pip install 'rollout\[ray\]'"):
        Cluster(ScaleOut(mode=Scale.ray))


def test_everything_listens_on_loopback_only(run_on):
    seen = set()
    run_on(fault=lambda run: seen.update(listening()), count=100, at=10)
    assert seen == {"127.0.0.1"}


def test_no_process_of_a_replica_is_left(run_on):
    pids = []
    run_on(fault=lambda run: pids.extend(p.pid for p in children_with("ray::EngineActor")), at=10)
    assert pids and not any(psutil.pid_exists(pid) for pid in pids)
