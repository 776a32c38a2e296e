"""python -m rollout.plan: report which engine presets fit, before anything is loaded."""

import os
import sys
from pathlib import Path

from rollout.config.sources import gather
from rollout.errors import UserError
from rollout.plan.build import make_plan
from rollout.system.exits import run_command
from rollout.system.formats import strict_json
from rollout.system.terminal import say

OWN_KEYS = ("device", "num_devices", "num_nodes", "show")
HELP = """\
rollout.plan: check whether a model fits, with which engine preset, and what to change

  python -m rollout.plan model=qwen3_4b                         on this machine
  python -m rollout.plan model=qwen3_4b device=a100_80gb num_devices=2
  python -m rollout.plan data.input=prompts.parquet model=qwen3_8b engine=rtx_4090
  python -m rollout.plan scale=ray model=qwen3_14b device=h100_80gb num_devices=8

Accepts every setting of a run (see python -m rollout --help), and:

  device        {devices},
                cpu, or a memory size such as 48gib; default: this machine's
  num_devices   number of devices; default: this machine's, or 1 with device=
  num_nodes     with scale=ray: machines that hold the devices, as many in each; default: 1
  show          all: list the presets for other hardware too
  --json        print JSON, with every preset

Needs no GPU and no weights, and loads nothing. Exit code 0: the engine preset of the command
(default: engine=auto) fits; 1: it does not; 2: a setting or the input is wrong.
"""


def main(argv: list[str] | None = None) -> None:
    """Print the plan and exit with its exit code."""
    run_command("rollout.plan", _main, argv)


def _main(argv: list[str]) -> int:
    from rollout.plan.memory.hardware import KINDS

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
        from rollout.plan.values import plan_values

        print(strict_json.dumps(plan_values(plan), indent=2))
    else:
        from rollout.plan.page import print_plan

        print_plan(plan)
    return 0 if plan.selected.fits else 1


def split(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words of a run and the planner's own keys. Raises UserError for a sweep."""
    own: dict[str, str] = {}
    words = []
    for word in argv:
        key, equals, value = word.partition("=")
        if key in OWN_KEYS:
            if not equals or not value:
                raise UserError(f"{key} has no value; type {key}=VALUE")
            own[key] = value
        elif word in ("-m", "--multirun"):
            raise UserError(
                f"a plan covers one run, not a sweep; leave {word} out: the table lists every "
                "engine preset"
            )
        elif word != "--json":
            words.append(word)
    if own.get("show", "all") != "all":
        raise UserError(f"show={own['show']} is unknown; type show=all, or leave it out")
    for key in ("num_devices", "num_nodes"):
        if key in own and not (own[key].isdecimal() and int(own[key])):
            raise UserError(f"{key}={own[key]} is not a positive whole number; type {key}=2")
    return words, own


if __name__ == "__main__":
    main()
