"""Prompt columns: which column types hold prompts, and which setting reads them.

Guarantees that a missing column, or one of the wrong type for its setting, is a UserError, found in
the schema alone, that says what to type. Must not know how files are opened or what makes a value
a prompt.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.sections.data import Data, PromptFormat, Template
from rollout.errors import UserError, did_you_mean
from rollout.inputs.columns import is_list, is_text, short, stored

if TYPE_CHECKING:
    import pyarrow as pa

WANTED = "a prompt is text, or a list of messages with role and content"
PREPARE = "make prompts of them: python -m rollout.prepare"
TO = "output.path=prompts.parquet"
SHAREGPT = "ShareGPT turns"
_SHAREGPT_TOO = " data.prompt_format=sharegpt"
CHAT_NAMES = ("messages", "conversations", "conversation", "chat", "dialogue")
LIKELY = (*CHAT_NAMES, "question", "problem", "instruction", "query", "input", "text")


def check_columns(
    schema: "pa.Schema", path: Path, data: Data, in_template: Iterable[str] | None = None
) -> None:
    """Refuse an input if a column that the prompts need is missing or has the wrong type.

    `in_template`: the names that data.template uses, which then replace the prompt column.
    """
    if data.sampling_key is not None:
        _check_option(schema, path, "sampling_key", data.sampling_key, _holds_object, "a struct")
    if data.tools_key is not None:
        _check_option(schema, path, "tools_key", data.tools_key, _holds_tools, "a list of structs")
    if in_template is not None:
        _check_template(schema, path, in_template)
    elif data.prompt_format is PromptFormat.tokens:
        wanted = "a list of integers (token ids), which data.prompt_format=tokens needs"
        _check_option(schema, path, "prompt_key", data.prompt_key, _holds_ids, wanted, "")
    else:
        _check_prompts(schema, path, data)


def _check_template(schema: "pa.Schema", path: Path, in_template: Iterable[str]) -> None:
    for name in sorted(set(in_template) - set(schema.names)):
        raise UserError(
            f"data.template names {name}: {path} has columns {_listed(schema)}."
            f"{did_you_mean(name, schema.names)}"
        )


def check_printed(schema: "pa.Schema", where: object, setting: str, names: Iterable[str]) -> None:
    """Refuse a template that prints columns of lists or objects unchanged in every row."""
    from pyarrow import types

    for name in sorted(set(names) & set(schema.names)):
        kind = stored(schema.field(name).type)
        if is_list(kind):
            hint = f"{{{{ {name} | join(', ') }}}}"
        elif types.is_struct(kind) or types.is_map(kind):
            hint = f"{{{{ {name}.{kind.field(0).name if types.is_struct(kind) else 'key'} }}}}"
        else:
            continue
        raise UserError(
            f"{setting} prints {name}, which holds {short(kind)} in {where}, as Python writes it; "
            f"write {hint}, or {{{{ {name} | tojson }}}} for JSON"
        )


def _check_option(
    schema: "pa.Schema",
    path: Path,
    setting: str,
    key: str,
    is_fit: Callable[["pa.DataType"], bool],
    wanted: str,
    or_text: str = ", or JSON text",
) -> None:
    """Refuse a setting that names a missing column, or one that is not as `wanted`."""
    fit = [name for name in schema.names if is_fit(schema.field(name).type)]
    if key not in schema.names:
        raise UserError(
            f"data.{setting}={key}: {path} has columns {_listed(schema)}."
            f"{did_you_mean(key, fit or schema.names)}"
        )
    kind = schema.field(key).type
    if not is_fit(kind):
        more = f"; suitable columns: {', '.join(fit)}" if fit else ""
        raise UserError(
            f"data.{setting}={key}: the column holds {short(kind)} in {path}, not {wanted}"
            f"{or_text}{more}"
        )


def _listed(schema: "pa.Schema") -> str:
    return ", ".join(schema.names[:20]) + (", ..." if len(schema.names) > 20 else "")


def _holds_object(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = stored(kind)
    return any(is_kind(kind) for is_kind in (types.is_struct, types.is_map, is_text, types.is_null))


def _holds_tools(kind: "pa.DataType") -> bool:
    kind = stored(kind)
    return is_text(kind) or _is_null(kind) or (is_list(kind) and _holds_object(kind.value_type))


def _holds_ids(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = stored(kind)
    if not is_list(kind):
        return _is_null(kind)
    return types.is_integer(stored(kind.value_type)) or _is_null(kind.value_type)


def _is_null(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_null(kind)


def _check_prompts(schema: "pa.Schema", path: Path, data: Data) -> None:
    """Refuse an input whose prompt column is missing or can't hold prompts."""
    names, key = schema.names, data.prompt_key
    held = {name: _holds(schema.field(name).type) for name in names}
    wanted = ("text", SHAREGPT) if data.prompt_format is PromptFormat.sharegpt else ("text", "chat")
    fit = sorted((n for n in names if held[n] in ("text", "chat", SHAREGPT)), key=likeliness)
    if key not in names:
        guess = did_you_mean(key, fit or names)
        if _is_batch(schema):
            guess, choose = "", f" These are OpenAI batch lines; {PREPARE} source={path} {TO}"
        elif fit:
            choose = f" Type {_choice(fit, held, data, guess)}"
        else:
            choose = f" None of them holds prompts; {WANTED}"
        raise UserError(
            f"data.prompt_key={key}: {path} has columns {_listed(schema)}.{guess}{choose}"
        )
    found = held[key]
    if found == SHAREGPT and found not in wanted:
        raise UserError(
            f"column {key!r} of {path} holds ShareGPT turns (from, value); type "
            f"{_key(key)}data.prompt_format=sharegpt"
        )
    if found == "chat" and _has_roles(schema.field(key).type) and found not in wanted:
        raise UserError(
            f"data.prompt_format=sharegpt reads turns with from and value, but column {key!r} of "
            f"{path} holds messages with role and content; leave it out"
        )
    fit = [name for name in fit if held[name] in wanted]
    if _holds_ids(schema.field(key).type) and found not in ("chat", "nothing"):
        found += ", or token ids with data.prompt_format=tokens"
    if found not in ("text", "chat", "nothing", SHAREGPT):
        choose = f" Type data.prompt_key={fit[0] if len(fit) == 1 else 'NAME'}"
        more = f"suitable columns: {', '.join(fit)}.{choose}" if fit else _convert(schema, key)
        raise UserError(f"column {key!r} of {path} holds {found}" + (f"; {more}" if more else ""))
    if found in ("chat", SHAREGPT) and data.apply_chat_template is Template.never:
        raise UserError(
            f"data.apply_chat_template=never, but column {key!r} holds chats, which need the chat "
            "template; type data.apply_chat_template=auto"
        )


