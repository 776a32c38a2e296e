"""Checks that the columns of scored rows are those of a scoring and agree with one another.

A scored file that was changed or damaged is an error, never a guess. Must not know about scorers.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.inputs.columns import is_list, is_text, short, stored
from rollout.postprocess.export.estimates import VERDICTS

if TYPE_CHECKING:
    import pyarrow as pa

LISTS = ("scores", "verdicts", "extracted")  # one value per response
AGAIN = "score it again with scorer=..."


def check_types(schema: "pa.Schema", path: Path, prefix: str, responses_key: str) -> None:
    """Refuse scored columns whose types a scoring does not write. Raises UserError."""
    from pyarrow import types

    if not is_list_of(schema.field(responses_key).type, is_text):
        kind = short(schema.field(responses_key).type)
        raise UserError(
            f"responses_key={responses_key}: that column of {path} holds {kind}, but a list of "
            "texts is needed; type responses_key=COLUMN"
        )
    texts = ("a list of texts", lambda kind: is_list_of(kind, is_text))
    wanted = {
        "scores": ("a list of numbers", lambda kind: is_list_of(kind, _is_number)),
        "verdicts": texts,
        "extracted": texts,
        "pass_rate": ("a number", _is_number),
        "compared_with": ("a text", is_text),
    }
    for name, (meant, fits) in wanted.items():
        if prefix + name not in schema.names:  # older versions wrote no compared_with
            continue
        kind = stored(schema.field(prefix + name).type)
        if not (types.is_null(kind) or fits(kind)):
            raise UserError(
                f"column {prefix + name!r} of {path} holds {short(kind)}, but a scoring writes "
                f"{meant}; {AGAIN}"
            )


def _is_number(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_floating(kind) or types.is_integer(kind)


def is_list_of(kind: "pa.DataType", fits: Any) -> bool:
    """Return whether this is a type of lists whose values fit; null types fit, too."""
    from pyarrow import types

    kind = stored(kind)
    if types.is_null(kind):
        return True
    return is_list(kind) and (types.is_null(kind.value_type) or fits(kind.value_type))


def check_row(row: dict[str, Any], number: int, prefix: str, responses_key: str) -> None:
    """Refuse a row whose scored columns don't agree. Raises UserError.

    Columns missing from `row` are not checked. Without responses, lists may be null or empty.
    """
    lists = {name: row[prefix + name] for name in LISTS if prefix + name in row}
    for name, values in lists.items():
        if values is not None and not isinstance(values, list):
            raise _damaged(number, prefix + name, "holds text that is not UTF-8")
    texts = row.get(responses_key, lists["scores"])
    if isinstance(texts, bytes):  # not UTF-8, so they can't be counted
        texts = lists["scores"]
    num = len(texts or ())
    for name, values in lists.items():
        if values is None and num:
            raise _damaged(number, prefix + name, f"is null, but there are {num:,} responses")
        if len(values or ()) != num:
            has = f"has {len(values):,} values, but there are {num:,} responses"
            raise _damaged(number, prefix + name, has)
    _check_verdicts(lists.get("verdicts") or (), lists["scores"] or (), number, prefix)
    rate = row.get(f"{prefix}pass_rate")
    if rate is not None and not 0 <= rate <= 1:
        raise _damaged(number, f"{prefix}pass_rate", f"is {rate}, not a share from 0 to 1")


def _check_verdicts(verdicts: Sequence[Any], scores: Sequence[Any], row: int, prefix: str) -> None:
    for sample, verdict in enumerate(verdicts):
        if verdict not in VERDICTS:
            shown = "null" if verdict is None else repr(str(verdict)[:40])
            has = f"has {shown} for sample {sample}, which is not one of {', '.join(VERDICTS)}"
            raise _damaged(row, f"{prefix}verdicts", has)
        if scores[sample] is not None and not math.isfinite(scores[sample]):
            raise _damaged(row, f"{prefix}scores", f"is {scores[sample]} for sample {sample}")
        if scores[sample] is None and verdict in ("right", "wrong"):
            has = f"is null for sample {sample}, whose verdict is {verdict}"
            raise _damaged(row, f"{prefix}scores", has)


def _damaged(row: int, column: str, problem: str) -> UserError:
    return UserError(
        f"row {row:,} of the scored rows: column {column!r} {problem}; it was changed after "
        f"scoring: {AGAIN}"
    )
