"""Count the finished rows of a run without its input, its lock or a write; it may be running.

A log's tail that is being written, and a shard that is sealed at this moment, are no damage.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.errors import UserError
from rollout.store.shards import Shards

if TYPE_CHECKING:
    import pyarrow as pa

TRIES, PAUSE_S = 4, 0.02  # for a shard that another process seals meanwhile


@dataclass(frozen=True, slots=True)
class Finished:
    """Rows on disk."""

    num_done: int = 0  # with all samples that were asked for, or an error
    num_failed: int = 0  # of them, with an error


def finished_rows(run_dir: Path, n_samples: int) -> Finished:
    """Count the rows with `n_samples` samples or an error. Raises UserError for a damaged part."""
    shards, num_done, num_failed = Shards(run_dir / "shards"), 0, 0
    for shard in shards.found():
        import pyarrow.compute as pc  # not for a run without rows: it takes longer than the look

        rows = _read(shards, shard)
        has_all = pc.greater_equal(rows.column("num_samples"), n_samples)
        num_done += pc.sum(pc.or_(has_all, rows.column("failed"))).as_py() or 0
        num_failed += pc.sum(rows.column("failed")).as_py() or 0
    return Finished(num_done, num_failed)


def _read(shards: Shards, shard: int) -> "pa.Table":
    for tried in range(1, TRIES + 1):
        try:
            rows = shards.read(shard, ("index", "num_samples", "failed"))
        except (FileNotFoundError, UserError):
            if tried == TRIES:
                raise
            time.sleep(PAUSE_S)
            continue
        if rows.num_rows:
            break
    return rows
