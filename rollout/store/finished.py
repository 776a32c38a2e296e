"""Count the finished rows of a run without its input, its lock or a write; it may be running.

A log's tail that is being written, and a shard that is sealed at this moment, are no damage.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.store.shards import Shards

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("index", "num_samples", "failed", "shortest_cut", "num_attempts")
TRIES, PAUSE_S = 10, 0.02  # for a shard that another process seals meanwhile


@dataclass(frozen=True, slots=True)
class Criteria:
    """What makes a row finished, as the last launch asked for it."""

    n_samples: int = 0
    continued_below: int = 0  # tokens: shorter samples that were cut off are continued
    num_tries: int = 0  # of a failed row, before it counts as finished


@dataclass(frozen=True, slots=True)
class Finished:
    """Rows on disk."""

    num_done: int  # that are owed nothing
    num_failed: int  # with an error, those with a try left included


def finished_rows(run_dir: Path, criteria: Criteria) -> Finished:
    """Count the rows that are owed nothing. Raises UserError for a damaged part.

    Those with all samples, none of them to be continued, or an error and no try left.
    """
    shards, num_done, num_failed = Shards(run_dir / "shards"), 0, 0
    for shard in _patiently(shards.found):
        found = finished_in(_read(shards, shard), criteria)
        num_done += found.num_done
        num_failed += found.num_failed
    return Finished(num_done, num_failed)


def finished_in(rows: "pa.Table", criteria: Criteria) -> Finished:
    """Count the rows of a table with the columns COLUMNS that are owed nothing."""
    import pyarrow.compute as pc  # not for a run without rows: it takes longer than the look

    failed, shortest = rows.column("failed"), rows.column("shortest_cut")
    has_all = pc.greater_equal(rows.column("num_samples"), criteria.n_samples)
    is_cut = pc.and_(pc.greater_equal(shortest, 0), pc.less(shortest, criteria.continued_below))
    is_given_up = pc.greater_equal(rows.column("num_attempts"), criteria.num_tries)
    is_done = pc.if_else(failed, is_given_up, pc.and_not(has_all, is_cut))
    return Finished(pc.sum(is_done).as_py() or 0, pc.sum(failed).as_py() or 0)


def _read(shards: Shards, shard: int) -> "pa.Table":
    def look() -> "pa.Table | None":
        rows = shards.read(shard, COLUMNS)
        return rows if rows.num_rows else None  # or it is sealed between two looks

    return _patiently(look) or shards.read(shard, COLUMNS)


def _patiently(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, which another process may be renaming or removing meanwhile."""
    for tried in range(1, TRIES + 1):
        try:
            if (found := look()) is not None:
                return found
        except (FileNotFoundError, UserError):
            if tried == TRIES:
                raise
        time.sleep(PAUSE_S)
    return None
