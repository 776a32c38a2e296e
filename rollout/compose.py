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
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.config import SECTIONS, Key, Settings, get, keys, type_name
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
    multirun |= any(_parts(text) == ("hydra.mode", "MULTIRUN") for text in typed)
    lower: dict[str, Any] = {}
    notes = []
    if config_file:
        lower |= read_config_file(start_dir / at_home(_unquoted(config_file)))
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
    words = [override(k, v) for k, v in lower.items()] + overrides
    if not multirun:
        words.append("hydra.run.dir=.")  # Hydra makes no directory: the store makes run_dir
    return Given(words, flags, config_dir, notes)


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
FLAGS_WITH_VALUE = {  # as Hydra spells them in full -> the values it knows; None: any
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--package": None,
}
SHORT_FLAGS = {"-c": "--cfg", "-i": "--info", "-p": "--package", "-cd": "--config-dir"}


def _split(argv: list[str]) -> tuple[list[str], list[str], str | None]:
    """Overrides, Hydra's flags, and the value of --config-dir."""
    typed: list[str] = []
    flags: list[str] = []
    config_dir = None
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = SHORT_FLAGS.get(name, name)
        if word in FLAGS:
            flags.append(word)
        elif name == "--config-dir" or name in FLAGS_WITH_VALUE:
            value = value if equals else (words.pop(0) if words else "")
            if name == "--config-dir":
                config_dir = value
            else:
                flags.append(f"{name}={value}")
            _check_flag(name, value)
        elif word.startswith("-"):
            _refuse_flag(name, value, words)
        elif not equals and not word.startswith("~"):
            key = word.lstrip("+")
            example = f"{key}=..." if key in {*keys(), *GROUPS} else "data.input=prompts.parquet"
            raise UserError(
                f"{word!r} has no value: settings are written key=value; type {example}"
            )
        else:
            typed.append(word)
    if "--resolve" in flags and not any(flag.startswith("--cfg") for flag in flags):
        raise UserError("--resolve fills in what --cfg prints; type --cfg job --resolve")
    return typed, flags, config_dir


def _check_flag(name: str, value: str) -> None:
    known = FLAGS_WITH_VALUE.get(name)
    if not value:
        example = {"--config-dir": "my_conf", "--package": "sampling"}.get(name, "job")
        raise UserError(f"{name} needs a value, such as {name} {known[0] if known else example}")
    if known and value not in known:
        raise UserError(f"{name} {value}: there is {', '.join(known)}")


def _refuse_flag(name: str, value: str, following: list[str]) -> None:
    """Say how an old flag, or an unknown one, is written here."""
    key = OLD_FLAGS.get(name.lstrip("-").replace("-", "_"))
    if key:
        if not value and following and not following[0].startswith("-"):
            value = following[0]
        elif not value:
            value = "true" if keys()[key].type is bool else "..."
        raise UserError(f"{name}: settings have no dashes here; type {key}={value}")
    if name in FLAGS:
        raise UserError(f"{name} takes no value; type {name} alone")
    known = [*FLAGS, *FLAGS_WITH_VALUE, "--config-dir", "--help", "--version"]
    raise UserError(f"unknown flag {name}.{did_you_mean(name, known)} See --help")


def _checked_config_dir(given: str | None, start_dir: Path) -> Path | None:
    if given is None:
        return None
    path = (start_dir / at_home(given)).resolve()
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
    if key == "hydra.run.dir" and not multirun:
        key = "run_dir"
    if prefix.startswith("~"):
        example = f"{key}=NAME" if key in GROUPS else f"{key}=null where null is allowed"
        raise UserError(f"{text}: settings can't be deleted; type {example}")
    if key.startswith(("hydra.", "hydra/")):
        return text
    if key in GROUPS:
        return _checked_preset(key, value, config_dir, multirun)
    if "/" in key or (key and config_dir and (config_dir / key).is_dir()):
        return text  # a group of the user's own; Hydra knows whether it is there
    known = known_keys()
    bag = _bag_of(key, known)
    if bag:
        _check_bag_name(key, bag)
        return f"++{key}={_fit(bag, key, value, multirun)}"
    if key not in known:
        raise UserError(unknown_key(key, value, known))
    return f"{key}={_fit(known[key], key, value, multirun)}"


