"""The columns of rows that have no schema: found by looking at all rows, once.

Promises that no value is lost or bent: where types disagree, a column becomes text (strings as
they are, all else as JSON); CSV's cells become numbers only where the number is written back the
same. Must not know files.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

EXACT_FLOAT = 2**53  # larger integers are not all doubles
MAX_DEPTH = 20  # parquet has a limit of its own, not far beyond
MAX_MEMBERS = 200  # of a struct; more are keys that are data


class Columns:
    """What was seen of each column."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}
        self._texts: dict[str, str] = {}  # columns that become text -> why
        self._large: set[tuple[str, ...]] = set()  # where integers are that a double would round
        self._bools: set[tuple[str, ...]] = set()  # where true and false are: 1.0 to Arrow

    def look(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take some more rows into account."""
        for name in dict.fromkeys(name for row in rows for name in row):
            if name in self._texts:
                continue
            values = [row.get(name) for row in rows]
            try:
                kind = _type_of(values)
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
        """Which columns became text, for the user."""
        self._settle()
        return [
            f"column {name!r} has {why}: written as text, JSON where it is no string"
            for name, why in self._texts.items()
        ]

    @property
    def mixed(self) -> frozenset[str]:
        """The columns that became text."""
        self._settle()
        return frozenset(self._texts)

    @property
    def schema(self) -> "pa.Schema":
        """Of all rows seen."""
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
                self._texts[name] = f"objects of more than {MAX_MEMBERS} different members"
            elif _depth(kind) > MAX_DEPTH:
                self._texts[name] = f"lists or objects more than {MAX_DEPTH} deep"
            elif any(_is_float(kind, path[1:]) for path in self._large if path[0] == name):
                self._texts[name] = "fractions beside integers that a float would round"
            elif any(_is_float(kind, path[1:]) for path in self._bools if path[0] == name):
                self._texts[name] = "true and false beside numbers"

    def batch(self, rows: Sequence[dict[str, Any]], schema: "pa.Schema") -> "pa.RecordBatch":
        """The rows as Arrow, with `schema`, which is this one's."""
        import pyarrow as pa

        arrays = []
        for column in schema:
            values = [row.get(column.name) for row in rows]
            if column.name in self._texts:
                values = [as_text(value) for value in values]
            arrays.append(pa.array(values, column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _scalars(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a value is made of, and where; "" stands for a list's members."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _scalars(member, (*path, name))
    elif isinstance(value, list):
        for member in value:
            yield from _scalars(member, (*path, ""))
    else:
        yield path, value


def _is_float(kind: "pa.DataType", path: tuple[str, ...]) -> bool:
    """Whether doubles stand at this place of a type."""
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
    """A string as it is, null as null, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _type_of(values: list[Any]) -> "pa.DataType":
    import pyarrow as pa

    return pa.array(values).type


def _merged(one: "pa.DataType", two: "pa.DataType") -> "pa.DataType":
    """The type that holds both. Raises TypeError (Arrow's) where none does."""
    import pyarrow as pa

    if one == two:
        return one
    schemas = [pa.schema([("x", kind)]) for kind in (one, two)]
    return pa.unify_schemas(schemas, promote_options="permissive").field("x").type


def _inner(kind: "pa.DataType") -> "list[pa.DataType]":
    return [kind.field(i).type for i in range(kind.num_fields)]


def _has_empty_struct(kind: "pa.DataType") -> bool:
    """Parquet has none."""
    import pyarrow as pa

    if pa.types.is_struct(kind) and not kind.num_fields:
        return True
    return any(map(_has_empty_struct, _inner(kind)))


def _num_members(kind: "pa.DataType") -> int:
    return kind.num_fields + sum(map(_num_members, _inner(kind)))


def _depth(kind: "pa.DataType") -> int:
    return 1 + max(map(_depth, _inner(kind)), default=0)


# Chats.


def json_chats() -> "pa.DataType":
    """Lists of messages, each kept as JSON: nothing is lost where messages differ in shape."""
    import pyarrow as pa

    return pa.list_(pa.json_(pa.string()))


def is_plain_chat(kind: "pa.DataType") -> bool:
    """Whether it is a list of roles and texts, and nothing else."""
    from pyarrow import types

    if not types.is_list(kind) or not types.is_struct(kind.value_type):
        return False
    members = {field.name: field.type for field in kind.value_type}
    return set(members) == {"role", "content"} and all(map(types.is_string, members.values()))


def as_json_chats(chats: list[Any]) -> "pa.Array":
    """Chats as an array of `json_chats`."""
    import pyarrow as pa

    texts = [None if chat is None else [as_json(message) for message in chat] for chat in chats]
    plain = pa.array(texts, pa.list_(pa.string()))
    messages = pa.ExtensionArray.from_storage(pa.json_(pa.string()), plain.values)
    return pa.ListArray.from_arrays(plain.offsets, messages, mask=plain.is_null())


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class Cells:
    """CSV's columns: integers or fractions where all cells are written so, else text."""

    notes: tuple[str, ...] = ()
    mixed: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._large: set[str] = set()  # with integers that a double would round

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
    """0: an integer, or nothing; 1: a fraction; 2: text, which no number says as it is written."""
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
