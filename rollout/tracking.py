"""Where a run is mirrored for people to watch: wandb, or nowhere.

Owns: everything that names wandb. Every call to it is made by one thread of the run's tracker,
fed by a queue, so that a slow or dead network is never in the way of the loop.
Promises: `tracker=none` imports no wandb; wandb asks nothing, prints nothing, and fails no run:
its first fault is one line through `say`, and the local files remain the record. Waiting ends
after OPEN_WAIT_S at the start (the rest goes on while the engine loads) and after
FINISH_TIMEOUT_S and a little at the end.
Must not know: engines, prompts, the store, or what the numbers mean.
"""

import contextvars
import json
import os
import queue
import shlex
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rollout import config as settings

OPEN_WAIT_S = 5.0
INIT_TIMEOUT_S = 15.0
FINISH_TIMEOUT_S = 30.0
MAX_CELL_CHARACTERS = 10_000
MAX_WAITING = 10_000  # calls; more are dropped, which takes hours of a hanging network

_lock = threading.Lock()  # over the two below, and over wandb's settings
_alive: set["WandbTracker"] = set()
_why_offline: str | None = None  # decided once a process; "" means online


class Tracker(Protocol):
    """Who is told about a run. Nothing here raises, and only `finish` may wait."""

    line: str  # where it goes, for the user; empty where there is nothing to say

    def log(self, metrics: dict[str, float | int], elapsed_s: float) -> None:
        """Send the throughput as it is `elapsed_s` seconds into the run."""

    def table(self, columns: list[str], rows: list[list]) -> None:
        """Send a table of samples; text is shown as text, long cells are cut."""

    def finish(self, summary: dict, exit_code: int) -> None:
        """Send the final figures, nested plain values, and close; only the first call counts."""


class NoTracker:
    """Tells nobody."""

    def __init__(self, line: str = ""):
        self.line = line

    def log(self, metrics: dict[str, float | int], elapsed_s: float) -> None: ...

    def table(self, columns: list[str], rows: list[list]) -> None: ...

    def finish(self, summary: dict, exit_code: int) -> None: ...


def open_tracker(
    tracking: settings.Tracking,
    run_dir: Path,
    config: dict,
    group: str | None = None,
    say: Callable[[str], None] = print,
) -> Tracker:
    """Open the tracker that `tracking` asks for; returns within OPEN_WAIT_S and an import.

    A second attempt in the same `run_dir` continues the same wandb run. What becomes known
    later than `line` goes to `say`, from another thread.
    """
    if tracking.tracker is settings.Tracker.none:
        return NoTracker()
    auto = tracking.mode is settings.WandbMode.auto
    if auto and os.environ.get("WANDB_MODE", "").lower() == "disabled":
        return NoTracker("wandb: off (WANDB_MODE=disabled)")
    try:
        import wandb  # noqa: F401  here, because two threads importing at once can deadlock
    except Exception as error:
        return NoTracker(f"wandb: off ({_brief(error)}); the local files hold everything")
    return WandbTracker(tracking, run_dir, config, tracking.group or group, say)