def refuse_rival(schema: "pa.Schema", path: Path, data: Data) -> None:
    """Refuse an input with a prompt column and a column of chats, unless one was chosen."""
    if data.template is not None or data.prompt_key not in schema.names:
        return
    for name in CHAT_NAMES:
        if name == data.prompt_key or name not in schema.names:
            continue
        held = {name: _holds(schema.field(name).type)}
        if held[name] in ("chat", SHAREGPT):
            raise UserError(
                f"{path} has columns {data.prompt_key!r} and {name!r}, and either may hold the "
                f"prompts; type data.prompt_key={data.prompt_key}, or "
                f"{_choice([name], held, data, '')}"
            )


def likeliness(name: str) -> int:
    """Return a sort key: smaller for names that prompt columns usually have."""
    return LIKELY.index(name.lower()) if name.lower() in LIKELY else len(LIKELY)


def _choice(fit: list[str], held: dict[str, str], data: Data, guess: str) -> str:
    """Return what to type to use one of the suitable columns, sorted by likelihood."""
    is_clear = len(fit) == 1 or (not guess and fit[0].lower() in LIKELY)
    name = fit[0] if is_clear else "NAME"
    is_sharegpt = is_clear and held[name] == SHAREGPT
    more = "" if not is_sharegpt or data.prompt_format is PromptFormat.sharegpt else _SHAREGPT_TOO
    return f"data.prompt_key={name}{more}"


def _key(key: str) -> str:
    return "" if key == "prompt" else f"data.prompt_key={key} "


def _is_batch(schema: "pa.Schema") -> bool:
    from pyarrow import types

    if "body" not in schema.names:
        return False
    kind = stored(schema.field("body").type)
    return types.is_struct(kind) and kind.get_field_index("messages") >= 0


def _has_roles(kind: "pa.DataType") -> bool:
    """Return whether it is a list of structs, so that the type shows the members' names."""
    from pyarrow import types

    return is_list(stored(kind)) and types.is_struct(stored(stored(kind).value_type))


def _holds(kind: "pa.DataType") -> str:
    """Return `text`, `chat`, SHAREGPT, `nothing` (all null), or why it can't hold prompts."""
    import pyarrow as pa

    types = pa.types
    wanted = f"{short(kind)}, but {WANTED}"
    kind = stored(kind)
    if types.is_null(kind):
        return "nothing"
    if is_text(kind):
        return "text"
    if not is_list(kind):
        return wanted
    json_typed = isinstance(kind.value_type, pa.BaseExtensionType)
    message = stored(kind.value_type)
    if types.is_struct(message):
        members = {message.field(i).name: message.field(i).type for i in range(message.num_fields)}
        if {"from", "value"} <= set(members) and is_text(members["value"]):
            return SHAREGPT
        if not {"role", "content"} <= set(members):
            return (
                f"messages with {', '.join(members)}, but role and content are needed; rename them"
            )
        content = stored(members["content"])
        fits = types.is_null(content) or is_text(content) or is_list(content)
        return "chat" if fits else f"messages with content of {short(content)}; make it text"
    is_map = types.is_map(message) and is_text(message.key_type)
    is_json = json_typed and is_text(message)
    return "chat" if is_map or is_json or types.is_null(message) else wanted


def _convert(schema: "pa.Schema", key: str) -> str:
    """Return how to convert a column without prompts to text in pandas; "" if nested."""
    from pyarrow import types

    kind = stored(schema.field(key).type)
    if types.is_nested(kind):
        return ""
    is_bytes = any(
        getattr(types, f"is_{name}")(kind)
        for name in ("binary", "large_binary", "binary_view", "fixed_size_binary")
    )
    call = "str.decode('utf-8')" if is_bytes else "astype(str)"
    return f"convert it to text, in pandas: df[{key!r}] = df[{key!r}].{call}"
