"""n responses for every prompt of a parquet file, by vLLM. See `vllm_rollout` and the README."""

import signal
import sys


def _is_command() -> bool:
    """Whether this process is one of the commands, and no program that imports rollout."""
    words = sys.orig_argv[1:]
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1].split(".")[0] == "rollout"
    return sys.argv[0] in words and sys.argv[0].endswith("/rollout")


# Until the command minds signals, and once it is over, Ctrl-C ends it as SIGTERM does: a
# KeyboardInterrupt would print the traceback of an import, or of what Python does at exit.
if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import threading  # noqa: E402  all other imports come after that
from typing import Any  # noqa: E402

from rollout.system.version import VERSION  # noqa: E402

__version__ = VERSION
_ONE_AT_A_TIME = threading.Lock()  # an engine and the terminal are the process's


def vllm_rollout(
    model_path: str | None = None,
    input_parquet: str | None = None,
    output_parquet: str | None = None,
    prompt_key: str | None = None,
    n_samples: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Any:
    """Run one rollout from Python: the same path as `python -m rollout`.

    `settings` are the command line's: a dotted key (`**{"engine.max_num_seqs": 64}`), a preset
    (`engine="single_a100"`, `model="qwen3_4b"`), or the last part of a key (`temperature=0.7`).
    A last part stands for the least nested setting that has it, and is refused with the choices
    where there are several. Settings of prepare and postprocess count only where the same call
    gives prepare.source (`source=`) or postprocess.scorer (`scorer=`).
    What is left out has the command line's default. Returns a `report.Summary` with
    `output_path`, `run_dir` and `figures`; calls from several threads wait for each other. Raises
    errors.UserError for settings or input that can't serve, errors.RolloutError for a run that
    ended early, errors.Interrupted (a KeyboardInterrupt) for a signal; finished rows are then on
    disk.
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
        return run(compose(given | settings, recorded), Console(quiet=quiet))
