"""The task that Hydra calls for every job: one composed configuration, one run.

Our launcher passes a sweep on as a whole instead (launcher.py). Under another launcher (basic,
joblib, submitit) each point runs here, maybe in another process or on another machine, and leaves
its result in its directory for the process that was started by hand, which writes the table.
"""

import signal
import sys
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf.errors import OmegaConfBaseException

from rollout.config.compose import register, to_settings
from rollout.config.fingerprint import redacted
from rollout.config.settings import Settings, objective_in
from rollout.errors import Interrupted, RolloutError, UserError
from rollout.inputs.prompt_builder import open_prompt_builder
from rollout.report.sweep.points import STATUSES, Point, at_point, figures_of, objective_of
from rollout.runs.command import command_in
from rollout.sweeps import launcher
from rollout.sweeps.outcome import nothing_answered
from rollout.sweeps.sweep import Sweep
from rollout.system.console import Console, Mode
from rollout.system.disk import read_json, write_json
from rollout.system.guard import guard
from rollout.system.unexpected import unexpected_errors_explained

RECORD = "point.json"
KINDS = {
    "name": str, "values": dict, "status": str, "error": str | None, "number": int,
    "at_s": int | float,
}  # fmt: skip


class Task:
    """One command, as Hydra's task function. A pickle holds only what was typed."""

    current: "Task | None" = None  # for the callback below, which Hydra creates

    def __init__(
        self, argv: list[str], config_dir: Path | None, swept: list[str], mode: Mode = Mode.auto
    ):
        self._argv, self._config_dir, self.swept = argv, config_dir, swept
        self._began = time.time()
        self._mode, self._console = mode, Console(mode=mode)
        self.sweep = Sweep(argv, self._console)
        self._sweep_dir: Path | None = None  # set once a sweep has begun
        self._error: RolloutError | Interrupted | None = None
        self._open = ExitStack()
        Task.current = self
        register(config_dir)
        launcher.register()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "argv": self._argv,
            "config_dir": self._config_dir,
            "swept": self.swept,
            "mode": self._mode,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def __call__(self, composed: Any) -> float | None:
        """Run the composed job; return its objective. Raises RolloutError in a sweep."""
        sys.argv = [sys.argv[0], *redacted(self._argv)]  # wandb records it
        hydra = HydraConfig.get()
        if str(hydra.mode).endswith("MULTIRUN"):
            return self._point(composed, hydra)
        try:
            return self._run(to_settings(composed, hydra))
        except (RolloutError, Interrupted) as error:  # kept: Hydra would print its own lines
            self._error = error
            return None

    def _run(self, settings: Settings, swept: Collection[str] = ()) -> float | None:
        from rollout.run import run

        with unexpected_errors_explained(Path(settings.run_dir)):
            summary = run(settings, Console(mode=self._mode), self._argv, swept)
        if summary.exit_code:
            raise RolloutError(nothing_answered(summary))
        return objective_of(summary.figures, objective_in(settings))

    def _point(self, composed: Any, hydra: Any) -> float | None:
        """Run a point under another launcher, and leave its status in its directory."""
        place = Path(hydra.runtime.output_dir)
        point = launcher.point_of(HydraConfig.instance().cfg, self.swept)
        record = {"name": point.name, "values": point.values, "at_s": time.time()}
        record["number"] = hydra.job.num
        self._console.note(f"point {point.name}")
        try:
            settings = at_point(to_settings(composed, hydra), place, Path(hydra.sweep.dir))
            record |= {
                "prompt_keys": open_prompt_builder(settings.data, Path.cwd()).columns,
                "prefix": settings.output.prefix,
                "objective": objective_in(settings),
            }
            value = self._run(settings, point.values)
            record |= {"status": "done", "error": None, "is_dry": settings.dry_run}
            return value
        except Interrupted as error:
            record |= {"status": "interrupted", "error": str(error.args[0])}
            self._error = error
            raise KeyboardInterrupt from error  # ends a sweep in this process
        except RolloutError as error:
            kind = isinstance(error, UserError)
            record |= {"status": "failed", "error": str(error), "is_user_error": kind}
            if launcher.is_basic_sweeper(hydra):
                return None
            raise
        finally:
            if record.get("is_dry") or not place.is_dir():
                with suppress(OSError):
                    place.rmdir()
            else:
                write_json(place / RECORD, record)

    # In the process that was started by hand.

    def sweep_begins(self, config: Any) -> None:
        """Note the sweep's directory; under another launcher, also guard its processes."""
        try:
            self._sweep_dir = Path(str(config.hydra.sweep.dir)).absolute()
        except OmegaConfBaseException:  # Hydra raises it again next; here it would only warn
            return
        if not launcher.is_ours(config.hydra):  # its processes could outlive this one
            self._open.enter_context(guard())
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTERM, signal.SIGHUP):
                    before = signal.signal(number, self._stop)
                    self._open.callback(signal.signal, number, before)

    @property
    def has_begun_sweep(self) -> bool:
        return self._sweep_dir is not None

    def _stop(self, signal_number: int, frame: Any) -> None:
        self._error = Interrupted(signal_number)
        raise KeyboardInterrupt  # launchers end their workers at that

    def interrupted(self, error: KeyboardInterrupt) -> Interrupted:
        """Return the error to report after a signal."""
        known = next((e for e in (error, self._error) if isinstance(e, Interrupted)), None)
        known = known or Interrupted(signal.SIGINT)
        if self._sweep_dir is None or self.sweep.is_begun:
            return known
        again = command_in(self._argv, self._sweep_dir)
        message = f"interrupted; finished rows are on disk; to resume: {again}"
        return Interrupted(known.signal_number, message)

    def close(self) -> None:
        """Release everything; called on every exit."""
        self._open.close()
        if self._sweep_dir is None:
            return
        if not self.sweep.is_begun:
            self._read_points(self._sweep_dir)
        self.sweep.close()
        launcher.forget_multirun_yaml(self._sweep_dir)
        made = [self._sweep_dir]
        if not any(word.startswith(("run_dir=", "hydra.sweep.dir=")) for word in self._argv):
            made += self._sweep_dir.parents[:2]  # outputs/DATE
        with suppress(OSError):
            for directory in made:
                directory.rmdir()  # only where nothing was written

    def tell(self) -> int:
        """Print the result; return the exit code. Raises the error of a single run."""
        if self._error:
            raise self._error
        return self.sweep.print_outcome() if self._sweep_dir else 0

    def _read_points(self, directory: Path) -> None:
        """Read the records of this command's points, which another launcher ran."""
        found = [*directory.glob(f"*/{RECORD}"), *directory.glob(f"*/*/{RECORD}")]
        records = [(read_json(path), path.parent) for path in found]
        records = [pair for pair in records if self._is_of_this_command(pair[0])]
        for record, run_dir in sorted(records, key=lambda pair: pair[0]["number"]):
            point = Point(record["name"], record["values"], run_dir, status=record["status"])
            point.error = record["error"]
            point.figures = figures_of(run_dir)
            point.prompt_keys = list(map(str, record.get("prompt_keys", ["prompt"])))
            point.prefix = str(record.get("prefix", ""))
            error = None
            if point.status == "failed":
                error = UserError if record.get("is_user_error") else RolloutError
            self.sweep.take(point, directory, record.get("objective"), error)

    def _is_of_this_command(self, record: dict[str, Any] | None) -> bool:
        """Whether the record is whole and from this command, not an earlier one."""
        if record is None or any(
            not isinstance(record.get(name), kind) or isinstance(record.get(name), bool)
            for name, kind in KINDS.items()
        ):
            return False
        return record["at_s"] >= self._began - 1 and record["status"] in STATUSES


class SweepBegins(Callback):
    """Calls the task when Hydra begins a sweep; named in conf/rollout.yaml."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        if Task.current:
            Task.current.sweep_begins(config)
