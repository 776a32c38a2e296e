"""Explain errors of Hydra, omegaconf and YAML in one line.

Guarantees the key, the value and what to type, if the error holds them. Parses messages, since
these errors carry little else. Must not know who composed what.
"""

import re

from rollout.config.names import known_keys, unknown_key
from rollout.config.presets import unknown_preset
from rollout.config.schema import type_name
from rollout.system.formats.plain_yaml import yaml_problem


def explain(error: BaseException) -> str:
    """Return one line for an error of composition: which key, which value, what is allowed."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    if mark := getattr(chain[-1], "problem_mark", None):
        return f"{mark.name} is not YAML{yaml_problem(chain[-1])}"
    everything = "\n".join(str(e) for e in chain)
    if match := re.search(r"Could not find '([^']+)/([^']+)'", everything):
        listed = everything.partition("Available options in")[2].splitlines()[1:]
        options = [line.strip() for line in listed if re.fullmatch(r"[\w./-]+", line.strip())]
        return unknown_preset(match[1], match[2], options)
    full_key = re.search(r"full_key: (\S+)", everything)
    key = full_key[1] if full_key else ""
    if key == "hydra.runtime.cwd":
        return "the current directory's name has ${ in it, which Hydra can't handle; cd to another"
    if setting := known_keys().get(key):
        value = re.search(r"[Vv]alue '([^\n]*?)'(?: of type| is not|,)", everything)
        if value or re.search(r"not Optional|Cannot (assign|convert)|Invalid value", everything):
            null = "=null" if "not Optional" in everything else ""
            shown = f"={value[1]}" if value else null
            if setting.type == int | str:
                return f"{key}{shown}: type a whole number, or auto"
            return f"{key}{shown} is not {type_name(setting.type)} ({setting.help})"
    if key == "experiment":
        return "an experiment sets whole sections: its first line must be `# @package _global_`"
    if key and re.search(r"Key '[^']+' (?:not in|is not in struct)", everything):
        return unknown_key(key)
    lines = [*str(chain[-1]).splitlines(), type(error).__name__]
    first = next(line.strip() for line in lines if line.strip())
    if re.search(r"[Ii]nterpolation", first):
        first += r"; for a literal ${ in a preset write \${"
    return first + (f" ({key})" if key not in first else "")
