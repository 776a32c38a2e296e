"""Compose the schema and the presets into typed `Settings`, by Hydra.

Guarantees that no omegaconf object leaves this module, and that any invalid value is a UserError.
Must not know about the command line's words, or where an override came from.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from rollout.config.explain import explain
from rollout.config.fingerprint import names_parameters
from rollout.config.interpolation import texts_in, without_interpolation
from rollout.config.names import (
    GROUPS,
    INPUT_KEYS,
    SWITCHES,
    declared,
    flatten,
    full_key,
    known_keys,
)
from rollout.config.overrides import broken, checked_preset, override, parse, parts
from rollout.config.plain_values import PATHS, check_path, check_scalar, plain
from rollout.config.presets import ROOT_CONFIG, conf_dir, implied_presets, preset_keys
from rollout.config.recorded import ReadRun
from rollout.config.schema import get
from rollout.config.settings import Settings, keys
from rollout.errors import UserError
from rollout.errors.secret_texts import remember
from rollout.system.disk import expand_home, path_of

SCHEMA = "rollout_schema"
LAUNCHER = "rollout"  # see launcher.py


def compose(given: dict[str, Any], read_run: ReadRun | None = None) -> Settings:
    """Return the settings for `given` keys and presets from Python, without the environment.

    A key may be dotted, or a last part that only one active setting has (names.full_key). A
    run_dir without input takes the settings of the last launch there, as `read_run` returns them.
    """
    given = {name: plain(str(name), value) for name, value in given.items()}
    active = _active(given)
    named: dict[str, Any] = {}
    for name, value in given.items():
        key = full_key(name, active)
        found = flatten({key: value})
        if twice := sorted(named.keys() & found.keys()):
            raise UserError(
                f"{name!r} and {twice[0]} are one setting, given twice; leave one of them out"
            )
        named |= found
    own, overrides = _recorded_beside(named, read_run)
    for key, value in (implied_presets(own | named) | own | named).items():
        text = override(key, value)
        if key in GROUPS:
            text = checked_preset(*parts(text), config_dir=None, multirun=False)
        else:
            declared(key, value)
        overrides.append(text)
    return compose_words(overrides, None)


def _active(given: dict[str, Any]) -> set[str]:
    """Return the stages that `given` switches on, itself or by its experiment."""
    set_keys = {*given, *flatten({k: v for k, v in given.items() if isinstance(v, dict)})}
    set_keys |= preset_keys("experiment", str(given.get("experiment")), None)
    return {s for s, key in SWITCHES.items() if key in set_keys or key.rsplit(".", 1)[-1] in given}


def _recorded_beside(
    named: dict[str, Any], read_run: ReadRun | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the recorded settings of the run in run_dir that `named` leaves unset.

    With them, the overrides for the settings that are filled in (Recorded.filled_in).
    """
    run_dir, here = named.get("run_dir"), Path.cwd()
    is_path = isinstance(run_dir, str | os.PathLike) and os.fspath(run_dir)
    if read_run is None or not is_path or INPUT_KEYS & named.keys():
        return {}, []
    if (before := read_run(here / expand_home(os.fspath(run_dir)), here, named)) is None:
        return {}, []
    chosen = [(g, str(name)) for g, name in named.items() if g in GROUPS]
    overridden = set(named).union(*(preset_keys(group, name, None) for group, name in chosen))
    own = {key: value for key, value in before.values.items() if key not in overridden}
    return own, before.filled_in(own, named)


def compose_words(words: list[str], config_dir: Path | None) -> Settings:
    """Return the settings for the words that `sources.gather` returns. Not for a sweep."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    register(config_dir)
    with _own_hydra(), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            composed = hydra_compose(ROOT_CONFIG, words, return_hydra_config=True)
        except Exception as error:
            raise UserError(explain(error)) from error
        return to_settings(composed, composed.hydra)


def register(config_dir: Path | None) -> None:
    """Register the typed schema with Hydra, and the user's presets in `config_dir` before ours."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    if f"{SCHEMA}.yaml" not in store.repo:  # storing it again costs as much as composing it
        store.store(name=SCHEMA, node=_schema_node())
        launcher = {"_target_": f"hydra_plugins.{LAUNCHER}.SweepLauncher"}
        store.store(group="hydra/launcher", name=LAUNCHER, node=launcher)
    _user_presets().directory = config_dir


@cache
def _schema_node() -> Any:
    """Return the schema as a DictConfig, with free names in its bags. Not to be written to."""
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(Settings)
    for key in keys().values():
        if key.is_bag:
            OmegaConf.set_struct(OmegaConf.select(schema, key.name), False)
    return schema


