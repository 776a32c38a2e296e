"""What a scorer is, and which there are. Each is a module of its own, imported when it is chosen.

A scorer's module has `columns(settings)`, the input columns it reads by the setting that names
each; and `load(settings)`, which makes the function that marks a response. `load` runs in a
worker, imports what is heavy and raises UserError where its settings can't serve. The function
takes what is to be scored and the row's columns. What it raises becomes the sample's error.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.errors import UserError, did_you_mean
from rollout.scoring.settings import Postprocess

SCORERS = (
    "math", "reasoning_gym", "exact", "choice", "regex", "json_schema", "code", "python",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """What a scorer says of one response. Without a score, `error` says why."""

    score: float | None
    extracted: str | None = None  # the answer as understood, one text for what is equal
    error: str | None = None


Scorer = Callable[[str, dict[str, Any]], Mark]


class Unscorable(Exception):
    """Why a response can't be scored, in words for the user."""


def room(settings: Postprocess) -> Any:
    """The chosen scorer's module. Raises UserError where there is none of that name."""
    name = settings.scorer
    if name is None:
        raise UserError(f"scorer is not set; type scorer=NAME, one of {', '.join(SCORERS)}")
    if name not in SCORERS:
        raise UserError(
            f"scorer={name} is unknown.{did_you_mean(name, SCORERS)} There are: "
            f"{', '.join(SCORERS)}; for a function of yours type scorer=python "
            "python.function=file.py:function"
        )
    return importlib.import_module(f"rollout.scoring.{name}")


def load_scorer(settings: Postprocess) -> Scorer:
    """The chosen scorer, seeing what follows `settings.after` alone."""
    score, after = room(settings).load(settings), settings.after

    def scorer(response: str, row: dict[str, Any]) -> Mark:
        return score(response.rpartition(after)[2] if after else response, row)

    return scorer


def answer_column(settings: Postprocess) -> dict[str, str]:
    """`columns` of a scorer that compares with a right answer."""
    return {"answer_key": settings.answer_key or "answer"}


def answer_of(row: dict[str, Any], settings: Postprocess) -> Any:
    """The row's right answer. Raises Unscorable where it has none."""
    key = settings.answer_key or "answer"
    if row[key] is None:
        raise Unscorable(f"{key} is null")
    return row[key]


def texts_of(value: Any) -> list[str]:
    """An answer as text, or the several that are right."""
    values = value if isinstance(value, list) else [value]
    return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values]
