"""A scored file's figures and verdicts: the figures beside it, and a few numbers per sample.

Guarantees: figures are those that the scoring wrote if they are of this file, else they are counted
anew by the same code, and `notes` says so. No text is kept. Must not know how they are shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.sections.export import Estimate, Unscored
from rollout.errors import UserError
from rollout.inputs.prompts import Prompts
from rollout.postprocess.export.estimates import VERDICTS, Counts, Group
from rollout.postprocess.scoring.scorers import Mark, Verdict
from rollout.postprocess.tally import Tally
from rollout.report.columns import OutputColumns
from rollout.report.published_rows import PublishedRows, cheap_columns
from rollout.report.scored_figures import Figures, recorded_figures
from rollout.system.formats.plain_types import decode, rebuild

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NAMES = list(VERDICTS)  # a sample's verdict is its place here
RIGHT = NAMES.index("right")
NEEDED, OPTIONAL = ("verdicts", "scores"), ("num_response_tokens", "finish_reason")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of all rows in order, a value each. `tokens` and `is_cut` may not be known."""

    num_rows: int
    row: "np.ndarray"
    verdict: "np.ndarray"  # places in NAMES
    score: "np.ndarray"  # NaN for none
    tokens: "np.ndarray | None"  # NaN where null
    is_cut: "np.ndarray | None"  # finish_reason is length

    def count(self, name: str) -> int:
        """Return the number of samples with this verdict."""
        return int((self.verdict == NAMES.index(name)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A scored file: its samples, and its figures; `groups[0]` is all rows."""

    samples: Samples
    groups: list[Group]
    estimate: Estimate
    reasons: list[tuple[str, int]]  # why samples are neither right nor wrong; most frequent first
    numbers: Sequence[int]  # of the rows, see PublishedRows
    notes: list[str]

    @property
    def everything(self) -> Group:
        return self.groups[0]

    @property
    def counts(self) -> "np.ndarray":
        """Whether each sample counts in pass@k: all but those left out."""
        out = [NAMES.index("unjudged")]
        if self.estimate.unscored is Unscored.leave_out:
            out.append(NAMES.index("error"))
        import numpy as np

        return ~np.isin(self.samples.verdict, out)

    def by_row(self) -> "tuple[np.ndarray, np.ndarray]":
        """Return each row's number of samples that count, and of right ones."""
        import numpy as np

        s, size = self.samples, self.samples.num_rows
        n = np.bincount(s.row[self.counts], minlength=size)
        return n, np.bincount(s.row[s.verdict == RIGHT], minlength=size)

    @property
    def is_graded(self) -> bool:
        """Whether judged samples have scores other than 0 and 1."""
        import numpy as np

        scores = self.samples.score
        return bool(np.any((scores != 0) & (scores != 1) & ~np.isnan(scores)))


def read_scores(rows: PublishedRows, path: Path) -> Scores:
    """Read the verdicts of the scored rows in `path`, and their figures from the file beside it.

    Raises UserError if a row's columns don't agree, and RolloutError if a file can't be read.
    """
    samples, notes = _read_samples(rows.source, rows.columns)
    file = path.with_suffix(".json")
    found = recorded_figures(file, samples.num_rows, len(samples.row), samples.count)
    if isinstance(found, Figures):
        groups = found.groups
        unscored = Unscored.fail if groups[0].errors_fail else Unscored.leave_out
        drawn = any(v.low is not None for group in groups for v in group.values.values())
        resamples = Estimate().resamples if drawn else 0
        estimate = Estimate(confidence=found.confidence, unscored=unscored, resamples=resamples)
        return Scores(samples, groups, estimate, found.reasons, rows.numbers, notes)
    note = (
        f"{file.name}, which holds the figures of the scoring, {found}; they were counted anew "
        "from the rows, with the default settings of postprocess.estimate"
    )
    groups, reasons = _counted(rows.source, rows.columns)
    return Scores(samples, groups, Estimate(), reasons, rows.numbers, [note, *notes])


def _read_samples(rows: Prompts, columns: OutputColumns) -> tuple[Samples, list[str]]:
    """Return the samples, and notes on columns of the run that do not fit the verdicts."""
    import numpy as np
    import pyarrow.compute as pc

    names = [name for name in (*NEEDED, *OPTIONAL) if name in columns.names]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("row", *names)}
    odd: dict[str, int] = {}  # the first row where a column has another number of values
    at = 0
    for table in _plain_columns(rows, [columns.names[name] for name in names]):
        lists = dict(zip(names, table, strict=True))
        odd = _odd_rows(lists, at) | odd
        _refuse_odd(odd)
        parts["row"].append(pc.list_parent_indices(lists["verdicts"]).to_numpy() + at)
        for name, column in lists.items():
            parts[name].append(_numbers(name, pc.list_flatten(column)))
        at += len(lists["verdicts"])
    arrays = {name: np.concatenate(found or [np.empty(0)]) for name, found in parts.items()}
    samples = Samples(
        at,
        arrays["row"].astype(np.int64),
        arrays["verdicts"].astype(np.int8),
        arrays["scores"].astype(float),
        arrays["num_response_tokens"] if "num_response_tokens" in {*names} - {*odd} else None,
        arrays["finish_reason"].astype(bool) if "finish_reason" in {*names} - {*odd} else None,
    )
    return samples, [
        f"column {columns.names[name]!r} is not used here: row {row:,} has not one value per sample"
        for name, row in odd.items()
    ]


def _plain_columns(rows: Prompts, columns: list[str]) -> "Iterator[list[pa.Array]]":
    """Yield these columns of all rows in pieces, without views or dictionaries."""
    for table in cheap_columns(rows, columns):
        for batch in table.select(columns).to_batches():
            yield [_plain(column) for column in batch.columns]


def _plain(column: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_null(column.type):  # no row has a value
        return pa.nulls(len(column), pa.list_(pa.null()))
    return rebuild(column, decode(column.type))


def _odd_rows(lists: "dict[str, pa.Array]", at: int) -> dict[str, int]:
    """Return the first row of each column that has not as many values as there are verdicts."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = {k: pc.fill_null(pc.list_value_length(v), 0).to_numpy() for k, v in lists.items()}
    places = {k: np.flatnonzero(found != lengths["verdicts"]) for k, found in lengths.items()}
    return {name: at + int(found[0]) for name, found in places.items() if len(found)}


def _refuse_odd(odd: dict[str, int]) -> None:
    """Raise UserError if a column of the scoring has another number of values in a row."""
    for name in NEEDED:
        if name in odd:
            raise UserError(
                f"row {odd[name]:,} of the scored rows: columns {name!r} and 'verdicts' have "
                "different lengths; they were changed after scoring: score the rows again"
            )


def _numbers(name: str, flat: "pa.Array") -> "np.ndarray":
    """Return a column's values as numbers. Raises UserError for an unknown verdict."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if name == "verdicts":
        flat = flat.cast(pa.string())
        places = pc.index_in(flat, value_set=pa.array(NAMES))
        if places.null_count:
            odd = flat[int(np.flatnonzero(places.is_null())[0])].as_py()
            raise UserError(
                f"the scored rows have the verdict {odd!r:.40}, which is not one of "
                f"{', '.join(NAMES)}; they were changed after scoring: score the rows again"
            )
        return places.to_numpy()
    if name == "finish_reason":
        found = pc.equal(flat.cast(pa.string()), "length")
        return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    # Null becomes NaN, and a whole number above 2**53 the nearest float.
    return flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _counted(rows: Prompts, columns: OutputColumns) -> tuple[list[Group], list[tuple[str, int]]]:
    """Count the rows as a scoring does, with its default settings."""
    names = [n for n in ("scores", "verdicts", "extracted", "score_errors") if n in columns.names]
    counts, tally = Counts(Estimate(), 1.0), Tally()
    for table in _plain_columns(rows, [columns.names[name] for name in names]):
        for values in zip(*(column.to_pylist() for column in table), strict=True):
            row = dict(zip(names, values, strict=True))
            scores, verdicts = row["scores"] or [], row["verdicts"] or []
            answers, errors = (
                row.get(name) or [None] * len(scores) for name in ("extracted", "score_errors")
            )
            counts.add(scores, answers, verdicts)
            marks = [
                Mark(score, answer, error, verdict=Verdict[verdict])
                for score, answer, error, verdict in zip(
                    scores, answers, errors, verdicts, strict=True
                )
            ]
            tally.add([None] * len(marks), marks)
    return counts.groups(), tally.reasons()
