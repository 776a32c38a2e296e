"""The settings: each is declared once, with a meaning, a type and an enforced range."""

import math
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import get_type_hints

import pytest
import yaml

from rollout.config.compose import compose
from rollout.config.fingerprint import fingerprint, redacted, to_plain
from rollout.config.names import GROUPS, flatten
from rollout.config.presets import conf_dir
from rollout.config.schema import ABOUT, HOW, ROWS, WHAT, Key, type_name
from rollout.config.sections.model import Model
from rollout.config.settings import Resume, Settings, keys
from rollout.config.validate import validate
from rollout.errors import UserError

KEYS = keys()
RANGED = [k for k in KEYS.values() if {"minimum", "maximum", "above"} & set(k.checks)]
PRESETS = sorted(f for group in GROUPS for f in (conf_dir() / group).glob("*.yaml"))


def outside(key: Key) -> list[float]:
    """Values just beyond each bound of a setting."""
    step = 1 if "int" in str(key.type) else 1e-6
    beyond = [key.checks["minimum"] - step] if "minimum" in key.checks else []
    beyond += [key.checks["above"]] if "above" in key.checks else []
    beyond += [key.checks["maximum"] + step] if "maximum" in key.checks else []
    return beyond + ([math.nan, math.inf, -math.inf] if "float" in str(key.type) else [2**63])


def edges(key: Key) -> list[float]:
    """The last values within each closed bound."""
    return [key.checks[bound] for bound in ("minimum", "maximum") if bound in key.checks]


def with_value(name: str, value) -> Settings:
    settings = Settings(model=Model(model_path="m"), run_dir="r")
    section, leaf = settings, name.split(".")
    for part in leaf[:-1]:
        section = getattr(section, part)
    setattr(section, leaf[-1], value)
    return settings


@pytest.mark.parametrize(
    ("name", "value"), [(key.name, value) for key in RANGED for value in outside(key)]
)
def test_a_value_out_of_range_is_refused_with_key_value_and_meaning(name, value):
    with pytest.raises(UserError) as refused:
        validate(with_value(name, value))
    message = str(refused.value)
    assert message.startswith(f"{name}={value} is out of range: ")
    assert KEYS[name].help in message and "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"), [(key.name, value) for key in RANGED for value in edges(key)]
)
def test_a_value_on_a_closed_bound_is_in_range(name, value):
    settings = with_value(name, value)
    if name == "sampling.n_samples":
        settings.sampling.n_samples = value
    if name == "data.shuffle_seed":
        settings.data.limit = 1
    validate(settings)


def test_every_number_has_a_range():
    numbers = {name for name, key in KEYS.items() if {"int", "float"} & set(str_types(key))}
    assert numbers == {key.name for key in RANGED}


def str_types(key: Key) -> list[str]:
    return type_name(key.type).split(" or ")


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_setting_says_in_one_line_what_it_means(key):
    assert key.help and "\n" not in key.help and not key.help.endswith(".")
    assert key.kind in (WHAT, HOW, ABOUT, ROWS)
    assert len(key.help) <= 110


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sampling.n_samples", "int"),
        ("sampling.top_p", "float or null"),
        ("data.input", "text or null"),
        ("data.on_error", "record|skip|fail"),
        ("output.columns", "list"),
        ("engine.extra", "mapping"),
        ("dry_run", "bool"),
    ],
)
def test_a_type_is_shown_as_a_user_would_write_it(name, shown):
    assert type_name(KEYS[name].type) == shown


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.model_path", WHAT),
        ("sampling.seed", WHAT),
        ("engine.max_model_len", WHAT),
        ("engine.dtype", WHAT),
        ("engine.quantization", WHAT),
        ("engine.max_num_seqs", HOW),
        ("engine.scripted.vary", WHAT),
        ("engine.scripted.step_s", HOW),
        ("data.input", ROWS),
        ("data.prompt_key", WHAT),
        ("data.on_error", HOW),
        ("output.path", ABOUT),
        ("tracking.project", ABOUT),
        ("run_dir", ABOUT),
    ],
)
def test_a_setting_is_what_is_sampled_or_how_or_about(name, kind):
    assert KEYS[name].kind == kind


def test_the_fingerprint_holds_what_changes_samples_and_nothing_else():
    one = fingerprint(with_value("engine.max_num_seqs", 3))
    assert fingerprint(with_value("tracking.project", "p")) == one
    assert fingerprint(with_value("sampling.top_p", 0.5)) != one
    assert set(one) == {name for name, key in KEYS.items() if key.kind == WHAT}


def test_defaults_are_those_users_were_promised():
    promised = {
        "model.trust_remote_code": False, "sampling.n_samples": 8, "sampling.max_tokens": 2048,
        "sampling.temperature": 1.0, "sampling.top_p": 0.95, "sampling.top_k": -1,
        "sampling.repetition_penalty": 1.0, "sampling.seed": 42, "engine.tensor_parallel_size": 1,
        "engine.gpu_memory_utilization": 0.9, "engine.max_model_len": None,
        "engine.dtype": "bfloat16", "engine.enforce_eager": False,
        "engine.enable_prefix_caching": True, "engine.max_num_seqs": 256,
        "data.prompt_key": "prompt", "output.path": None, "dry_run": False,
    }  # fmt: skip
    assert {name: KEYS[name].default for name in promised} == promised


