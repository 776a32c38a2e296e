"""Which rows of several points are one and the same row of the input: by what they were asked from.

A row is known by the columns that any of the points made its prompt from, of those that all files
have: points may ask in other words, from other columns, or read other parts of the input.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rollout.rows.column_paths import column_of

if TYPE_CHECKING:
    import pyarrow as pa


def shared_columns(prompt_keys: Iterable[str], schemas: "Sequence[pa.Schema]") -> list[str]:
    """Return the columns that hold these keys and that all schemas have, each once.

    A key may be a path to a member of a struct column. Empty: a row is known by its place only.
    """
    if not schemas:
        return []
    found = dict.fromkeys(column_of(schemas[0], key) for key in prompt_keys)
    return [name for name in found if all(name in schema.names for schema in schemas)]


def row_text(values: Sequence[Any]) -> str:
    """Return a row's values of the shared columns as one text, the same for equal values only."""
    return repr([value if isinstance(value, str) else repr(value) for value in values])
