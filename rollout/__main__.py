"""python -m rollout: the command line, with one-line errors and exit codes.

Exit codes: 0 done, 1 failed or incomplete, 2 configuration or input error, 130 and 143 signals.
Imports Hydra only after the typed words are checked.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from rollout.config.explain import explain
from rollout.config.presets import ROOT_CONFIG, conf_dir
from rollout.config.sources import Given, gather
from rollout.errors import RolloutError, UserError
from rollout.errors.secret_texts import without_secrets
from rollout.runs.run_settings import recorded
from rollout.system.console import Console, Mode
from rollout.system.exits import run_command
from rollout.system.version import VERSION

LIBRARIES = ("hydra", "omegaconf", "yaml", "antlr4")  # used in composition


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    command = Command()
    run_command("rollout", command.run, argv, command.failed)


class Command:
    """One command line; it knows how to talk to its user before its settings are composed."""

    def __init__(self) -> None:
        self._console = Console()

    def run(self, argv: list[str]) -> int:
        if any(word in ("-h", "--help", "help") for word in argv):
            from rollout.config.help import help_text

            print(help_text(full="all" in argv))
            return 0
        if "--version" in argv:
            print(f"rollout {VERSION}")
            return 0
        if f"console={Mode.json.name}" in argv:  # for errors in the other words
            self._console = Console(mode=Mode.json)
        given = gather(argv, os.environ, Path.cwd(), recorded)
        self._console = Console(mode=given.mode)
        for note in given.notes:
            self._console.note(note)
        return _run_hydra(given, [*argv, *given.from_environment], self._console)

    def failed(self, message: str, exit_code: int) -> None:
        self._console.event("error", message=message, exit_code=exit_code)


def _run_hydra(given: Given, argv: list[str], console: Console) -> int:
    """Let Hydra compose the settings and run the task, once or for each point of a sweep."""
    import hydra

    from rollout.sweeps.launcher import DryRunOver, sweep_words, swept_keys
    from rollout.sweeps.task import Task

    swept = swept_keys(given.words)
    task = Task(argv, given.config_dir, swept, console.mode)
    main = hydra.main(config_path=str(conf_dir()), config_name=ROOT_CONFIG, version_base="1.3")
    try:
        words = [*given.words, *sweep_words(given.words, swept, given.config_dir)]
        with _hydra_environment(words), _starred(is_needed=any(w[:5] == "--cfg" for w in words)):
            main(task)()
    except DryRunOver:
        console.result("the optimizer chooses the other points as it goes")
    except KeyboardInterrupt as error:
        raise task.interrupted(error) from error
    except Exception as error:
        failure = _composition_error(error, "--resolve" in given.words)
        is_foreign = type(error).__module__.split(".")[0] not in (*LIBRARIES, "rollout")
        if task.has_begun_sweep and is_foreign and not isinstance(error, OSError):
            failure = RolloutError(f"the sweep could not be run: {error}")
        if isinstance(error, RolloutError) or not task.sweep.points:
            raise failure from error
        if not task.sweep.errors:  # else all points of a study failed, so none is the best
            task.sweep.fault = f"the sweep ended early: {failure}"
    finally:
        task.close()
    return task.tell()


def _composition_error(error: Exception, is_resolved: bool) -> Exception:
    """Convert an error of Hydra, omegaconf or the file system to ours."""
    if isinstance(error, RolloutError):
        return error
    if is_resolved and type(error).__name__ == "GrammarParseError":  # in an interpolated value
        return UserError("a text has ${ in it, which --resolve can't print; leave --resolve out")
    if type(error).__module__.split(".")[0] in LIBRARIES:
        return UserError(explain(error))
    if isinstance(error, OSError):  # Hydra creates a sweep's directories
        return UserError(f"can't create the run directory: {error}; type another run_dir=")
    # The task raises only our errors, so this is Hydra's, as for a preset that is not UTF-8.
    return UserError(f"the settings can't be composed: {error}")


@contextmanager
def _starred(is_needed: bool) -> Iterator[None]:
    """Star the secrets in the settings that Hydra prints."""
    if not is_needed:
        yield
        return
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        sys.stdout.write(without_secrets(printed.getvalue()))


@contextmanager
def _hydra_environment(words: list[str]) -> Iterator[None]:
    """Set sys.argv for Hydra, and make it raise its errors instead of printing them."""
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


if __name__ == "__main__":
    main()
