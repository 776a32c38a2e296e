"""Input columns: which types hold prompts, and how the files of one input come to agree.

Owns what Arrow's types mean here. Promises: a type that holds no prompts, or files that disagree,
are a UserError found in the schemas alone; only null types ever give way to another; every type
that is taken gives plain texts, lists and dicts. Must not know how files are opened, which rows
are wanted, or what makes a value a prompt.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config import Data, PromptFormat, Template
from rollout.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

WANTED = "a prompt is text, or a list of messages with role and content"


def check_names(schema: "pa.Schema", path: Path) -> None:
    """Refuse a file without columns, or with two of a name."""
    names = schema.names
    if not names:
        raise UserError(f"{path} has no columns; type data.input=FILE.parquet of another")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has two columns {twice!r}; rename one")


def unify(one: "pa.Schema", two: "pa.Schema", first: Path, path: Path) -> "pa.Schema":
    """The schema of both files, columns as in the first. Raises UserError where they disagree."""
    import pyarrow as pa

    both = f"the files of data.input disagree: {first} and {path}"
    if odd := sorted(set(one.names) ^ set(two.names)):
        which = first if odd[0] in one.names else path
        raise UserError(f"{both}: only {which.name} has column {odd[0]!r}")
    fields = []
    for field in one:
        other = two.field(field.name)
        merged = _merge(field.type, other.type)
        if merged is None:
            types = f"{_short(field.type)} in one, {_short(other.type)} in the other"
            raise UserError(f"{both}: column {field.name!r} is {types}; write them alike")
        fields.append(field.with_type(merged).with_nullable(field.nullable or other.nullable))
    return pa.schema(fields, one.metadata)


def _merge(one: "pa.DataType", two: "pa.DataType") -> "pa.DataType | None":
    """The type of both, where `null` (all a writer could say of no values) gives way."""
    import pyarrow as pa

    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    nested = [pa.types.is_struct, pa.types.is_list, pa.types.is_large_list]
    same = next((is_kind for is_kind in nested if is_kind(one) and is_kind(two)), None)
    pairs = [(one.field(i), two.field(i)) for i in range(one.num_fields)] if same else []
    if not pairs or one.num_fields != two.num_fields:
        return None
    merged = [_merge(a.type, b.type) for a, b in pairs]
    if None in merged or (same is nested[0] and any(a.name != b.name for a, b in pairs)):
        return None
    fields = [
        a.with_type(kind).with_nullable(a.nullable or b.nullable)
        for (a, b), kind in zip(pairs, merged, strict=True)
    ]
    if same is nested[0]:
        return pa.struct(fields)
    return (pa.list_ if same is nested[1] else pa.large_list)(fields[0])


def conform(batch: "pa.RecordBatch", schema: "pa.Schema") -> "pa.RecordBatch":
    """The batch with the schema's columns, in its order; only null types ever change."""
    import pyarrow as pa

    columns = [batch.column(field.name) for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def check_columns(
    schema: "pa.Schema", path: Path, data: Data, in_template: Iterable[str] | None = None
) -> None:
    """Refuse an input that lacks a column of the prompts', or whose type can't hold what it must.

    `in_template`: the names that data.template looks up, which then stand for the prompt column.
    """
    if data.sampling_key is not None:
        _check_option(schema, path, "sampling_key", data.sampling_key, _holds_object, "a struct")
    if data.tools_key is not None:
        _check_option(schema, path, "tools_key", data.tools_key, _holds_tools, "a list of structs")
    if in_template is not None:
        _check_template(schema, path, in_template)
    elif data.prompt_format is PromptFormat.tokens:
        wanted = "a list of integers (token ids), which data.prompt_format=tokens asks for"
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
    """Refuse a template that prints columns of lists or objects, just as they are, in every row."""
    from pyarrow import types

    for name in sorted(set(names) & set(schema.names)):
        kind = _stored(schema.field(name).type)
        if _is_list(kind):
            hint = f"{{{{ {name} | join(', ') }}}}"
        elif types.is_struct(kind) or types.is_map(kind):
            hint = f"{{{{ {name}.{kind.field(0).name if types.is_struct(kind) else 'key'} }}}}"
        else:
            continue
        raise UserError(
            f"{setting} prints {name}, which holds {_short(kind)} in {where}, as Python writes it; "
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
    """Refuse a setting that names a column which is missing, or is not as `wanted`."""
    fit = [name for name in schema.names if is_fit(schema.field(name).type)]
    if key not in schema.names:
        raise UserError(
            f"data.{setting}={key}: {path} has columns {_listed(schema)}."
            f"{did_you_mean(key, fit or schema.names)}"
        )
    kind = schema.field(key).type
    if not is_fit(kind):
        more = f"; fitting columns: {', '.join(fit)}" if fit else ""
        raise UserError(
            f"data.{setting}={key}: the column holds {_short(kind)} in {path}, not {wanted}"
            f"{or_text}{more}"
        )


def _listed(schema: "pa.Schema") -> str:
    return ", ".join(schema.names[:20]) + (", ..." if len(schema.names) > 20 else "")


def _holds_object(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = _stored(kind)
    return any(
        is_kind(kind) for is_kind in (types.is_struct, types.is_map, _is_text, types.is_null)
    )


def _holds_tools(kind: "pa.DataType") -> bool:
    kind = _stored(kind)
    return _is_text(kind) or _is_null(kind) or (_is_list(kind) and _holds_object(kind.value_type))


def _holds_ids(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = _stored(kind)
    if not _is_list(kind):
        return _is_null(kind)
    return types.is_integer(_stored(kind.value_type)) or _is_null(kind.value_type)


def _is_null(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return types.is_null(kind)


def _check_prompts(schema: "pa.Schema", path: Path, data: Data) -> None:
    """Refuse an input whose prompt column is missing or can hold no prompt."""
    names, key = schema.names, data.prompt_key
    fit = [name for name in names if _holds(schema.field(name).type) in ("text", "chat")]
    choose = f" Type data.prompt_key={fit[0] if len(fit) == 1 else 'NAME'}"
    if key not in names:
        guess = did_you_mean(key, fit or names)
        choose = choose if fit else f" None of them holds prompts; {WANTED}"
        raise UserError(
            f"data.prompt_key={key}: {path} has columns {_listed(schema)}.{guess}{choose}"
        )
    held = _holds(schema.field(key).type)
    if _holds_ids(schema.field(key).type) and held not in ("chat", "nothing"):
        held += ", or token ids with data.prompt_format=tokens"
    if held not in ("text", "chat", "nothing"):
        more = f"fitting columns: {', '.join(fit)}.{choose}" if fit else _convert(schema, key)
        raise UserError(f"column {key!r} of {path} holds {held}" + (f"; {more}" if more else ""))
    if held == "chat" and data.apply_chat_template is Template.never:
        raise UserError(
            f"data.apply_chat_template=never, but column {key!r} holds chats, which only the "
            "template makes text; type data.apply_chat_template=auto"
        )


def _holds(kind: "pa.DataType") -> str:
    """`text`, `chat`, `nothing` (all null), or why the type holds no prompts."""
    import pyarrow as pa

    types = pa.types
    wanted = f"{_short(kind)}, but {WANTED}"
    kind = _stored(kind)
    if types.is_null(kind):
        return "nothing"
    if _is_text(kind):
        return "text"
    if not _is_list(kind):
        return wanted
    json_typed = isinstance(kind.value_type, pa.BaseExtensionType)
    message = _stored(kind.value_type)
    if types.is_struct(message):
        members = {message.field(i).name: message.field(i).type for i in range(message.num_fields)}
        if not {"role", "content"} <= set(members):
            return f"messages of {', '.join(members)}, but role and content are needed; rename them"
        content = _stored(members["content"])
        fits = types.is_null(content) or _is_text(content) or _is_list(content)
        return "chat" if fits else f"messages with content of {_short(content)}; make it text"
    is_map = types.is_map(message) and _is_text(message.key_type)
    is_json = json_typed and _is_text(message)
    return "chat" if is_map or is_json or types.is_null(message) else wanted


def _convert(schema: "pa.Schema", key: str) -> str:
    """How pandas makes text of a column that no prompts are in."""
    from pyarrow import types

    kind = _stored(schema.field(key).type)
    if types.is_nested(kind):
        return ""
    is_bytes = any(
        getattr(types, f"is_{name}")(kind)
        for name in ("binary", "large_binary", "binary_view", "fixed_size_binary")
    )
    call = "str.decode('utf-8')" if is_bytes else "astype(str)"
    return f"make it text, in pandas: df[{key!r}] = df[{key!r}].{call}"


def _is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    lists = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(types, f"is_{name}")(kind) for name in lists)


def _stored(kind: "pa.DataType") -> "pa.DataType":
    """The plain type below extension and dictionary types."""
    while hasattr(kind, "storage_type") or hasattr(kind, "index_type"):
        kind = kind.storage_type if hasattr(kind, "storage_type") else kind.value_type
    return kind


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = _stored(kind)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _short(kind: "pa.DataType") -> str:
    text = str(kind)
    return text if len(text) <= 80 else text[:77] + "..."


def values_of(column: "pa.Array") -> Iterator[Any]:
    """Each row's text, list of messages, or None."""
    import pyarrow as pa

    while isinstance(column, pa.ExtensionArray | pa.DictionaryArray):
        is_extension = isinstance(column, pa.ExtensionArray)
        column = column.storage if is_extension else column.dictionary_decode()
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # parquet checks neither text nor dates
        values = [_value_or_fault(value) for value in column]
    return iter(values) if _is_text(column.type) else map(_plain, values)


def _value_or_fault(scalar: "pa.Scalar") -> Any:
    """The value, or bytes where it is none of Python's, which no prompt may be."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return b"not UTF-8"


def _plain(value: Any) -> Any:
    """A nested value with maps as dicts, and without the nulls that ragged structs are filled with.

    A null member cannot be told from an absent one, and templates ask whether a key is there.
    """
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        is_map = value and isinstance(value[0], tuple)
        return _plain(dict(value)) if is_map else [_plain(member) for member in value]
    return value
