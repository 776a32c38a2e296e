"""wandb's background service and login, which all runs of the process share."""

import os
import threading
from contextlib import suppress

from rollout.config.sections.tracking import WandbMode
from rollout.runs.tracking.plain import brief

_lock = threading.Lock()  # guards the two below, and wandb's settings
_users: set[object] = set()
_why_offline: str | None = None  # decided once per process; "" means online


def join(user: object) -> None:
    """Note that a tracker uses the service, until it leaves."""
    with _lock:
        _users.add(user)


def leave(user: object, is_hurt: bool) -> None:
    """Note that a tracker is done; `is_hurt`: the service may be broken, so it is started again."""
    with _lock:
        _users.discard(user)
        if is_hurt and not _users:
            forget()


def forget() -> None:
    """Make the next run of this process restart wandb's service."""
    with suppress(BaseException):  # it may even call sys.exit
        import wandb

        if wandb.run is None:
            wandb.teardown()


def stay_offline(why: str) -> None:
    """Keep the process's later runs offline."""
    global _why_offline
    _why_offline = why


def reason_to_be_offline(mode: WandbMode) -> str:
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
        return f"no answer from {own.base_url}" if silence else brief(error)
    return "" if logged_in else "not logged in: type wandb login, or set WANDB_API_KEY"
