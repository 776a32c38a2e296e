"""The settings that `engine=auto` chooses, and the smallest change that makes an engine fit."""

import pytest
import yaml

from rollout.config.presets import conf_dir
from rollout.config.sections.engine import Device, Engine
from rollout.plan.choose import choose, smallest_change
from rollout.plan.memory.fit import Limit, Needs, fit, model_size
from rollout.plan.memory.hardware import Hardware, named
from rollout.system.machine import Machine

NOWHERE = Machine((), 2, 24.0, 20.0)
CPU = Hardware("CPU", Device.cpu, 1, 16.0, 12.0, batched_tokens=4096)


def size_of(name):
    values = yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text())
    return model_size(name, values["shape"])


def chosen(model, device, number=1, needs=None, given=frozenset(), **engine):
    hardware = named(device, number, NOWHERE) if isinstance(device, str) else device
    return choose(size_of(model), Engine(**engine), hardware, needs or Needs(3000, 1500), given)


# Degrees: at least 2 GiB of weights per device, and no more devices than KV heads.
DEGREES = [
    ("qwen3_0_6b", "a100_80gb", 4, 1),
    ("qwen3_4b", "a100_80gb", 4, 2),
    ("qwen3_8b", "a100_80gb", 4, 4),
    ("qwen3_32b", "a100_80gb", 1, 1),
    ("qwen3_32b", "rtx_4090", 4, 4),
    ("qwen3_30b_a3b", "a100_80gb", 8, 4),
    ("smollm2_135m", "a100_80gb", 2, 1),
]


@pytest.mark.parametrize(("model", "device", "number", "degree"), DEGREES)
def test_devices_are_shared_as_far_as_it_pays(model, device, number, degree):
    choice = chosen(model, device, number)
    assert choice.fit.fits
    assert choice.engine.tensor_parallel_size == degree


def test_a_context_that_cannot_be_held_is_shortened_and_no_further_than_the_data():
    choice = chosen("qwen3_4b", "rtx_4090")
    assert choice.fit.fits
    assert 3000 <= choice.engine.max_model_len < 262_144
    impossible = chosen("qwen3_4b", "rtx_4090", needs=Needs(200_000, 100_000))
    assert impossible.fit.limit is Limit.context


@pytest.mark.parametrize(
    ("model", "device", "context"),
    [("qwen3_4b", "rtx_4090", 88_000), ("qwen3_4b", "rtx_4090", 99_000),
     ("qwen3_8b", "24gib", 32_768), ("qwen3_8b", "24gib", 40_000)],
)  # fmt: skip
def test_for_a_context_that_was_given_more_memory_and_fewer_samples_are_tried(
    model, device, context
):
    """It did not fit, although without it a longer one was chosen."""
    given = frozenset({"max_model_len"})
    choice = chosen(model, device, given=given, max_model_len=context)
    assert choice.fit.fits and choice.engine.max_model_len == context
    all_given = given | {"max_num_seqs", "gpu_memory_utilization"}
    assert not chosen(model, device, given=all_given, max_model_len=context).fit.fits


def test_a_few_rows_that_are_too_long_do_not_keep_the_others_from_being_asked():
    choice = chosen("qwen3_4b", "rtx_4090", needs=Needs(200_000, 1500))
    assert choice.fit.fits
    assert choice.engine.max_model_len > 80_000


def test_concurrent_samples_follow_the_lengths_of_the_data():
    long = chosen("qwen3_8b", "a100_80gb", needs=Needs(40_000, 20_000))
    short = chosen("qwen3_8b", "a100_80gb", needs=Needs(600, 300))
    assert long.engine.max_num_seqs < 64
    assert short.engine.max_num_seqs == 1024


def test_memory_that_others_hold_is_left_to_them():
    shared = Hardware("A100", Device.cuda, 1, 79.2, 40.0)
    choice = chosen("qwen3_4b", shared)
    assert choice.fit.fits
    assert choice.engine.gpu_memory_utilization == 0.48


def test_what_the_user_gave_stays():
    given = frozenset({"tensor_parallel_size", "max_num_seqs", "gpu_memory_utilization"})
    choice = chosen("qwen3_8b", "a100_80gb", 4, given=given, max_num_seqs=7)
    assert choice.changed == {}
    assert choice.engine.max_num_seqs == 7


def test_on_a_cpu_nothing_but_context_and_samples_is_chosen():
    choice = chosen("qwen3_0_6b", CPU, needs=Needs(600, 300))
    assert set(choice.changed) <= {"max_model_len", "max_num_seqs"}
    assert choice.fit.fits


# model, device, number of devices, engine: the overrides to type
CHANGES = [
    ("qwen3_4b", "rtx_4090", 1, {}, ("engine.max_model_len=84736",)),
    ("qwen3_4b", "l4", 1, {"dtype": "bfloat16"}, ("engine.max_model_len=75008",)),
    ("qwen3_32b", "a100_80gb", 2, {}, ("engine.gpu_memory_utilization=0.95",)),
    ("qwen3_32b", "rtx_4090", 4, {}, ("engine.tensor_parallel_size=4",)),
    ("qwen3_8b", "a100_80gb", 1, {"tensor_parallel_size": 4}, ("engine.tensor_parallel_size=1",)),
    ("qwen3_8b", "t4", 2, {"dtype": "float16"}, ("engine.tensor_parallel_size=2",)),
]


@pytest.mark.parametrize(("model", "device", "number", "engine", "words"), CHANGES)
def test_the_smallest_change_fits_and_is_the_least_harmful(model, device, number, engine, words):
    hardware, size, asked = named(device, number, NOWHERE), size_of(model), Engine(**engine)
    assert not fit(size, asked, hardware).fits
    change = smallest_change(size, asked, hardware, Needs(2560, 1536, is_estimate=True))
    assert change.fit.fits
    assert change.overrides[0] == words[0]


def test_where_nothing_helps_there_is_no_change():
    assert smallest_change(size_of("qwen3_32b"), Engine(), named("t4", 1, NOWHERE), Needs()) is None


def test_a_change_states_its_cost():
    change = smallest_change(
        size_of("qwen3_32b"), Engine(), named("rtx_4090", 2, NOWHERE), Needs(2560, 1536)
    )
    assert change.costs == ("slightly different samples",)
