"""Mirror a run to wandb, or nowhere.

Owns every use of wandb. Each run has its own thread, fed by a queue, which makes all calls, so
that a slow or dead network never delays the loop.
Guarantees: `tracker=none` imports no wandb; wandb never prompts, prints or fails a run. Its first
error is one line through `say`; the local files are the record. Opening waits at most OPEN_WAIT_S
(it continues while the engine loads), finishing little more than FINISH_TIMEOUT_S.
Must not know about engines, prompts, the store, or what the numbers mean.
"""

import contextvars
import json
import math
import os
import queue
import shlex
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rollout.config.sections.tracking import Tracker as TrackerName
from rollout.config.sections.tracking import Tracking, WandbMode
from rollout.system.disk import read_json, write_json

OPEN_WAIT_S = 5.0
INIT_TIMEOUT_S = 15.0
FINISH_TIMEOUT_S = 30.0
MAX_CELL_CHARACTERS = 10_000
MAX_QUEUED_CALLS = 10_000  # hours of a network that hangs; further calls are dropped

_lock = threading.Lock()  # guards the two below, and wandb's settings
_alive: set["WandbTracker"] = set()
_why_offline: str | None = None  # decided once per process; "" means online


class Tracker:
    """Receives the metrics of a run; this one sends nothing, WandbTracker does.

    No method raises, and only `wait` may take long.
    """

    def __init__(self, line: str = ""):
        self.line = line  # where the run is tracked, for the user; may be empty

    def log(self, metrics: dict[str, float | int], elapsed_s: float) -> None:
        """Send the throughput at `elapsed_s` seconds into the attempt."""

    def table(self, columns: list[str], rows: list[list]) -> None:
        """Send a table of samples; text stays text, and long cells are cut."""

    def finish(self, summary: dict, exit_code: int) -> None:
        """Send the final figures, nested plain values, and close; only the first call counts."""

    def wait(self) -> None:
        """Wait a bounded time until everything is sent."""


def open_tracker(
    tracking: Tracking,
    run_dir: Path,
    config: dict,
    say: Callable[[str], None] = print,
    patience_s: float | None = None,
) -> Tracker:
    """Open the tracker chosen in `tracking`; `run_dir` must exist.

    A second attempt in the same `run_dir` continues its wandb run. Messages after `patience_s`
    (None: OPEN_WAIT_S) go to `say`, which another thread calls in the caller's context.
    """
    if tracking.tracker is TrackerName.none:
        return Tracker()
    auto = tracking.mode is WandbMode.auto
    if auto and os.environ.get("WANDB_MODE") == "disabled":
        return Tracker("wandb: off (WANDB_MODE=disabled)")
    try:
        import wandb  # noqa: F401  here: imports of large packages in two threads can collide
    except Exception as error:
        return Tracker(f"wandb: off ({_brief(error)})")
    return WandbTracker(tracking, run_dir, config, say, patience_s)