class WandbTracker:
    """One wandb run, online or offline, driven by a thread of its own."""

    def __init__(
        self,
        tracking: settings.Tracking,
        run_dir: Path,
        config: dict,
        group: str | None,
        say: Callable[[str], None],
    ):
        self.line = "wandb: still connecting"
        self._tracking, self._run_dir, self._group, self._say = tracking, run_dir, group, say
        self._config = _clean(config)  # a copy
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue(MAX_WAITING)
        self._opened = threading.Event()
        self._late = self._warned = self._finished = False
        # The caller's context variables may say which run's log `say` writes to.
        work = contextvars.copy_context().run
        self._thread = threading.Thread(target=work, args=(self._work,), daemon=True)
        self._thread.start()
        self._late = not self._opened.wait(OPEN_WAIT_S)

    def log(self, metrics: dict[str, float | int], elapsed_s: float) -> None:
        values = {**metrics, "elapsed_s": elapsed_s}
        self._put(lambda run: run.log(values))

    def table(self, columns: list[str], rows: list[list]) -> None:
        def send(run: Any) -> None:
            import wandb

            cells = [[_cell(value) for value in row] for row in rows]
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            run.log({"samples": table})

        self._put(send, needed=False)

    def finish(self, summary: dict, exit_code: int) -> None:
        def close(run: Any) -> None:
            try:
                run.finish(exit_code=exit_code)
            except TimeoutError:
                self._warn(f"wandb: not all is uploaded yet; later: {_sync_command(run)}")

        if self._finished:
            return
        self._finished = True
        self._put(lambda run: run.summary.update(_clean(summary)), needed=False)
        self._put(close)
        self._put(None)
        self._thread.join(FINISH_TIMEOUT_S + 5)
        if self._thread.is_alive():
            self._warn(f"wandb: no answer at the end; what it holds is in {self._run_dir}/wandb")

    def _put(self, call: Callable[[Any], None] | None, needed: bool = True) -> None:
        """Queue a call for the thread; the fault of one that is not needed ends nothing."""

        def attempt(run: Any) -> None:
            try:
                call(run)
            except Exception as error:
                self._warn(f"wandb: something was left out ({_brief(error)})")

        with suppress(queue.Full):
            if self._thread.is_alive():
                self._calls.put_nowait(call if needed else attempt)

    def _work(self) -> None:
        broken = False
        with _lock:
            _alive.add(self)
        try:
            run = self._open()
            for call in iter(self._calls.get, None):
                call(run)
        except BaseException as error:
            broken = True
            line = f"wandb: off ({_brief(error)}); the local files hold everything"
            if self._opened.is_set():
                self._warn(line)
            else:
                self._announce(line)
        finally:
            with _lock:
                _alive.discard(self)
                if broken and not _alive:
                    _forget_service()

    def _open(self) -> Any:
        global _why_offline
        why = _reason_to_be_offline(self._tracking.mode)
        known = _saved_id(self._run_dir)
        run, run_id = None, known or _new_id()
        if not why:
            try:
                run = self._init("online", run_id)
            except Exception as error:
                why = _why_offline = _brief(error)
                run_id = _new_id()  # wandb's service still holds the one that failed
        run = run or self._init("offline", run_id)
        if not known:
            (self._run_dir / "wandb.json").write_text(json.dumps({"id": run.id}))
        # wandb's own step restarts when an attempt is continued offline: it is no axis.
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
            group=_clean(self._group)[:128] if self._group else None,
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
            self._tell(line)

    def _warn(self, line: str) -> None:
        if not self._warned:
            self._warned = True
            self._tell(line)

    def _tell(self, line: str) -> None:
        with suppress(Exception):
            self._say(line)


def _reason_to_be_offline(mode: settings.WandbMode) -> str:
    """Why runs of this process cannot go online; empty where they can."""
    global _why_offline
    asked = None if mode is settings.WandbMode.auto else mode.name
    with _lock:
        if asked == "offline":
            why = "tracking.mode=offline"
        else:
            if _why_offline is None:
                _set_up(asked)
                _why_offline = _try_login()
            why = _why_offline
        _set_up("offline" if why else asked)  # offline also keeps wandb's telemetry at home
    return f"tracking.mode=online, but {why}" if why and asked == "online" else why


def _set_up(mode: str | None) -> None:
    import wandb

    if wandb.run is None:  # else the caller uses wandb too, and these settings are theirs
        wandb.setup(wandb.Settings(silent=True, **({"mode": mode} if mode else {})))


def _try_login() -> str:
    """Check the credentials with the server; return what is wrong with them or it.

    Asking before the first run starts leaves no half-started run behind, which would hold its
    id in wandb's service until all runs of the process are torn down.
    """
    import wandb

    own = wandb.setup().settings
    if own.mode == "disabled":
        raise wandb.Error("`wandb disabled` was typed here; `wandb enabled` turns it on")
    if own.mode in ("offline", "dryrun"):
        return f"WANDB_MODE={own.mode}" if "WANDB_MODE" in os.environ else "`wandb offline`"
    if wandb.run is not None:
        return "the caller's own run is offline" if wandb.run.offline else ""
    try:
        if wandb.login(prompt=False, verify=True):
            return ""
    except Exception as error:
        silence = "did not respond in time" in str(error)
        return f"no answer from {own.base_url}" if silence else _brief(error)
    return "not logged in: type wandb login, or set WANDB_API_KEY"


def _forget_service() -> None:
    """Let the next run of this process start wandb's service afresh."""
    with suppress(BaseException):  # it may even call sys.exit
        import wandb

        if wandb.run is None:
            wandb.teardown()


def _saved_id(run_dir: Path) -> str | None:
    """The wandb run that an earlier attempt in this directory began."""
    try:
        return str(json.loads((run_dir / "wandb.json").read_text())["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _sync_command(run: Any) -> str:
    """What uploads the run, with its earlier attempts where they were offline too."""
    folder = Path(run.dir).parent
    name = "offline-run-*" if run.offline else folder.name
    return f"wandb sync {shlex.quote(str(folder.parent))}/{name}"


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _clean(value: Any) -> Any:
    """A copy whose text can be encoded; a model may emit half a character."""
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    """A table cell: numbers as they are, all else as text of bounded length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) > MAX_CELL_CHARACTERS:
        more = len(text) - MAX_CELL_CHARACTERS
        text = f"{text[:MAX_CELL_CHARACTERS]} ... [{more} more characters]"
    return _clean(text)
