"""The columns of rows without a schema, inferred from all rows in one pass.

Guarantees that no value is lost or changed: a column of several types becomes text (strings
unchanged, other values as JSON), and CSV cells become numbers only if these print the same. Must
not know files.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

EXACT_FLOAT = 2**53  # a double can't hold every larger integer
MAX_DEPTH = 20  # parquet's own limit is not much higher
MAX_MEMBERS = 200  # of a struct; with more, its keys are data


class Columns:
    """The columns of the rows seen so far."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}
        self._texts: dict[str, str] = {}  # columns that become text -> why
        self._large: set[tuple[str, ...]] = set()  # paths of integers that a double would round
        self._bools: set[tuple[str, ...]] = set()  # paths of booleans, which Arrow turns into 1.0

    def look(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take more rows into account."""
        import pyarrow as pa

        for name in dict.fromkeys(name for row in rows for name in row):
            if name in self._texts:
                continue
            values = [row.get(name) for row in rows]
            try:
                kind = pa.array(values).type
                before = self._types.get(name)
                self._types[name] = kind if before is None else _merged(before, kind)
            except (ValueError, TypeError, OverflowError):
                self._types.setdefault(name, None)
                self._texts[name] = "values of several types"
                continue
            for value in values:
                for path, member in _scalars(value, (name,)):
                    if type(member) is bool:
                        self._bools.add(path)
                    elif type(member) is int and abs(member) > EXACT_FLOAT:
                        self._large.add(path)

    @property
    def notes(self) -> list[str]:
        """One note per column that became text."""
        self._settle()
        return [
            f"column {name!r} has {why}: written as text, with JSON for values other than strings"
            for name, why in self._texts.items()
        ]

    @property
    def mixed(self) -> frozenset[str]:
        """The columns that became text."""
        self._settle()
        return frozenset(self._texts)

    @property
    def schema(self) -> "pa.Schema":
        """The schema of all rows seen."""
        import pyarrow as pa

        self._settle()
        text = pa.string()
        return pa.schema([(n, text if n in self._texts else t) for n, t in self._types.items()])

    def _settle(self) -> None:
        for name, kind in self._types.items():
            if name in self._texts:
                continue
            if _has_empty_struct(kind):
                self._texts[name] = "objects without members"
            elif _num_members(kind) > MAX_MEMBERS:
                self._texts[name] = f"objects with more than {MAX_MEMBERS} different members"
            elif _depth(kind) > MAX_DEPTH:
                self._texts[name] = f"lists or objects nested more than {MAX_DEPTH} deep"
            elif any(_is_float(kind, path[1:]) for path in self._large if path[0] == name):
                self._texts[name] = "fractions and integers that a float would round"
            elif any(_is_float(kind, path[1:]) for path in self._bools if path[0] == name):
                self._texts[name] = "booleans and numbers"

    def batch(self, rows: Sequence[dict[str, Any]], schema: "pa.Schema") -> "pa.RecordBatch":
        """Return the rows as Arrow; `schema` is this object's."""
        import pyarrow as pa

        arrays = []
        for column in schema:
            values = [row.get(column.name) for row in rows]
            if column.name in self._texts:
                values = [as_text(value) for value in values]
            arrays.append(pa.array(values, column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _scalars(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each scalar in `value`; "" is the path of a list's members."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _scalars(member, (*path, name))
    elif isinstance(value, list):
        for member in value:
            yield from _scalars(member, (*path, ""))
    else:
        yield path, value


def _is_float(kind: "pa.DataType", path: tuple[str, ...]) -> bool:
    """Whether a type has doubles at this path."""
    import pyarrow as pa

    for name in path:
        if pa.types.is_struct(kind):
            kind = kind.field(name).type
        elif pa.types.is_list(kind):
            kind = kind.value_type
        else:
            return False
    return pa.types.is_floating(kind)


def as_text(value: Any) -> str | None:
    """Return a string or null unchanged, other values as JSON."""
    return value if value is None or isinstance(value, str) else as_json(value)


def _merged(one: "pa.DataType", two: "pa.DataType") -> "pa.DataType":
    """Return the type that holds both. Raises Arrow's TypeError if there is none."""
    import pyarrow as pa

    if one == two:
        return one
    schemas = [pa.schema([("x", kind)]) for kind in (one, two)]
    return pa.unify_schemas(schemas, promote_options="permissive").field("x").type


def _inner(kind: "pa.DataType") -> "list[pa.DataType]":
    return [kind.field(i).type for i in range(kind.num_fields)]


def _has_empty_struct(kind: "pa.DataType") -> bool:
    """Whether the type contains a struct without members, which parquet can't hold."""
    import pyarrow as pa

    if pa.types.is_struct(kind) and not kind.num_fields:
        return True
    return any(map(_has_empty_struct, _inner(kind)))


def _num_members(kind: "pa.DataType") -> int:
    return kind.num_fields + sum(map(_num_members, _inner(kind)))


def _depth(kind: "pa.DataType") -> int:
    return 1 + max(map(_depth, _inner(kind)), default=0)


def json_chats() -> "pa.DataType":
    """Return the type of lists of messages as JSON, which holds messages of any shape."""
    import pyarrow as pa

    return pa.list_(pa.json_(pa.string()))


def is_plain_chat(kind: "pa.DataType") -> bool:
    """Whether the type is a list of messages with role and text only."""
    from pyarrow import types

    if not types.is_list(kind) or not types.is_struct(kind.value_type):
        return False
    members = {field.name: field.type for field in kind.value_type}
    return set(members) == {"role", "content"} and all(map(types.is_string, members.values()))


def prompt_array(chats: list[Any], kind: "pa.DataType") -> "pa.Array":
    """Return prompts as an array of type `kind`, such as `json_chats()`."""
    import pyarrow as pa

    if kind != json_chats():
        return pa.array(chats, kind)
    texts = [None if chat is None else [as_json(message) for message in chat] for chat in chats]
    plain = pa.array(texts, pa.list_(pa.string()))
    messages = pa.ExtensionArray.from_storage(pa.json_(pa.string()), plain.values)
    return pa.ListArray.from_arrays(plain.offsets, messages, mask=plain.is_null())


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class Cells:
    """The columns of CSV: integers or fractions if all cells are, else text."""

    notes: tuple[str, ...] = ()
    mixed: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._large: set[str] = set()  # columns with integers that a double would round

    def look(self, rows: Sequence[dict[str, str]]) -> None:
        for row in rows:
            for name, cell in row.items():
                kind = max(self._kinds.get(name, 0), _kind_of(cell))
                if kind < 2 and len(cell) > 15 and _kind_of(cell) == 0:
                    if abs(int(cell)) > EXACT_FLOAT:
                        self._large.add(name)
                self._kinds[name] = 2 if kind == 1 and name in self._large else kind

    @property
    def schema(self) -> "pa.Schema":
        import pyarrow as pa

        kinds = (pa.int64(), pa.float64(), pa.string())
        return pa.schema([(name, kinds[kind]) for name, kind in self._kinds.items()])

    def batch(self, rows: Sequence[dict[str, str]], schema: "pa.Schema") -> "pa.RecordBatch":
        import pyarrow as pa

        arrays = []
        for column in schema:
            read = (int, float, str)[self._kinds[column.name]]
            cells = [row[column.name] for row in rows]
            values = [None if cell == "" and read is not str else read(cell) for cell in cells]
            arrays.append(pa.array(values, column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _kind_of(cell: str) -> int:
    """Return 0 for an integer or an empty cell, 1 for a fraction, 2 for text.

    A number that does not print the same is text.
    """
    if cell == "":
        return 0
    try:
        if str(int(cell)) == cell and -(2**63) <= int(cell) < 2**63:
            return 0
    except ValueError:
        pass
    try:
        return 1 if repr(float(cell)) == cell else 2
    except ValueError:
        return 2
