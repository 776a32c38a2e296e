"""python -m rollout.plan: what fits where, before anything is loaded.

Composes as a run does, and reads the model's shape, the devices and the data. Imports neither
vLLM nor torch; needs no GPU and no weights. Exit codes: 0 the chosen preset fits, 1 it does not,
2 configuration or input error.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rollout.config.sections.engine import Backend, Engine
from rollout.config.settings import Settings
from rollout.config.sources import Given
from rollout.config.validate import validate
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts
from rollout.plan.choose import choose, devices_that_do, smallest_change
from rollout.plan.history import Record, last_like
from rollout.plan.memory.fit import fit
from rollout.plan.memory.hardware import Hardware, found, named
from rollout.plan.model import Found, find_model, lengths_of, needs_of, tokenizer_of
from rollout.plan.plan import DataFigures, Plan, Row, recommended
from rollout.plan.prompts.first_rows import check_prompts, first_prompts
from rollout.plan.prompts.tokenizer_files import NoTokenizer
from rollout.system import machine


def make_plan(given: Given, own: dict[str, str]) -> Plan:
    """Compose, look at model, devices and data, and try every engine preset.

    Raises UserError where the settings, the model's shape or the input can't be read.
    """
    from rollout.config.compose import compose_words
    from rollout.postprocess.within_run import refuse_no_scorer

    settings = compose_words(given.words, given.config_dir)
    validate(settings)
    refuse_no_scorer(settings)
    if settings.engine.backend is not Backend.vllm:
        raise UserError(
            f"engine={settings.presets['engine']} holds no model, so there is nothing to plan"
        )
    model = find_model(settings, given.config_dir)
    hardware = hardware_of(settings, own)
    data = look_at_data(settings, model)
    context = model.size.context(settings.engine)
    needs = needs_of(data.lengths, settings.sampling.token_limit, context)
    rows = []
    for preset, engine in _engines(given, settings):
        free = frozenset(k.removeprefix("engine.") for k in settings.given)
        choice = choose(model.size, engine, hardware, needs, free) if preset == "auto" else None
        rows.append(
            Row(preset, choice.fit if choice else fit(model.size, engine, hardware, needs), choice)
        )
    chosen = next(row for row in rows if row.preset == settings.presets["engine"])
    change, enough = None, None
    if not chosen.fit.fits:
        change = smallest_change(model.size, chosen.fit.engine, hardware, needs)
        enough = devices_that_do(model.size, chosen.fit.engine, hardware, needs)
    return Plan(
        settings,
        model,
        hardware,
        data,
        needs,
        rows,
        change,
        enough,
        recommended(rows),
        _history(settings, model),
    )


def hardware_of(settings: Settings, own: dict[str, str]) -> Hardware:
    """The devices that were typed, or those of this machine."""
    here = machine.look()
    number = int(own["num_devices"]) if "num_devices" in own else None
    if "device" in own:
        return named(own["device"], number or 1, here)
    hardware = found(here, settings.engine.device)
    if number is not None and number > hardware.num_devices:
        raise UserError(
            f"num_devices={number}: this machine has {here}; for another one type "
            f"device=a100_80gb num_devices={number}"
        )
    return replace(hardware, num_devices=number or hardware.num_devices)


def look_at_data(settings: Settings, model: Found) -> DataFigures:
    """Lengths, first prompts and checks, as far as there is a tokenizer to count with."""
    if settings.data.input is None:
        return DataFigures(None, None, "no data.input was given", [], [])
    prompts = open_prompts(settings.data)
    try:
        tokenizer = tokenizer_of(model.directory, settings)
    except NoTokenizer as error:
        return DataFigures(prompts, None, str(error), [], [])
    lengths = lengths_of(prompts, tokenizer, model.size.context(settings.engine))
    checks = check_prompts(prompts, tokenizer)
    checks += [tokenizer.doubt] if tokenizer.doubt else []
    return DataFigures(prompts, lengths, "", first_prompts(prompts, tokenizer), checks)


def _engines(given: Given, settings: Settings) -> Iterator[tuple[str, Engine]]:
    """Every engine preset with the engine settings that were given; the chosen one among them."""
    from rollout.config.presets import preset_content, preset_keys, preset_names

    chosen = settings.presets["engine"]
    experiment = str(settings.presets.get("experiment"))
    kept = {*settings.given, *preset_keys("experiment", experiment, given.config_dir)}
    for preset in preset_names("engine", given.config_dir):
        if preset == chosen:
            yield preset, settings.engine
            continue
        content = preset_content("engine", preset, given.config_dir)
        if "defaults" in content:  # built on others: Hydra knows how
            from rollout.config.compose import compose_words

            words = [word for word in given.words if not word.startswith("engine=")]
            engine = compose_words([*words, f"engine={preset}"], given.config_dir).engine
        else:
            engine = engine_of(content, settings.engine, kept)
        if engine.backend is Backend.vllm:
            yield preset, engine


def engine_of(content: dict[str, Any], given: Engine, kept: set[str]) -> Engine:
    """A preset's settings, with those of `given` that are named in `kept`, dotted."""
    engine = Engine()
    for field in fields(Engine):
        name, default = field.name, getattr(engine, field.name)
        if any(key.split(".")[:2] == ["engine", name] for key in kept):
            setattr(engine, name, getattr(given, name))
        elif name in content and not is_dataclass(default):
            value = content[name]
            setattr(engine, name, type(default)[value] if isinstance(default, Enum) else value)
    return engine


def _history(settings: Settings, model: Found) -> Record | None:
    """This machine's last finished run of the model, on its own devices."""
    here = machine.look()
    newest = last_like(model.size.name, settings.engine.dtype, str(here))
    # What was cut off at fewer tokens says nothing of longer responses.
    most = settings.sampling.token_limit or model.size.context(settings.engine)
    is_alike = newest is not None and newest.max_tokens >= most
    return newest if is_alike else None
