"""Input columns: unify the schemas of one input's files, and convert columns to plain values.

Owns the meaning of Arrow's types. Guarantees: files that disagree are a UserError, found in the
schemas alone; only null types are ever converted to another; all types give plain texts, lists and
dicts. Must not know how files are opened, which rows are selected, or what makes a value a prompt.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def check_names(schema: "pa.Schema", path: Path) -> None:
    """Refuse a file without columns, or with two columns of the same name."""
    names = schema.names
    if not names:
        raise UserError(f"{path} has no columns; type data.input=FILE.parquet with another file")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has two columns {twice!r}; rename one")


def unify(one: "pa.Schema", two: "pa.Schema", first: Path, path: Path) -> "pa.Schema":
    """Return the common schema, columns in the first file's order. Raises UserError if none."""
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
            types = f"{short(field.type)} in one, {short(other.type)} in the other"
            raise UserError(f"{both}: column {field.name!r} is {types}; write them alike")
        fields.append(field.with_type(merged).with_nullable(field.nullable or other.nullable))
    return pa.schema(fields, one.metadata)


def _merge(one: "pa.DataType", two: "pa.DataType") -> "pa.DataType | None":
    """Return the common type, None if there is none; `null` (a column without values) fits any."""
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
    """Return the batch with the schema's columns and order; only null types ever change."""
    import pyarrow as pa

    columns = [batch.column(field.name) for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    lists = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(types, f"is_{name}")(kind) for name in lists)


def stored(kind: "pa.DataType") -> "pa.DataType":
    """Return the plain type below extension and dictionary types."""
    while hasattr(kind, "storage_type") or hasattr(kind, "index_type"):
        kind = kind.storage_type if hasattr(kind, "storage_type") else kind.value_type
    return kind


def is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = stored(kind)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def short(kind: "pa.DataType") -> str:
    text = str(kind)
    return text if len(text) <= 80 else text[:77] + "..."


def values_of(column: "pa.Array") -> Iterator[Any]:
    """Return an iterator over the column's plain values: texts, lists, dicts, ... or None."""
    import pyarrow as pa

    while isinstance(column, pa.ExtensionArray | pa.DictionaryArray):
        is_extension = isinstance(column, pa.ExtensionArray)
        column = column.storage if is_extension else column.dictionary_decode()
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # parquet does not validate texts or dates
        values = [_value_or_bytes(value) for value in column]
    return iter(values) if is_text(column.type) else map(_plain, values)


def _value_or_bytes(scalar: "pa.Scalar") -> Any:
    """Return the value; bytes, which no prompt may be, if Python can't represent it."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return b"not UTF-8"


def _plain(value: Any) -> Any:
    """Return a nested value with maps as dicts, without the nulls that fill ragged structs.

    A null member looks like an absent one in Arrow, and templates test whether a key exists.
    """
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        is_map = value and isinstance(value[0], tuple) and isinstance(value[0][0], Hashable)
        return _plain(dict(value)) if is_map else [_plain(member) for member in value]
    if isinstance(value, tuple):  # of a map with unhashable keys, such as structs
        return [_plain(member) for member in value]
    return value