def test_two_settings_objects_share_no_default():
    first = Settings()
    first.sampling.extra["min_p"] = 0.1
    first.output.columns.append("seed")
    assert Settings().sampling.extra == {} and "seed" not in Settings().output.columns


def test_every_field_of_every_section_is_a_key():
    def leaves(schema):
        hints = get_type_hints(schema)
        nested = [f for f in fields(schema) if is_dataclass(hints[f.name])]
        return len(fields(schema)) - len(nested) + sum(leaves(hints[f.name]) for f in nested)

    assert leaves(Settings) == len(KEYS)


def test_plain_values_are_yaml_and_json():
    plain = to_plain(with_value("sampling.extra", {5: (1, Resume.fresh)}))
    assert plain["sampling"]["extra"] == {"5": [1, "fresh"]}
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert not any(isinstance(v, Enum) for v in plain.values())


@pytest.mark.parametrize("name", ["api_key", "hf_token", "password", "TOKEN"])
def test_a_secret_in_a_free_setting_is_never_written_down(name):
    assert "s3cret" not in str(to_plain(with_value("engine.extra", {name: "s3cret"})))
    word = f"engine.extra.{name}=s3cret"
    assert redacted([word, "sampling.seed=1"]) == [f"engine.extra.{name}=***", "sampling.seed=1"]


# Rules between settings.


@pytest.mark.parametrize(
    ("name", "value", "typed_instead"),
    [
        ("sampling.extra", {"temperature": 1}, "type sampling.temperature=..."),
        ("sampling.extra", {"n": 4}, "type sampling.n_samples=..."),
        ("sampling.extra", {"output_kind": 1}, "is set by rollout"),
        ("engine.extra", {"max_num_seqs": 4}, "type engine.max_num_seqs=..."),
        ("engine.extra", {"model": "m"}, "type model.model_path=..."),
        ("engine.extra", {"revision": "r"}, "type model.revision=..."),
    ],
)
def test_a_key_that_is_both_typed_and_extra_is_refused(name, value, typed_instead):
    with pytest.raises(UserError, match=rf"{name}\.{next(iter(value))} ") as refused:
        validate(with_value(name, value))
    assert typed_instead in str(refused.value)


def test_a_shuffle_seed_alone_is_refused():
    with pytest.raises(UserError, match=r"alone it does nothing; add data\.limit=N"):
        validate(with_value("data.shuffle_seed", 1))


def test_an_unknown_dtype_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"bf16 is unknown\. Did you mean 'bfloat16'"):
        validate(with_value("engine.dtype", "bf16"))


def test_a_column_named_twice_is_refused():
    with pytest.raises(UserError, match="'seed' twice"):
        validate(with_value("output.columns", ["seed", "token_ids", "seed"]))


# Presets.


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_preset_composes_and_is_valid(file):
    given = {file.parent.name: file.stem}
    if file.stem == "custom":
        given["model.model_path"] = "org/name"
    settings = compose(given)
    validate(settings)
    assert settings.presets[file.parent.name] == file.stem


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_preset_sets_only_declared_keys_to_what_it_says(file):
    group, content = file.parent.name, yaml.safe_load(file.read_text())
    content.pop("defaults", None)
    sections = content if group == "experiment" else {group: content}
    settings = compose({group: file.stem, "model.model_path": "org/name"})
    for name, value in flatten(sections).items():
        found = settings
        for part in name.split("."):  # the last ones may lie in a free-form setting
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        if value != "???" and name != "model.model_path":
            assert to_plain(found) == value


@pytest.mark.parametrize("file", PRESETS, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_preset_says_in_a_comment_what_it_is_for(file):
    comments = [line for line in file.read_text().splitlines() if line.startswith("# ")]
    assert [line for line in comments if not line.startswith("# @package")]


@pytest.mark.parametrize(
    ("preset", "parallel", "utilization", "seqs"),
    [
        ("single_a100", 1, 0.95, 256),
        ("dual_a100", 2, 0.95, 512),
        ("low_mem", 1, 0.8, 128),
        ("high_throughput", 2, 0.95, 512),
    ],
)
def test_engine_presets_hold_the_promised_numbers(preset, parallel, utilization, seqs):
    engine = compose({"engine": preset}).engine
    assert engine.tensor_parallel_size == parallel
    assert (engine.gpu_memory_utilization, engine.max_num_seqs) == (utilization, seqs)


def test_a_token_is_starred_by_its_form_under_any_name():
    from rollout.config.fingerprint import _plain, redacted

    token = "hf_" + "a1" * 12
    assert _plain({"plain": token, "kept": "half_precision"}) == {
        "plain": "***",
        "kept": "half_precision",
    }
    assert redacted([f"+engine.extra.plain={token}"]) == ["+engine.extra.plain=***"]


def test_free_settings_are_those_that_pass_things_on():
    bags = [
        "model.chat_template_kwargs", "model.shape", "sampling.logit_bias",
        "sampling.structured_outputs", "sampling.extra", "engine.extra", "scale.resources",
        "prepare.task_config", "prepare.rename", "prepare.splits", "presets",
    ]  # fmt: skip
    assert [name for name, key in KEYS.items() if key.is_bag] == bags
