"""What a replica takes of a Ray cluster, and the executor that vLLM is given for it."""

import pytest

from rollout.config.sections.engine import Device, Engine
from rollout.engines.placement import bundles_of, executor_of, gpus_of_actor, splits_a_group


def engine(tp=1, pp=1, **extra):
    return Engine(tensor_parallel_size=tp, pipeline_parallel_size=pp, extra=extra)


# TP, PP, GPUs per node: vLLM's executor
EXECUTORS = [
    (1, 1, 8, None),
    (4, 1, 8, "mp"),
    (8, 1, None, "mp"),
    (8, 2, 8, "ray"),
    (2, 2, 8, "mp"),
    (2, 2, None, "ray"),  # nothing is known of the nodes
]


@pytest.mark.parametrize(("tp", "pp", "per_node", "executor"), EXECUTORS)
def test_only_pipeline_stages_leave_a_node(tp, pp, per_node, executor):
    assert executor_of(engine(tp, pp), Device.cuda, per_node) == executor


def test_a_replica_within_a_node_is_one_bundle_that_its_actor_takes():
    bundles, strategy = bundles_of(engine(tp=4), Device.cuda, 6.0, {"fast_disk": 0.5})
    assert (bundles, strategy) == ([{"CPU": 6.0, "GPU": 4.0, "fast_disk": 0.5}], "STRICT_PACK")
    assert gpus_of_actor(engine(tp=4), Device.cuda) == 4


def test_a_replica_over_two_nodes_has_a_bundle_for_each_gpu_and_its_actor_takes_none():
    bundles, strategy = bundles_of(engine(8, 2), Device.cuda, gpus_per_node=8)
    assert strategy == "PACK"
    assert bundles == [{"GPU": 1.0, "CPU": 1.0}] * 16
    assert gpus_of_actor(engine(8, 2), Device.cuda, gpus_per_node=8) == 0


def test_a_group_that_is_asked_to_span_nodes_does():
    asked = engine(16, distributed_executor_backend="ray")
    bundles, strategy = bundles_of(asked, Device.cuda, gpus_per_node=8)
    assert (len(bundles), strategy) == (16, "PACK")


def test_the_kind_of_node_is_asked_for_in_every_bundle_and_other_resources_once():
    own = {"accelerator_type:H100": 0.001, "license": 1.0}
    first, second = bundles_of(engine(1, 2), Device.cuda, resources=own)[0]
    assert first == {"GPU": 1.0, "CPU": 1.0} | own
    assert second == {"GPU": 1.0, "CPU": 1.0, "accelerator_type:H100": 0.001}


def test_the_cores_of_a_replica_are_divided_among_its_bundles():
    bundles, _ = bundles_of(engine(1, 3), Device.cuda, cpus_per_replica=4.0)
    assert [bundle["CPU"] for bundle in bundles] == [1.3333] * 3


def test_a_replica_on_a_cpu_takes_cores_alone():
    assert bundles_of(Engine(), Device.cpu, 2.0) == ([{"CPU": 2.0}], "STRICT_PACK")
    assert bundles_of(Engine(), Device.cpu) == ([{"CPU": 1.0}], "STRICT_PACK")
    assert (executor_of(Engine(), Device.cpu), gpus_of_actor(Engine(), Device.cpu)) == (None, 0)


def test_a_placement_that_splits_a_tensor_parallel_group_is_noticed():
    two_by_eight = engine(8, 2)
    assert not splits_a_group(["a"] * 8 + ["b"] * 8, two_by_eight)
    assert not splits_a_group(["b", "a"] * 8, two_by_eight)  # vLLM sorts by node
    assert splits_a_group(["a"] * 4 + ["b"] * 8 + ["c"] * 4, two_by_eight)
