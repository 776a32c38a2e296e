"""Hydra's side of a sweep: a launcher that runs all points at once, and names their directories.

The only module that uses Hydra's internals (tests/sweeps/test_launcher.py checks the installed
version): Hydra requires launchers to be in the package `hydra_plugins`, so ours pretends to be,
and it does for all jobs what Hydra's `run_job` does for one. Other launchers (basic, joblib,
submitit) call the task for each point instead, see task.py.
"""

import copy
import hashlib
import importlib
import re
import sys
import time
import types
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rollout.config.compose import LAUNCHER, to_settings
from rollout.config.fingerprint import redacted
from rollout.config.interpolation import without_interpolation
from rollout.config.names import GROUPS
from rollout.config.overrides import parse, parts, unquoted
from rollout.config.presets import overridden_groups
from rollout.config.settings import OBJECTIVE, objective_in
from rollout.errors import RolloutError, UserError
from rollout.report.sweep.points import Point, is_maximized, objective_of
from rollout.system.terminal import say
from rollout.system.unexpected import unexpected_errors_explained

RESOLVER = "rollout_point"
MAX_NAME = 120  # characters of a directory's name
SAY_S = 5.0  # between two progress lines while points are composed


class SweepLauncher(Launcher):
    """Pass all points of a launch to the task's sweep, and return their objectives to Hydra."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self._context, self._task, self._config = hydra_context, task_function, config
        if optuna := sys.modules.get("optuna"):
            optuna.logging.set_verbosity(optuna.logging.WARNING)  # hides a random study name
        hydra_context.config_loader = _CachingLoader(hydra_context.config_loader)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Compose all points, then run them. Raises UserError before anything starts."""
        setup_globals()
        hydra, outer = self._config.hydra, HydraConfig.instance().cfg
        if hydra.job.chdir:
            raise UserError(
                "hydra.job.chdir=true: all points of a sweep run side by side in one process, "
                "which has one working directory; leave it out (paths are relative to where the "
                "command is typed), or type hydra/launcher=basic"
            )
        directory = Path(str(hydra.sweep.dir)).absolute()
        forget_multirun_yaml(directory)
        try:
            with self._task.sweep.deferred():
                jobs = [
                    self._composed(list(overrides), initial_job_idx + i)
                    for i, overrides in enumerate(job_overrides)
                ]
                asked = [self._point(job) for job in jobs]
            callbacks = [_copied(self._context.callbacks) for _ in jobs]
            for job, mine in zip(jobs, callbacks, strict=True):
                HydraConfig.instance().set_config(job)
                mine.on_job_start(config=job, task_function=self._task)
            settings = [a.settings for a in asked if a.settings]
            scored = [s for s in settings if s.postprocess.scorer]
            objective = objective_in((scored or settings)[0]) if settings else OBJECTIVE
            with unexpected_errors_explained(directory):
                total = num_points(hydra, self._context.config_loader)
                num_asked = initial_job_idx + len(asked)
                num_to_come = None if total is None else total - num_asked
                points = self._task.sweep.launch(asked, directory, objective, num_to_come)
            if self._task.sweep.dry_run and not is_basic_sweeper(hydra):
                raise DryRunOver
            returns = []
            for job, mine, point in zip(jobs, callbacks, points, strict=True):
                HydraConfig.instance().set_config(job)
                returned = self._returned(job, point, objective)
                mine.on_job_end(config=job, job_return=returned)
                returns.append(returned)
        finally:
            HydraConfig.instance().cfg = outer
        return [self._for_sweeper(returned) for returned in returns]

    def _composed(self, overrides: list[str], number: int) -> DictConfig:
        composed = self._context.config_loader.take(self._config, overrides)
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        HydraConfig.instance().set_config(composed)
        place = Path(str(composed.hydra.sweep.dir), str(composed.hydra.sweep.subdir)).absolute()
        with read_write(composed.hydra.runtime), open_dict(composed.hydra.runtime):
            composed.hydra.runtime.output_dir = without_interpolation(str(place))
        return composed

    def _point(self, job: DictConfig) -> Point:
        """Return the point that Hydra composed."""
        HydraConfig.instance().set_config(job)
        point = point_of(job, self._task.swept)
        try:
            return replace(point, settings=to_settings(job, job.hydra))
        except UserError as error:
            return replace(point, refused=error)

    def _returned(self, job: DictConfig, point: Point, objective: str) -> JobReturn:
        """Return the result of a job for Hydra's callbacks."""
        plain = copy.deepcopy(job)
        with open_dict(plain):
            del plain["hydra"]
        returned = JobReturn(
            overrides=list(job.hydra.overrides.task),
            cfg=plain,
            hydra_cfg=copy.deepcopy(HydraConfig.instance().cfg),
            working_dir=str(Path.cwd()),
            task_name=str(job.hydra.job.name),
        )
        value = objective_of(point.figures, objective)
        error = None
        if point.status == "failed":
            error = self._task.sweep.errors[point.run_dir]
        elif value is None and not is_basic_sweeper(self._config.hydra):
            error = RolloutError(f"{objective} is null for {point.name}")
        returned.status = JobStatus.FAILED if error else JobStatus.COMPLETED
        returned.return_value = error or value
        return returned

    def _for_sweeper(self, returned: JobReturn) -> JobReturn:
        """Return the result for the sweeper: the basic one must not stop at a failed point."""
        if returned.status is not JobStatus.FAILED:
            return returned
        if is_basic_sweeper(self._config.hydra):
            return JobReturn(status=JobStatus.COMPLETED)
        return _Failed(status=JobStatus.FAILED, _return_value=returned._return_value)


