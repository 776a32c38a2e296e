"""python -m rollout: the command line, one-line errors, exit codes.

Exit codes: 0 done, 1 failed or incomplete, 2 configuration or input error, 130 and 143 signals.
Hydra is imported only once the words typed are known to make sense.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import rollout
from rollout.compose import register, to_settings
from rollout.config import redacted
from rollout.console import flush_streams, say
from rollout.errors import Interrupted, RolloutError, UserError
from rollout.explain import explain
from rollout.presets import ROOT_CONFIG, conf_dir
from rollout.sources import Given, gather


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    argv = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    message, details, code = "", [], 0
    try:
        code = _run(argv)
    except RolloutError as error:
        message, details, code = str(error.args[0]), error.details, error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    except BrokenPipeError:
        code = 1
    except FileNotFoundError as error:  # Path.cwd
        message, code = f"the current directory is gone ({error}); cd to another", 2
    if message:
        say("rollout: " + r"\n".join(message.splitlines()), sys.stderr)
    for line in details:
        say(line, sys.stderr)
    flush_streams()
    if code == 1 and not message:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would complain at exit
    sys.exit(code)


def _open_closed_streams() -> None:
    """A shell may close our streams (`>&-`): what we open must not get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run(argv: list[str]) -> int:
    if any(word in ("-h", "--help", "help") for word in argv):
        from rollout.help import help_text

        print(help_text(full="all" in argv))
        return 0
    if "--version" in argv:
        print(f"rollout {rollout.__version__}")
        return 0
    given = gather(argv, os.environ, Path.cwd())
    for note in given.notes:
        say(note, sys.stderr)
    return _run_hydra(given, [*argv, *given.from_environment])


def _run_hydra(given: Given, argv: list[str]) -> int:
    """Let Hydra compose, and run the task for every job."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    register(given.config_dir)
    failures: list[tuple[Path, RolloutError]] = []
    codes: list[int] = []

    @hydra.main(config_path=str(conf_dir()), config_name=ROOT_CONFIG, version_base="1.3")
    def hydra_main(composed: Any) -> float | None:
        # Errors are kept, not raised: Hydra would print its own lines, and end a sweep.
        run_dir = Path(HydraConfig.get().runtime.output_dir)
        sys.argv = [sys.argv[0], *redacted(argv)]  # wandb records it
        try:
            summary = _task(composed, run_dir, argv)
        except Interrupted as error:
            failures.append((run_dir, error))
            raise KeyboardInterrupt from error  # ends a sweep too
        except RolloutError as error:
            failures.append((run_dir, error))
            return None
        if summary.exit_code:
            message = f"no row could be answered; see column error of {summary.output_path}"
            failures.append((run_dir, RolloutError(message)))
            return None
        codes.append(summary.exit_code)
        return summary.figures.get("output_tokens_per_s")

    with _hydra_environment(given.words):
        try:
            hydra_main()
        except KeyboardInterrupt:
            if not failures:
                raise
        except Exception as error:
            raise _composition_error(error) from error
    if len(failures) + len(codes) > 1:
        return _report_sweep(failures, codes)
    if failures:
        raise failures[0][1]
    return max(codes, default=0)


def _composition_error(error: Exception) -> Exception:
    """Hydra's, omegaconf's or the file system's complaint as ours."""
    if isinstance(error, RolloutError):
        return error
    if type(error).__module__.split(".")[0] in ("hydra", "omegaconf", "yaml", "antlr4"):
        return UserError(explain(error))
    if isinstance(error, OSError):  # Hydra makes a sweep's directories
        return UserError(f"can't make the run directory: {error}; type another run_dir=")
    # The task keeps its errors to itself, so this is Hydra's, as for a preset that is not UTF-8.
    return UserError(f"the settings can't be composed: {error}")


def _report_sweep(failures: list[tuple[Path, RolloutError]], codes: list[int]) -> int:
    for run_dir, error in failures:
        say(f"rollout: {run_dir} failed: {error}", sys.stderr)
    interrupted = [e.exit_code for _, e in failures if isinstance(e, Interrupted)]
    return max(interrupted or [*codes, *(1 for _ in failures)])


@contextmanager
def _hydra_environment(words: list[str]) -> Iterator[None]:
    """sys.argv as Hydra reads it, and its errors raised to us instead of printed."""
    saved = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [sys.argv[0], *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = saved[0]
        if saved[1] is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = saved[1]


def _task(composed: Any, job_dir: Path, argv: list[str]) -> Any:
    """One job: typed settings, then the main path. Leaves no directory behind a config error.

    A sweep's jobs run in the directories Hydra made for them; a single run in its `run_dir`.
    """
    from hydra.core.hydra_config import HydraConfig

    from rollout.console import Console
    from rollout.run import run

    hydra_config = HydraConfig.get()
    is_sweep = str(hydra_config.mode).endswith("MULTIRUN")
    run_dir = job_dir
    try:
        settings = to_settings(composed, dict(hydra_config.runtime.choices))
        if is_sweep:
            settings.run_dir = str(job_dir)
            settings.tracking.group = settings.tracking.group or Path(hydra_config.sweep.dir).name
        run_dir = Path(settings.run_dir)
        return run(settings, Console(), argv)
    except RolloutError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        raise RolloutError(
            f"unexpected {type(error).__name__}: {first} "
            f"(a fault of rollout; traceback: {_write_traceback(run_dir)})"
        ) from error
    finally:
        if is_sweep:
            with suppress(OSError):
                job_dir.rmdir()  # only where nothing was written


def _write_traceback(run_dir: Path) -> str:
    """Keep the traceback of the exception at hand; say where, or give it where that fails."""
    log = run_dir / "error.log"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
    except OSError:
        return traceback.format_exc()
    return str(log)
