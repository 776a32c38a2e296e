"""From what the user gave to `Settings`: presets < YAML file < environment < command line.

Everything lower than the command line is turned into Hydra overrides before Hydra starts, so
that one mechanism composes, checks types and records what was in force. A preset that is typed
on the command line also beats what the file or the environment say of the keys it sets.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.config import SECTIONS, Key, Settings, keys, type_name
from rollout.errors import UserError, did_you_mean

ROOT_CONFIG = "rollout"
SCHEMA = "rollout_schema"
ENVIRONMENT = {
    "MODEL_PATH": "model.model_path",
    "INPUT": "data.input",
    "OUTPUT": "output.path",
    "N_SAMPLES": "sampling.n_samples",
    "MAX_TOKENS": "sampling.max_tokens",
    "TEMPERATURE": "sampling.temperature",
    "TOP_P": "sampling.top_p",
    "TENSOR_PARALLEL_SIZE": "engine.tensor_parallel_size",
    "GPU_MEMORY_UTILIZATION": "engine.gpu_memory_utilization",
    "MAX_NUM_SEQS": "engine.max_num_seqs",
}
# Flags of the script this tool replaces -> keys.
OLD_FLAGS = {
    "model_path": "model.model_path",
    "trust_remote_code": "model.trust_remote_code",
    "input_parquet": "data.input",
    "input": "data.input",
    "prompt_key": "data.prompt_key",
    "output_parquet": "output.path",
    "output": "output.path",
    "n_samples": "sampling.n_samples",
    "max_tokens": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "repetition_penalty": "sampling.repetition_penalty",
    "seed": "sampling.seed",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "gpu_memory_utilization": "engine.gpu_memory_utilization",
    "max_model_len": "engine.max_model_len",
    "dtype": "engine.dtype",
    "enforce_eager": "engine.enforce_eager",
    "enable_prefix_caching": "engine.enable_prefix_caching",
    "max_num_seqs": "engine.max_num_seqs",
}
GROUPS = (*SECTIONS, "experiment")


def conf_dir() -> Path:
    """The shipped presets: rollout/conf in a wheel, conf beside rollout/ in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


@dataclass(slots=True)
class Given:
    """One command line taken apart, with what the lower sources add to it."""

    overrides: list[str] = field(default_factory=list)  # for Hydra, lowest precedence first
    flags: list[str] = field(default_factory=list)
    config_dir: Path | None = None  # the user's own presets
    notes: list[str] = field(default_factory=list)  # what came from elsewhere, for the user


def gather(argv: list[str], environment: dict[str, str], start_dir: Path) -> Given:
    """Take the command line, the environment and `config_file=` together.

    Raises UserError for a key, preset or flag that does not exist, before Hydra is imported.
    """
    typed, flags, config_dir = _split(argv)
    config_dir = _checked_config_dir(config_dir, start_dir)
    config_file, typed = _take(typed, "config_file")
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    lower: dict[str, Any] = {}
    notes = []
    if config_file:
        lower |= read_config_file(start_dir / Path(_unquoted(config_file)).expanduser())
        notes.append(f"from {config_file}: {', '.join(lower)}")
    from_environment = {
        key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)
    }
    if from_environment:
        names = [name for name, key in ENVIRONMENT.items() if key in from_environment]
        notes.append(f"from the environment: {' '.join(f'{n}={environment[n]}' for n in names)}")
    lower |= {k: _from_text(v, k) for k, v in from_environment.items()}
    overrides = [checked_override(text, config_dir, multirun) for text in typed]
    presets = {k: v for k, v in map(_parts, overrides) if k in GROUPS}
    lower = _without_preset_keys(lower, presets, config_dir)
    if "model.model_path" in lower | dict(map(_parts, overrides)):
        # A path of one's own is no preset's: `model` is then custom, unless said otherwise.
        if "model" not in lower and "model" not in presets:
            lower = {"model": "custom", **lower}
    given = {*lower, *(k for k, _ in map(_parts, overrides))}
    if not given & {"data.input", "experiment", "data"}:
        # Without input: the demo. A sampling preset that was typed keeps its values.
        demo = {"data": "example"} if "sampling" in given else {"experiment": "demo"}
        lower = demo | lower
        notes.append(
            "no data.input: answering the example prompts (experiment=demo); "
            "for your own, type data.input=FILE.parquet"
        )
    return Given([override(k, v) for k, v in lower.items()] + overrides, flags, config_dir, notes)


