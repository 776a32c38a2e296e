"""python -m rollout.plan: what fits where, before anything is loaded.

Composes as a run does, and reads the model's shape, the devices and the data. Imports neither
vLLM nor torch; needs no GPU and no weights. Exit codes: 0 the chosen preset fits, 1 it does not,
2 configuration or input error.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from rollout import config, machine, strict_json
from rollout.config import Backend, Engine, Settings
from rollout.console import say
from rollout.errors import UserError
from rollout.exits import run_command
from rollout.history import Record, last_like
from rollout.planner.at_hand import Found, find_model, lengths_of, needs_of, tokenizer_of
from rollout.planner.choose import choose, devices_that_do, smallest_change
from rollout.planner.first_rows import check_prompts, first_prompts
from rollout.planner.fit import fit
from rollout.planner.hardware import Hardware, found, named
from rollout.planner.plan import DataFigures, Plan, Row, recommended
from rollout.planner.tokens import NoTokenizer
from rollout.prompts import open_prompts
from rollout.sources import Given, gather

OWN_KEYS = ("device", "num_devices")
HELP = """\
rollout.plan: does the model fit, in which preset, and what to change

  python -m rollout.plan model=qwen3_4b                         on this machine
  python -m rollout.plan model=qwen3_4b device=a100_80gb num_devices=2
  python -m rollout.plan data.input=prompts.parquet model=qwen3_8b engine=rtx_4090

Every setting of a run may be typed (python -m rollout --help), and

  device        {devices},
                cpu, or the memory alone: 48gib; default: what is here
  num_devices   how many of them; default 1, or those that are here
  --json        the same for programs

Loads nothing, starts nothing; needs neither GPU nor weights. Exit code 0: the preset that the
command names (engine=auto where it names none) fits; 1: it does not; 2: a wrong setting or input.
"""


def main(argv: list[str] | None = None) -> None:
    """Print the plan and exit with its code."""
    run_command("rollout.plan", _main, argv)


def _main(argv: list[str]) -> int:
    from rollout.planner.hardware import KINDS

    if any(word in ("-h", "--help", "help") for word in argv):
        import textwrap

        devices = textwrap.fill(", ".join(KINDS), 84, subsequent_indent=" " * 16)
        print(HELP.format(devices=devices))
        return 0
    words, own = split(argv)
    given = gather(words, os.environ, Path.cwd())
    for note in given.notes:
        say(note, sys.stderr)
    plan = make_plan(given, own)
    if "--json" in argv:
        from rollout.plan_values import plan_values

        print(strict_json.dumps(plan_values(plan), indent=2))
    else:
        from rollout.plan_page import page

        page(plan)
    return 0 if plan.own.fit.fits else 1


def split(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """The words of a run, and the planner's own keys. Raises UserError for a sweep."""
    own: dict[str, str] = {}
    words = []
    for word in argv:
        key, equals, value = word.partition("=")
        if key in OWN_KEYS:
            if not equals or not value:
                raise UserError(f"{key} has no value; type {key}=...")
            own[key] = value
        elif word in ("-m", "--multirun"):
            raise UserError("a plan looks at one command; its table has every engine preset")
        elif word != "--json":
            words.append(word)
    if "num_devices" in own and not (own["num_devices"].isdecimal() and int(own["num_devices"])):
        raise UserError(
            f"num_devices={own['num_devices']} is no number of devices; type a whole one"
        )
    return words, own


def make_plan(given: Given, own: dict[str, str]) -> Plan:
    """Compose, look at model, devices and data, and try every engine preset.

    Raises UserError where the settings, the model's shape or the input can't be read.
    """
    from rollout.compose import compose_words
    from rollout.scoring.within_run import refuse_no_scorer

    settings = compose_words(given.words, given.config_dir)
    config.validate(settings)
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
    from rollout.presets import preset_content, preset_keys, preset_names

    chosen = settings.presets["engine"]
    experiment = str(settings.presets.get("experiment"))
    kept = {*settings.given, *preset_keys("experiment", experiment, given.config_dir)}
    for preset in preset_names("engine", given.config_dir):
        if preset == chosen:
            yield preset, settings.engine
            continue
        content = preset_content("engine", preset, given.config_dir)
        if "defaults" in content:  # built on others: Hydra knows how
            from rollout.compose import compose_words

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


if __name__ == "__main__":
    main()