class WandbTracker(Tracker):
    """One wandb run, online or offline."""

    def __init__(
        self,
        tracking: Tracking,
        run_dir: Path,
        config: dict,
        say: Callable[[str], None],
        patience_s: float | None,
    ):
        super().__init__("wandb: still connecting")
        self._tracking, self._run_dir, self._say = tracking, run_dir, say
        self._config = _clean(config)
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue(MAX_QUEUED_CALLS)
        self._opened = threading.Event()
        self._late = self._warned = self._finished = False
        work = contextvars.copy_context().run  # `say` may use context variables
        self._thread = threading.Thread(target=work, args=(self._work,), daemon=True)
        self._thread.start()
        self._late = not self._opened.wait(OPEN_WAIT_S if patience_s is None else patience_s)

    def log(self, metrics: dict[str, float | int], elapsed_s: float) -> None:
        values = {**metrics, "elapsed_s": elapsed_s}
        self._put(lambda run: run.log(values))

    def table(self, columns: list[str], rows: list[list]) -> None:
        def send(run: Any) -> None:
            import wandb

            cells = [[_cell(value) for value in row] for row in rows]
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            run.log({"samples": table})  # waits for the network when online

        self._put(send)

    def finish(self, summary: dict, exit_code: int) -> None:
        if self._finished:
            return
        self._finished = True
        self._put(lambda run: run.summary.update(_clean(summary)))
        self._put(lambda run: run.finish(exit_code=exit_code))
        self._put(None)

    def wait(self) -> None:
        if not self._finished:
            return
        self._thread.join(FINISH_TIMEOUT_S + 5)
        if self._thread.is_alive():
            self._warn(f"wandb: no answer at the end; its local files are in {self._run_dir}/wandb")

    def _put(self, call: Callable[[Any], None] | None) -> None:
        with suppress(queue.Full):
            if self._thread.is_alive():
                self._calls.put_nowait(call)

    def _work(self) -> None:
        with _lock:
            _alive.add(self)
        try:
            run = self._open()
            for call in iter(self._calls.get, None):
                try:
                    call(run)
                except Exception as error:
                    later = f"the local files are complete; upload later with: {_sync_command(run)}"
                    self._warn(f"wandb: not everything was sent ({_brief(error)}); {later}")
        except BaseException as error:
            self._warned = True
            self._announce(f"wandb: off ({_brief(error)})")
        finally:
            with _lock:
                _alive.discard(self)
                if self._warned and not _alive:
                    _forget_service()

    def _open(self) -> Any:
        global _why_offline
        why = _reason_to_be_offline(self._tracking.mode)
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
                why = _why_offline = _brief(error)
                run_id = _new_id()  # wandb's service still holds the id that failed
        run = run or self._init("offline", run_id)
        if not known:
            with suppress(OSError):
                write_json(record, {"id": run.id})
        # wandb's step restarts when a run is continued offline, so it can't be the x axis.
        run.define_metric("elapsed_s")
        run.define_metric("*", step_metric="elapsed_s")
        offline = f"offline ({why}); upload later with: {_sync_command(run)}"
        self._announce(f"wandb: {offline if why else run.url}")
        return run

    def _init(self, mode: str, run_id: str) -> Any:
        import wandb

        tracking = self._tracking
        return wandb.init(
            project=tracking.project,
            entity=tracking.entity,
            name=_clean(tracking.name or self._run_dir.name)[:128],
            group=_clean(tracking.group)[:128] if tracking.group else None,
            tags=_clean(tracking.tags) or None,
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
            with suppress(Exception):
                self._say(line)

    def _warn(self, line: str) -> None:
        if not self._warned:
            self._warned = True
            with suppress(Exception):
                self._say(line)


def _reason_to_be_offline(mode: WandbMode) -> str:
    """Return why a run can't, or may not, go online; empty if it can."""
    import wandb

    global _why_offline
    online = mode is WandbMode.online
    with _lock:
        if wandb.run is None:  # else the caller uses wandb, and may have set it up
            wandb.setup(wandb.Settings(silent=True, **({"mode": "online"} if online else {})))
        if mode is WandbMode.offline:
            return "tracking.mode=offline"
        if _why_offline is None:
            _why_offline = _try_login()
        prefix = "tracking.mode=online, but " if online and _why_offline else ""
        return prefix + _why_offline


def _try_login() -> str:
    """Try to log in; return what is wrong with the credentials or the server, or nothing.

    A login before the first run leaves no half-started run behind, which would hold its id in
    wandb's service until every run of the process is torn down.
    """
    import wandb

    own = wandb.setup().settings
    if own.mode == "disabled":
        raise wandb.Error("`wandb disabled` was typed here; `wandb enabled` undoes it")
    if own.mode in ("offline", "dryrun"):
        return f"WANDB_MODE={own.mode}" if "WANDB_MODE" in os.environ else "`wandb offline`"
    if wandb.run is not None:
        return "the caller's own wandb run is" if wandb.run.offline else ""
    try:
        logged_in = wandb.login(prompt=False, verify=True)
    except Exception as error:
        silence = "did not respond in time" in str(error)
        return f"no answer from {own.base_url}" if silence else _brief(error)
    return "" if logged_in else "not logged in: type wandb login, or set WANDB_API_KEY"


def _forget_service() -> None:
    """Make the next run of this process restart wandb's service."""
    with suppress(BaseException):  # it may even call sys.exit
        import wandb

        if wandb.run is None:
            wandb.teardown()


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _sync_command(run: Any) -> str:
    """Return the command that uploads the run, with its earlier attempts if they were offline."""
    folder = Path(run.dir).parent
    name = "offline-run-*" if run.offline else folder.name
    return f"wandb sync {shlex.quote(str(folder.parent))}/{name}"


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _clean(value: Any) -> Any:
    """Return a copy with encodable text (a model may emit half a character) and finite numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    """Return a table cell: numbers unchanged, all else as text of bounded length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    more = len(text) - MAX_CELL_CHARACTERS
    return _clean(f"{text[:-more]} ... [{more} more characters]" if more > 0 else text)
