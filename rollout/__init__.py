"""Draw n responses for every prompt of a parquet file with vLLM. See `vllm_rollout`."""

import signal
import sys


def _is_command() -> bool:
    """Whether this process is one of our commands, not a program that imports rollout."""
    words = sys.orig_argv[1:]
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1].split(".")[0] == "rollout"
    return sys.argv[0] in words and sys.argv[0].endswith("/rollout")


# Before a command installs its signal handlers, and after it removes them, Ctrl-C ends it like
# SIGTERM: a KeyboardInterrupt would print a traceback of an import, or of Python's shutdown.
if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import threading  # noqa: E402  Ctrl-C during the imports is handled from here on
from typing import Any  # noqa: E402

from rollout.system.version import VERSION  # noqa: E402

__version__ = VERSION
_ONE_AT_A_TIME = threading.Lock()  # a process has one engine and one terminal


def vllm_rollout(
    model_path: str | None = None,
    input_parquet: str | None = None,
    output_parquet: str | None = None,
    prompt_key: str | None = None,
    n_samples: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Any:
    """Run one rollout from Python, exactly as `python -m rollout` does.

    `settings` are those of the command line: a dotted key (`**{"engine.max_num_seqs": 64}`), a
    preset (`engine="single_a100"`, `model="qwen3_4b"`), or the last part of a key
    (`temperature=0.7`), which means the least nested setting of that name; if several qualify, it
    is refused with the choices. Last parts of prepare and postprocess settings count only if the
    call also sets prepare.source (`source=`) or postprocess.scorer (`scorer=`). Settings left out
    have the command line's defaults.

    `console` is a setting, too; `quiet` prints nothing at all, whatever it says.

    Returns a Summary with `output_path`, `run_dir` and `figures`. Calls from several threads wait
    for each other. Raises errors.UserError for invalid settings or input, errors.RolloutError for a
    run that ended early, errors.Interrupted (a KeyboardInterrupt) for a signal; finished rows are
    then on disk.
    """
    from rollout.config.compose import compose
    from rollout.run import run
    from rollout.runs.run_settings import recorded
    from rollout.system.console import Console

    given = {
        "model.model_path": model_path,
        "data.input": input_parquet,
        "output.path": output_parquet,
        "data.prompt_key": prompt_key,
        "sampling.n_samples": n_samples,
    }
    given = {key: value for key, value in given.items() if value is not None}
    with _ONE_AT_A_TIME:
        composed = compose(given | settings, recorded)
        return run(composed, Console(quiet=quiet, mode=composed.console))
