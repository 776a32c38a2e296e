"""Make a row's prompt: a template or a column, with system message and examples before it.

Guarantees that a mistyped column is a UserError before any row is read, and that a row that makes
no prompt raises a one-line ValueError. Must not know about formats or where prompts are written.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import Data, PromptFormat
from rollout.config.sections.prepare import LastAnswer, MadeOf, Prepare
from rollout.errors import UserError, did_you_mean
from rollout.inputs.chats import SYSTEM_ROLES, content_of
from rollout.inputs.prompt_columns import CHAT_NAMES, LIKELY, check_printed, likeliness
from rollout.inputs.row_template import RowCondition, RowTemplate, open_condition, open_template
from rollout.prepare.examples import PLAIN, examples_of, listed, read_text
from rollout.prepare.sources.columns import as_json, json_chats
from rollout.prepare.sources.source import Source
from rollout.rows.messages import is_turn

if TYPE_CHECKING:
    import pyarrow as pa

Message = dict[str, Any]
LIKE_A_CHAT = re.compile(r'\s*\[\s*\{\s*"(role|content|from|value)"\s*:')


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """How rows become prompts. Opened by `open_rendering`."""

    makes_text: bool
    kind: "pa.DataType"  # of the prompts
    is_plain: bool  # messages have a role and a text only
    column: str | None  # of the prompts; None: the template makes them
    template: RowTemplate | None
    system: RowTemplate | None
    examples: list[tuple[str, str]]  # prompt and answer
    condition: RowCondition | None
    files: list[Path]  # that the settings named
    aliases: dict[str, str]  # new names of `rename`, for templates -> the source's names
    plain: Data  # how a column's values are read
    sharegpt: Data
    used: set[str] = field(default_factory=set)  # settings that changed a prompt

    def refuse_unused(self, num_rows: int) -> None:
        """Raise UserError if `system` changed none of the prompts."""
        if self.system is not None and "system" not in self.used:
            raise UserError(
                f"system applies to 0 of {num_rows:,} rows: every chat has its own system message; "
                "leave system out, and type data.system_prompt= with "
                "data.system_prompt_mode=replace in the run"
            )

    @property
    def columns(self) -> list[str]:
        """The source's columns that are read."""
        found = {self.column} if self.column else set(self.template.names)
        for part in (self.system, self.condition):
            found |= part.names if part else set()
        return sorted({self.aliases.get(name, name) for name in found})

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with its values under the new names too, for templates."""
        return row | {new: row[old] for new, old in self.aliases.items() if old in row}

    def contents(self, row: dict[str, Any]) -> list[str | list[Message]]:
        """Return the row's prompt; with examples, also the prompt without them.

        Raises ValueError if the row makes no prompt.
        """
        own = self._own(row)
        system = None
        if self.system:
            system = self.system.render({n: row[n] for n in self.system.names}).strip("\n")
        make = self._text if self.makes_text else self._chat
        shots = [self.examples, []] if self.examples else [[]]
        return [make(own, system, examples) for examples in shots]

    def _text(self, own: Any, system: str | None, examples: list[tuple[str, str]]) -> str:
        """Join the parts with empty lines, and each answer to its prompt with a space."""
        if not isinstance(own, str):
            raise ValueError("the prompt is a chat, but prompt_format=text")
        blocks = [] if system is None else [system]
        self.used.add("system")
        for prompt, answer in examples:
            has_space = prompt[-1:].isspace() or answer[:1].isspace()
            blocks.append(prompt + ("" if has_space else " ") + answer)
        return "\n\n".join([*blocks, own])

    def _chat(self, own: Any, system: str | None, examples: list[tuple[str, str]]) -> list[Message]:
        chat = own if isinstance(own, list) else [{"role": "user", "content": own}]
        if self.is_plain:
            _check_plain(chat)
        shots = [
            {"role": role, "content": text}
            for example in examples
            for role, text in zip(("user", "assistant"), example, strict=True)
        ]
        first = []
        if chat[0]["role"] in SYSTEM_ROLES:
            first, chat = chat[:1], chat[1:]
        elif system is not None:
            self.used.add("system")
            first = [{"role": "system", "content": system}]
        return [*first, *shots, *chat]

    def _own(self, row: dict[str, Any]) -> str | list[Message]:
        """Return the row's prompt alone, without system message and examples."""
        if self.column is not None:
            return _read(row[self.column], self)
        template = self.template
        return content_of(template.render({name: row[name] for name in template.names}), PLAIN)


def _check_plain(chat: list[Message]) -> None:
    """Refuse messages with more than role and text, which only columns of chats can hold.

    Raises ValueError.
    """
    remedy = "use a column that holds only chats"
    for message in chat:
        if odd := set(message) - {"role", "content"}:
            raise ValueError(f"a message has {sorted(odd)[0]!r}: {remedy}")
        if not isinstance(message["content"], str):
            raise ValueError(f"a message has content that is not text: {remedy}")


def _read(value: Any, rendering: Rendering) -> str | list[Message]:
    """Return a column's text or chat; detects ShareGPT turns. Raises ValueError."""
    is_sharegpt = isinstance(value, list) and bool(value) and is_turn(value[0])
    if isinstance(value, str) and LIKE_A_CHAT.match(value):
        raise ValueError(
            "the prompt is a chat as JSON text; a run reads that with data.prompt_format=json"
        )
    try:
        prompt = content_of(value, rendering.sharegpt if is_sharegpt else rendering.plain)
    except ValueError as error:
        raise ValueError(str(error).replace("data.last_answer", "last_answer")) from None
    return [_with_json_arguments(message) for message in prompt] if is_sharegpt else prompt


