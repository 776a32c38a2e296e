"""The columns of an output, found by their names and types, whatever its prefix and layout.

Must not know how rows are read or shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.errors import UserError, did_you_mean
from rollout.inputs.columns import is_list, is_text, short, stored
from rollout.inputs.prompt_columns import likeliness
from rollout.postprocess.export.agreement import is_list_of
from rollout.postprocess.export.answers import DEFAULT_KEY, VERL_KEY
from rollout.report.row_views import PER_ROW, PER_SAMPLE, SCORED
from rollout.rows.column_paths import field_at

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("string", "large_string", "string_view")
KINDS = {  # of the columns that don't hold texts
    "num_response_tokens": ("integer",),
    "num_prompt_tokens": ("integer",),
    "is_reasoning_closed": ("boolean",),
    "scores": ("floating", "integer"),
}
ENTRY = "reasoning_gym_entry"
NEEDED = (
    "a page needs responses, a list of texts per row (as rollout writes them) or a text per row"
)
CHATS = "chats, and a page needs texts: write the text of each answer to a column"


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """Where a file has what: the column of each name that a run or a scoring gives.

    `names` maps names without prefixes, those of row_views, to columns. `row` is the column with
    the rows' numbers in a file with one row per sample.
    """

    responses: str
    is_per_sample: bool
    prompt: str | None
    names: dict[str, str] = field(default_factory=dict)
    row: str | None = None
    compared: str | None = None
    answer: str | None = None
    entry: str | None = None
    score_prefix: str | None = None  # None: not scored

    @property
    def is_scored(self) -> bool:
        return self.score_prefix is not None


def find_columns(
    schema: "pa.Schema",
    path: Path,
    responses_key: str | None = None,
    prompt_key: str | None = None,
    prefix: str | None = None,
    answer_key: str | None = None,
) -> OutputColumns:
    """Return the columns of an output. Raises UserError if there are no responses or no such key.

    `prefix` is that of the columns of a scoring; None: the plain names, else the first prefix that
    has all of them.
    """
    responses = _responses(schema, path, responses_key)
    is_per_sample = is_text(schema.field(responses).type)
    own = responses.removesuffix("s").removesuffix("response")
    own = own if responses in (f"{own}response", f"{own}responses") else ""
    names = {"responses": responses}
    for name in (*PER_SAMPLE, *PER_ROW):
        if name != "responses" and _is_one(schema, own + name, name, is_per_sample):
            names[name] = own + name
    scoring = None if is_per_sample else _scoring(schema, path, prefix)
    if scoring is not None:
        names |= {n: scoring + n for n in SCORED if _is_one(schema, scoring + n, n, False)}
    compared = f"{scoring}compared_with"
    answer, entry = answer_columns(schema, answer_key)
    return OutputColumns(
        responses,
        is_per_sample,
        _prompt(schema, path, prompt_key, responses),
        names,
        _integers(schema, f"{own}row") if is_per_sample else None,
        compared if compared in schema.names and scoring is not None else None,
        answer,
        entry,
        scoring,
    )


def answer_columns(
    schema: "pa.Schema", answer_key: str | None = None
) -> tuple[str | None, str | None]:
    """Return the columns of right answers and of gym entries; None where there is none.

    Without a key, an answer is looked for where inputs and files in verl's layout have it.
    """
    keys = [answer_key] if answer_key else [DEFAULT_KEY, VERL_KEY]
    return (
        next((key for key in keys if field_at(schema, key) is not None), None),
        ENTRY if ENTRY in schema.names else None,
    )


def _responses(schema: "pa.Schema", path: Path, given: str | None) -> str:
    fits = [name for name in schema.names if _holds_responses(schema.field(name).type)]
    if given is not None:
        if given in fits:
            return given
        if given in schema.names:
            kind = schema.field(given).type
            held = f"{CHATS}, a list of texts or one text per row"
            raise UserError(
                f"responses_key={given}: that column of {path} holds "
                + (held if _holds_chats(kind) else f"{short(kind)}; {NEEDED}")
            )
        raise UserError(
            f"responses_key={given}: {path} has no such column.{did_you_mean(given, fits)}"
        )
    named = [name for name in fits if name.endswith(("response", "responses"))]
    named = [name for name in named if not name.endswith("final_response")] or named
    lists = [name for name in named if not _is_text(schema, name)]
    texts = [name for name in named if _is_text(schema, name)]
    found = lists or texts
    if len(found) == 1 or {"responses", "response"} & set(found):
        return next((name for name in ("responses", "response") if name in found), found[0])
    if found:
        raise UserError(
            f"{path} has several columns of responses: {', '.join(found)}; type responses_key="
            f"{found[0]}, or another"
        )
    listed = ", ".join(schema.names[:20]) + (", ..." if len(schema.names) > 20 else "")
    chats = [name for name in schema.names if _holds_chats(schema.field(name).type)]
    chats = [name for name in chats if not _is_likely_prompt(name)]
    missing = f"{path} has no column 'responses', only {listed}"
    if chats:
        raise UserError(f"{missing}; {chats[0]!r} holds {CHATS}, named responses")
    if "responses" in schema.names:
        held = short(schema.field("responses").type)
        raise UserError(f"column 'responses' of {path} holds {held}; {NEEDED}")
    raise UserError(f"{missing}; {NEEDED}; type responses_key=COLUMN")


def _holds_chats(kind: "pa.DataType") -> bool:
    """Return whether a column holds messages with role and content, or lists of them."""
    from pyarrow import types

    kind = stored(kind)
    while is_list(kind):
        kind = stored(kind.value_type)
    names = {kind.field(i).name for i in range(kind.num_fields)} if types.is_struct(kind) else ()
    return any(set(pair) <= set(names) for pair in (("role", "content"), ("from", "value")))


def _holds_responses(kind: "pa.DataType") -> bool:
    return is_text(kind) or is_list_of(kind, is_text)


def _is_text(schema: "pa.Schema", name: str) -> bool:
    return is_text(schema.field(name).type)


def _prompt(schema: "pa.Schema", path: Path, given: str | None, responses: str) -> str | None:
    if given is not None:
        if given not in schema.names:
            guess = did_you_mean(given, schema.names)
            raise UserError(f"prompt_key={given}: {path} has no such column.{guess}")
        return given
    likely = [name for name in schema.names if name != responses and _is_likely_prompt(name)]
    return "prompt" if "prompt" in schema.names else min(likely, key=likeliness, default=None)


def _is_likely_prompt(name: str) -> bool:
    return likeliness(name) < likeliness("no name")


def _scoring(schema: "pa.Schema", path: Path, given: str | None) -> str | None:
    """Return the prefix of a scoring's columns; None if the file is not scored."""
    found = [
        name.removesuffix("verdicts")
        for name in schema.names
        if name.endswith("verdicts") and _is_one(schema, name, "verdicts", False)
    ]
    found = [prefix for prefix in found if _is_one(schema, f"{prefix}scores", "scores", False)]
    if given is not None and given not in found:
        raise UserError(
            f"prefix={given}: {path} has no columns {given}scores and {given}verdicts of a "
            f"scoring.{did_you_mean(given, found)}"
        )
    return given if given is not None else min(found, key=lambda p: p != "", default=None)


def _is_one(schema: "pa.Schema", name: str, meaning: str, is_per_sample: bool) -> bool:
    """Return whether a column of this name has the type that a run or a scoring gives it."""
    if name not in schema.names:
        return False
    kind, kinds = schema.field(name).type, KINDS.get(meaning, TEXTS)
    if is_per_sample or meaning in PER_ROW:
        return _is_any(kind, ("null", *kinds))
    return is_list_of(kind, lambda value: _is_any(value, kinds))


def _is_any(kind: "pa.DataType", kinds: Sequence[str]) -> bool:
    from pyarrow import types

    return any(getattr(types, f"is_{name}")(stored(kind)) for name in kinds)


def _integers(schema: "pa.Schema", name: str) -> str | None:
    is_there = name in schema.names and _is_any(schema.field(name).type, ("integer",))
    return name if is_there else None
