"""The prompts of an export: those that the run asked, in the export's format.

Owns rewording (data.template, data.system_prompt, ...), few-shot examples and tools. Raises
UserError if the file does not record what was asked. Must not know about scores or files.
"""

import json
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import PromptFormat, Template
from rollout.config.sections.export import Export, Format
from rollout.errors import UserError, did_you_mean
from rollout.inputs.chats import makes_chats
from rollout.inputs.columns import is_list, stored
from rollout.inputs.prompt_record import changed_settings, recorded_builder, zero_shot_key
from rollout.postprocess.export.checks import PROMPTS
from rollout.postprocess.export.formats import (
    Prompt,
    Unfit,
    chat_type,
    is_nested,
    members_of,
    prompt_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from rollout.inputs.prompt_builder import PromptBuilder

PREPARED = b"rollout.prepare"  # metadata key: how the prompts were prepared
DEFAULT_KEY = "prompt"


class Prompts:
    """Finds each row's prompt. `kind` is its type in the file: text or messages."""

    def __init__(self, export: Export, schema: "pa.Schema", prompt_key: str):
        self.export, self.schema = export, schema
        self.notes: list[str] = []
        self.asked = self._asked(prompt_key)
        self.key = self.asked.data.prompt_key if self.asked else prompt_key
        self.columns = self.asked.columns if self.asked else [self.key]
        self._check_columns()
        self._zero_shot = self._without_examples()
        self.has_tools = self.asked is not None and "data.tools" in " ".join(
            changed_settings(self.asked)
        )
        if self.has_tools and export.format in PROMPTS:
            self.notes.append(
                f"the prompts' tools are left out: {export.format.name} has no column for them"
            )
            self.has_tools = False
        is_mixed = self.asked and self.asked.data.prompt_format is PromptFormat.json
        is_chat = self._is_chat()
        if is_chat and export.as_chat and not is_mixed:
            raise UserError("export.as_chat=true: the prompts are chats already; leave it out")
        import pyarrow as pa

        self.is_chat = is_chat or export.as_chat or export.format is Format.verl
        column = schema.field(self.key).type if self.key in self.columns else pa.string()
        self.kind = chat_type(column) if self.is_chat else pa.string()
        self._members = members_of(column)

    def _asked(self, prompt_key: str) -> "PromptBuilder | None":
        """Return the builder that the run used; None to use the column unchanged."""
        asked, wanted = recorded_builder(self.schema), self.export.as_asked
        if not wanted and asked is None:
            raise UserError(
                "export.as_asked=false: the prompts were asked unchanged, or the file has no "
                "record of it; leave it out"
            )
        made_by = asked and ", ".join(changed_settings(asked))
        if not wanted or (asked and prompt_key not in (DEFAULT_KEY, asked.data.prompt_key)):
            if made_by:
                self.notes.append(f"prompts are those of column {prompt_key!r}, without {made_by}")
            return None
        if made_by:
            self.notes.append(f"prompts as the run sent them: {made_by}")
        elif asked and asked.data.prompt_key != prompt_key:
            self.notes.append(f"prompts as the run sent them: column {asked.data.prompt_key!r}")
        return asked

    def _check_columns(self) -> None:
        names, format = self.schema.names, self.export.format.name
        for name in self.columns:
            if name in names:
                continue
            if self.asked is None:
                raise UserError(
                    f"prompt_key={name}: the input has no column {name!r}, which "
                    f"export.format={format} needs.{did_you_mean(name, names)}"
                )
            raise UserError(
                f"export.format={format}: the run asked {self.asked}, but the input no longer has "
                f"column {name!r}; type export.as_asked=false prompt_key=COLUMN"
            )
        takes_ids = self.asked and self.asked.data.prompt_format is PromptFormat.tokens
        if takes_ids or _holds_numbers(self.schema.field(self.columns[0]).type):
            raise UserError(
                f"export.format={format} needs text or messages, but the prompts are token ids; "
                "type export.as_asked=false prompt_key=COLUMN, a column with their text"
            )

    def _without_examples(self) -> str | None:
        """Return the column to use instead if few-shot examples are left out, else None."""
        export, name = self.export, zero_shot_key(self.key)
        is_read = self.key in self.columns  # else data.template uses other columns
        has_column = is_read and name in self.schema.names
        if not has_column and not (is_read and _was_few_shot(self.schema, self.key)):
            if export.few_shot is not None:
                raise UserError(
                    f"export.few_shot has no effect: there is no column {name!r}, which "
                    "rollout.prepare writes with few_shot=; leave it out"
                )
            return None
        keeps = export.format in PROMPTS if export.few_shot is None else export.few_shot
        if not keeps and not has_column:
            raise UserError(
                f"export.format={export.format.name}: the prompts have few-shot examples, and "
                f"the column {name!r} without them is missing; prepare and roll out again, or "
                "type export.few_shot=true to keep the examples"
            )
        if export.few_shot is None:
            self.notes.append(
                "prompts keep their few-shot examples; export.few_shot=false leaves them out"
                if keeps
                else "few-shot examples are left out; export.few_shot=true keeps them"
            )
        return None if keeps else name

    def _is_chat(self) -> bool:
        kind = self.schema.field(self.columns[0]).type
        if self.asked is None:
            return is_nested(kind)
        data = self.asked.data
        reads_chats = data.prompt_format not in (PromptFormat.auto, PromptFormat.tokens)
        is_always = data.apply_chat_template is Template.always
        made = makes_chats(data) or is_always or reads_chats
        return made or (self.asked.template is None and is_nested(kind))

    @property
    def needed(self) -> list[str]:
        """The columns that `of` reads."""
        return self.columns + ([self._zero_shot] if self._zero_shot else [])

    def of(self, row: dict[str, Any]) -> tuple[Prompt, str | None]:
        """Return a row's prompt and its tools as JSON. Raises Unfit."""
        value, tools = row.get(self.key), None
        if self._zero_shot:
            value = row[self._zero_shot]
        if self.asked:
            values = {name: row[name] for name in self.columns}
            if self._zero_shot:
                values[self.key] = value
            made = self.asked.prompt_of(0, 0, values)
            if made.error:
                raise Unfit("rows whose prompt could not be asked")
            value, tools = made.content, made.tools
        prompt = prompt_of(value, self.export, self._members)
        if self.is_chat and isinstance(prompt, str):
            raise Unfit("rows whose prompt is text beside chats")
        return prompt, json.dumps(tools, ensure_ascii=False) if tools else None


def _was_few_shot(schema: "pa.Schema", key: str) -> bool:
    """Return whether rollout.prepare put examples before these prompts."""
    try:
        made = json.loads((schema.metadata or {}).get(PREPARED, b"{}"))
    except ValueError:
        return False
    return bool(made.get("few_shot")) and made.get("prompt_key", DEFAULT_KEY) == key


def _holds_numbers(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = stored(kind)
    return is_list(kind) and types.is_integer(stored(kind.value_type))
