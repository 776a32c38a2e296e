"""One wandb run, online or offline.

Each has its own thread, fed by a queue, which makes all calls, so that a slow or dead network never
delays the loop. Opening waits at most OPEN_WAIT_S (it continues while the engine loads), finishing
little more than FINISH_TIMEOUT_S, and for an artifact also a second for each UPLOAD_BYTES_PER_S.
"""

import contextvars
import os
import queue
import shlex
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.tracking import Tracking
from rollout.runs.tracking import service
from rollout.runs.tracking.names import (
    KIND,
    MAX_NAME,
    STEP,
    artifact_name,
    charted,
    is_rate,
    summarized,
    valid_tags,
)
from rollout.runs.tracking.plain import brief, cell, clean
from rollout.runs.tracking.tracker import Tracker
from rollout.system.disk import read_json, write_json

if TYPE_CHECKING:
    import numpy as np

OPEN_WAIT_S = 5.0
INIT_TIMEOUT_S = 15.0
FINISH_TIMEOUT_S = 30.0
UPLOAD_BYTES_PER_S = 4 * 2**20  # slower uploads of an artifact are given up
SILENT_S = 3.0  # of waiting for an upload
MAX_QUEUED_CALLS = 10_000  # hours of a network that hangs; further calls are dropped
JOB_TYPE = "rollout"  # among training runs of the same project


