"""The answers of an export, so that training compares with what the scorer compared with.

Must not know about scorers: the column `compared_with` holds the text that a scorer compared with.
"""

from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Export
from rollout.errors import UserError, did_you_mean
from rollout.postprocess.export.formats import Unfit, is_nested
from rollout.rows.column_paths import field_at
from rollout.system.formats import strict_json

if TYPE_CHECKING:
    import pyarrow as pa

COMPARED = "compared_with"
DEFAULT_KEY = "answer"
VERL_KEY = "reward_model.ground_truth"


class Answers:
    """Each row's answer: read from `column`, written under `name` with type `kind`.

    With `compares`, the scorer compared with text, which is read from prefix + compared_with.
    `export.answer_key` names a column to read unchanged instead.
    """

    def __init__(
        self,
        export: Export,
        schema: "pa.Schema",
        compares: bool,
        prefix: str = "",
        answer_key: str | None = None,
    ):
        self.notes: list[str] = []
        own = answer_key or (DEFAULT_KEY if DEFAULT_KEY in schema.names else None)
        if own is None and field_at(schema, VERL_KEY) is not None:
            own = VERL_KEY
        given = self.given = own or DEFAULT_KEY  # the input's column, which the scorer read
        if export.answer_key:
            given = self.column = export.answer_key
            if compares:
                self.notes.append(
                    f"answers are those of column {given!r}, not those that were scored"
                )
        else:
            self.column = prefix + COMPARED if compares else given
        field = field_at(schema, self.column)
        if field is None:
            guess = did_you_mean(self.column, schema.names)
            raise UserError(
                f"export.format={export.format.name} needs an answer, but the input has no column "
                f"{self.column!r}.{guess} Type export.answer_key=COLUMN"
            )
        self.is_compared = compares and not export.answer_key
        read = field_at(schema, self.given)
        if self.is_compared and read is not None and is_nested(read.type):
            self.notes.append(
                "several right answers of a row are joined to one text, which the reward function "
                "must split"
            )
        self.name = given.rpartition(".")[2] if given not in schema.names else given
        self.kind = field.type

    def of(self, row: dict[str, Any]) -> Any:
        """Return the row's answer. Raises Unfit if there is none."""
        value = row[self.column]
        if value is None and self.is_compared:
            raise Unfit("rows whose answer the scorer could not read")
        if value is None:
            raise Unfit(f"rows whose {self.column} is null")
        return value


def as_ground_truth(value: Any) -> str:
    """Return an answer as text, which verl's reward functions take."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return strict_json.dumps(value, ensure_ascii=False, default=str)
