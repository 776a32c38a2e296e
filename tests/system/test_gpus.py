"""What the devices of a run are doing, as a scripted NVML tells it."""

import subprocess
import sys

import psutil
import pynvml
import pytest
from scripted_nvml import ScriptedNvml

from rollout.system import machine
from rollout.system.gpus import Usage, usage


@pytest.fixture
def nvml(monkeypatch):
    return ScriptedNvml(monkeypatch)


@pytest.mark.parametrize(
    ("listed", "num_gpus", "wanted"),
    [
        (None, 1, Usage(5, 1.0, 400, 1000)),
        (None, 2, Usage(70, 0.75, 700, 3000)),
        (None, 3, Usage(70, 0.5, 800, 6000)),
        ("2", 1, Usage(30, 0.0, 100, 3000)),
        ("2,0,1", 2, Usage(30, 0.5, 500, 4000)),
        ("GPU-c,0", 2, Usage(30, 0.5, 500, 4000)),
        ("MIG-a", 1, Usage(8, None, None, None)),
        ("", 1, Usage()),
        ("GPU-of-another-machine", 1, Usage()),
        ("0,9,1", 3, Usage(5, None, None, None)),  # CUDA sees one: two are elsewhere
    ],
)
def test_the_usage_is_that_of_the_engines_gpus_together(
    nvml, monkeypatch, listed, num_gpus, wanted
):
    """Memory of the fullest one, utilization on average, power and energy in sum."""
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert usage(num_gpus) == wanted


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_figure_that_one_gpu_cannot_tell_is_unknown_and_the_others_are_kept(nvml, which):
    wanted = [70, 0.75, 700, 3000]
    wanted[which] = None
    nvml.silent.add((which, 1))
    assert usage(2) == Usage(*wanted)


def test_without_the_memory_of_a_gpu_nothing_is_known(nvml):
    nvml.silent.add((0, 1))
    assert usage(2) == Usage()


def test_nvml_is_started_once_for_all_readings(nvml):
    assert [usage(1).memory_gib for _ in range(3)] == [5, 5, 5]
    assert nvml.num_starts == 1


def test_without_a_driver_nothing_is_known_of_gpus(nvml, monkeypatch):
    def start():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", start)
    assert usage(1) == Usage()


@pytest.mark.skipif(not machine.look().gpus, reason="no GPU here")
def test_the_gpu_at_hand_holds_no_more_than_it_has():
    found = usage(1)
    assert 0 <= found.memory_gib <= machine.look().gpus[0].memory_gib
    assert found.gpu_utilization is None or 0 <= found.gpu_utilization <= 1


def test_on_a_cpu_a_run_holds_what_its_descendants_hold():
    """The grandchild holds 64 MiB; with its parent and their imports a little more."""
    hold = "import sys; held = bytearray(b'x') * 2**26; print(flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    before = usage(0).memory_gib
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        held = usage(0).memory_gib - before
        child.stdin.close()
    assert 64 / 1024 < held < 160 / 1024


def test_a_child_that_has_ended_meanwhile_is_no_error(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        gone = psutil.Process(child.pid)
    monkeypatch.setattr(psutil.Process, "children", lambda process, recursive: [gone])
    own = psutil.Process().memory_info().rss / 2**30
    assert usage(0) == Usage(memory_gib=pytest.approx(own, rel=0.1))
