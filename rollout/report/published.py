"""Where a run's rows are: its scored file, its output, or only its shards. Never writes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Unscored
from rollout.errors import UserError
from rollout.report.recorded import value_in
from rollout.rows.reasoning import TAGS
from rollout.store.run_records import published_record, run_record
from rollout.store.shards import Shards
from rollout.system.disk import path_of, read_json
from rollout.system.storage.paths import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

MAX_TRIES = 3
OTHER_RUN = "type another run's directory"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A run's files. `output` and `scored` are None unless the last launch published them."""

    run_dir: Path
    record: dict[str, Any]  # run.json
    published: dict[str, Any] = field(default_factory=dict)  # published.json
    output: Path | None = None
    scored: Path | None = None

    @property
    def scoring(self) -> dict[str, Any]:
        """The settings of the scoring; empty if there was none."""
        return self.published.get("scoring") or {}


def files_of_run(run_dir: Path) -> RunFiles:
    """Return where the run's rows are. Raises UserError if the directory holds no run.

    Files on a store are taken as absent, since a page is made without a network.
    """
    record = run_record(run_dir, OTHER_RUN)
    if record is None:
        raise UserError(f"{run_dir} holds no run (it has no run.json); {OTHER_RUN}")
    published = published_record(run_dir, OTHER_RUN)
    if not published or read_json(run_dir / "summary.json") is None:  # being made anew
        return RunFiles(run_dir, record, published)
    output = local_file(published.get("path", "output.parquet"), run_dir)
    scored = local_file(published.get("scored"), run_dir)
    return RunFiles(run_dir, record, published, output, scored)


def errors_fail_in(scoring: Mapping[str, Any]) -> bool:
    """Whether samples that the scorer failed at count as not solved (estimate.unscored)."""
    return value_in(scoring, "estimate.unscored") != Unscored.leave_out.name


def local_file(text: str | None, run_dir: Path) -> Path | None:
    """Return a recorded path that exists on this machine, also if it moved with its run."""
    if text is None or is_remote(text):
        return None
    path = path_of(text, run_dir)
    moved = run_dir / path.name
    return path if path.exists() else moved if moved.exists() else None


def read_shard(shards: Shards, shard: int, names: Sequence[str]) -> "pa.Table":
    """Read a shard; again if another process sealed it meanwhile, which renames its file."""
    for _ in range(MAX_TRIES - 1):
        with suppress(FileNotFoundError):
            if (table := shards.read(shard, names)).num_rows:
                return table
    return shards.read(shard, names)


def reasoning_tags_in(record: Any) -> Sequence[str]:
    """Return model.reasoning_tags of a run.json; the default if they are not on record."""
    found = value_in(record, "config.model.reasoning_tags")
    is_pair = isinstance(found, list) and len(found) == 2
    return found if is_pair and all(isinstance(tag, str) and tag for tag in found) else TAGS
