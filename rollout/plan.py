"""python -m rollout.plan: what fits where, before anything is loaded.

Composes as a run does, and reads the model's shape, the devices and the data. Imports neither
vLLM nor torch; needs no GPU and no weights. Exit codes: 0 the chosen preset fits, 1 it does not,
2 configuration or input error.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rollout import config, machine
from rollout.config import Backend, Device, Engine, Settings
from rollout.console import flush_streams, say
from rollout.errors import RolloutError, UserError
from rollout.history import Record, last_like
from rollout.planner.at_hand import Found, find_model, lengths_of, needs_of, tokenizer_of
from rollout.planner.choose import Change, Choice, choose, smallest_change
from rollout.planner.fit import Fit, Needs, fit
from rollout.planner.hardware import Hardware, found, named
from rollout.planner.lengths import Lengths, Shown, check_prompts, first_prompts
from rollout.planner.tokens import NoTokenizer
from rollout.prompts import Prompts, open_prompts
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


@dataclass(frozen=True, slots=True)
class Row:
    """One engine preset."""

    preset: str
    fit: Fit
    choice: Choice | None  # of engine=auto


@dataclass(frozen=True, slots=True)
class DataFigures:
    """What the input asks."""

    prompts: Prompts | None  # None: no data.input
    lengths: Lengths | None
    why_not: str  # why they were not counted
    shown: list[Shown]
    checks: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the command says."""

    settings: Settings
    model: Found
    hardware: Hardware
    data: DataFigures
    needs: Needs
    rows: list[Row]
    change: Change | None  # that makes the command's own preset fit
    recommended: Row | None
    history: Record | None

    @property
    def own(self) -> Row:
        """The preset that the command names."""
        return next(row for row in self.rows if row.preset == self.settings.presets["engine"])


def main(argv: list[str] | None = None) -> None:
    """Print the plan and exit with its code."""
    argv = sys.argv[1:] if argv is None else argv
    code, message, details = 0, "", []
    try:
        code = _main(argv)
    except RolloutError as error:
        message, details, code = str(error.args[0]), error.details, error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    except BrokenPipeError:
        code = 1
    if message:
        say("rollout.plan: " + " ".join(message.splitlines()), sys.stderr)
    for line in details:
        say(line, sys.stderr)
    with suppress(BrokenPipeError):
        flush_streams()
    sys.exit(code)


def _main(argv: list[str]) -> int:
    from rollout.planner.hardware import KINDS

    if any(word in ("-h", "--help", "help") for word in argv):
        import textwrap

        devices = textwrap.fill(", ".join(KINDS), 84, subsequent_indent=" " * 16)
        print(HELP.format(devices=devices))
        return 0
    words, own = split(argv)
    given = gather(words, os.environ, Path.cwd(), demo=False)
    for note in given.notes:
        say(note, sys.stderr)
    plan = make_plan(given, own)
    if "--json" in argv:
        from rollout.plan_page import plan_values

        print(json.dumps(plan_values(plan), indent=2))
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

    settings = compose_words(given.words, given.config_dir)
    config.validate(settings)
    model = find_model(settings, given.config_dir)
    hardware = hardware_of(settings, own)
    data = look_at_data(settings, model)
    needs = needs_of(data.lengths, settings.sampling.max_tokens)
    rows = []
    for preset, engine in _engines(given, settings):
        free = frozenset(k.removeprefix("engine.") for k in settings.given)
        choice = choose(model.size, engine, hardware, needs, free) if preset == "auto" else None
        rows.append(
            Row(preset, choice.fit if choice else fit(model.size, engine, hardware, needs), choice)
        )
    chosen = next(row for row in rows if row.preset == settings.presets["engine"])
    change = None
    if not chosen.fit.fits:
        change = smallest_change(model.size, chosen.fit.engine, hardware, needs)
    return Plan(
        settings,
        model,
        hardware,
        data,
        needs,
        rows,
        change,
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
    from dataclasses import replace

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
    context = settings.engine.max_model_len or model.size.shape.max_position
    lengths = lengths_of(prompts, tokenizer, context)
    checks = check_prompts(prompts, tokenizer)
    checks += [tokenizer.doubt] if tokenizer.doubt else []
    return DataFigures(prompts, lengths, "", first_prompts(prompts, tokenizer), checks)


def _engines(given: Given, settings: Settings) -> Iterator[tuple[str, Engine]]:
    """Every engine preset with the engine settings that were typed; the one chosen among them."""
    from rollout.compose import compose_words
    from rollout.presets import preset_names

    chosen = settings.presets["engine"]
    words = [word for word in given.words if not word.startswith("engine=")]
    for preset in preset_names("engine", given.config_dir):
        if preset == chosen:
            yield preset, settings.engine
            continue
        other = compose_words([*words, f"engine={preset}"], given.config_dir)
        if other.engine.backend is Backend.vllm:
            yield preset, other.engine


def recommended(rows: list[Row]) -> Row | None:
    """The preset that holds most samples side by side; of nearly equals the one that asks least.

    `auto` is left out: it is what to type where no other suits better.
    """
    fitting = [row for row in rows if row.fit.fits and row.preset != "auto"]
    auto = next((row for row in rows if row.preset == "auto" and row.fit.fits), None)
    if auto:
        degree = auto.fit.engine.tensor_parallel_size
        same = [row for row in fitting if row.fit.engine.tensor_parallel_size == degree]
        fitting = same or fitting
    if not fitting:
        return auto
    most = max(row.fit.num_side_by_side for row in fitting)
    best = min(
        (row for row in fitting if row.fit.num_side_by_side >= 0.8 * most),
        key=lambda row: (
            row.fit.engine.tensor_parallel_size,
            row.fit.engine.max_num_seqs,
            -row.fit.kv_cache_gib,
            row.preset,
        ),
    )
    if auto and auto.fit.num_side_by_side > 1.2 * best.fit.num_side_by_side:
        return auto
    return best


def _history(settings: Settings, model: Found) -> Record | None:
    """This machine's last finished run of the model, on its own devices."""
    here = machine.look()
    return last_like(model.size.name, settings.engine.dtype, str(here))


def is_cpu(hardware: Hardware) -> bool:
    return hardware.device is Device.cpu


if __name__ == "__main__":
    main()