def known_keys() -> dict[str, Key]:
    """Every key that users may set."""
    return {name: key for name, key in keys().items() if name != "presets"}


def _bag_of(key: str, known: dict[str, Key]) -> Key | None:
    """The free-form setting that `key` lies in, such as sampling.extra for sampling.extra.min_p."""
    return next((k for k in known.values() if k.is_bag and key.startswith(k.name + ".")), None)


def _check_bag_name(key: str, bag: Key) -> None:
    inner = key.removeprefix(bag.name + ".")
    if not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)*", inner, re.ASCII):
        raise UserError(f"{key}: {inner!r} is no name; type {bag.name}.NAME=... ({bag.help})")


def _checked_preset(group: str, value: str, config_dir: Path | None, multirun: bool) -> str:
    parsed = _parse(f"{group}={value}")
    if parsed is None:
        raise UserError(_unknown_preset(group, value, preset_names(group, config_dir)))
    if parsed.is_sweep_override():
        if not multirun:
            raise UserError(several_values(f"{group}={value}"))
    elif not (
        (isinstance(parsed.value(), str) and parsed.value())
        or isinstance(parsed.value(), dict)  # values of its settings: sampling={n_samples:4}
        or (parsed.value() is None and group == "experiment")
    ):
        raise UserError(_unknown_preset(group, value, preset_names(group, config_dir)))
    return f"{group}={value}"


def preset_names(group: str, config_dir: Path | None = None) -> list[str]:
    """The presets of a group, ours and the user's."""
    directories = [d / group for d in (config_dir, conf_dir()) if d]
    return sorted({file.stem for d in directories for file in d.glob("*.yaml")})


def unknown_key(key: str, value: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist."""
    section = key.split(".")[0]
    if key in OLD_FLAGS:
        return f"there is no setting {key!r}; type {OLD_FLAGS[key]}={value}"
    hint = did_you_mean(key, [*(k for k in known if k != "presets"), *GROUPS, "config_file"])
    bags = {
        "sampling": "Other vLLM SamplingParams go under sampling.extra.",
        "engine": "Other vLLM engine arguments go under engine.extra.",
    }
    bag = bags.get(section, "") if "." in key else ""
    words = [f"there is no setting {key!r}.{hint}", bag]
    return " ".join(word for word in words if word) + " All settings: --help all"


def _fit(declared: Key, key: str, value: str, multirun: bool) -> str:
    """The value as Hydra's grammar wants it: text that it would misread is quoted.

    A key that holds text takes any text: a path with spaces or commas, `1e3`, `true`.
    """
    is_text = declared.type in (str, str | None)
    if key == declared.name and declared.is_bag and value[:1] != "{" and "${" not in value:
        raise UserError(f"{key}={value} is not a mapping; type {key}.NAME=... ({declared.help})")
    if is_text and value == "" and declared.type is not str:
        return "null"
    if key == "run_dir":
        value = at_home(value)
    parsed = _parse(f"x={value}")
    if parsed is None and (is_text or (declared.is_bag and value[:1] not in "[{")):
        return quoted(value)
    if parsed is None:
        kind = "a value" if declared.is_bag else type_name(declared.type)
        raise UserError(f"{key}={value} is not {kind} ({declared.help})")
    if parsed.is_sweep_override():
        if not multirun and not is_text:
            raise UserError(several_values(f"{key}={value}"))
        return value if multirun else quoted(value)
    meant = parsed.value()
    if declared.type == list[str] and not isinstance(meant, list) and "${" not in value:
        raise UserError(f"{key}={value} is not a list; type {key}=[{value}] ({declared.help})")
    # A quoted string, an interpolation, an escape and null are the user's; in a text, what looks
    # like a number, a list or padding is text.
    is_plain = meant is None or (isinstance(meant, str) and value == value.strip())
    return quoted(value) if is_text and not is_plain else value


def at_home(path: str) -> str:
    """`path` with a leading ~ written out. Raises UserError where there is no such home."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: there is no such home directory; type ./{path}") from None


def several_values(argument: str) -> str:
    """The message for a sweep without -m."""
    return f"{argument} has several values; for a sweep type -m before it, for a list [a,b]"


