"""Tell what a path is that a report is asked of: a run, a sweep, or a file of responses."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rollout.errors import UserError
from rollout.report.page import Page
from rollout.store.figure_files import DIRECTORY
from rollout.store.ledger import Ledger
from rollout.store.page_files import REPORT
from rollout.store.run_dir import is_a_sweep
from rollout.system.disk import PART, path_of
from rollout.system.storage.paths import is_remote
from rollout.system.terminal import counted

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Target:
    """What to write: the page, made when asked for, and where it belongs."""

    default: Path
    page: Callable[..., Page]  # of a file, it takes the keys of samples.rows_of_file
    is_ours: Callable[[Path], bool] = lambda path: False  # a page without a digest
    is_directory: bool = False  # of a run or a sweep, whose figures/ it owns

    def figures(self, page: Path) -> Path:
        """Return where the figures of the page written to `page` belong."""
        is_own = self.is_directory and page.resolve() == self.default.resolve()
        return page.with_name(DIRECTORY if is_own else f"{page.stem}-{DIRECTORY}")

    @property
    def is_file(self) -> bool:
        """Whether it is a file of responses, or a directory of such files."""
        return not self.is_directory


def target_of(given: str) -> Target:
    """Return what `given` names. Raises UserError, saying what to type, if it has no page."""
    path = path_of(given)
    if is_remote(given):
        raise UserError(f"{given} is on a store; copy it to this machine and type its path")
    if not given or not path.exists():
        raise UserError(
            f"{given or 'an empty path'} does not exist; type RUN_DIR, SWEEP_DIR or FILE.parquet"
        )
    if path.is_file():
        return _of_file(path, given)
    if (path / "run.json").exists():
        return Target(path / REPORT, lambda: _page_of_run(path), is_directory=True)
    if is_a_sweep(path):
        knows = Ledger(path).knows  # the sweep writes its page itself, too
        return Target(path / "sweep.html", lambda: _page_of_sweep(path), knows, True)
    if not path.is_dir():
        raise UserError(f"{given} is neither a file nor a directory; type RUN_DIR, SWEEP_DIR or "
                        "FILE.parquet")  # fmt: skip
    if any(PART.fullmatch(entry.name) for entry in path.iterdir()):
        return _of_responses(path, path.with_name(f"{path.name}.html"))
    raise UserError(f"{given} is not a run, a sweep or an output{_advice(path)}")


def _of_file(path: Path, given: str) -> Target:
    if path.suffix.lower() in PARQUET:
        return _of_responses(path, path.with_suffix(".html"))
    raise UserError(f"{given} is not a parquet file{_advice(path)}")


def _of_responses(path: Path, default: Path) -> Target:
    return Target(default, lambda **columns: _page_of_scored(path, **columns))


def _advice(path: Path) -> str:
    """Return what to type instead: the run or sweep around the path, or the runs in it."""
    for above in path.parents:
        if (above / "run.json").exists() or is_a_sweep(above):
            return f"; it lies in {above}: type python -m rollout.report {shlex.quote(str(above))}"
    if path.is_dir():
        runs = sorted(record.parent for record in path.glob("*/run.json"))
        if runs:
            which = "" if len(runs) == 1 else "one of them, such as "
            return f"; it holds {counted(len(runs), 'run')}: type {which}{runs[0]}"
    return "; type RUN_DIR, SWEEP_DIR or FILE.parquet"


def _page_of_run(run_dir: Path) -> Page:
    from rollout.report.run.page import page_of

    return page_of(run_dir)


def _page_of_sweep(directory: Path) -> Page:
    from rollout.report.sweep.page_file import page_now

    return page_now(directory)


def _page_of_scored(path: Path, **columns: str) -> Page:
    from rollout.report.scored import page_of_scored

    return page_of_scored(path, **columns)