class WandbTracker(Tracker):
    """One wandb run, online or offline."""

    def __init__(
        self,
        tracking: Tracking,
        run_dir: Path,
        config: dict,
        say: Callable[[str], None],
        patience_s: float | None,
        tags: Sequence[str] = (),
    ):
        super().__init__("wandb: still connecting")
        self._tracking, self._run_dir, self._say = tracking, run_dir, say
        self._config, self._tags = clean(config), tags
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue(MAX_QUEUED_CALLS)
        self._opened = threading.Event()
        self._late = self._warned = self._finished = False
        self._files: dict[str, Path] = {}  # of the artifact
        self._upload_s = 0.0  # how long it may take
        self._rates: set[str] = set()  # that were charted, of the last seconds each
        work = contextvars.copy_context().run  # `say` may use context variables
        self._thread = threading.Thread(target=work, args=(self._work,), daemon=True)
        self._thread.start()
        self._late = not self._opened.wait(OPEN_WAIT_S if patience_s is None else patience_s)

    def log(self, metrics: Mapping[str, Any], elapsed_s: float) -> None:
        values = charted(metrics) | {STEP: elapsed_s}
        self._rates |= {name for name in values if is_rate(name)}
        self._put(lambda run: run.log(values))

    def table(self, make: Callable[[], tuple[list[str], list[list]]]) -> None:
        def send(run: Any) -> None:
            import wandb

            columns, rows = make()
            cells = [[cell(value) for value in row] for row in rows]
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            run.log({"samples": table})  # waits for the network when online

        self._put(send)

    def histogram(self, name: str, make: Callable[[], "tuple[np.ndarray, np.ndarray]"]) -> None:
        def send(run: Any) -> None:
            import wandb

            counts, edges = make()
            if len(counts):
                run.log({name: wandb.Histogram(np_histogram=(counts, edges))})

        self._put(send)

    def images(self, files: Mapping[str, Path]) -> None:
        paths = {clean(name): str(path) for name, path in files.items()}

        def send(run: Any) -> None:
            import wandb

            run.log({f"figures/{name}": wandb.Image(path) for name, path in paths.items()})

        if paths:
            self._put(send)

    def artifact(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        with suppress(OSError):  # is raised again, and reported, by the upload
            num_bytes = sum(path.stat().st_size for _, path in _each_file(files))
            self._upload_s = FINISH_TIMEOUT_S + num_bytes / UPLOAD_BYTES_PER_S

    def finish(self, figures: Mapping[str, Any], exit_code: int) -> None:
        if self._finished:
            return
        self._finished = True
        found = summarized(figures)
        self._put(lambda run: run.summary.update(clean(found)))
        for name in self._rates - found.keys():
            self._put(lambda run, name=name: run.summary.__delitem__(name))
        if self._files:  # last, since it may take longest
            self._put(self._upload)
        self._put(lambda run: run.finish(exit_code=exit_code))
        self._put(None)

    def _upload(self, run: Any) -> None:
        """Send the artifact, and wait for it when online."""
        import wandb

        # A copy is kept while a run is offline, since it may be uploaded when the file has changed.
        policy = "mutable" if run.offline else "immutable"
        artifact = wandb.Artifact(artifact_name(self._run_dir.name, run.id), type=KIND)
        for name, path in _each_file(self._files):
            artifact.add_file(str(path), name, policy=policy)
        logged = run.log_artifact(artifact)
        if not run.offline:
            logged.wait(timeout=round(self._upload_s))

    def wait(self) -> None:
        if not self._finished:
            return
        if self._upload_s:
            self._thread.join(SILENT_S)
            if self._thread.is_alive():
                self._tell("wandb: uploading the output ...")
        self._thread.join(FINISH_TIMEOUT_S + 5 + self._upload_s)
        if self._thread.is_alive():
            self._warn(f"wandb: no answer at the end; its local files are in {self._run_dir}/wandb")

    def _put(self, call: Callable[[Any], None] | None) -> None:
        with suppress(queue.Full):
            if self._thread.is_alive():
                self._calls.put_nowait(call)

    def _work(self) -> None:
        service.join(self)
        try:
            run = self._open()
            for call in iter(self._calls.get, None):
                try:
                    call(run)
                except Exception as error:
                    later = f"the local files are complete; upload later with: {_sync_command(run)}"
                    self._warn(f"wandb: not everything was sent ({brief(error)}); {later}")
        except BaseException as error:
            self._warned = True
            self._announce(f"wandb: off ({brief(error)})")
        finally:
            service.leave(self, is_hurt=self._warned)

    def _open(self) -> Any:
        why = service.reason_to_be_offline(self._tracking.mode)
        record = self._run_dir / "wandb.json"
        known = (read_json(record) or {}).get("id")
        if not isinstance(known, str) or not known.isalnum():
            known = None
            if os.path.lexists(record):
                self._say(f"wandb: {record} is damaged, so this attempt starts a new wandb run")
        run, run_id = None, known or _new_id()
        if not why:
            try:
                run = self._init("online", run_id)
            except Exception as error:
                why = brief(error)
                service.stay_offline(why)
                run_id = _new_id()  # wandb's service still holds the id that failed
        run = run or self._init("offline", run_id)
        if not known:
            with suppress(OSError):
                write_json(record, {"id": run.id})
        # wandb's step restarts when a run is continued offline, so it can't be the x axis.
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        offline = f"offline ({why}); upload later with: {_sync_command(run)}"
        self._announce(f"wandb: {offline if why else run.url}")
        return run

    def _init(self, mode: str, run_id: str) -> Any:
        import wandb

        tracking, own = self._tracking, wandb.setup().settings  # the environment's
        tags = valid_tags([*(tracking.tags or own.run_tags or ()), *self._tags])
        return wandb.init(
            project=tracking.project,
            entity=tracking.entity,
            name=clean(tracking.name or self._run_dir.name)[:MAX_NAME],
            group=clean(tracking.group)[:MAX_NAME] if tracking.group else None,
            job_type=own.run_job_type or JOB_TYPE,
            tags=tags or None,
            config=self._config,
            dir=str(self._run_dir),
            id=run_id,
            resume="allow",
            reinit="create_new",
            mode=mode,
            settings=wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_code=True,
                disable_git=True,
                init_timeout=INIT_TIMEOUT_S,
                finish_timeout=FINISH_TIMEOUT_S,
                finish_timeout_raises=True,
            ),
        )

    def _announce(self, line: str) -> None:
        self.line = line
        self._opened.set()
        if self._late:
            self._tell(line)

    def _warn(self, line: str) -> None:
        if not self._warned:
            self._warned = True
            self._tell(line)

    def _tell(self, line: str) -> None:
        with suppress(Exception):
            self._say(line)


def _each_file(files: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Return the files with those inside of directories, whose names begin with the directory's."""
    found = []
    for name, path in files.items():
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found += [(f"{name}/{p.relative_to(path)}" if p != path else name, p) for p in inside]
    return found


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _sync_command(run: Any) -> str:
    """Return the command that uploads the run, with its earlier attempts if they were offline."""
    folder = Path(run.dir).parent
    name = "offline-run-*" if run.offline else folder.name
    return f"wandb sync {shlex.quote(str(folder.parent))}/{name}"