def _parts(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.lstrip("+~"), value


def _take(typed: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of override `name`, and the rest."""
    values = [value for key, value in map(_parts, typed) if key == name]
    return (values[-1] if values else None), [t for t in typed if _parts(t)[0] != name]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


# Flags.

FLAGS = ("-m", "--multirun", "--resolve")
FLAGS_WITH_VALUE = ("-c", "--cfg", "-p", "--package", "-i", "--info")


def _split(argv: list[str]) -> tuple[list[str], list[str], str | None]:
    """Overrides, Hydra's flags, and the value of --config-dir."""
    typed: list[str] = []
    flags: list[str] = []
    config_dir = None
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            config_dir = value if equals else next(words, None)
            if not config_dir:
                raise UserError("--config-dir needs a directory: --config-dir my_conf")
        elif word in FLAGS:
            flags.append(word)
        elif name in FLAGS_WITH_VALUE:
            flags += (
                [word]
                if equals
                else [word, *([following] if (following := next(words, "")) else [])]
            )
        elif word.startswith("-"):
            _refuse_flag(name, value)
        elif not equals and not word.startswith("~"):
            raise UserError(
                f"{word!r} is no setting; settings are written key=value, such as "
                "data.input=prompts.parquet"
            )
        else:
            typed.append(word)
    return typed, flags, config_dir


def _refuse_flag(name: str, value: str) -> None:
    key = OLD_FLAGS.get(name.lstrip("-").replace("-", "_"))
    if key:
        raise UserError(f"{name}: settings have no dashes here; type {key}={value or '...'}")
    known = [*FLAGS, *FLAGS_WITH_VALUE, "--config-dir", "--help", "--version"]
    raise UserError(f"unknown flag {name}.{did_you_mean(name, known)} See --help")


def _checked_config_dir(given: str | None, start_dir: Path) -> Path | None:
    if given is None:
        return None
    path = (start_dir / Path(given).expanduser()).resolve()
    if not path.is_dir():
        raise UserError(f"--config-dir {given}: no such directory")
    if (path / f"{ROOT_CONFIG}.yaml").exists():
        raise UserError(
            f"{path}/{ROOT_CONFIG}.yaml would replace the root of all settings; put it at "
            f"{path}/experiment/NAME.yaml and type experiment=NAME, or type config_file=FILE"
        )
    return path


# One override.


def checked_override(text: str, config_dir: Path | None, multirun: bool) -> str:
    """The override, its key known to exist; fit for Hydra's grammar where it was plain text."""
    prefix = re.match(r"[+~]*", text)[0]
    key, value = _parts(text)
    if prefix.startswith("~"):
        raise UserError(f"{text}: settings can't be deleted; type {key}=null where null is allowed")
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return text
    if key in GROUPS:
        return text.removeprefix("+").removeprefix("+")
    if "/" in key or (config_dir and (config_dir / key).is_dir()):
        return text  # a group of the user's own; Hydra knows whether it is there
    known = keys()
    bag = next((k for k in known.values() if k.is_bag and key.startswith(k.name + ".")), None)
    if bag:
        return f"++{key}={value}"
    if key == "presets" or key not in known:
        raise UserError(unknown_key(key, value, known))
    return f"{key}={_fit(known[key], value, multirun)}"


def unknown_key(key: str, value: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist."""
    section = key.split(".")[0]
    if key in OLD_FLAGS:
        return f"there is no setting {key!r}; type {OLD_FLAGS[key]}={value}"
    hint = did_you_mean(key, [*known, *GROUPS, "config_file"])
    bags = {
        "sampling": "Other vLLM SamplingParams go under sampling.extra.",
        "engine": "Other vLLM engine arguments go under engine.extra.",
    }
    bag = bags.get(section, "") if "." in key else ""
    words = [f"there is no setting {key!r}.{hint}", bag]
    return " ".join(word for word in words if word) + " All settings: --help all"


def _fit(key: Key, value: str, multirun: bool) -> str:
    """Quote text that Hydra's grammar would not take as it stands, such as a path with spaces."""
    if "str" not in str(key.type) and key.type is not str:
        return value
    if value == "" and "None" in str(key.type):
        return "null"
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(f"x={value}")
    except HydraException:
        return quoted(value)
    if parsed.is_sweep_override() and not multirun and key.type is not list:
        return quoted(value)
    return value


def override(key: str, value: Any) -> str:
    """A Hydra override that sets `key` to exactly `value`."""
    known = keys()
    in_bag = any(k.is_bag and key.startswith(k.name + ".") for k in known.values())
    return f"{'++' if in_bag else ''}{key}={_literal(value)}"


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_literal(v)}" for k, v in value.items()) + "}"
    return quoted(str(value))


def quoted(text: str) -> str:
    """`text` as a quoted string of Hydra's grammar, interpolations switched off."""
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", text)
    escaped = re.sub(r"(\\+)$", lambda m: m[1] * 2, escaped)
    return "'" + escaped.replace("${", "\\${") + "'"


# Lower sources.


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings of a plain YAML file, by dotted key. Raises UserError naming a bad key."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"config_file={path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config_file={path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"config_file={path} is not YAML{line}: {error.problem}") from error
    if not isinstance(content, dict):
        raise UserError(f"config_file={path} must hold sections: {', '.join(SECTIONS)}")
    known = keys()
    flat = _flatten(content, known)
    for key in flat:
        in_bag = any(k.is_bag and key.startswith(k.name + ".") for k in known.values())
        if key not in known and key not in GROUPS and not in_bag:
            raise UserError(f"config_file={path}: {unknown_key(key, str(flat[key]), known)}")
    return flat


def _flatten(content: dict, known: dict[str, Key], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not (key in known and not known[key].is_bag):
            flat |= _flatten(value, known, key + ".")
        else:
            flat[key] = value
    return flat


def _from_text(text: str, key: str) -> Any:
    """An environment variable's text as a value of its key's type, where it is one."""
    if keys()[key].type in (str, str | None):
        return text
    if text.strip().lower() in ("null", "none"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _without_preset_keys(
    lower: dict[str, Any], presets: dict[str, str], config_dir: Path | None
) -> dict[str, Any]:
    """Leave out what a preset typed on the command line sets itself."""
    import yaml

    beaten: set[str] = set()
    for group, name in presets.items():
        beaten.add(group)
        for directory in (config_dir, conf_dir()):
            file = directory / group / f"{_unquoted(name)}.yaml" if directory else None
            if file and file.is_file():
                try:
                    content = yaml.safe_load(file.read_text()) or {}
                except yaml.YAMLError:
                    break  # Hydra says what is wrong with it
                root = content if group == "experiment" else {group: content}
                values = {k: v for k, v in _flatten(root, keys()).items() if v != "???"}
                beaten |= set(values)
                break
    return {key: value for key, value in lower.items() if key not in beaten}


# Hydra.


def register_schema() -> None:
    """Put the typed schema where the root config's defaults list finds it."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(Settings)
    for key in keys().values():
        if key.is_bag:
            OmegaConf.set_struct(OmegaConf.select(schema, key.name), False)
    ConfigStore.instance().store(name=SCHEMA, node=schema)


def register_search_path(config_dir: Path | None) -> None:
    """Let the user's presets come before ours."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class UserPresets(SearchPathPlugin):
        directory: Path | None = None

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            if self.directory:
                search_path.prepend("user", f"file://{self.directory}")

    UserPresets.directory = config_dir
    plugins = Plugins.instance()
    for old in [p for p in plugins.discover(SearchPathPlugin) if p.__name__ == "UserPresets"]:
        plugins.class_name_to_class.pop(f"{old.__module__}.{old.__qualname__}", None)
        plugins.plugin_type_to_subclass_list[SearchPathPlugin].remove(old)
    plugins.register(UserPresets)


def to_settings(composed: Any, presets: dict[str, Any]) -> Settings:
    """The composed DictConfig as Settings: the one typed boundary.

    Merging the plain values into a fresh schema catches keys that came in by `+`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        ours = [key for key in composed if key != "hydra"]
        plain = OmegaConf.to_container(OmegaConf.masked_copy(composed, ours), resolve=True)
        merged = OmegaConf.merge(OmegaConf.structured(Settings), plain)
        if missing := sorted(OmegaConf.missing_keys(merged)):
            key = missing[0]
            raise UserError(f"{key} is not set; type {key}=... ({keys()[key].help})")
        merged.presets = {k: v for k, v in presets.items() if k in GROUPS}
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error


def compose(given: dict[str, Any]) -> Settings:
    """Settings for `given` keys and presets, from Python: no command line, no environment.

    A key may be dotted, or a last part that only one setting has.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    known = keys()
    overrides = []
    named = {_full_key(name, known): value for name, value in given.items()}
    if "model.model_path" in named and "model" not in named:
        named = {"model": "custom", **named}
    if "run_dir" not in named:
        from datetime import datetime

        named["run_dir"] = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S-%f")
    for key, value in named.items():
        text = (
            value
            if key in GROUPS
            else _literal(os.fspath(value) if isinstance(value, os.PathLike) else value)
        )
        overrides.append(checked_override(f"{key}={text}", None, multirun=False))
    register_schema()
    register_search_path(None)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            composed = hydra_compose(ROOT_CONFIG, overrides, return_hydra_config=True)
        except Exception as error:
            raise UserError(explain(error)) from error
        return to_settings(composed, dict(composed.hydra.runtime.choices))


def _full_key(name: str, known: dict[str, Key]) -> str:
    if name in known or name in GROUPS or "." in name:
        return name
    full = [key for key in known if key.rsplit(".", 1)[-1] == name]
    if len(full) == 1:
        return full[0]
    if full:
        raise UserError(f"{name!r} could be {' or '.join(full)}; give the dotted key")
    raise UserError(unknown_key(name, "...", known))


# Hydra's and omegaconf's errors in one line.


def explain(error: BaseException) -> str:
    """One line for whatever composition raised: which key, which value, what would do."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    texts = [str(e) for e in chain]
    everything = "\n".join(texts)
    if match := re.search(r"Could not find '([^']+)/([^']+)'", everything):
        return _unknown_preset(match[1], match[2], everything)
    full_key = re.search(r"full_key: (\S+)", everything)
    key = full_key[1] if full_key else None
    if key in keys() and (
        value := re.search(r"[Vv]alue '([^\n]*?)'(?: of type| is not|,)", everything)
    ):
        return f"{key}={value[1]} is not {type_name(keys()[key].type)} ({keys()[key].help})"
    if key and re.search(r"Key '[^']+' (?:not in|is not in struct)", everything):
        return unknown_key(key, "...", keys())
    if "Ambiguous value for argument" in everything:
        argument = re.search(r"Ambiguous value for argument '([^']*)'", everything)[1]
        return f"{argument} has several values; for a sweep type -m before it, for a list [a,b]"
    first = next(line for line in [*texts[-1].splitlines(), type(error).__name__] if line.strip())
    return f"{first.strip()}" + (f" ({key})" if key and key not in first else "")


def _unknown_preset(group: str, name: str, text: str) -> str:
    listed = text.partition("Available options in")[2].splitlines()[1:]
    options = [line.strip() for line in listed if line.strip() and ":" not in line]
    options = [o for o in options if re.fullmatch(r"[\w./-]+", o)]
    return (
        f"there is no preset {group}={name}.{did_you_mean(name, options)} "
        f"There are: {', '.join(options)}"
    )