@cache
def _user_presets() -> Any:
    """Return a Hydra plugin that puts a directory before ours; Hydra's --config-dir goes after."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class UserPresets(SearchPathPlugin):
        directory: Path | None = None

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            if self.directory:
                search_path.prepend("user", f"file://{self.directory}")

    Plugins.instance().register(UserPresets)
    return UserPresets


def to_settings(composed: Any, hydra: Any) -> Settings:
    """Convert the composed DictConfig to Settings.

    `hydra` is Hydra's own config, with the presets chosen and the keys given. Merging the plain
    values into a fresh schema catches keys that were added by `+`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        ours = [key for key in composed if key != "hydra"]
        plain = OmegaConf.to_container(OmegaConf.masked_copy(composed, ours), resolve=True)
        merged = OmegaConf.merge(_schema_node(), without_interpolation(plain))
        if missing := sorted(OmegaConf.missing_keys(merged)):
            key = missing[0]
            raise UserError(f"{key} is not set; type {key}=... ({known_keys()[key].help})")
        given = {str(word).partition("=")[0].lstrip("+~") for word in hydra.overrides.task}
        choices = {k: v for k, v in hydra.runtime.choices.items() if k in GROUPS}
        if "given" in given:  # a resumed run, whose record filled in `given` and `presets`
            merged.presets = choices | dict(merged.presets)
        else:
            merged.presets = choices
            merged.given = sorted(key for key in given if key not in GROUPS)
        settings = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(_explain_typed(error, hydra)) from error
    if not settings.run_dir:
        raise UserError("run_dir is empty; type run_dir=DIRECTORY, or leave it out")
    _check_values(settings)
    run_dir, sampling = str(Path(expand_home(settings.run_dir)).absolute()), settings.sampling
    if schema := sampling.structured_outputs.get("json"):
        structured = {**sampling.structured_outputs, "json": _schema(schema)}
        sampling = replace(sampling, structured_outputs=structured)
    return replace(settings, run_dir=run_dir, sampling=sampling)


def _explain_typed(error: Any, hydra: Any) -> str:
    """As `explain`; for a typed interpolation, also say how to type its literal text."""
    from omegaconf import OmegaConf

    reason = explain(error)
    if not str(type(error).__name__).startswith(("Interpolation", "UnsupportedInterpolation")):
        return reason
    key = str(getattr(error, "full_key", None) or "")
    for word in OmegaConf.to_container(hydra.overrides.task, resolve=False):
        name, _ = parts(word)
        parsed = parse(word) if name and f"{key}.".startswith((f"{name}.", f"{name}[")) else None
        if parsed is not None and any(texts_in(parsed.value())):
            reason = reason.removesuffix(f" ({key})").rpartition("interpolation: ")[2]
            if "positional argument" in reason:  # Python's words, of a function without a name
                reason = "it lacks an argument, or has one too many"
            return broken(name, parsed.value(), reason)
    return reason


def _schema(given: Any) -> dict[str, Any]:
    """Return a JSON schema given as a mapping, as its text, or as a file's name."""
    key, source, text = "sampling.structured_outputs.json", "its text", given
    if isinstance(given, dict):
        return given
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        source = "the file"
        try:
            text = path_of(given).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{key}={given} is neither a JSON schema nor a file that holds one: {reason}"
            ) from error
    try:
        schema = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{key}={given}: {source} is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise UserError(f"{key}={given}: a JSON schema is an object, such as {{type: object}}")
    return schema


def _check_values(settings: Settings) -> None:
    """Raise UserError for an invalid text, number or path. Files are checked by their readers."""
    for key in keys():
        value = get(settings, key)
        if isinstance(value, str):
            check_scalar(key, value)
        elif isinstance(value, dict | list):
            plain(key, value)
        remember(value, by_name=keys()[key].is_bag and names_parameters(key))
    for key in PATHS:
        if path := get(settings, key):
            check_path(key, path, ROOM.get(key, 0))


# Bytes reserved for names below a directory, or for a temporary name beside a file.
ROOM = {"run_dir": 400} | dict.fromkeys(PATHS[1:5], 100)


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Set aside the Hydra of an application that calls us, and restore it afterwards."""
    from hydra.core.global_hydra import GlobalHydra

    state = GlobalHydra.instance()
    before = state.hydra
    state.clear()
    try:
        yield
    finally:
        state.hydra = before