def is_ours(hydra: Any) -> bool:
    return str(hydra.launcher._target_).startswith(MODULE)


def is_basic_sweeper(hydra: Any) -> bool:
    return str(hydra.sweeper._target_).endswith(".BasicSweeper")


def num_points(hydra: Any, loader: Any) -> int | None:
    """Return how many points the sweeper will ask for; None: unknown, as of an optuna grid."""
    sweeper = hydra.sweeper
    if not is_basic_sweeper(hydra):
        sampler = str((sweeper.get("sampler") or {}).get("_target_"))
        return None if sampler.endswith("GridSampler") else sweeper.get("n_trials")
    words = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=loader)  # glob() lists presets by it
    words = parser.parse_overrides([*words, *hydra.overrides.task])
    [points] = BasicSweeper.split_arguments(words, None)
    return len(points)


class DryRunOver(Exception):
    """Ends a dry run of an optimizer, which chooses its points one after another, at the first."""


class _CachingLoader:
    """Hydra's config loader with a cache: the sweeper composes each point to check it, then we do.

    Composing takes a tenth of a second, so progress is printed while there are many points.
    """

    def __init__(self, loader: Any):
        self._loader = loader
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._num_composed, self._printed_at = 0, 0.0  # 0: not since the last launch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """Compose as Hydra does, and cache the result until the launcher takes it."""
        self._printed_at = self._printed_at or time.monotonic()
        composed = self._loader.load_sweep_config(master_config, sweep_overrides)
        self._composed[tuple(sweep_overrides)] = composed
        self._num_composed += 1
        if time.monotonic() - self._printed_at > SAY_S:
            self._printed_at = time.monotonic()
            say(f"{self._num_composed:,} points composed ...", sys.stderr)
        return composed

    def take(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the composed point, from the cache if it is there."""
        self._printed_at = 0.0
        cached = self._composed.pop(tuple(sweep_overrides), None)
        return cached or self._loader.load_sweep_config(master_config, sweep_overrides)


class _Failed(JobReturn):
    """A failed job whose return value raises without printing to stderr."""

    @property
    def return_value(self) -> Any:
        raise self._return_value


# See Plugins.is_in_toplevel_plugins_module; compose.py registers the name.
PACKAGE, MODULE = "hydra_plugins", f"hydra_plugins.{LAUNCHER}"
SweepLauncher.__module__ = MODULE


def register() -> None:
    """Register the launcher, and the resolver that names the points' directories."""
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError:  # no other plugin is installed
        package = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
    if MODULE not in sys.modules:
        module = sys.modules[MODULE] = types.ModuleType(MODULE)
        module.SweepLauncher = SweepLauncher
        setattr(package, LAUNCHER, module)
    Plugins.instance().register(SweepLauncher)
    OmegaConf.register_new_resolver(RESOLVER, _resolve, replace=True)


def _resolve(*typed: str, _root_: DictConfig) -> str:
    """Resolve ${rollout_point:KEY,...}, the name of the composed point; KEYs are the swept keys."""
    name = point_name(swept_values(_root_.hydra, typed))
    return name or str(_root_.hydra.job.num)


def swept_values(hydra: DictConfig, typed: Sequence[str]) -> dict[str, str]:
    """Return this point's value of each swept key: those typed, and those of the sweeper."""
    sweeper = hydra.sweeper
    keys = {
        *filter(None, typed),
        *(sweeper.get("params") or ()),
        *(sweeper.get("search_space") or ()),
    }
    given = map(parts, hydra.overrides.task)
    return {key: unquoted(value) for key, value in given if key in {parts(k)[0] for k in keys}}


def point_name(values: dict[str, str]) -> str:
    """Return a directory name unique to the point, such as `temperature=0.7,top_p=0.9`."""
    leaves = [key.rsplit(".", 1)[-1] for key in values]
    name = ",".join(
        f"{leaf if leaves.count(leaf) == 1 else key}={_value_name(value)}"
        for leaf, (key, value) in zip(leaves, values.items(), strict=True)
    )
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 8]}-{_digest(name)}"


