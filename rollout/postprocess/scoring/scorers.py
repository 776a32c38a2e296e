"""The interface of scorers, their names, and the verdicts they give.

Each scorer is its own module, imported when it is chosen. It defines `columns(settings)`, the
columns it needs by the setting that names each (None: all), and `load(settings)`, which returns the
function that marks a response. `load` runs in a worker, does heavy imports and raises UserError if
its settings can't be used. Optional are `optional(settings)`, columns that it reads if the input
has them, and `check(settings)`, which raises UserError for cheap checks before anything starts.
"""

import importlib
import math
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from rollout.config.sections.postprocess import AnswerIs, Postprocess
from rollout.errors import UserError, did_you_mean

SCORERS = (
    "math", "reasoning_gym", "exact", "choice", "regex", "json_schema", "code", "python",
)  # fmt: skip


class Verdict(Enum):
    """The outcome for one response; the column `verdicts` holds the names.

    Right and wrong are judged. A response without an answer, or cut off before one, scores 0 and
    is counted separately. An error (the scorer raised, took too long or ran out of memory) has no
    score, nor does a response whose row can't be judged (no right answer to compare with).
    """

    right = "right"
    wrong = "wrong"
    no_answer = "no answer found"
    cut_off = "cut off before an answer"
    error = "error"
    unjudged = "could not be judged"


class Response(NamedTuple):
    """A response to score, without its reasoning."""

    text: str
    is_cut: bool = False  # max_tokens ended it (finish_reason=length)
    is_unclosed: bool = False  # its reasoning never ended, so `text` holds no answer


class Mark(NamedTuple):  # pickles five times as fast as a dataclass
    """A scorer's judgment of one response.

    Without `verdict`, `score` and pass_threshold decide between right and wrong.
    """

    score: float | None
    extracted: str | None = None  # the answer as read; equal answers have the same text
    error: str | None = None  # why it is not right or has no score, in one line
    compared: str | None = None  # the right answer as read, as text for training
    verdict: Verdict | None = None
    trace: str | None = None  # the traceback of an error


Scorer = Callable[[Response, dict[str, Any]], Mark]


class Unscorable(Exception):
    """A row can't be judged, for the reason in the message; none of its samples gets a score."""


def no_answer(
    compared: str | None = None,
    error: str | None = None,
    verdict: Verdict = Verdict.no_answer,
) -> Mark:
    """Return the mark of a response without an answer: score 0, counted separately."""
    return Mark(0.0, None, error or verdict.value, compared, verdict)


def scorer_module(settings: Postprocess) -> Any:
    """Return the chosen scorer's module. Raises UserError for an unknown name."""
    name = settings.scorer
    if name is None:
        raise UserError(f"scorer is not set; type scorer=NAME, one of {', '.join(SCORERS)}")
    if name not in SCORERS:
        raise UserError(
            f"scorer={name} is unknown.{did_you_mean(name, SCORERS)} Choose from: "
            f"{', '.join(SCORERS)}; for your own function type scorer=python "
            "python.function=file.py:function"
        )
    return importlib.import_module(f"rollout.postprocess.scoring.{name}")


def check_threshold(settings: Postprocess) -> None:
    """Refuse a pass_threshold that every or no response can reach. Raises UserError."""
    threshold = settings.pass_threshold
    if threshold <= 0:
        raise UserError(
            f"pass_threshold={threshold:g} would make wrong answers right, since they score 0; "
            "type a pass_threshold above 0, such as pass_threshold=0.5"
        )
    if threshold > 1 and settings.scorer != "python":
        raise UserError(
            f"pass_threshold={threshold:g}: scorer={settings.scorer} gives scores from 0 to 1, so "
            "nothing could pass; type a pass_threshold of at most 1, such as pass_threshold=1"
        )


def optional_columns(settings: Postprocess) -> tuple[str, ...]:
    """Return the columns that the chosen scorer reads if the input has them."""
    optional = getattr(scorer_module(settings), "optional", None)
    return optional(settings) if optional else ()


def compares_with_text(settings: Postprocess) -> bool:
    """Return whether the scorer fills `compared`: it reads a right answer, or an entry with one."""
    named = scorer_module(settings).columns(settings) or {}
    return "answer_key" in named or "reasoning_gym.entry_key" in named


def load_scorer(settings: Postprocess) -> Scorer:
    """Return the chosen scorer; it does not see the text of responses with unclosed reasoning."""
    module = scorer_module(settings)
    score, takes_all = module.load(settings), module.columns(settings) is None

    def scorer(response: Response, row: dict[str, Any]) -> Mark:
        if response.is_unclosed:  # the empty text still yields `compared`
            mark = no_answer() if takes_all else score(Response(""), row)
        else:
            mark = score(response, row)
        if response.is_cut and mark.verdict is Verdict.no_answer:
            return mark._replace(verdict=Verdict.cut_off, error=Verdict.cut_off.value)
        if response.is_unclosed and mark.verdict is Verdict.no_answer:
            return mark._replace(error="no answer found: the reasoning never ended")
        return mark

    return scorer


def error_text(error: BaseException, most: int = 500) -> str:
    """Return an exception as text, whatever its own methods do."""
    name = type.__dict__["__name__"].__get__(type(error))  # bypasses its metaclass
    try:
        return f"{name}: {error}"[:most].rstrip(": ")
    except BaseException:
        return f"{name}, whose message can't be read"


def answer_column(settings: Postprocess) -> dict[str, str]:
    """Return the `columns` of a scorer that compares with a right answer."""
    return {"answer_key": settings.answer_key or "answer"}


def answers_of(row: dict[str, Any], settings: Postprocess) -> list[Any]:
    """Return the row's right answers: one, or several if `answer_is` allows lists.

    Raises Unscorable if there is none, or if `answer_is` does not allow the list.
    """
    key = settings.answer_key or "answer"
    value = row[key]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values or any(
        v is None or (isinstance(v, float) and not math.isfinite(v)) for v in values
    ):
        shown = "an empty list" if not values else "null" if None in values else f"{value}"
        raise Unscorable(f"{key} is {shown}")
    if len(values) > 1 and settings.answer_is is AnswerIs.one:
        raise Unscorable(
            f"{key} is a list of {len(values)} answers; type answer_is=any if each of them is "
            "right, answer_is=all if a response must give all of them"
        )
    return values


def as_text(value: Any) -> str:
    """Return an answer as text; a float without a fraction is written as an integer."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
