"""Build a plan from the settings: model, devices and data against every engine preset.

Composes settings as a run does. Imports neither vLLM nor torch, and needs no GPU and no weights.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rollout.config.sections.engine import Backend, Device, Engine
from rollout.config.sections.scale import Scale
from rollout.config.settings import Settings
from rollout.config.sources import Given
from rollout.config.validate import validate
from rollout.engines import look
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts
from rollout.plan.choose import choose, num_devices_needed, smallest_change
from rollout.plan.history import Record, last_like
from rollout.plan.memory.fit import Needs, fit
from rollout.plan.memory.hardware import Hardware, found, named
from rollout.plan.model import PlannedModel, find_model, lengths_of, needs_of, tokenizer_of
from rollout.plan.plan import DataFigures, Plan, Row, recommended
from rollout.plan.prompts.first_rows import check_prompts, first_prompts
from rollout.plan.prompts.tokenizer_files import NoTokenizer
from rollout.plan.replicas import Replicas, choose_replicas, replicas_of
from rollout.system import machine


def make_plan(given: Given, own: dict[str, str]) -> Plan:
    """Compose the settings, read model, devices and data, and try every engine preset.

    Raises UserError if the settings are invalid, or the model's shape or the input can't be read.
    """
    from rollout.config.compose import compose_words
    from rollout.postprocess.within_run import refuse_no_scorer

    settings = compose_words(given.words, given.config_dir)
    validate(settings)
    refuse_no_scorer(settings)
    if settings.engine.backend is not Backend.vllm:
        raise UserError(
            f"engine={settings.presets['engine']} holds no model, so there is nothing to plan; "
            "type engine=auto"
        )
    if int(own.get("num_nodes", 1)) > 1 and settings.scale.mode is not Scale.ray:
        raise UserError(
            f"num_nodes={own['num_nodes']}, but scale=local runs one engine on one machine; type "
            "scale=ray"
        )
    model = find_model(settings, given.config_dir)
    hardware = hardware_of(settings, own)
    data = _measure_data(settings, model)
    context = model.size.context(settings.engine)
    needs = needs_of(data.lengths, settings.sampling.token_limit, context)
    rows, options = _rows(given, settings, model, hardware, data, needs)
    selected = next(row for row in rows if row.preset == settings.presets["engine"])
    change, num_needed = None, None
    if not selected.fit.fits:
        change = smallest_change(model.size, selected.fit.engine, hardware, needs)
        num_needed = num_devices_needed(model.size, selected.fit.engine, hardware, needs)
    return Plan(
        settings, model, hardware, data, needs, rows, change, num_needed, recommended(rows),
        _last_record(settings, model), options, own.get("show") == "all",
    )  # fmt: skip


def _rows(
    given: Given,
    settings: Settings,
    model: PlannedModel,
    hardware: Hardware,
    data: DataFigures,
    needs: Needs,
) -> tuple[list[Row], list[Replicas]]:
    """Return a row for each preset and, with scale=ray, the ways to divide the devices."""
    size, scale = model.size, settings.scale
    fixed = frozenset(k.removeprefix("engine.") for k in settings.given)
    num_samples = data.prompts.num_rows * settings.sampling.n_samples if data.prompts else None
    rows, options = [], []
    for preset, engine in _engines(given, settings):
        choice = None
        if preset == "auto" and scale.mode is Scale.ray:
            options = choose_replicas(size, engine, hardware, needs, scale, fixed, num_samples)
            choice = options[0].choice
        elif preset == "auto":
            choice = choose(size, engine, hardware, needs, fixed)
        found = choice.fit if choice else fit(size, engine, hardware, needs)
        is_ray = scale.mode is Scale.ray
        replicas = replicas_of(size, found, needs, scale, num_samples) if is_ray else None
        rows.append(Row(preset, found, choice, replicas))
    return rows, options


def hardware_of(settings: Settings, own: dict[str, str]) -> Hardware:
    """Return the devices of `device=`, or those of this machine."""
    here = look(settings.scale)
    number = int(own["num_devices"]) if "num_devices" in own else None
    if "device" in own:
        num_nodes = int(own.get("num_nodes", 1))
        hardware = named(own["device"], number or 1, here)
        if hardware.device is not Device.cpu and hardware.num_devices % num_nodes:
            raise UserError(
                f"num_devices={hardware.num_devices} can't be divided among num_nodes={num_nodes}; "
                "type the devices of all nodes together, as many in each"
            )
        return replace(hardware, num_nodes=num_nodes)
    if "num_nodes" in own:
        raise UserError(
            f"num_nodes={own['num_nodes']} is for other machines than this one; type their device "
            f"too, such as device=a100_80gb num_devices={8 * int(own['num_nodes'])}"
        )
    hardware = found(here, settings.engine.device)
    if number is not None and number > hardware.num_devices:
        raise UserError(
            f"num_devices={number}: this machine has {here}; to plan for another machine type "
            f"device=a100_80gb num_devices={number}"
        )
    return replace(hardware, num_devices=number or hardware.num_devices)


def _measure_data(settings: Settings, model: PlannedModel) -> DataFigures:
    """Return lengths, first prompts and checks; without a tokenizer, the reason instead."""
    if settings.data.input is None:
        return DataFigures(None, None, "data.input is not set", [], [])
    prompts = open_prompts(settings.data)
    try:
        tokenizer = tokenizer_of(model.directory, settings)
    except NoTokenizer as error:
        return DataFigures(prompts, None, str(error), [], [])
    lengths = lengths_of(prompts, tokenizer, model.size.context(settings.engine))
    checks = check_prompts(prompts, tokenizer)
    checks += [tokenizer.warning] if tokenizer.warning else []
    return DataFigures(prompts, lengths, "", first_prompts(prompts, tokenizer), checks)


def _engines(given: Given, settings: Settings) -> Iterator[tuple[str, Engine]]:
    """Yield every vLLM engine preset, with the engine settings of the command applied to it."""
    from rollout.config.presets import preset_content, preset_keys, preset_names

    chosen = settings.presets["engine"]
    experiment = str(settings.presets.get("experiment"))
    kept = {*settings.given, *preset_keys("experiment", experiment, given.config_dir)}
    for preset in preset_names("engine", given.config_dir):
        if preset == chosen:
            yield preset, settings.engine
            continue
        content = preset_content("engine", preset, given.config_dir)
        if "defaults" in content:  # it builds on other presets: Hydra resolves them
            from rollout.config.compose import compose_words

            words = [word for word in given.words if not word.startswith("engine=")]
            engine = compose_words([*words, f"engine={preset}"], given.config_dir).engine
        else:
            engine = _engine_of(content, settings.engine, kept)
        if engine.backend is Backend.vllm:
            yield preset, engine


def _engine_of(content: dict[str, Any], given: Engine, kept: set[str]) -> Engine:
    """Return a preset's settings; those with a dotted name in `kept` are taken from `given`."""
    engine = Engine()
    for field in fields(Engine):
        name, default = field.name, getattr(engine, field.name)
        if any(key.split(".")[:2] == ["engine", name] for key in kept):
            setattr(engine, name, getattr(given, name))
        elif name in content and not is_dataclass(default):
            value = content[name]
            setattr(engine, name, type(default)[value] if isinstance(default, Enum) else value)
    return engine


def _last_record(settings: Settings, model: PlannedModel) -> Record | None:
    """Return the record of this machine's last comparable run of the model."""
    newest = last_like(model.size.name, settings.engine.dtype, str(machine.look()))
    # Responses that were cut off at fewer tokens don't predict longer ones.
    limit = settings.sampling.token_limit or model.size.context(settings.engine)
    return newest if newest is not None and newest.max_tokens >= limit else None