def _value_name(value: str) -> str:
    """Return a plain value unchanged, else its plain characters (a path's end) and a digest."""
    if re.fullmatch(r"[A-Za-z0-9_+.-]{1,40}", value) and not value.startswith("."):
        return value
    plain = re.findall(r"[A-Za-z0-9_+.-]+", value.rstrip("/").rpartition("/")[2])
    return f"{'_'.join(part for part in plain if part.strip('.'))[:40]}-{_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=3).hexdigest()


def point_of(job: DictConfig, typed: Sequence[str]) -> Point:
    """Return a composed job's point: name, swept values, directory, environment; no settings."""
    hydra = job.hydra
    return Point(
        str(hydra.sweep.subdir),
        swept_values(hydra, typed),
        Path(hydra.runtime.output_dir),
        environment={k: str(v) for k, v in dict(hydra.job.env_set).items()},
    )


def sweep_words(words: Sequence[str], swept: Sequence[str], config_dir: Path | None) -> list[str]:
    """Return the overrides that the sweep in `words` needs and does not set itself."""
    given = dict(map(parts, words))
    found = {}
    experiment = unquoted(given.get("experiment", ""))
    if "hydra/launcher" not in overridden_groups("experiment", experiment, config_dir):
        found["hydra/launcher"] = LAUNCHER
    if swept:
        found["hydra.sweep.subdir"] = f"'${{{RESOLVER}:{','.join(swept)}}}'"
    if given.get("hydra/sweeper") == "optuna":
        objective = given.get("objective", OBJECTIVE)
        found |= {
            "hydra.sweeper.direction": "maximize" if is_maximized(objective) else "minimize",
            "hydra.sweeper.max_failure_rate": "1.0",  # a failed point must not end the study
            "hydra.sweeper.n_jobs": "1",  # points side by side share the engine's throughput
        }
        if "hydra/sweeper/sampler" not in given:
            found["hydra.sweeper.sampler.seed"] = "42"  # so that the same command resumes
    return [f"{key}={value}" for key, value in found.items() if key not in given]


def swept_keys(words: Sequence[str]) -> list[str]:
    """Return the keys of the typed overrides that have several values. Raises UserError."""
    found = []
    for word in words:
        key, _ = parts(word)
        if key.startswith("hydra") or not (key in GROUPS or "." in key or "=" in word):
            continue
        parsed = parse(word)
        if parsed is not None and parsed.is_sweep_override():
            refuse_swept(key, parts(word)[1])
            found.append(key)
    return found


def refuse_swept(key: str, value: str) -> None:
    """Raise UserError for a key whose values can't be part of directory names."""
    if key == "run_dir":
        raise UserError(
            f"run_dir={value}: a sweep has one directory, in which each point has its own; give "
            "one, and sweep something else"
        )
    if redacted([f"{key}={value}"]) != [f"{key}={value}"] and not re.fullmatch(
        r"[-+0-9., ]+", value
    ):
        raise UserError(
            f"{key} may hold a secret, which a sweep would write into directory names; put the "
            "values into your own presets (--config-dir) and sweep those"
        )


def forget_multirun_yaml(directory: Path) -> None:
    """Delete Hydra's record of the sweep, which holds the typed secrets; each run has its own."""
    with suppress(OSError):
        (directory / "multirun.yaml").unlink()


def _copied(callbacks: Any) -> Any:
    """Return callbacks for one job, which keep state and would mix jobs that run side by side."""
    try:
        return copy.deepcopy(callbacks)
    except Exception:  # can't be copied, so all jobs share it
        return callbacks