def _with_json_arguments(message: Message) -> Message:
    """Return the message with its calls' arguments as JSON text, as in OpenAI's API: one type."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {"type": "function", "function": {
            "name": call["function"]["name"],
            "arguments": as_json(call["function"]["arguments"]),
        }}
        for call in message["tool_calls"]
    ]  # fmt: skip
    return {**message, "tool_calls": calls}


def open_rendering(settings: Prepare, source: Source, start_dir: Path) -> Rendering:
    """Read template, system, examples and filter. Raises UserError."""
    import pyarrow as pa

    files: list[Path] = []
    names = source.schema.names
    aliases = {
        str(new): str(old)
        for new, old in settings.rename.items()
        if new not in names and old in names
    }
    template = system = condition = None
    if settings.template is not None:
        if settings.prompt_column is not None:
            raise UserError("template and prompt_column both set the prompt; leave one out")
        if settings.last_answer is not LastAnswer.auto:
            raise UserError(
                f"last_answer={settings.last_answer.name} applies to chats, and template makes "
                "none; leave one of them out"
            )
        text = read_text("template", settings.template, start_dir, files)
        template = open_template(text, "template")
    if settings.system is not None:
        text = read_text("system", settings.system, start_dir, files)
        system = open_template(text, "system", may_be_constant=True)
    for setting, opened in (("template", template), ("system", system)):
        if opened is not None:
            _check(source, opened.names, setting, aliases)
            check_printed(source.schema, source.name, setting, opened.printed)
    if settings.filter is not None:
        condition = open_condition(settings.filter, "filter")
        _check(source, condition.names, "filter", aliases)
    column = None if template else _column(settings, source)
    makes_text = settings.prompt_format is MadeOf.text
    is_chat = column is not None and _is_chat(source.schema.field(column).type)
    if makes_text and is_chat:
        raise UserError(
            f"column {column!r} of {source.name} holds chats, not text; leave prompt_format=text "
            "out, or convert them to text with template="
        )
    kind = pa.string() if makes_text else _messages()
    own = _chat_kind(source, column) if column is not None and not makes_text else None
    is_plain, kind = own is None, kind if own is None else own
    examples = []
    if settings.few_shot is not None:
        examples = examples_of(settings, template, column, start_dir, files, aliases)
    elif settings.num_few_shot is not None:
        raise UserError("num_few_shot needs a file of examples; type few_shot=FILE.jsonl")
    return Rendering(
        makes_text, kind, is_plain, column, template, system, examples, condition, files, aliases,
        Data(last_answer=settings.last_answer),
        Data(last_answer=settings.last_answer, prompt_format=PromptFormat.sharegpt),
    )  # fmt: skip


def _chat_kind(source: Source, column: str) -> "pa.DataType | None":
    """Return the type of a column's chats; None if they have roles and texts only."""
    import pyarrow as pa

    kind = source.schema.field(column).type
    if column in source.mixed:
        return json_chats()
    if not _is_chat(kind):
        return None
    if not pa.types.is_struct(kind.value_type):
        return json_chats() if isinstance(kind.value_type, pa.BaseExtensionType) else None
    if kind.value_type.get_field_index("from") < 0:
        return kind
    call = [("name", pa.string()), ("arguments", pa.string())]
    calls = pa.list_(pa.struct([("type", pa.string()), ("function", pa.struct(call))]))
    return pa.list_(pa.struct([*_messages().value_type, ("tool_calls", calls)]))


def _messages() -> "pa.DataType":
    import pyarrow as pa

    return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def _is_chat(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    while types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _column(settings: Prepare, source: Source) -> str:
    """Return the column of the prompts. Raises UserError if it is unclear or has another type."""
    schema = source.schema
    fit = [f.name for f in schema if _is_text(f.type) or _is_chat(f.type)]
    name = settings.prompt_column or source.prompt_column
    fit.sort(key=likeliness)
    if name is None and settings.prompt_key in schema.names:
        name = settings.prompt_key
        chats = [n for n in fit if n in CHAT_NAMES and n != name and _is_chat(schema.field(n).type)]
        if chats:
            raise UserError(
                f"{source.name} has columns {name!r} and {chats[0]!r}, and either may hold the "
                f"prompts; type prompt_column={name}, or prompt_column={chats[0]}"
            )
    if name is None:
        is_clear = len(fit) == 1 or (fit and fit[0].lower() in LIKELY)
        raise UserError(
            f"{source.name} has columns {listed(schema.names)}, and no setting names the prompts; "
            f"type prompt_column={fit[0] if is_clear else 'NAME'}, or template= such as "
            f"'Q: {{{{ {fit[0] if fit else schema.names[0]} }}}}'"
        )
    if name not in schema.names:
        raise UserError(
            f"prompt_column={name}: {source.name} has no such column, only {listed(schema.names)}."
            f"{did_you_mean(name, fit or schema.names)}"
        )
    if name not in fit:
        raise UserError(
            f"prompt_column={name} of {source.name} holds {schema.field(name).type}, neither "
            f"strings nor chats; to convert it to text type template='{{{{ {name} }}}}'"
        )
    return name


def _check(source: Source, names: frozenset[str], setting: str, aliases: dict[str, str]) -> None:
    for name in sorted(names - set(source.schema.names) - set(aliases)):
        raise UserError(
            f"{setting} names {name}: {source.name} has no such column, only "
            f"{listed(source.schema.names)}.{did_you_mean(name, source.schema.names)}"
        )