def _parse(text: str) -> Any:
    """Hydra's reading of an override; None where its grammar can't read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def override(key: str, value: Any) -> str:
    """A Hydra override that sets `key` to exactly `value`.

    Raises UserError for a mapping whose keys Hydra's grammar can't hold.
    """
    bag = _bag_of(key, keys())
    if bag:
        _check_bag_name(key, bag)
    if key == "run_dir" and isinstance(value, str):
        value = at_home(value)
    text = f"{'++' if bag else ''}{key}={_literal(value)}"
    if isinstance(value, dict | list) and _parse(text) is None:
        raise UserError(f"{key}={value} has a name that can't be written here")
    return text


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_name(k)}:{_literal(v)}" for k, v in value.items()) + "}"
    return quoted(os.fspath(value) if isinstance(value, os.PathLike) else str(value))


def _name(key: Any) -> str:
    """A mapping's key, which Hydra's grammar can't quote, escaped."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key) if isinstance(key, str) else str(key)


def quoted(text: str) -> str:
    """`text` as a quoted string of Hydra's grammar, interpolations switched off."""
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", without_interpolation(text))
    return "'" + re.sub(r"(\\+)\Z", lambda m: m[1] * 2, escaped) + "'"


def without_interpolation(value: Any) -> Any:
    """Plain values that omegaconf takes as they are: `${` is escaped in every text."""
    if isinstance(value, dict):
        return {k: without_interpolation(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_interpolation(v) for v in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + "\\${", value)
    return value


# Lower sources.


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings of a plain YAML file, by dotted key. Raises UserError naming a bad key.

    A run's own attempts/N/config.yaml can be read back.
    """
    import yaml
    from omegaconf._utils import get_yaml_loader  # presets are read by it: 1e-3 is a number

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=get_yaml_loader())
    except FileNotFoundError:
        raise UserError(f"config_file={path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config_file={path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"config_file={path} is not YAML{_where(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"config_file={path} must hold sections: {', '.join(SECTIONS)}")
    content.pop("presets", None)
    known = known_keys()
    flat = _flatten(content, known)
    for key, value in flat.items():
        if key not in known and key not in GROUPS and not _bag_of(key, known):
            raise UserError(f"config_file={path}: {unknown_key(key, str(value), known)}")
        if key in GROUPS and not isinstance(value, str):
            raise UserError(
                f"config_file={path}: {key} must be a preset's name or hold settings, "
                f"not {value!r}; there are: {', '.join(preset_names(key))}"
            )
    return flat


def _where(error: Exception) -> str:
    """Line and problem of a YAML error."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return (f", line {mark.line + 1}" if mark else "") + f": {problem}"


def _flatten(content: dict, known: dict[str, Key], prefix: str = "") -> dict[str, Any]:
    """Nested sections by dotted key; what stands in a free-form setting stays whole."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not _bag_of(key, known):
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
    """Leave out what a preset typed on the command line sets itself.

    Raises UserError where only some presets of a sweep set it: no one value would be in force.
    """
    beaten: set[str] = set()
    for group, value in presets.items():
        sets = [_preset_keys(group, n, config_dir) for n in _swept(group, value, config_dir)]
        always, ever = set.intersection(*sets), set.union(*sets)
        if unclear := sorted((ever - always) & set(lower)):
            raise UserError(
                f"{unclear[0]} is set by the config_file or the environment, and by only some of "
                f"{group}={value}; type {unclear[0]}=..."
            )
        beaten |= {group, *always}
    return {key: value for key, value in lower.items() if key not in beaten}


def _swept(group: str, value: str, config_dir: Path | None) -> list[str]:
    """The presets that a typed value names: one, or those of a sweep."""
    parsed = _parse(f"{group}={value}")
    if not parsed.is_choice_sweep():
        return [_unquoted(value)]
    choices = parsed.value()
    if hasattr(choices, "filter"):  # glob(*)
        return choices.filter(preset_names(group, config_dir)) or [value]
    return [_unquoted(str(choice)) for choice in parsed.sweep_string_iterator()]


def _preset_keys(group: str, name: str, config_dir: Path | None) -> set[str]:
    """The keys that a preset sets, those of the presets it builds on included."""
    import yaml

    files = [d / group / f"{name}.yaml" for d in (config_dir, conf_dir()) if d]
    file = next((f for f in files if f.is_file()), None)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None  # Hydra says what is wrong with it
    if not isinstance(content, dict):
        return set()
    bases = content.pop("defaults", [])
    root = content if group == "experiment" else {group: content}
    found = {k for k, v in _flatten(root, known_keys()).items() if v != "???"}
    for base in bases if isinstance(bases, list) else []:
        if isinstance(base, str) and base not in ("_self_", name):
            found |= _preset_keys(group, base, config_dir)
    return found


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
        merged = OmegaConf.merge(OmegaConf.structured(Settings), without_interpolation(plain))
        if missing := sorted(OmegaConf.missing_keys(merged)):
            key = missing[0]
            raise UserError(f"{key} is not set; type {key}=... ({keys()[key].help})")
        merged.presets = {k: v for k, v in presets.items() if k in GROUPS}
        settings = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    if not settings.run_dir:
        raise UserError("run_dir is empty; type run_dir=DIRECTORY, or leave it out")
    for key in ("run_dir", "output.path", "data.input", "model.model_path"):
        _check_path(key, get(settings, key) or "")
    settings.run_dir = str(Path(at_home(settings.run_dir)).absolute())
    return settings


def _check_path(key: str, path: str) -> None:
    """Refuse a path that no file could have; whether there is one is its reader's question."""
    try:
        Path(at_home(path)).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = path if len(path) <= 80 else f"{path[:60]}...{path[-15:]}"
        raise UserError(f"{key}={shown} can't be a path: {reason}") from error


def compose(given: dict[str, Any]) -> Settings:
    """Settings for `given` keys and presets, from Python: no command line, no environment.

    A key may be dotted, or a last part that only one setting has.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    known = known_keys()
    named = _flatten({_full_key(name, known): value for name, value in given.items()}, known)
    if "model.model_path" in named and "model" not in named:
        named = {"model": "custom", **named}
    if "run_dir" not in named:
        from datetime import datetime

        named["run_dir"] = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S-%f")
    overrides = []
    for key, value in named.items():
        if key not in known and key not in GROUPS and not _bag_of(key, known):
            raise UserError(unknown_key(key, str(value), known))
        text = override(key, value)
        overrides.append(checked_override(text, None, multirun=False) if key in GROUPS else text)
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
    if mark := getattr(chain[-1], "problem_mark", None):
        return f"{mark.name} is not YAML{_where(chain[-1])}"
    texts = [str(e) for e in chain]
    everything = "\n".join(texts)
    if match := re.search(r"Could not find '([^']+)/([^']+)'", everything):
        listed = everything.partition("Available options in")[2].splitlines()[1:]
        options = [line.strip() for line in listed if re.fullmatch(r"[\w./-]+", line.strip())]
        return _unknown_preset(match[1], match[2], options)
    full_key = re.search(r"full_key: (\S+)", everything)
    key = full_key[1] if full_key else None
    if key in keys() and (
        value := re.search(r"[Vv]alue '([^\n]*?)'(?: of type| is not|,)", everything)
    ):
        return f"{key}={value[1]} is not {type_name(keys()[key].type)} ({keys()[key].help})"
    if key in keys() and re.search(
        r"not Optional|Cannot (assign|convert)|Invalid value", everything
    ):
        given = "=null" if "not Optional" in everything else ""
        return f"{key}{given} is not {type_name(keys()[key].type)} ({keys()[key].help})"
    if key == "experiment":
        return "an experiment sets whole sections: its first line must be `# @package _global_`"
    if key and re.search(r"Key '[^']+' (?:not in|is not in struct)", everything):
        return unknown_key(key, "...", keys())
    first = next(line for line in [*texts[-1].splitlines(), type(error).__name__] if line.strip())
    return f"{first.strip()}" + (f" ({key})" if key and key not in first else "")


def _unknown_preset(group: str, name: str, options: list[str]) -> str:
    return (
        f"there is no preset {group}={name}.{did_you_mean(name, options)} "
        f"There are: {', '.join(options)}"
    )
